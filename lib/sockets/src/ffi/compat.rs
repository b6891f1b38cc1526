//! Functions that libtas_sockets exports beside the socket calls: the kernel's
//! own under names of the library, and the original's inner functions, for
//! programs that were linked against them.

use std::ffi::{c_int, c_uint};

use libc::{epoll_event, nfds_t, pollfd};
use rustix::io::Errno;
use tas_abi::ll::FlextcpContext;

use super::{done, guard, kernel};
use crate::epoll::Epoll;
use crate::socket::Socket;
use crate::table::{self, Object};
use crate::{Result, close, create, engine, migrate};

/// close(2) of the kernel.
#[unsafe(no_mangle)]
pub extern "C" fn tas_libc_close(fd: c_int) -> c_int {
    // SAFETY: the program's own descriptor.
    guard(|| unsafe { kernel::close(fd) })
}

/// dup(2) of the kernel.
#[unsafe(no_mangle)]
pub extern "C" fn tas_libc_dup(fd: c_int) -> c_int {
    // SAFETY: a number.
    guard(|| unsafe { kernel::dup(fd) })
}

/// dup2(2) of the kernel.
#[unsafe(no_mangle)]
pub extern "C" fn tas_libc_dup2(fd: c_int, new: c_int) -> c_int {
    // SAFETY: the program's own descriptors.
    guard(|| unsafe { kernel::dup2(fd, new) })
}

/// dup3(2) of the kernel.
#[unsafe(no_mangle)]
pub extern "C" fn tas_libc_dup3(fd: c_int, new: c_int, flags: c_int) -> c_int {
    // SAFETY: the program's own descriptors.
    guard(|| unsafe { kernel::dup3(fd, new, flags) })
}

/// epoll_create1(2) of the kernel.
#[unsafe(no_mangle)]
pub extern "C" fn tas_libc_epoll_create1(flags: c_int) -> c_int {
    // SAFETY: a number.
    guard(|| unsafe { kernel::epoll_create1(flags) })
}

/// epoll_ctl(2) of the kernel.
///
/// # Safety
/// As epoll_ctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_libc_epoll_ctl(
    fd: c_int,
    op: c_int,
    of: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| unsafe { kernel::epoll_ctl(fd, op, of, event) })
}

/// epoll_wait(2) of the kernel.
///
/// # Safety
/// As epoll_wait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_libc_epoll_wait(
    fd: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| unsafe { kernel::epoll_wait(fd, events, most, timeout) })
}

/// poll(2) of the kernel.
///
/// # Safety
/// As poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_libc_poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| unsafe { kernel::poll(fds, count, timeout) })
}

/// Says that the calling thread uses a connection from now on: what comes for it
/// is told to this thread. Any thread may use any connection without it.
#[unsafe(no_mangle)]
pub extern "C" fn tas_move_conn(fd: c_int) -> c_int {
    done(|| migrate::bring(table::socket(fd).ok_or(Errno::BADF)?))
}

/// The socket that a program holds by its address.
fn socket_at(socket: *const Socket) -> Result<&'static Socket> {
    crate::socket::SOCKETS
        .all()
        .find(|known| std::ptr::eq(*known, socket))
        .ok_or(Errno::BADF)
}

/// A descriptor of the socket.
fn descriptor_of(socket: &'static Socket) -> Result<c_int> {
    table::all()
        .find(|fd| table::names(*fd, socket))
        .ok_or(Errno::BADF)
}

/// Closes a socket by one of its descriptors.
#[unsafe(no_mangle)]
pub extern "C" fn tas_sock_close(socket: *const Socket) -> c_int {
    done(|| close::close(descriptor_of(socket_at(socket)?)?))
}

/// As `tas_move_conn`.
#[unsafe(no_mangle)]
pub extern "C" fn tas_sock_move(socket: *const Socket) -> c_int {
    done(|| migrate::bring(socket_at(socket)?))
}

/// Prepares the table of descriptors, which needs no preparation.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_fd_init() -> c_int {
    0
}

/// Makes a socket with a descriptor, which is returned.
///
/// # Safety
/// `place` is null or points to room for the socket's address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_fd_salloc(place: *mut *const Socket) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { place.as_mut() }.ok_or(Errno::INVAL)?;
        let fd = create::socket(crate::socket::Domain::V4, rustix::net::SocketFlags::empty())?;
        *place = std::ptr::from_ref(table::socket(fd).ok_or(Errno::BADF)?);
        Ok(fd)
    })
}

/// The epoll that a descriptor names: each has its own from the beginning.
///
/// # Safety
/// `place` is null or points to room for the epoll's address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_fd_ealloc(place: *mut *const Epoll, fd: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { flextcp_fd_elookup(fd, place) }
}

/// The socket that a descriptor names.
///
/// # Safety
/// `place` is null or points to room for the socket's address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_fd_slookup(fd: c_int, place: *mut *const Socket) -> c_int {
    done(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { place.as_mut() }.ok_or(Errno::INVAL)?;
        *place = match table::get(fd).ok_or(Errno::BADF)? {
            Object::Socket(socket) => socket,
            Object::Epoll(_) => return Err(Errno::NOTSOCK),
        };
        Ok(())
    })
}

/// The epoll that a descriptor names.
///
/// # Safety
/// `place` is null or points to room for the epoll's address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_fd_elookup(fd: c_int, place: *mut *const Epoll) -> c_int {
    done(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { place.as_mut() }.ok_or(Errno::INVAL)?;
        *place = match table::get(fd).ok_or(Errno::BADF)? {
            Object::Epoll(epoll) => epoll,
            Object::Socket(_) => return Err(Errno::INVAL),
        };
        Ok(())
    })
}

/// Ends the use of a socket that was looked up, which needs no end: sockets
/// stay where they are.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_fd_srelease(_fd: c_int, _socket: *const Socket) {}

/// The same for an epoll.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_fd_erelease(_fd: c_int, _epoll: *const Epoll) {}

/// Closes a descriptor.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_fd_close(fd: c_int) {
    done(|| close::close(fd));
}

/// The context of the calling thread; null when there is no service.
///
/// It is the library's, which may use it on any thread: a program may look at
/// it, and poll it with `flextcp_sockctx_poll`.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_sockctx_get() -> *mut FlextcpContext {
    let id = engine::of_thread();
    let ctx = engine::lock(id).ok_or(Errno::NOBUFS).and_then(|mut home| {
        let ctx = home.context(id)?;
        Ok(std::ptr::from_mut(ctx))
    });
    ctx.unwrap_or(std::ptr::null_mut())
}

/// The same.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_sockctx_getfull() -> *mut FlextcpContext {
    flextcp_sockctx_get()
}

/// Takes what the service has to tell a context. Returns 0, or -1 when the
/// context is none of the library's.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_sockctx_poll(ctx: *const FlextcpContext) -> c_int {
    done(|| {
        for id in engine::all_homes() {
            if let Some(mut home) = engine::lock(id)
                && home.parts().0.is_some_and(|own| std::ptr::eq(own, ctx))
            {
                home.poll();
                return Ok(());
            }
        }
        Err(Errno::INVAL)
    })
}

/// The same, however many events there are.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_sockctx_poll_n(ctx: *const FlextcpContext, _most: c_uint) -> c_int {
    flextcp_sockctx_poll(ctx)
}

/// Goes on with closing a socket, which goes on by itself.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_sockclose_finish(ctx: *const FlextcpContext, _socket: *const Socket) {
    flextcp_sockctx_poll(ctx);
}
