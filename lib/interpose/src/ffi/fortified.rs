//! What programs compiled with `_FORTIFY_SOURCE` call instead. A buffer that
//! is too small is for the real function, which ends the program.

use std::ffi::{c_int, c_void};

use libc::{nfds_t, pollfd, sigset_t, size_t, sockaddr, socklen_t, ssize_t, timespec};

use super::{data, wait};
use crate::{real, sockets};

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose___read_chk")]
unsafe extern "C-unwind" fn __read_chk(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    size: size_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe {
        match len <= size && sockets::is_ours(fd) {
            true => data::read(fd, buf, len),
            false => real::__read_chk(fd, buf, len, size),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose___recv_chk")]
unsafe extern "C-unwind" fn __recv_chk(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    size: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe {
        match len <= size && sockets::is_ours(fd) {
            true => data::recv(fd, buf, len, flags),
            false => real::__recv_chk(fd, buf, len, size, flags),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose___recvfrom_chk")]
unsafe extern "C-unwind" fn __recvfrom_chk(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    size: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe {
        match len <= size && sockets::is_ours(fd) {
            true => data::recvfrom(fd, buf, len, flags, from, from_len),
            false => real::__recvfrom_chk(fd, buf, len, size, flags, from, from_len),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose___poll_chk")]
unsafe extern "C-unwind" fn __poll_chk(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
    size: size_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match real::fits(count, size) && wait::any_polled(fds, count) {
            true => wait::poll(fds, count, timeout),
            false => real::__poll_chk(fds, count, timeout, size),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose___ppoll_chk")]
unsafe extern "C-unwind" fn __ppoll_chk(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
    size: size_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match real::fits(count, size) && wait::any_polled(fds, count) {
            true => wait::ppoll(fds, count, timeout, mask),
            false => real::__ppoll_chk(fds, count, timeout, mask, size),
        }
    }
}
