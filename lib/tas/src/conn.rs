//! A connection's state, and the transitions that need nothing else.
//!
//! ```text
//! Closed -> OpenRequested / AcceptRequested        open, accept
//!        -> Open | Closed                          the service's answer
//! Open   -> CloseRequested                         close
//!        -> ResetClosing -> CloseRequested         reset by the peer, close
//! OpenRequested, AcceptRequested -> CloseOpening   close before the answer
//! CloseOpening -> CloseOpened | CloseFailed        the answer to open or accept
//!              -> CloseDeferred                    the service cannot cancel
//! CloseDeferred, CloseOpened -> CloseRequested     close again, by address
//! any of the closing states -> Closed              CONN_CLOSED
//! Open   -> Moving -> Open                         move; as Open otherwise
//! Open, Moving -> Parked                           another process has adopted it
//! Parked -> Adopting -> Open | Parked              adopt, the answer
//! Parked, Adopting -> CloseRequested               close
//! OpenRequested -> OpenInherited -> OpenAwaited    in a child: fork, adopt
//! OpenAwaited -> Parked | Closed                   the service's answer
//! OpenInherited -> CloseRequested                  close
//! OpenAwaited -> CloseOpening                      close before the answer
//! ```

use tas_abi::ll::FlextcpConnection;
use tas_abi::memif::{AtxConnUpdate, FLEXTCP_PL_ATX_FLTXDONE};

use crate::error::{Error, Result};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Not in use.
    Closed = 0,
    /// Waits for the answer to an open.
    OpenRequested = 1,
    /// Waits for a peer.
    AcceptRequested = 2,
    /// In use.
    Open = 3,
    /// Waits for the answer to a close.
    CloseRequested = 4,
    /// Waits for the answer to a close that was requested before that to open
    /// or accept arrived.
    CloseOpening = 5,
    /// As before, but the service closes only what is open: the close is
    /// requested again after the answer to open or accept.
    CloseDeferred = 6,
    /// Reset by the peer; the library has requested the close.
    ResetClosing = 7,
    /// In use, and on its way to another context. Not a flag: the thread of
    /// the old context may be at work on those.
    Moving = 8,
    /// Open to the service; waits for the answer to a close that was requested
    /// before the connection's own address was known.
    CloseOpened = 9,
    /// The open failed; waits for the answer to a close that found nothing.
    CloseFailed = 10,
    /// Held, but not used by this process.
    Parked = 11,
    /// Waits for the answer to adopting it.
    Adopting = 12,
    /// Was being opened when this process was forked, and has not been asked for.
    OpenInherited = 13,
    /// The same, and waits for the answer to the open.
    OpenAwaited = 14,
}

/// The application called tx_close.
pub const TX_EOS: u8 = 1;
/// The byte that stands for the FIN is in the transmit buffer.
pub const TX_EOS_PLACED: u8 = 2;
/// The peer has acknowledged the FIN.
pub const TX_EOS_ACKED: u8 = 4;
/// Bytes arrived before the answer to open or accept and wait for delivery.
pub const EARLY_DATA: u8 = 8;
/// The peer's FIN arrived before the answer and waits for delivery.
pub const EARLY_FIN: u8 = 16;
/// The peer has reset the connection.
pub const RESET: u8 = 32;
/// With [`RESET`]: it was not the peer, which does not answer any more.
pub const TIMED_OUT: u8 = 64;
/// The application keeps less in the transmit buffer than it holds, and is told
/// of all room, not only of that in a full buffer.
pub const TELL_ROOM: u8 = 128;

/// The state; `None` for bytes that are no connection.
pub fn status(c: &FlextcpConnection) -> Option<Status> {
    Some(match c.status {
        0 => Status::Closed,
        1 => Status::OpenRequested,
        2 => Status::AcceptRequested,
        3 => Status::Open,
        4 => Status::CloseRequested,
        5 => Status::CloseOpening,
        6 => Status::CloseDeferred,
        7 => Status::ResetClosing,
        8 => Status::Moving,
        9 => Status::CloseOpened,
        10 => Status::CloseFailed,
        11 => Status::Parked,
        12 => Status::Adopting,
        13 => Status::OpenInherited,
        14 => Status::OpenAwaited,
        _ => return None,
    })
}

