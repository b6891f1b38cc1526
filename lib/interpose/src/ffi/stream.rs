//! What the C part (`shim.c`) needs for streams.

use std::ffi::{c_int, c_void};

use libc::{size_t, ssize_t};

use super::{data, descriptor};
use crate::sockets;

/// Whether a stream on the descriptor must be made here.
#[unsafe(no_mangle)]
extern "C-unwind" fn tas_shim_is_ours(fd: c_int) -> bool {
    sockets::is_ours(fd)
}

/// # Safety
/// As for `read`.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn tas_shim_read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { data::read(fd, buf, len) }
}

/// # Safety
/// As for `write`.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn tas_shim_write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { data::write(fd, buf, len) }
}

/// # Safety
/// As for `close`.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn tas_shim_close(fd: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { descriptor::close(fd) }
}
