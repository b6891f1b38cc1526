//! Descriptors themselves: closing, duplicating, controlling them.
//!
//! A child made by vfork shares this process's memory but not its
//! descriptors. Before it executes another program it may close and duplicate
//! descriptors, which then must change nothing in our tables: those describe
//! the parent's.

use std::ffi::{c_int, c_uint, c_ulong};
use std::sync::atomic::{AtomicI32, Ordering};

use crate::{real, sockets};

/// The process that the tables describe.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Notes whose tables these are. Called when the library is loaded, and in
/// each child made by fork.
///
/// # Safety
/// None; unsafe as pthread_atfork wants it.
pub(super) unsafe extern "C" fn own_tables() {
    // SAFETY: a system call without arguments.
    OWNER.store(unsafe { libc::getpid() }, Ordering::Relaxed);
}

/// Whether the tables are another process's, which shares its memory with this
/// one or was copied without our knowledge.
fn is_stranger() -> bool {
    // SAFETY: a system call without arguments.
    OWNER.load(Ordering::Relaxed) != unsafe { libc::getpid() }
}

/// Whether an operation that changes the tables is for the sockets library.
fn is_ours_to_change(fd: c_int) -> bool {
    sockets::is_ours(fd) && !is_stranger()
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_close")]
pub(super) unsafe extern "C-unwind" fn close(fd: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match is_ours_to_change(fd) {
            true => super::uncancelled(|| sockets::tas_close(fd)),
            false => real::close(fd),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_dup")]
pub(super) unsafe extern "C-unwind" fn dup(fd: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match is_ours_to_change(fd) {
            true => sockets::tas_dup(fd),
            false => real::dup(fd),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_dup2")]
pub(super) unsafe extern "C-unwind" fn dup2(fd: c_int, to: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match is_ours_to_change(fd) || is_ours_to_change(to) {
            true => sockets::tas_dup2(fd, to),
            false => real::dup2(fd, to),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_dup3")]
pub(super) unsafe extern "C-unwind" fn dup3(fd: c_int, to: c_int, flags: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match is_ours_to_change(fd) || is_ours_to_change(to) {
            true => sockets::tas_dup3(fd, to, flags),
            false => real::dup3(fd, to, flags),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_close_range")]
pub(super) unsafe extern "C-unwind" fn close_range(
    first: c_uint,
    last: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        // Other flags only mark descriptors, which are the kernel's too.
        if flags == 0 {
            close_ours(first, last);
        }
        real::close_range(first, last, flags)
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_closefrom")]
unsafe extern "C-unwind" fn closefrom(first: c_int) {
    // SAFETY: the caller's promise.
    unsafe {
        close_ours(first.max(0) as c_uint, c_uint::MAX);
        real::closefrom(first);
    }
}

/// Closes the descriptors of ours from `first` to `last`.
///
/// # Safety
/// As for `close_range`.
unsafe fn close_ours(first: c_uint, last: c_uint) {
    let Some(highest) = sockets::highest().and_then(|fd| c_uint::try_from(fd).ok()) else {
        return;
    };
    if is_stranger() {
        return;
    }
    for fd in first..=last.min(highest) {
        if sockets::is_ours(fd as c_int) {
            // SAFETY: the caller's promise.
            unsafe { sockets::tas_close(fd as c_int) };
        }
    }
}

/// `fcntl` and `fcntl64`, whose C declarations take any type of argument.
///
/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_shim_fcntl")]
pub(super) unsafe extern "C-unwind" fn fcntl(fd: c_int, command: c_int, arg: c_ulong) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let duplicates = matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC);
        match sockets::is_ours(fd) && !(duplicates && is_stranger()) {
            true => sockets::tas_fcntl(fd, command, arg),
            false => real::fcntl64(fd, command, arg),
        }
    }
}

/// `ioctl`, whose C declaration takes any type of argument.
///
/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_shim_ioctl")]
pub(super) unsafe extern "C-unwind" fn ioctl(fd: c_int, request: c_ulong, arg: c_ulong) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match sockets::is_ours(fd) {
            true => sockets::tas_ioctl(fd, request, arg),
            false => real::ioctl(fd, request, arg),
        }
    }
}
