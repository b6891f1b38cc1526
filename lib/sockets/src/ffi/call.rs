//! What surrounds every call of the library.
//!
//! Handlers of signals, and the end of a cancelled thread, must not find the
//! library in the middle of something: a handler may call it again, or jump out
//! (siglongjmp(3)), and the end of a thread unwinds its stack. Whatever comes
//! up inside is noted, the call returns, and it is dealt with at the outermost
//! function of the library, which has nothing to clean up. As in the kernel, a
//! call that is to be restarted begins anew.

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, compiler_fence};

use rustix::io::Errno;

use super::signals::{Masks, SignalSet};
use super::{cancel, raw, signals};
use crate::Result;

/// The call begins anew once handlers have run. No program sees it; the
/// kernel has the same for itself (ERESTARTSYS).
pub const RESTART: Errno = Errno::from_raw_os_error(512);

/// A thread, as far as it is inside the library. Atomics, since its signals'
/// handlers look at it too.
struct Thread {
    /// Calls that it is in, one inside the other.
    depth: AtomicU32,
    /// Something is to be done when it leaves.
    due: AtomicBool,
    /// Signals that came and wait, blocked, until it leaves.
    deferred: AtomicU64,
    /// Signals are held back: the masks to be put back.
    masks: Cell<Option<Masks>>,
    /// It is to get SIGPIPE.
    broken_pipe: Cell<bool>,
    /// It is to end.
    cancelled: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            depth: AtomicU32::new(0),
            due: AtomicBool::new(false),
            deferred: AtomicU64::new(0),
            masks: Cell::new(None),
            broken_pipe: Cell::new(false),
            cancelled: Cell::new(false),
        }
    };
}

impl Thread {
    #[inline]
    fn enter(&self) {
        let depth = self.depth.load(Ordering::Relaxed);
        self.depth.store(depth.wrapping_add(1), Ordering::Relaxed);
        // Before anything that a handler must not find half done.
        compiler_fence(Ordering::SeqCst);
    }

    /// Returns whether that was the outermost call.
    #[inline]
    fn leave(&self) -> bool {
        compiler_fence(Ordering::SeqCst);
        let depth = self.depth.load(Ordering::Relaxed).wrapping_sub(1);
        self.depth.store(depth, Ordering::Relaxed);
        // A signal before this is deferred, and seen now; one after this is not.
        compiler_fence(Ordering::SeqCst);
        if depth != 0 {
            return false;
        }
        if self.due.load(Ordering::Relaxed) {
            self.settle();
        }
        true
    }

    /// What came up in the call. Does not return if the thread ends.
    #[cold]
    fn settle(&self) {
        self.due.store(false, Ordering::Relaxed);
        let deferred = SignalSet(self.deferred.swap(0, Ordering::Relaxed));
        let cancelled = self.cancelled.take();
        let broken_pipe = self.broken_pipe.take();
        if broken_pipe {
            signals::raise(libc::SIGPIPE);
        }
        match self.masks.take() {
            Some(masks) if cancelled => masks.put_back(),
            Some(masks) => masks.let_through(),
            None => signals::unblock(deferred),
        }
        if cancelled {
            cancel::unwind_on();
        }
    }
}

/// Runs a part of the library: handlers of signals wait until it has returned,
/// as far as they can be made to.
#[inline]
pub fn inside<R>(call: impl FnOnce() -> R) -> R {
    THREAD.with(|thread| {
        thread.enter();
        let result = call();
        thread.leave();
        result
    })
}

/// The same, without an end of the thread either.
pub fn undisturbed<R>(call: impl FnOnce() -> R) -> R {
    inside(|| cancel::disabled(call))
}

/// The thread is in the library until [`end`], which need not be in the same function.
pub fn begin() {
    THREAD.with(Thread::enter);
}

/// See [`begin`].
pub fn end() {
    THREAD.with(|thread| {
        thread.leave();
    });
}

