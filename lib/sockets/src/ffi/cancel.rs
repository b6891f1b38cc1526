//! Cancellation of threads (pthreads(7)). `cancel.c` says how it gets past Rust.

use std::ffi::{c_char, c_int, c_long};

use rustix::io::Errno;

use super::{call, raw};
use crate::Result;

unsafe extern "C" {
    /// Not 0 while the process has one thread (sys/single_threaded.h).
    static __libc_single_threaded: c_char;
    fn tas_cancellable_syscall(
        number: c_long,
        args: *const c_long,
        cancelled: *mut c_int,
    ) -> c_long;
}

unsafe extern "C-unwind" {
    fn tas_unwind_on() -> !;
    fn pthread_testcancel();
    fn pthread_setcanceltype(kind: c_int, old: *mut c_int) -> c_int;
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// `PTHREAD_CANCEL_DEFERRED`
const DEFERRED: c_int = 0;
/// `PTHREAD_CANCEL_DISABLE`
const DISABLE: c_int = 1;

/// The thread's cancellation type before a call.
#[derive(Clone, Copy)]
pub(super) struct Kind(c_int);

/// A cancellation point. Then the thread is not cancelled but in
/// [`syscall`], whatever its type.
#[inline]
pub(super) fn defer() -> Kind {
    let mut kind = DEFERRED;
    // SAFETY: the C library changes it only while there is no other thread. The
    // type is the calling thread's own. Nothing is held yet, so that the stack
    // may be unwound.
    unsafe {
        if __libc_single_threaded != 0 {
            // Nobody else could have cancelled it; if it has done so itself, it
            // ends when it waits.
            return Kind(DEFERRED);
        }
        pthread_setcanceltype(DEFERRED, &mut kind);
        pthread_testcancel();
    }
    Kind(kind)
}

impl Kind {
    /// The call is over.
    #[inline]
    pub(super) fn put_back(self) {
        if self.0 != DEFERRED {
            // SAFETY: as above: nothing is held any more.
            unsafe { pthread_setcanceltype(self.0, std::ptr::null_mut()) };
        }
    }
}

/// Runs what has cancellation points of the C library's in it, and is none itself.
pub fn disabled<R>(call: impl FnOnce() -> R) -> R {
    let mut state = 0;
    // SAFETY: the state is the calling thread's own.
    unsafe { pthread_setcancelstate(DISABLE, &mut state) };
    let result = call();
    // SAFETY: as above.
    unsafe { pthread_setcancelstate(state, std::ptr::null_mut()) };
    result
}

/// A system call that waits, by number: a cancellation point.
///
/// # Safety
/// As the system call.
///
/// # Errors
/// As the system call, and `ECANCELED` if the thread is to end: then it does
/// when it leaves the library.
pub(super) unsafe fn syscall(number: c_long, args: [c_long; 6]) -> Result<usize> {
    let mut cancelled = 0;
    // SAFETY: the caller's promise, and a live place. The thread's end is
    // reported and does not unwind.
    let result = unsafe { tas_cancellable_syscall(number, args.as_ptr(), &mut cancelled) };
    if cancelled != 0 {
        call::note_cancelled();
        return Err(Errno::CANCELED);
    }
    usize::try_from(result).map_err(|_| raw::last_error())
}

/// Whether the thread is to end, in a wait without system calls.
///
/// # Errors
/// `ECANCELED`, as [`syscall`].
pub fn check() -> Result<()> {
    // SAFETY: no arguments.
    unsafe { syscall(libc::SYS_gettid, [0; 6]) }.map(drop)
}

/// The thread ends: its stack is unwound on from here.
pub(super) fn unwind_on() -> ! {
    // SAFETY: once after `syscall` has reported it, from the outermost function
    // of the library.
    unsafe { tas_unwind_on() }
}
