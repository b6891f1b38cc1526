//! The tail of a connection's receive buffer, in which the process tells the service what it has
//! done with it beside what it posts.

use std::sync::atomic::{AtomicU32, Ordering};

use tas_abi::ll::FlextcpConnection;
use tas_abi::memif::TAS_RX_TAIL_READ;

/// Notes that everything before this position of the receive buffer was read, whether or not it
/// was handed back: should the process end, the service knows.
#[inline]
pub fn note_read(c: &FlextcpConnection, pos: u32) {
    word(c, TAS_RX_TAIL_READ).store(pos.wrapping_add(1), Ordering::Release);
}

#[inline]
fn word(c: &FlextcpConnection, at: u32) -> &AtomicU32 {
    let place = c.rxb_base.wrapping_add((c.rxb_len + at) as usize);
    // SAFETY: a connection has this memory as long as it has its buffer, whose length the service
    // makes a multiple of 64; every access is atomic.
    unsafe { AtomicU32::from_ptr(place.cast()) }
}
