//! What the C part (`shim.c`) needs for streams, and what it needs to know.

use std::ffi::{c_int, c_void};

use libc::{size_t, ssize_t};

use super::{data, descriptor};
use crate::sockets;

unsafe extern "C-unwind" {
    fn tas_shim_standard_stream(fd: c_int, ours: bool);
}

/// A call has returned `fd` as a descriptor that it made: the C library's
/// standard streams may be on it.
pub(super) fn made(fd: c_int) -> c_int {
    if matches!(fd, libc::STDIN_FILENO..=libc::STDERR_FILENO) {
        follow(fd);
    }
    fd
}

#[cold]
fn follow(fd: c_int) {
    // The streams of a child made by vfork are its parent's.
    if sockets::owns_tables() {
        // SAFETY: one of the three descriptors.
        sockets::undisturbed(|| unsafe { tas_shim_standard_stream(fd, sockets::is_ours(fd)) });
    }
}

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
