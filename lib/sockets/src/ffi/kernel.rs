//! System calls with a program's own pointers: the kernel judges them, and says
//! EFAULT where they lead nowhere.

use std::ffi::{c_int, c_long, c_ulong, c_void};

use libc::{off_t, socklen_t};
use rustix::io::Errno;

use super::raw::last_error;
use crate::Result;

fn outcome(value: c_long) -> Result<c_int> {
    match value {
        0.. => c_int::try_from(value).map_err(|_| Errno::OVERFLOW),
        _ => Err(last_error()),
    }
}

fn length(value: c_long) -> Result<usize> {
    usize::try_from(value).map_err(|_| last_error())
}

/// # Errors
/// As getsockopt(2).
///
/// # Safety
/// As getsockopt(2), but the kernel finds out whether the addresses are valid.
pub unsafe fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> Result<()> {
    // SAFETY: the caller's promise.
    outcome(unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) }).map(drop)
}

/// # Errors
/// As setsockopt(2).
///
/// # Safety
/// As setsockopt(2), but the kernel finds out whether the address is valid.
pub unsafe fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> Result<()> {
    // SAFETY: the caller's promise.
    outcome(unsafe { libc::syscall(libc::SYS_setsockopt, fd, level, name, value, len) }).map(drop)
}

/// Sets an option from bytes of our own.
///
/// # Errors
/// As setsockopt(2).
pub fn set_option(fd: c_int, level: c_int, name: c_int, value: &[u8]) -> Result<()> {
    let len = socklen_t::try_from(value.len()).map_err(|_| Errno::INVAL)?;
    // SAFETY: live bytes and their length.
    unsafe { setsockopt(fd, level, name, value.as_ptr().cast(), len) }
}

/// # Errors
/// As fcntl(2).
///
/// # Safety
/// As fcntl(2).
pub unsafe fn fcntl(fd: c_int, command: c_int, arg: c_ulong) -> Result<c_int> {
    // SAFETY: the caller's promise.
    outcome(unsafe { libc::syscall(libc::SYS_fcntl, fd, command, arg) })
}

/// # Errors
/// As ioctl(2).
///
/// # Safety
/// As ioctl(2).
pub unsafe fn ioctl(fd: c_int, request: c_ulong, arg: c_ulong) -> Result<c_int> {
    // SAFETY: the caller's promise.
    outcome(unsafe { libc::syscall(libc::SYS_ioctl, fd, request, arg) })
}

/// # Errors
/// As pread(2).
///
/// # Safety
/// As pread(2).
pub unsafe fn pread(fd: c_int, buf: *mut c_void, len: usize, offset: off_t) -> Result<usize> {
    // SAFETY: the caller's promise.
    length(unsafe { libc::syscall(libc::SYS_pread64, fd, buf, len, offset) })
}

/// # Errors
/// As pwrite(2).
///
/// # Safety
/// As pwrite(2).
pub unsafe fn pwrite(fd: c_int, buf: *const c_void, len: usize, offset: off_t) -> Result<usize> {
    // SAFETY: the caller's promise.
    length(unsafe { libc::syscall(libc::SYS_pwrite64, fd, buf, len, offset) })
}

/// Reads a file into memory in up to two pieces, at an offset or where it stands.
///
/// # Errors
/// As preadv(2).
///
/// # Safety
/// The pieces may be written to.
pub unsafe fn read_pieces(fd: c_int, pieces: &[libc::iovec], at: Option<off_t>) -> Result<usize> {
    let (parts, count) = (pieces.as_ptr(), pieces.len());
    // SAFETY: live descriptions of what may be written to, by the caller's promise.
    length(unsafe {
        match at {
            // The offset is passed in halves; the second is used on 32 bits only.
            Some(at) => libc::syscall(libc::SYS_preadv, fd, parts, count, at, 0),
            None => libc::syscall(libc::SYS_readv, fd, parts, count),
        }
    })
}

/// A file's position, moved by `by`.
///
/// # Errors
/// As lseek(2).
pub fn seek(fd: c_int, by: off_t) -> Result<off_t> {
    // SAFETY: numbers only.
    let at = unsafe { libc::syscall(libc::SYS_lseek, fd, by, libc::SEEK_CUR) };
    if at < 0 { Err(last_error()) } else { Ok(at) }
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident: $number:ident ($($arg:ident: $kind:ty),*);)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// As the system call.
            ///
            /// # Safety
            /// As the system call.
            pub unsafe fn $name($($arg: $kind),*) -> Result<c_int> {
                // SAFETY: the caller's promise.
                outcome(unsafe { libc::syscall(libc::$number $(, $arg)*) })
            }
        )*
    };
}

calls! {
    /// close(2).
    close: SYS_close(fd: c_int);
    /// dup(2).
    dup: SYS_dup(fd: c_int);
    /// dup2(2).
    dup2: SYS_dup2(fd: c_int, new: c_int);
    /// dup3(2).
    dup3: SYS_dup3(fd: c_int, new: c_int, flags: c_int);
    /// epoll_create1(2).
    epoll_create1: SYS_epoll_create1(flags: c_int);
    /// epoll_ctl(2).
    epoll_ctl: SYS_epoll_ctl(fd: c_int, op: c_int, of: c_int, event: *mut libc::epoll_event);
    /// epoll_wait(2).
    epoll_wait: SYS_epoll_wait(
        fd: c_int, events: *mut libc::epoll_event, most: c_int, timeout: c_int
    );
    /// poll(2).
    poll: SYS_poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: c_int);
}
