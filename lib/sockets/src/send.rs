//! Sending.

use std::ffi::c_int;

use rustix::io::Errno;
use tas_abi::ll::FlextcpContext;
use tas_ll::{ConnRef, calls, conn, context};

use crate::engine::{self, Locked};
use crate::ffi::signals;
use crate::ffi::user::Iov;
use crate::operation::{self, Try};
use crate::socket::{Phase, State};
use crate::wait::{OnSignal, Until};
use crate::{Result, fork, ready};

/// How to send.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// MSG_DONTWAIT.
    pub dont_wait: bool,
    /// MSG_NOSIGNAL: no SIGPIPE.
    pub no_signal: bool,
    /// MSG_MORE: more follows, with which this may be sent.
    pub more: bool,
}

/// Bytes that more is waited for at most, with MSG_MORE or TCP_CORK.
const HELD_MAX: u32 = 1448;

/// Sends `iov` and returns how many bytes, all of them unless the socket does
/// not block. What was sent has been handed to the service.
///
/// # Errors
/// As send(2).
pub fn send(fd: c_int, iov: Iov<'_>, how: How) -> Result<usize> {
    let mut sent = 0;
    let until = |locked: &mut Locked| {
        if how.dont_wait || locked.socket().nonblocking() {
            Until::Now
        } else {
            Until::after(locked.state().options.send_timeout)
        }
    };
    let done = operation::run(fd, until, OnSignal::Restart, |locked| {
        match give(locked, &iov, sent, how)? {
            Try::Done(n) => {
                sent += n;
                Ok(if sent < iov.len() {
                    Try::Wait
                } else {
                    Try::Done(())
                })
            }
            Try::Wait | Try::WaitFor(_) => Ok(Try::Wait),
        }
    });
    match done {
        Ok(()) => Ok(sent),
        Err(_) if sent > 0 => Ok(sent),
        Err(Errno::PIPE) => {
            if !how.no_signal {
                signals::broken_pipe();
            }
            Err(Errno::PIPE)
        }
        Err(error) => Err(error),
    }
}

/// Sends what there is room for.
fn give(locked: &mut Locked, iov: &Iov<'_>, at: usize, how: How) -> Result<Try<usize>> {
    fork::claim(locked)?;
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    match state.phase {
        Phase::Connected => {}
        Phase::Connecting => return Ok(Try::Wait),
        Phase::Closing => return Err(Errno::BADF),
        Phase::Fresh | Phase::Listening => return Err(Errno::PIPE),
        Phase::Over => {
            let error = state.error.take().unwrap_or(Errno::PIPE);
            ready::update(socket, state, 0);
            return Err(error);
        }
    }
    if let Some(error) = state.error.take() {
        ready::update(socket, state, 0);
        return Err(error);
    }
    if state.write_shut {
        return Err(Errno::PIPE);
    }
    let Some(ctx) = ctx else {
        return Err(Errno::NOTCONN);
    };
    let conn = socket.conn();
    let wanted = iov.len() - at;
    let taken = conn.with(|c| {
        let room = state.options.send_room(c);
        let (pos, len) = conn::tx_alloc(c, wanted.min(room as usize), false)?;
        iov.give_to_send(at, c, pos, len);
        Ok(len)
    });
    let len = taken.map_err(|error: tas_ll::Error| broken(&error))?;
    let hold = (how.more || state.options.cork) && len as usize == wanted;
    let held = conn.with(|c| c.txb_allocated);
    if held > 0 && !(hold && held < HELD_MAX) {
        push(ctx, conn)?;
    }
    if len == 0 && wanted > 0 {
        // A full buffer: what was held back makes room.
        ready::update(socket, state, 0);
        return Ok(Try::Wait);
    }
    ready::update(socket, state, 0);
    Ok(Try::Done(len as usize))
}

fn broken(error: &tas_ll::Error) -> Errno {
    match error.errno() {
        libc::ENOTCONN => Errno::PIPE,
        errno => Errno::from_raw_os_error(errno),
    }
}

/// Hands everything that was written to the service: the program may never
/// call again.
///
/// # Errors
/// `ECONNRESET` when the connection or the service is gone.
pub fn push(ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    let held = conn.with(|c| c.txb_allocated);
    calls::tx_send(ctx, conn, held as usize).map_err(engine::errno)?;
    context::post_all(ctx).map_err(engine::errno)
}

/// Sends what MSG_MORE or TCP_CORK held back.
///
/// # Errors
/// As [`push`].
pub fn push_held(state: &State, ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    if state.phase == Phase::Connected && conn.with(|c| c.txb_allocated) > 0 {
        push(ctx, conn)?;
    }
    Ok(())
}
