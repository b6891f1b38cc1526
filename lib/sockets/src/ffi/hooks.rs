//! Calls between parts of the library, which are exported since the original's are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::call::inside;
use crate::engine::Locked;
use crate::epoll::{self, Epoll};
use crate::socket::Socket;

/// Runs `call` with the socket locked. No panic reaches C.
fn with(socket: Option<&'static Socket>, call: impl FnOnce(&mut Locked)) {
    quietly(|| {
        if let Some(mut locked) = socket.and_then(Socket::lock_any) {
            call(&mut locked);
        }
    });
}

/// Runs a call of which there is nobody to tell that it has failed.
fn quietly(call: impl FnOnce()) {
    let _ = inside(|| catch_unwind(AssertUnwindSafe(call)).is_ok());
}

/// Tells the epolls of a socket that it is ready for `events`.
///
/// # Safety
/// `socket` is null or a socket of this library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_epoll_set(socket: *const Socket, events: u32) {
    // SAFETY: the caller's promise; sockets are never freed.
    with(unsafe { socket.as_ref() }, |locked| {
        let socket = locked.socket();
        socket.set_ready(socket.ready() | events);
        epoll::tell_all(&locked.state().items, events);
    });
}

/// A socket is not ready for `events`.
///
/// # Safety
/// As `flextcp_epoll_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_epoll_clear(socket: *const Socket, events: u32) {
    // SAFETY: the caller's promise; sockets are never freed.
    with(unsafe { socket.as_ref() }, |locked| {
        let socket = locked.socket();
        socket.set_ready(socket.ready() & !events);
    });
}

/// A new socket is in no epoll: there is nothing to do.
///
/// # Safety
/// None is needed: nothing is looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_epoll_sockinit(_socket: *const Socket) {}

/// Takes a socket out of all epolls.
///
/// # Safety
/// As `flextcp_epoll_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_epoll_sockclose(socket: *const Socket) {
    // SAFETY: the caller's promise; sockets are never freed.
    with(unsafe { socket.as_ref() }, |locked| {
        epoll::forget(locked.state())
    });
}

/// A descriptor of an epoll less.
///
/// # Safety
/// `epoll` is null or an epoll of this library's, which has a descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_epoll_destroy(epoll: *const Epoll) {
    quietly(|| {
        // SAFETY: the caller's promise; epolls are never freed.
        if let Some(epoll) = unsafe { epoll.as_ref() } {
            epoll::unname(epoll);
        }
    });
}