/// Whether the connection is in use.
pub fn is_open(c: &FlextcpConnection) -> bool {
    matches!(status(c), Some(Status::Open | Status::Moving))
}

/// Whether the connection is being opened.
pub(crate) fn is_opening(c: &FlextcpConnection) -> bool {
    matches!(
        status(c),
        Some(Status::OpenRequested | Status::OpenInherited | Status::OpenAwaited)
    )
}

/// The number of its flow, all ones while it has none.
pub(crate) fn flow_id(c: &FlextcpConnection) -> u32 {
    if is_opening(c) { u32::MAX } else { c.flow_id }
}

/// Whether any of the flags is set.
pub fn has(c: &FlextcpConnection, flags: u8) -> bool {
    c.flags & flags != 0
}

/// Forgets what was to be told to the service, which another process tells now.
pub(crate) fn detach(c: &mut FlextcpConnection) {
    c.flags &= !(EARLY_DATA | EARLY_FIN);
    c.rxb_bump = 0;
    c.txb_bump = 0;
    c.txb_allocated = 0;
    c.bump_pending = 0;
    c.bump_next = std::ptr::null_mut();
    c.bump_prev = std::ptr::null_mut();
}

/// The errno of a connection that is over without a close.
pub fn failure(c: &FlextcpConnection) -> Option<i32> {
    let errno = if has(c, TIMED_OUT) {
        libc::ETIMEDOUT
    } else {
        libc::ECONNRESET
    };
    has(c, RESET).then_some(errno)
}

/// Free bytes of the transmit buffer.
pub fn tx_free(c: &FlextcpConnection) -> u32 {
    c.txb_len
        .saturating_sub(c.txb_sent)
        .saturating_sub(c.txb_allocated)
}

/// `pos + len` in a ring of `ring` bytes; `pos` and `len` are at most `ring`.
pub fn ring_add(pos: u32, len: u32, ring: u32) -> u32 {
    let sum = u64::from(pos) + u64::from(len);
    let end = if sum >= u64::from(ring) {
        sum - u64::from(ring)
    } else {
        sum
    };
    u32::try_from(end).unwrap_or(0)
}

/// A stretch of a ring in up to two pieces: (position, length) of each.
pub fn pieces(pos: u32, len: u32, ring: u32) -> ((u32, u32), (u32, u32)) {
    let first = len.min(ring.saturating_sub(pos));
    ((pos, first), (0, len - first))
}

/// Whether the application may send.
fn can_send(c: &FlextcpConnection) -> Result<()> {
    if !is_open(c) {
        let reset = status(c) == Some(Status::ResetClosing);
        return Err(if reset {
            Error::GONE
        } else {
            Error::expected(libc::ENOTCONN)
        });
    }
    if has(c, RESET) {
        return Err(Error::GONE);
    }
    if has(c, TX_EOS) {
        return Err(Error::expected(libc::EPIPE));
    }
    Ok(())
}

/// Allocates up to `len` bytes of the transmit buffer; in one piece only if
/// `contiguous`. Returns position and length.
pub fn tx_alloc(c: &mut FlextcpConnection, len: usize, contiguous: bool) -> Result<(u32, u32)> {
    can_send(c)?;
    let len = u32::try_from(len).unwrap_or(u32::MAX).min(tx_free(c));
    let pos = ring_add(c.txb_head, c.txb_allocated, c.txb_len);
    let len = if contiguous {
        pieces(pos, len, c.txb_len).0.1
    } else {
        len
    };
    c.txb_allocated += len;
    Ok((pos, len))
}

/// Marks the first `len` allocated bytes as sent.
pub fn tx_send(c: &mut FlextcpConnection, len: usize) -> Result<()> {
    can_send(c)?;
    let len = u32::try_from(len)
        .ok()
        .filter(|&len| len <= c.txb_allocated)
        .ok_or(Error::misuse("more bytes than were allocated"))?;
    c.txb_allocated -= len;
    tx_advance(c, len);
    Ok(())
}

