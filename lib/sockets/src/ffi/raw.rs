//! Descriptors as programs name them: by number, whoever owns them.

use std::ffi::c_int;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use rustix::io::{DupFlags, Errno};

use super::{call, cancel};
use crate::Result;

/// A descriptor for a system call; `None` for -1.
pub fn borrow<'a>(fd: c_int) -> Option<BorrowedFd<'a>> {
    // SAFETY: not -1. It is the program's and goes straight to the kernel,
    // which says EBADF if it is closed.
    (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Closes a descriptor that nothing here uses any more.
pub fn close(fd: c_int) {
    if fd >= 0 {
        // SAFETY: the caller's to close: the program asked for it, or it is our own.
        unsafe { rustix::io::close(fd) };
    }
}

/// Looks at descriptors without waiting, and returns how many are ready.
pub fn poll_now(fds: &mut [libc::pollfd]) -> usize {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a live array and its length, a live time, no mask.
    let ready = unsafe {
        libc::syscall(
            libc::SYS_ppoll,
            fds.as_mut_ptr(),
            fds.len(),
            &raw const time,
            std::ptr::null::<libc::sigset_t>(),
            0usize,
        )
    };
    usize::try_from(ready).unwrap_or(0)
}

/// F_DUPFD.
///
/// # Errors
/// As fcntl(2).
pub fn dupfd(fd: BorrowedFd<'_>, from: c_int) -> Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    // SAFETY: makes a new descriptor, which is then owned here.
    unsafe {
        let new = libc::syscall(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_DUPFD, from);
        if new < 0 {
            return Err(last_error());
        }
        Ok(OwnedFd::from_raw_fd(new as c_int))
    }
}

/// dup3.
///
/// # Errors
/// As dup3(2).
pub fn dup3(fd: BorrowedFd<'_>, new: c_int, flags: DupFlags) -> Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: numbers only. What `new` named is the program's to replace.
    let done = unsafe { libc::syscall(libc::SYS_dup3, fd.as_raw_fd(), new, flags.bits()) };
    if done < 0 { Err(last_error()) } else { Ok(()) }
}

/// Has these called at every fork: before it, in the parent after it, in the child.
pub fn at_fork(before: fn(), in_parent: fn(), in_child: fn()) {
    static HANDLERS: OnceLock<[fn(); 3]> = OnceLock::new();
    fn run(which: usize) {
        let handler = HANDLERS.get().and_then(|handlers| handlers.get(which));
        cancel::disabled(|| handler.into_iter().for_each(|call| call()));
    }
    // Everything is locked from the first to the others.
    extern "C" fn before_it() {
        call::begin();
        run(0);
    }
    extern "C" fn parent() {
        run(1);
        call::end();
    }
    extern "C" fn child() {
        run(2);
        call::end();
    }
    if HANDLERS.set([before, in_parent, in_child]).is_ok() {
        // SAFETY: functions that live as long as the library, which registers
        // them once. Fails only without memory.
        unsafe { libc::pthread_atfork(Some(before_it), Some(parent), Some(child)) };
    }
}

/// Has this called when the process exits. Once.
pub fn at_exit(call: fn()) {
    static HANDLER: OnceLock<fn()> = OnceLock::new();
    extern "C" fn handler() {
        call::undisturbed(|| HANDLER.get().into_iter().for_each(|call| call()));
    }
    if HANDLER.set(call).is_ok() {
        // SAFETY: a function that lives as long as the library. Fails only
        // without memory.
        unsafe { libc::atexit(handler) };
    }
}

/// errno.
pub fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Runs something that leaves errno as it was.
pub fn keeping_errno(call: impl FnOnce()) {
    // SAFETY: the location is the calling thread's own and always valid.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let errno = unsafe { *place };
    call();
    // SAFETY: as above.
    unsafe { *place = errno };
}

/// Sets errno.
pub fn set_errno(errno: Errno) {
    // SAFETY: the location is the calling thread's own and always valid.
    unsafe { *libc::__errno_location() = errno.raw_os_error() };
}
