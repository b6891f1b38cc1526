//! What a socket is ready for, and who is told.

use tas_abi::ll::FlextcpConnection;

use crate::epoll;
use crate::socket::{Phase, Socket, State};

/// Bits, as poll(2) and epoll(7) name them.
pub const IN: u32 = libc::EPOLLIN as u32;
/// Room to send.
pub const OUT: u32 = libc::EPOLLOUT as u32;
/// An error waits for SO_ERROR.
pub const ERR: u32 = libc::EPOLLERR as u32;
/// Both directions are closed.
pub const HUP: u32 = libc::EPOLLHUP as u32;
/// The peer sends no more.
pub const RDHUP: u32 = libc::EPOLLRDHUP as u32;
/// As `IN` and `OUT`, in their other names.
const RDNORM: u32 = libc::EPOLLRDNORM as u32;
const WRNORM: u32 = libc::EPOLLWRNORM as u32;
/// Ready to read, in all names.
pub const READ: u32 = IN | RDNORM;
/// Ready to write, in all names.
pub const WRITE: u32 = OUT | WRNORM;
/// What a socket is of which nothing was asked yet.
pub const UNUSED: u32 = WRITE | HUP;

/// What holds now, as the kernel's `tcp_poll` would say.
pub fn compute(state: &State, c: &FlextcpConnection) -> u32 {
    let mut bits = if state.error.is_some() { ERR } else { 0 };
    match state.phase {
        Phase::Fresh => bits |= UNUSED,
        Phase::Connecting | Phase::Closing => {}
        Phase::Listening => {
            let waiting = &state.listening;
            if !waiting.ready.is_empty() || (waiting.shared && waiting.knocks > 0) {
                bits |= READ;
            }
            if state.read_shut {
                bits |= HUP | RDHUP | READ | WRITE;
            }
        }
        Phase::Over => bits |= READ | WRITE | RDHUP | HUP,
        Phase::Connected => {
            let ended = state.peer_closed || state.read_shut;
            let wanted = state.options.receive_at_least(c, u32::MAX);
            if unread(state, c) >= wanted || ended {
                bits |= READ;
            }
            if ended {
                bits |= RDHUP;
            }
            if state.write_shut || state.options.send_room(c) > 0 {
                bits |= WRITE;
            }
            if ended && state.write_shut {
                bits |= HUP;
            }
        }
    }
    bits
}

/// Bytes that have arrived and were not read.
pub fn unread(state: &State, c: &FlextcpConnection) -> u32 {
    let rescued = state.rescued.0.len() - state.rescued.1;
    if rescued > 0 {
        return rescued as u32;
    }
    if state.phase == Phase::Connected {
        c.rxb_used
    } else {
        0
    }
}

/// Notes what the socket is ready for now. `news` are the bits for which
/// something new has come, whether or not they held before: those who wait for
/// edges are told of them again.
pub fn update(socket: &'static Socket, state: &mut State, news: u32) {
    let bits = socket.conn().with(|c| compute(state, c));
    let before = socket.set_ready(bits);
    let told = (bits & !before) | (bits & news);
    if told != 0 {
        tell(state, told);
    }
}

/// Tells everybody who waits for one of the bits.
fn tell(state: &mut State, bits: u32) {
    for waiter in &state.waiters {
        waiter.tell();
    }
    epoll::tell_all(&state.items, bits);
}