/// Runs a system call in which handlers of signals may run, as nothing is held.
/// A handler may jump out of it: then the thread is outside.
pub fn outside<R>(call: impl FnOnce() -> R) -> R {
    THREAD.with(|thread| {
        let depth = thread.depth.swap(0, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        if thread.due.load(Ordering::Relaxed) {
            thread.settle();
        }
        let result = call();
        compiler_fence(Ordering::SeqCst);
        thread.depth.store(depth, Ordering::Relaxed);
        result
    })
}

/// Whether the calling thread is inside the library. For handlers of signals.
pub fn is_inside() -> bool {
    THREAD.with(|thread| thread.depth.load(Ordering::Relaxed) != 0)
}

/// A signal that came waits until the thread leaves. It is blocked, and pending.
/// For handlers of signals.
pub(super) fn note_deferred(signal: SignalSet) {
    THREAD.with(|thread| {
        thread.deferred.fetch_or(signal.0, Ordering::Relaxed);
        thread.due.store(true, Ordering::Relaxed);
    });
}

/// Whether a signal waits until the thread leaves.
pub(super) fn has_deferred() -> bool {
    THREAD.with(|thread| thread.deferred.load(Ordering::Relaxed) != 0)
}

/// The masks to be put back when the thread leaves, while signals are held back.
pub(super) fn masks() -> Option<Masks> {
    THREAD.with(|thread| thread.masks.get())
}

/// Signals are held back from now on until the thread leaves. Those that were
/// deferred are let through then, too.
pub(super) fn keep_masks(masks: Masks) {
    THREAD.with(|thread| {
        let deferred = SignalSet(thread.deferred.swap(0, Ordering::Relaxed));
        thread.masks.set(Some(masks.without(deferred)));
        thread.due.store(true, Ordering::Relaxed);
    });
}

/// The thread ends when it leaves.
pub(super) fn note_cancelled() {
    THREAD.with(|thread| {
        thread.cancelled.set(true);
        thread.due.store(true, Ordering::Relaxed);
    });
}

/// The thread gets SIGPIPE when it leaves.
pub fn break_pipe() {
    THREAD.with(|thread| {
        thread.broken_pipe.set(true);
        thread.due.store(true, Ordering::Relaxed);
    });
}

/// No panic reaches C.
fn flat<T>(outcome: std::result::Result<Result<T>, Box<dyn Any + Send>>) -> Result<T> {
    outcome.unwrap_or(Err(Errno::IO))
}

/// Its failure becomes -1 and errno.
#[inline]
fn told<T: From<i8>>(outcome: Result<T>) -> T {
    match outcome {
        Ok(value) => value,
        Err(errno) => {
            raw::set_errno(errno);
            T::from(-1)
        }
    }
}

/// Runs a call that does not wait.
#[inline]
pub(super) fn guard<T: From<i8>>(call: impl FnOnce() -> Result<T>) -> T {
    told(inside(|| flat(catch_unwind(AssertUnwindSafe(call)))))
}

/// A call without a result.
#[inline]
pub(super) fn done(call: impl FnOnce() -> Result<()>) -> c_int {
    guard(|| call().map(|()| 0))
}

/// Runs a call that may wait. It is a cancellation point (pthreads(7)).
#[inline]
pub(super) fn waiting<T: From<i8> + Copy>(mut call: impl FnMut() -> Result<T>) -> T {
    let kind = cancel::defer();
    let outcome = THREAD.with(|thread| {
        loop {
            thread.enter();
            let outcome = flat(catch_unwind(AssertUnwindSafe(&mut call)));
            let outermost = thread.leave();
            match outcome {
                Err(RESTART) if outermost => {}
                // Whoever called it from within the library goes back to where
                // handlers can run.
                Err(RESTART) => return Err(Errno::INTR),
                outcome => return outcome,
            }
        }
    });
    kind.put_back();
    told(outcome)
}

/// Such a call without a result.
#[inline]
pub(super) fn waiting_done(mut call: impl FnMut() -> Result<()>) -> c_int {
    waiting(|| call().map(|()| 0))
}
