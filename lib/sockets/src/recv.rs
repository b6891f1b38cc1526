//! Receiving.

use std::ffi::c_int;

use rustix::io::Errno;
use tas_abi::ll::FlextcpConnection;
use tas_ll::calls;
use tas_ll::conn::ring_add;

use crate::engine::{self, Locked};
use crate::ffi::user::Iov;
use crate::fork::Claimed;
use crate::operation;
use crate::partial::{self, Patience, Step};
use crate::socket::{Phase, State};
use crate::{Result, fork, ready, usual};

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
    let patience = Patience {
        dont_wait: how.dont_wait,
        timeout: |options| options.receive_timeout,
    };
    if how.peek {
        return peek(fd, patience, &iov, how);
    }
    if !(how.wait_all || how.discard)
        && let Some(count) = usual::recv(fd, &iov)
    {
        return Ok(count);
    }
    let wanted = u32::try_from(iov.len()).unwrap_or(u32::MAX);
    partial::transfer(
        fd,
        patience,
        |locked, got| take(locked, &iov, got, how),
        |locked, got| {
            if how.wait_all {
                return got >= iov.len();
            }
            let socket = locked.socket();
            let options = &locked.state().options;
            let least = socket.conn().with(|c| options.receive_at_least(c, wanted));
            got >= least as usize
        },
    )
}

/// Copies what is there and leaves it. Waits for as much as a read would, if
/// the buffer holds that.
fn peek(fd: c_int, patience: Patience, iov: &Iov<'_>, how: How) -> Result<usize> {
    // What is there stays: without a look for more, a program that waits for it
    // in this way would wait for ever.
    operation::lock(fd)?.home().poll();
    let wanted = u32::try_from(iov.len()).unwrap_or(u32::MAX);
    let awaited = partial::transfer(
        fd,
        patience,
        |locked, _| {
            let socket = locked.socket();
            let state = locked.state();
            let (there, least) = socket.conn().with(|c| {
                let least = match how.wait_all {
                    true => wanted.min(c.rxb_len),
                    false => state.options.receive_at_least(c, wanted),
                };
                (ready::unread(state, c), least)
            });
            let open = state.phase == Phase::Connected && !state.peer_closed;
            if there > 0 && there < least && open && !state.read_shut {
                return Ok(Step::Wait);
            }
            take(locked, iov, 0, how)
        },
        |_, _| true,
    );
    match awaited {
        Err(error) if partial::gave_up(error) => {
            // Less than was wanted is something, too.
            let mut locked = operation::lock(fd)?;
            match take(&mut locked, iov, 0, how)? {
                Step::Moved(count) => Ok(count),
                Step::End => Ok(0),
                Step::Wait => Err(error),
            }
        }
        awaited => awaited,
    }
}

/// Takes what is there, `at` bytes having been taken before.
fn take(locked: &mut Locked, iov: &Iov<'_>, at: usize, how: How) -> Result<Step> {
    let Claimed::Now(_turn) = fork::claim_or_wait(locked)? else {
        return Ok(Step::Wait);
    };
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    if state.phase == Phase::Listening {
        return Err(Errno::NOTCONN);
    }
    let room = u32::try_from(iov.len() - at).unwrap_or(u32::MAX);
    if state.rescued.0.len() > state.rescued.1 {
        if !how.discard {
            iov.check()?;
        }
        return Ok(Step::Moved(take_rescued(state, iov, at, how)));
    }
    match state.phase {
        Phase::Connected => {}
        Phase::Fresh | Phase::Listening => return Err(Errno::NOTCONN),
        Phase::Connecting => return Ok(Step::Wait),
        Phase::Closing => return Err(Errno::BADF),
        Phase::Over => return over(locked, at),
    }
    let conn = socket.conn();
    if room == 0 && conn.with(|c| c.rxb_used) > 0 {
        return Ok(Step::End);
    }
    let len = conn.with(|c| copy(c, iov, at, c.rxb_used.min(room), how))?;
    if len == 0 {
        let ended = state.peer_closed || state.read_shut || state.error.is_some();
        return if ended {
            over(locked, at)
        } else {
            Ok(Step::Wait)
        };
    }
    if !how.peek
        && let Some(ctx) = ctx
    {
        calls::rx_done(ctx, conn, len as usize).map_err(engine::errno)?;
        if state.shared {
            // What another process reads next must not be this again.
            calls::post(ctx, conn);
            // What is not posted now is posted by the next poll.
            let _ = tas_ll::context::post_all(ctx);
        }
        ready::update(socket, state, 0);
    }
    Ok(Step::Moved(len as usize))
}

/// Copies `len` bytes of what is there, as far as `how` says.
#[inline]
pub(crate) fn copy(
    c: &FlextcpConnection,
    iov: &Iov<'_>,
    at: usize,
    len: u32,
    how: How,
) -> Result<u32> {
    if len == 0 {
        return Ok(0);
    }
    let unread = ring_add(c.rxb_head, c.rxb_len.saturating_sub(c.rxb_used), c.rxb_len);
    if !how.discard {
        iov.check()?;
        iov.take_received(at, c, unread, len);
    }
    if !how.peek {
        // Handed back later: the process may end before.
        tas_ll::note_read(c, ring_add(unread, len, c.rxb_len));
    }
    Ok(len)
}

/// Nothing is there, and nothing comes. An error is told to a call that has
/// nothing else to tell.
fn over(locked: &mut Locked, at: usize) -> Result<Step> {
    let socket = locked.socket();
    let state = locked.state();
    if at == 0
        && let Some(error) = state.error.take()
    {
        ready::update(socket, state, 0);
        return Err(error);
    }
    Ok(Step::End)
}

fn take_rescued(state: &mut State, iov: &Iov<'_>, at: usize, how: How) -> usize {
    let (bytes, from) = &mut state.rescued;
    let len = (bytes.len() - *from).min(iov.len() - at);
    if len > 0 && !how.discard {
        iov.put(at, bytes.get(*from..*from + len).unwrap_or_default());
    }
    if !how.peek {
        *from += len;
    }
    len
}
