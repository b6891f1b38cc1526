//! Descriptor flags and questions: fcntl(2) and ioctl(2).
//!
//! The kernel's file knows all of them but O_NONBLOCK, which is the socket's:
//! the placeholder of a listener never blocks, whatever the program wants.

use std::ffi::c_int;

use rustix::io::Errno;
use tas_abi::ll::FlextcpConnection;

use crate::options;
use crate::socket::{Phase, State};
use crate::table::{self, Object};
use crate::{Result, fork, operation, ready, sys};

/// Sets O_NONBLOCK.
///
/// # Errors
/// `EBADF` when the descriptor is not ours.
pub fn set_nonblocking(fd: c_int, on: bool) -> Result<()> {
    match table::get(fd).ok_or(Errno::BADF)? {
        Object::Socket(socket) => {
            let mut locked = operation::lock(fd)?;
            socket.set_nonblocking(on);
            if locked.state().phase == Phase::Fresh {
                // It may yet become the kernel's.
                sys::set_nonblocking(fd, on)?;
            }
            Ok(())
        }
        Object::Epoll(_) => sys::set_nonblocking(fd, on),
    }
}

/// Whether O_NONBLOCK is set; `None`: the kernel's file knows.
pub fn nonblocking(fd: c_int) -> Option<bool> {
    table::socket(fd).map(|socket| socket.nonblocking())
}

/// What can be asked with ioctl(2) about the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// FIONREAD: arrived, not read.
    Unread,
    /// SIOCOUTQ: sent, not acknowledged.
    Unacked,
    /// SIOCOUTQNSD: sent by the program, not by TCP.
    Unsent,
}

/// Counts.
///
/// # Errors
/// `EBADF` when the descriptor is not ours, `EINVAL` for listeners.
pub fn count(fd: c_int, what: Count) -> Result<c_int> {
    let told = match what {
        Count::Unsent => options::ask_info(fd),
        _ => None,
    };
    let mut locked = operation::lock(fd)?;
    drop(fork::claim(&mut locked)?);
    locked.home().poll();
    let socket = locked.socket();
    let state = locked.state();
    if state.phase == Phase::Listening {
        return Err(Errno::INVAL);
    }
    let bytes = socket.conn().with(|c| match what {
        Count::Unread => ready::unread(state, c),
        Count::Unacked => unacked(state, c),
        Count::Unsent => told
            .map_or(0, |info| info.unsent)
            .saturating_add(c.txb_allocated),
    });
    Ok(c_int::try_from(bytes).unwrap_or(c_int::MAX))
}

fn unacked(state: &State, c: &FlextcpConnection) -> u32 {
    match state.phase {
        Phase::Connected => c.txb_sent.saturating_add(c.txb_allocated),
        _ => 0,
    }
}
