//! Accepting.

use std::ffi::c_int;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::engine::Locked;
use crate::operation::{self, Try};
use crate::partial::Patience;
use crate::ready;
use crate::socket::{Phase, SOCKETS, Socket};
use crate::table::Object;
use crate::wait::{OnSignal, pollfd};
use crate::{Result, close, create, dispatch, fork, names, sys};

/// A connection, and who is at its other end.
pub struct Accepted {
    /// Its descriptor: ours, or the kernel's.
    pub fd: c_int,
    /// The peer, in the listener's domain.
    pub peer: SocketAddr,
}

/// What accept found.
enum Found {
    Ours(&'static Socket),
    Kernel(Accepted),
}

/// Accepts a connection, as accept4(2).
///
/// # Errors
/// As accept4(2).
pub fn accept(fd: c_int, flags: SocketFlags) -> Result<Accepted> {
    let patience = Patience {
        dont_wait: false,
        timeout: |options| options.receive_timeout,
    };
    let until = |locked: &mut Locked| patience.until(locked);
    let found = operation::run(fd, until, OnSignal::Restart, |locked| {
        look(locked, fd, flags)
    })?;
    match found {
        Found::Kernel(accepted) => Ok(accepted),
        Found::Ours(socket) => name(socket, flags).inspect_err(|_| put_back(fd, socket)),
    }
}

/// There is no descriptor for the connection, which waits on.
fn put_back(fd: c_int, socket: &'static Socket) {
    if let Ok(mut locked) = operation::lock(fd)
        && locked.state().phase == Phase::Listening
        && locked.socket().home() == socket.home()
    {
        let listener = locked.socket();
        let (_, token) = locked.home().parts();
        socket.state(token).listener = Some(listener.number());
        let state = locked.state();
        state.listening.ready.push_front(socket.number());
        ready::update(listener, state, 0);
        return;
    }
    socket.names.store(1, Ordering::Release);
    close::unname(Object::Socket(socket));
}

fn look(locked: &mut Locked, fd: c_int, flags: SocketFlags) -> Result<Try<Found>> {
    let listener = locked.socket();
    let state = locked.state();
    if state.phase != Phase::Listening {
        return Err(Errno::INVAL);
    }
    fork::want_connections(locked)?;
    take_shared(locked);
    let state = locked.state();
    if let Some(number) = state.listening.ready.pop_front() {
        ready::update(listener, state, 0);
        let (ctx, token) = locked.home().parts();
        if let Some(ctx) = ctx {
            dispatch::ask_more(ctx, token, listener);
        }
        return match SOCKETS.get(number) {
            Some(socket) => Ok(Try::Done(Found::Ours(socket))),
            None => Ok(Try::Wait),
        };
    }
    if !state.listening.in_kernel {
        return Ok(Try::Wait);
    }
    match sys::accept(fd, flags) {
        Ok(accepted) => Ok(Try::Done(Found::Kernel(accepted))),
        Err(Errno::AGAIN) => Ok(Try::WaitFor(pollfd(fd, libc::POLLIN))),
        Err(error) => Err(error),
    }
}

/// Takes a connection of a listener that other processes accept from too, if
/// one waits at the service: a round trip, after which it is here or somebody
/// else's.
fn take_shared(locked: &mut Locked) {
    let listener = locked.socket();
    let waiting = &locked.state().listening;
    if !waiting.shared || waiting.knocks == 0 || !waiting.ready.is_empty() {
        return;
    }
    let (ctx, token) = locked.home().parts();
    if let Some(ctx) = ctx {
        dispatch::ask(ctx, token, listener, 1);
    }
    operation::settle(locked, |locked| locked.state().listening.asked > 0);
}

/// Gives an accepted connection its descriptor.
fn name(socket: &'static Socket, flags: SocketFlags) -> Result<Accepted> {
    let mut locked = socket.lock_any().ok_or(Errno::CONNABORTED)?;
    let state = locked.state();
    state.listener = None;
    let domain = state.domain;
    let peer = socket.conn().with(|c| names::peer_of(c, domain));
    drop(locked);
    socket.set_nonblocking(flags.contains(SocketFlags::NONBLOCK));
    let fd = create::name(socket, domain, flags)?;
    Ok(Accepted { fd, peer })
}
