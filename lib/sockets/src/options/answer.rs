//! What getsockopt(2) says that the placeholder does not know.

use std::ffi::c_int;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::meaning::{Meaning, meaning};
use super::{BufferLen, info};
use crate::engine::Locked;
use crate::socket::Phase;
use crate::{Result, names, operation, ready};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel, for its placeholder.
    Kernel,
    /// The kernel, and then [`answer`] overwrites what it said.
    Corrected,
    /// The kernel cannot: this number.
    Number(c_int),
    /// The kernel cannot: [`peer_name`].
    PeerName,
}

/// Prepares for an answer, and says who gives it.
///
/// # Errors
/// `EBADF` when the descriptor is not ours.
pub fn prepare(fd: c_int, level: c_int, name: c_int) -> Result<Answer> {
    let mut locked = operation::lock(fd)?;
    let state = locked.state();
    state.options.inherited.tell(fd);
    let connected = state.phase == Phase::Connected;
    Ok(match meaning(level, name) {
        Some(Meaning::PeerName) => Answer::PeerName,
        Some(Meaning::PathMtu) if connected => {
            drop(locked);
            match info::ask(fd) {
                Some(told) => {
                    Answer::Number(c_int::try_from(info::path_mtu(&told)).unwrap_or(c_int::MAX))
                }
                None => Answer::Kernel,
            }
        }
        Some(
            Meaning::ReceiveBuffer
            | Meaning::SendBuffer
            | Meaning::Error
            | Meaning::Listens
            | Meaning::Info
            | Meaning::SegmentMax,
        ) => Answer::Corrected,
        _ => Answer::Kernel,
    })
}

/// SO_PEERNAME.
///
/// # Errors
/// `ENOTCONN` and others of getpeername(2).
pub fn peer_name(fd: c_int) -> Result<SocketAddr> {
    names::peer(fd)
}

/// Overwrites what the kernel said in `bytes`, as many as the program wanted.
///
/// # Errors
/// `EBADF`: closed meanwhile.
pub fn answer(fd: c_int, level: c_int, name: c_int, bytes: &mut [u8]) -> Result<()> {
    let meaning = meaning(level, name);
    let told = match meaning {
        Some(Meaning::Info | Meaning::SegmentMax) => info::ask(fd),
        _ => None,
    };
    let mut locked = operation::lock(fd)?;
    if meaning == Some(Meaning::Info) {
        let socket = locked.socket();
        let state = locked.state();
        socket
            .conn()
            .with(|c| info::fill(bytes, state, c, told.as_ref()));
        return Ok(());
    }
    let number = match meaning {
        Some(Meaning::Error) => Some(take_error(&mut locked)),
        Some(Meaning::Listens) => Some((locked.state().phase == Phase::Listening).into()),
        Some(Meaning::ReceiveBuffer | Meaning::SendBuffer) => {
            buffer_len(&mut locked, meaning == Some(Meaning::SendBuffer))
        }
        Some(Meaning::SegmentMax) => told.map(|info| info.mss.into()),
        _ => None,
    };
    if let Some(number) = number {
        for (to, from) in bytes.iter_mut().zip(number.to_ne_bytes()) {
            *to = from;
        }
    }
    Ok(())
}

/// SO_ERROR, which is gone once it was told.
fn take_error(locked: &mut Locked) -> c_int {
    let _ = locked.home().poll();
    let socket = locked.socket();
    let state = locked.state();
    let error = state.error.take();
    if error.is_some() {
        ready::update(socket, state, 0);
    }
    error.map_or(0, Errno::raw_os_error)
}

/// What was asked for, or what there is; before there is anything, the
/// placeholder's.
fn buffer_len(locked: &mut Locked, send: bool) -> Option<c_int> {
    let socket = locked.socket();
    let state = locked.state();
    let asked = if send {
        state.options.send_buffer
    } else {
        state.options.receive_buffer
    };
    let there = || {
        let len = socket
            .conn()
            .with(|c| if send { c.txb_len } else { c.rxb_len });
        (state.phase == Phase::Connected).then_some(len)
    };
    asked.map(|len| len.0).or_else(there).map(BufferLen::told)
}
