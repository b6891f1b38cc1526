//! The usual case of receiving and sending, straight through: a connection like
//! any other, bytes that are there or room for all of them, one call. Everything
//! else is left to the general way, which begins anew.

use std::ffi::c_int;

use tas_ll::calls;
use tas_ll::conn::{Status, status, tx_free};

use crate::ffi::user::Iov;
use crate::ready::{READ, WRITE};
use crate::socket::{Phase, Socket, State};
use crate::{Result, operation, recv, send};

/// Whether nothing is special about the connection.
#[inline]
fn is_usual(state: &State) -> bool {
    state.phase == Phase::Connected
        && !(state.shared || state.peer_closed || state.read_shut || state.write_shut)
        && state.error.is_none()
        && state.rescued.0.is_empty()
}

/// Receives what is there. `None`: nothing is, or something is not as usual.
#[inline]
pub fn recv(fd: c_int, iov: &Iov<'_>) -> Option<usize> {
    let mut locked = operation::lock(fd).ok()?;
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    if !is_usual(state) || state.options.low_water > 1 {
        return None;
    }
    let conn = socket.conn();
    let room = u32::try_from(iov.len()).unwrap_or(u32::MAX);
    let (len, left) = conn.with(|c| {
        let there = match status(c) {
            Some(Status::Open) => c.rxb_used,
            _ => 0,
        };
        let len = recv::copy(c, iov, 0, there.min(room), recv::How::default()).ok()?;
        (len > 0).then_some((len, there - len))
    })?;
    calls::rx_done(ctx?, conn, len as usize).ok()?;
    if left == 0 {
        socket.no_longer(READ);
    }
    Some(len as usize)
}

/// Sends everything. `None`: there is not enough room, or something is not as usual.
///
/// # Errors
/// `ECONNRESET` when the connection or the service is gone.
#[inline]
pub fn send(fd: c_int, iov: &Iov<'_>) -> Result<Option<usize>> {
    let Ok(mut locked) = operation::lock(fd) else {
        return Ok(None);
    };
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    let Some(ctx) = ctx else { return Ok(None) };
    if !is_usual(state) || !state.options.sends_at_once() {
        return Ok(None);
    }
    let conn = socket.conn();
    let (mut source, len) = (*iov, iov.len());
    let written = conn.with(|c| {
        let fits = len > 0 && len <= tx_free(c) as usize;
        if !fits || c.txb_allocated > 0 || status(c) != Some(Status::Open) {
            return None;
        }
        let written = send::fill(c, &mut source, 0, len).ok()?;
        Some((written, tx_free(c)))
    });
    let Some((written, left)) = written else {
        return Ok(None);
    };
    send::push(ctx, conn, written)?;
    if left == 0 {
        socket.no_longer(WRITE);
    }
    Ok(Some(len))
}

impl Socket {
    /// These bits hold no longer, of which nobody is told.
    #[inline]
    fn no_longer(&self, bits: u32) {
        self.set_ready(self.ready() & !bits);
    }
}