fn tx_advance(c: &mut FlextcpConnection, len: u32) {
    c.txb_head = ring_add(c.txb_head, len, c.txb_len);
    c.txb_sent = c.txb_sent.saturating_add(len);
    c.txb_bump = c.txb_bump.saturating_add(len);
}

/// What the byte that stands for the FIN needs in the transmit buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndNeeds {
    /// Room, as any other.
    Room,
    /// Nothing: nobody reads it.
    Nothing,
}

/// Marks the end of the stream.
pub fn tx_close(c: &mut FlextcpConnection, needs: EndNeeds) -> Result<()> {
    can_send(c)?;
    if c.txb_allocated > 0 {
        return Err(Error::misuse("allocated bytes are not sent"));
    }
    c.flags |= TX_EOS;
    place_eos(c, needs);
    Ok(())
}

/// Puts the byte that stands for the FIN into the transmit buffer, if it is
/// due and fits. Returns whether it still has to be.
pub fn place_eos(c: &mut FlextcpConnection, needs: EndNeeds) -> bool {
    if !has(c, TX_EOS) || has(c, TX_EOS_PLACED) {
        return false;
    }
    if needs == EndNeeds::Room && tx_free(c) == 0 {
        return true;
    }
    tx_advance(c, 1);
    c.flags |= TX_EOS_PLACED;
    false
}

/// Hands `len` received bytes back. Returns whether enough are free again to
/// tell the service.
pub fn rx_done(c: &mut FlextcpConnection, len: usize) -> Result<bool> {
    if !is_open(c) && status(c) != Some(Status::ResetClosing) {
        return Err(Error::expected(libc::ENOTCONN));
    }
    let len = u32::try_from(len)
        .ok()
        .filter(|&len| len <= c.rxb_used)
        .ok_or(Error::misuse("more bytes than were received"))?;
    c.rxb_used -= len;
    c.rxb_bump = c.rxb_bump.saturating_add(len);
    Ok(c.rxb_bump > c.rxb_len / 4)
}

/// The update that tells the core everything it does not know yet. A core
/// wants to know nothing of a connection that is closing or was reset.
pub fn bump(c: &FlextcpConnection) -> Option<AtxConnUpdate> {
    if !is_open(c) || has(c, RESET) || (c.rxb_bump == 0 && c.txb_bump == 0) {
        return None;
    }
    // The FIN's byte is the last of the stream, so it is in this bump if any
    // bump is outstanding once it was placed.
    let done = has(c, TX_EOS_PLACED) && c.txb_bump > 0;
    Some(AtxConnUpdate {
        rx_bump: c.rxb_bump,
        tx_bump: c.txb_bump,
        flow_id: c.flow_id,
        bump_seq: c.bump_seq as u16,
        flags: if done { FLEXTCP_PL_ATX_FLTXDONE } else { 0 },
    })
}

/// The update of [`bump`] was posted.
pub fn posted(c: &mut FlextcpConnection) {
    c.rxb_bump = 0;
    c.txb_bump = 0;
    c.bump_seq = c.bump_seq.wrapping_add(1);
}

/// What an acknowledgement means to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// Nothing.
    Silent,
    /// There is room in a buffer that had been full.
    Sendbuf,
    /// Everything including the FIN has arrived.
    TxClosed,
}

/// What `len` acknowledged bytes will mean; changes nothing.
pub fn acked(c: &FlextcpConnection, len: u32) -> Acked {
    if len == 0 || has(c, TX_EOS_ACKED) {
        Acked::Silent
    } else if has(c, TX_EOS_PLACED) && len >= c.txb_sent {
        Acked::TxClosed
    } else if !has(c, TX_EOS) && (tx_free(c) == 0 || has(c, TELL_ROOM)) {
        Acked::Sendbuf
    } else {
        Acked::Silent
    }
}

/// Sets `len` acknowledged bytes free.
pub fn take_ack(c: &mut FlextcpConnection, len: u32) {
    if acked(c, len) == Acked::TxClosed {
        c.flags |= TX_EOS_ACKED;
    }
    c.txb_sent = c.txb_sent.saturating_sub(len);
}
