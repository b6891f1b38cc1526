//! Descriptors themselves: closing, duplicating, controlling them.
//!
//! A child made by vfork shares this process's memory but not its
//! descriptors. Before it executes another program it may close and duplicate
//! descriptors, which then must change nothing in the tables of sockets: those
//! describe the parent's. The sockets library looks whose they are whenever it
//! is about to change them.

use std::ffi::{c_int, c_uint, c_ulong};

use super::entry::by_descriptor;
use super::stream::made;
use crate::sockets::undisturbed;
use crate::{real, sockets};

by_descriptor! {
    close(fd: c_int) -> c_int => tas_close;
    dup(fd: c_int) -> c_int => tas_dup, then made;
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_dup2")]
pub(super) unsafe extern "C-unwind" fn dup2(fd: c_int, to: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        made(match sockets::is_ours(fd) || sockets::is_ours(to) {
            true => sockets::tas_dup2(fd, to),
            false => real::dup2(fd, to),
        })
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_dup3")]
pub(super) unsafe extern "C-unwind" fn dup3(fd: c_int, to: c_int, flags: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        made(match sockets::is_ours(fd) || sockets::is_ours(to) {
            true => sockets::tas_dup3(fd, to, flags),
            false => real::dup3(fd, to, flags),
        })
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
        // Marking descriptors is for the kernel, as nothing else changes.
        match flags as c_uint & libc::CLOSE_RANGE_CLOEXEC != 0 || first > last {
            true => real::close_range(first, last, flags),
            false => undisturbed(|| {
                close_all(first, last, |first, last| {
                    real::close_range(first, last, flags)
                })
            }),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_closefrom")]
unsafe extern "C-unwind" fn closefrom(first: c_int) {
    let first = first.max(0) as c_uint;
    // SAFETY: the caller's promise.
    unsafe {
        undisturbed(|| {
            close_all(first, c_uint::MAX, |first, last| match last {
                c_uint::MAX => {
                    real::closefrom(first as c_int);
                    0
                }
                _ => real::close_range(first, last, 0),
            })
        });
    }
}

/// Closes the descriptors from `first` to `last`: those of ours one by one, and
/// what lies between those that the library keeps for itself by `close`.
///
/// # Safety
/// As for `close_range`.
unsafe fn close_all(
    first: c_uint,
    last: c_uint,
    mut close: impl FnMut(c_uint, c_uint) -> c_int,
) -> c_int {
    if !sockets::owns_tables() {
        return close(first, last);
    }
    let mut from = first;
    for fd in sockets::all().filter_map(|fd| c_uint::try_from(fd).ok()) {
        if !(first..=last).contains(&fd) {
            continue;
        }
        if !sockets::is_protected(fd as c_int) {
            sockets::tas_close(fd as c_int);
            continue;
        }
        if from < fd {
            let result = close(from, fd - 1);
            if result != 0 {
                return result;
            }
        }
        from = fd + 1;
    }
    match from <= last {
        true => close(from, last),
        false => 0,
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
        let result = match sockets::is_ours(fd) {
            true => sockets::tas_fcntl(fd, command, arg),
            false => real::fcntl64(fd, command, arg),
        };
        match command {
            libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => made(result),
            _ => result,
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
