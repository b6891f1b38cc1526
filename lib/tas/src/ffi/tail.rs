//! The tail of a connection's receive buffer, in which the process tells the service what it has
//! done with it beside what it posts.

use std::sync::atomic::{AtomicU32, Ordering};

use tas_abi::ll::FlextcpConnection;
use tas_abi::memif::{TAS_RX_TAIL_READ, TAS_RX_TAIL_TURN};

/// Notes that everything before this position of the receive buffer was read, whether or not it
/// was handed back: should the process end, the service knows.
#[inline]
pub fn note_read(c: &FlextcpConnection, pos: u32) {
    word(c, TAS_RX_TAIL_READ).store(pos.wrapping_add(1), Ordering::Release);
}

/// Begins the turn of a context, by its `db_id`, on a connection that several processes hold: in
/// which none of the others works on it. False while it is another one's turn.
pub fn begin_turn(c: &FlextcpConnection, context: u16) -> bool {
    let ours = u32::from(context) + 1;
    let turn =
        word(c, TAS_RX_TAIL_TURN).compare_exchange(0, ours, Ordering::AcqRel, Ordering::Acquire);
    turn.is_ok() || turn == Err(ours)
}

/// Begins the turn of a context, whosever it is.
pub fn take_turn(c: &FlextcpConnection, context: u16) {
    word(c, TAS_RX_TAIL_TURN).store(u32::from(context) + 1, Ordering::Release);
}

/// Ends the turn of a context, if it is its.
pub fn end_turn(c: &FlextcpConnection, context: u16) {
    let ours = u32::from(context) + 1;
    // Whoever took it away has it.
    let _ =
        word(c, TAS_RX_TAIL_TURN).compare_exchange(ours, 0, Ordering::AcqRel, Ordering::Relaxed);
}

#[inline]
fn word(c: &FlextcpConnection, at: u32) -> &AtomicU32 {
    let place = c.rxb_base.wrapping_add((c.rxb_len + at) as usize);
    // SAFETY: a connection has this memory as long as it has its buffer, whose length the service
    // makes a multiple of 64; every access is atomic.
    unsafe { AtomicU32::from_ptr(place.cast()) }
}
