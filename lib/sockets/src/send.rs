//! Sending.

use std::ffi::c_int;

use rustix::io::Errno;
use tas_abi::ll::{FlextcpConnection, FlextcpContext};
use tas_ll::{ConnRef, calls, conn, context};

use crate::engine::{self, Locked};
use crate::ffi::call;
use crate::ffi::user::Iov;
use crate::fork::Claimed;
use crate::partial::{self, Patience, Step};
use crate::socket::{Phase, Socket, State};
use crate::{Result, fork, hold, ready, usual};

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

/// A segment's data, as near as matters: MSG_MORE and TCP_CORK hold back less.
const SEGMENT: u32 = 1448;

/// Where bytes to send come from.
pub trait Source {
    /// Bytes in all.
    fn total(&self) -> usize;

    /// Itself, if it is memory of the program's.
    fn as_iov(&self) -> Option<&Iov<'_>> {
        None
    }

    /// Copies up to `len` bytes, from byte `at` on, to `pos` of the connection's
    /// transmit buffer. Returns how many; fewer if there are no more.
    ///
    /// # Errors
    /// `EFAULT`, or as read(2).
    fn copy(&mut self, at: usize, c: &FlextcpConnection, pos: u32, len: u32) -> Result<u32>;
}

impl Source for Iov<'_> {
    fn total(&self) -> usize {
        self.len()
    }

    #[inline]
    fn as_iov(&self) -> Option<&Iov<'_>> {
        Some(self)
    }

    #[inline]
    fn copy(&mut self, at: usize, c: &FlextcpConnection, pos: u32, len: u32) -> Result<u32> {
        self.check()?;
        self.give_to_send(at, c, pos, len);
        Ok(len)
    }
}

/// Sends `source` and returns how many bytes, all of them unless the socket does
/// not block. What was sent has been handed to the service.
///
/// # Errors
/// As send(2).
pub fn send(fd: c_int, mut source: impl Source, how: How) -> Result<usize> {
    if !how.more
        && let Some(iov) = source.as_iov()
        && let Some(count) = usual::send(fd, iov)?
    {
        return Ok(count);
    }
    let patience = Patience {
        dont_wait: how.dont_wait,
        timeout: |options| options.send_timeout,
    };
    let all = source.total();
    let sent = partial::transfer(
        fd,
        patience,
        |locked, sent| give(locked, &mut source, sent, how),
        |_, sent| sent >= all,
    );
    if sent == Err(Errno::PIPE) && !how.no_signal {
        call::break_pipe();
    }
    sent
}

/// Sends what there is room for, `at` bytes having been sent before.
fn give(locked: &mut Locked, source: &mut impl Source, at: usize, how: How) -> Result<Step> {
    let Claimed::Now(_turn) = fork::claim_or_wait(locked)? else {
        return Ok(Step::Wait);
    };
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    match state.phase {
        Phase::Connected => {}
        Phase::Connecting => return Ok(Step::Wait),
        Phase::Closing => return Err(Errno::BADF),
        Phase::Fresh | Phase::Listening => return Err(Errno::PIPE),
        Phase::Over => return over(socket, state, at),
    }
    if state.error.is_some() || state.write_shut {
        return over(socket, state, at);
    }
    let Some(ctx) = ctx else {
        return Err(Errno::NOTCONN);
    };
    let conn = socket.conn();
    let wanted = source.total() - at;
    let (room, taken) = conn.with(|c| {
        let room = state.options.send_room(c);
        (room, fill(c, source, at, wanted.min(room as usize)))
    });
    let taken = match taken {
        // An error that is not the connection's, of a file or of an address.
        Err(error) if at == 0 => return Err(error),
        Err(_) => return Ok(Step::End),
        Ok(taken) => taken,
    };
    // What another process sends next comes after this.
    let hold = (how.more || state.options.cork) && taken as usize == wanted && !state.shared;
    push_some(socket, ctx, hold)?;
    ready::update(socket, state, 0);
    if wanted == 0 {
        Ok(Step::End)
    } else if taken > 0 {
        Ok(Step::Moved(taken as usize))
    } else if room > 0 {
        // The source has no more.
        Ok(Step::End)
    } else {
        Ok(Step::Wait)
    }
}

/// Writes up to `len` bytes into the transmit buffer.
#[inline]
pub(crate) fn fill(
    c: &mut FlextcpConnection,
    source: &mut impl Source,
    at: usize,
    len: usize,
) -> Result<u32> {
    let (pos, len) = conn::tx_alloc(c, len, false).map_err(|error| broken(&error))?;
    if len == 0 {
        return Ok(0);
    }
    let copied = source.copy(at, c, pos, len);
    let unused = len - copied.unwrap_or(0).min(len);
    c.txb_allocated -= unused;
    copied
}

/// The connection is broken, or the program has ended its stream.
fn over(socket: &'static Socket, state: &mut State, at: usize) -> Result<Step> {
    if at > 0 {
        // The next call is told.
        return Ok(Step::End);
    }
    let error = state.error.take();
    if error.is_some() {
        ready::update(socket, state, 0);
    }
    Err(error.unwrap_or(Errno::PIPE))
}

fn broken(error: &tas_ll::Error) -> Errno {
    match error.errno() {
        libc::ENOTCONN => Errno::PIPE,
        errno => Errno::from_raw_os_error(errno),
    }
}

/// Hands what was written to the service, or all but the last segment if that
/// is to be held back.
fn push_some(socket: &'static Socket, ctx: &mut FlextcpContext, hold: bool) -> Result<()> {
    let conn = socket.conn();
    let there = conn.with(|c| c.txb_allocated);
    let held = if hold { there % SEGMENT } else { 0 };
    let held = if held > 0 && !hold::note(socket) {
        0
    } else {
        held
    };
    push(ctx, conn, there - held)
}

/// Hands bytes that were written to the service: the program may never call again.
pub(crate) fn push(ctx: &mut FlextcpContext, conn: ConnRef, len: u32) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    calls::tx_send(ctx, conn, len as usize).map_err(engine::errno)?;
    context::post_all(ctx).map_err(engine::errno)
}

/// Sends what MSG_MORE or TCP_CORK held back.
///
/// # Errors
/// `ECONNRESET` when the connection or the service is gone.
pub fn push_held(state: &State, ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    match state.phase {
        Phase::Connected => push(ctx, conn, conn.with(|c| c.txb_allocated)),
        _ => Ok(()),
    }
}
