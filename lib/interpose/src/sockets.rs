//! What interposition uses of the sockets library.

use std::ffi::{c_int, c_ulong, c_void};

use libc::{
    epoll_event, fd_set, iovec, msghdr, nfds_t, off_t, pollfd, sigset_t, size_t, sockaddr,
    socklen_t, ssize_t, timespec, timeval,
};

use crate::real::set_errno;
use crate::routes::Routes;

/// Whether a descriptor is one of the sockets library's: a socket, decided or
/// not, or an epoll instance. Loads, and nothing else.
#[inline]
pub(crate) fn is_ours(_fd: c_int) -> bool {
    false
}

/// Whether a descriptor is a socket of which nobody knows yet whether it will
/// be TAS's or the kernel's.
pub(crate) fn is_undecided(_fd: c_int) -> bool {
    false
}

/// The undecided socket is the kernel's from now on.
pub(crate) fn release(_fd: c_int) {}

/// Whether there is a sockets library at all.
pub(crate) const AVAILABLE: bool = false;

/// Whether any descriptor is ours, or was.
pub(crate) fn any() -> bool {
    false
}

/// The highest descriptor that ever was ours.
pub(crate) fn highest() -> Option<c_int> {
    None
}

/// Attaches to the service.
///
/// # Errors
/// Why that is not possible.
pub(crate) fn attach() -> Result<Routes, String> {
    Ok(Routes::new([], []))
}

/// Whether the program runs with rights that its user does not have, so that
/// the environment is not to be trusted (getauxval(3), AT_SECURE).
pub(crate) fn is_privileged() -> bool {
    // SAFETY: asks for a number.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

macro_rules! absent {
    ($($name:ident ( $($kind:ty),* ) -> $result:ty;)*) => {
        $(
            /// # Safety
            /// As for the function in C.
            #[allow(clippy::too_many_arguments)]
            pub(crate) unsafe extern "C" fn $name($(_: $kind),*) -> $result {
                set_errno(libc::EBADF);
                -1
            }
        )*
    };
}

absent! {
    tas_socket(c_int, c_int, c_int) -> c_int;
    tas_bind(c_int, *const sockaddr, socklen_t) -> c_int;
    tas_listen(c_int, c_int) -> c_int;
    tas_connect(c_int, *const sockaddr, socklen_t) -> c_int;
    tas_accept(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    tas_accept4(c_int, *mut sockaddr, *mut socklen_t, c_int) -> c_int;
    tas_shutdown(c_int, c_int) -> c_int;
    tas_getsockname(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    tas_getpeername(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    tas_getsockopt(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
    tas_setsockopt(c_int, c_int, c_int, *const c_void, socklen_t) -> c_int;
    tas_close(c_int) -> c_int;
    tas_dup(c_int) -> c_int;
    tas_dup2(c_int, c_int) -> c_int;
    tas_dup3(c_int, c_int, c_int) -> c_int;
    tas_fcntl(c_int, c_int, c_ulong) -> c_int;
    tas_ioctl(c_int, c_ulong, c_ulong) -> c_int;
    tas_read(c_int, *mut c_void, size_t) -> ssize_t;
    tas_readv(c_int, *const iovec, c_int) -> ssize_t;
    tas_recv(c_int, *mut c_void, size_t, c_int) -> ssize_t;
    tas_recvfrom(c_int, *mut c_void, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t;
    tas_recvmsg(c_int, *mut msghdr, c_int) -> ssize_t;
    tas_write(c_int, *const c_void, size_t) -> ssize_t;
    tas_writev(c_int, *const iovec, c_int) -> ssize_t;
    tas_send(c_int, *const c_void, size_t, c_int) -> ssize_t;
    tas_sendto(c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t;
    tas_sendmsg(c_int, *const msghdr, c_int) -> ssize_t;
    tas_sendfile(c_int, c_int, *mut off_t, size_t) -> ssize_t;
    tas_epoll_create1(c_int) -> c_int;
    tas_epoll_ctl(c_int, c_int, c_int, *mut epoll_event) -> c_int;
    tas_epoll_wait(c_int, *mut epoll_event, c_int, c_int) -> c_int;
    tas_epoll_pwait(c_int, *mut epoll_event, c_int, c_int, *const sigset_t) -> c_int;
    tas_epoll_pwait2(c_int, *mut epoll_event, c_int, *const timespec, *const sigset_t) -> c_int;
    tas_select(c_int, *mut fd_set, *mut fd_set, *mut fd_set, *mut timeval) -> c_int;
    tas_pselect(c_int, *mut fd_set, *mut fd_set, *mut fd_set, *const timespec, *const sigset_t)
        -> c_int;
    tas_poll(*mut pollfd, nfds_t, c_int) -> c_int;
    tas_ppoll(*mut pollfd, nfds_t, *const timespec, *const sigset_t) -> c_int;
}
