//! Receiving.

use std::ffi::c_int;

use rustix::io::Errno;
use tas_ll::calls;
use tas_ll::conn::ring_add;

use crate::engine::Locked;
use crate::ffi::user::Iov;
use crate::operation::{self, Try};
use crate::socket::{Phase, State};
use crate::wait::{OnSignal, Until};
use crate::{Result, fork, ready};

/// How to receive.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// MSG_PEEK: what is read stays.
    pub peek: bool,
    /// MSG_DONTWAIT.
    pub dont_wait: bool,
    /// MSG_WAITALL: wait for all that was asked for.
    pub wait_all: bool,
    /// MSG_TRUNC: bytes are discarded instead of copied (tcp(7)).
    pub discard: bool,
}

/// Receives into `iov` and returns how many bytes.
///
/// # Errors
/// As recv(2).
pub fn recv(fd: c_int, iov: Iov<'_>, how: How) -> Result<usize> {
    let mut got = 0;
    let until = |locked: &mut Locked| {
        if how.dont_wait || locked.socket().nonblocking() {
            Until::Now
        } else {
            Until::after(locked.state().options.receive_timeout)
        }
    };
    let done = operation::run(fd, until, OnSignal::Restart, |locked| {
        let step = take(locked, &iov, got, how)?;
        match step {
            Try::Done(n) if how.wait_all && !how.peek && n > 0 && got + n < iov.len() => {
                got += n;
                Ok(Try::Wait)
            }
            Try::Done(n) => Ok(Try::Done(got + n)),
            wait => Ok(wait),
        }
    });
    match done {
        // Part of what was asked for has arrived, and is read.
        Err(_) if got > 0 => Ok(got),
        done => done,
    }
}

/// Takes what is there. 0 bytes: the end.
fn take(locked: &mut Locked, iov: &Iov<'_>, at: usize, how: How) -> Result<Try<usize>> {
    fork::claim(locked)?;
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    let room = u32::try_from(iov.len() - at).unwrap_or(u32::MAX);
    let rescued = state.rescued.0.len() - state.rescued.1;
    if rescued > 0 {
        return Ok(Try::Done(take_rescued(state, iov, at, how)));
    }
    match state.phase {
        Phase::Connected => {}
        Phase::Fresh | Phase::Listening => return Err(Errno::NOTCONN),
        Phase::Connecting => return Ok(Try::Wait),
        Phase::Closing => return Err(Errno::BADF),
        Phase::Over => {
            return match state.error.take() {
                Some(error) => {
                    ready::update(socket, state, 0);
                    Err(error)
                }
                None => Ok(Try::Done(0)),
            };
        }
    }
    let conn = socket.conn();
    let len = conn.with(|c| {
        let len = c.rxb_used.min(room);
        let unread = ring_add(c.rxb_head, c.rxb_len.saturating_sub(c.rxb_used), c.rxb_len);
        if len > 0 && !how.discard {
            iov.take_received(at, c, unread, len);
        }
        len
    });
    if len == 0 {
        if let Some(error) = state.error.take() {
            ready::update(socket, state, 0);
            return Err(error);
        }
        let over = state.peer_closed || state.read_shut || room == 0;
        return Ok(if over { Try::Done(0) } else { Try::Wait });
    }
    if !how.peek
        && let Some(ctx) = ctx
    {
        calls::rx_done(ctx, conn, len as usize).map_err(crate::engine::errno)?;
        ready::update(socket, state, 0);
    }
    Ok(Try::Done(len as usize))
}

fn take_rescued(state: &mut State, iov: &Iov<'_>, at: usize, how: How) -> usize {
    let (bytes, from) = &mut state.rescued;
    let len = (bytes.len() - *from).min(iov.len() - at);
    if !how.discard {
        iov.put(at, bytes.get(*from..*from + len).unwrap_or_default());
    }
    if !how.peek {
        *from += len;
    }
    len
}
