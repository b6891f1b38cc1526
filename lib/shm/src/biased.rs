//! A lock that costs its usual user no atomic read-modify-write.
//!
//! Such an instruction waits until everything stored before is visible, also
//! what went to lines that another CPU has: behind the bytes of a message that
//! is hundreds of cycles. So a thread can become a lock's *owner*: it enters by
//! a plain store, and by looking whether somebody else has asked for the lock.
//! Others ask, then have the kernel make every thread of the process pass a
//! barrier (membarrier(2)), and then see whether the owner is inside.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sync::{AtomicU64, Ordering};

/// Times that the owner takes the lock the slow way, with nobody else between,
/// before it goes back to the fast way.
const CALM: u32 = 256;
/// Nobody's id.
const NOBODY: u64 = 0;

/// A lock around a value, with an owner that takes it cheaply.
pub struct BiasedMutex<T> {
    gate: Gate,
    others: Mutex<Calm>,
    /// The mutex's guard, while somebody is inside by the slow way. Not in the
    /// guard of this lock, which is passed around on the fast way too.
    held: UnsafeCell<Option<MutexGuard<'static, Calm>>>,
    value: UnsafeCell<T>,
}

/// Times that the owner took the lock the slow way since anybody else did.
struct Calm(u32);

// SAFETY: the value is reached through a guard, of which there is one at a
// time, so it goes from thread to thread. The mutex's guard in `held` is dropped
// by the thread that put it there: guards of this lock stay in their thread.
unsafe impl<T: Send> Sync for BiasedMutex<T> {}
// SAFETY: as above; nobody is inside while it goes.
unsafe impl<T: Send> Send for BiasedMutex<T> {}

/// Who is inside, and who may go in.
pub(crate) struct Gate {
    /// The owner's id.
    owner: AtomicU64,
    /// Not 0 while the owner is inside by the fast way.
    inside: AtomicU64,
    /// Not 0 while the fast way is closed.
    closed: AtomicU64,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate {
            owner: AtomicU64::new(NOBODY),
            inside: AtomicU64::new(0),
            closed: AtomicU64::new(1),
        }
    }

    /// The owner goes in, if the fast way is open.
    #[inline]
    pub(crate) fn enter(&self, light_barrier: impl FnOnce()) -> bool {
        self.inside.store(1, Ordering::Relaxed);
        // The store before the load: see `close`.
        light_barrier();
        if self.closed.load(Ordering::Acquire) == 0 {
            return true;
        }
        self.leave();
        false
    }

    /// The owner goes out.
    #[inline]
    pub(crate) fn leave(&self) {
        self.inside.store(0, Ordering::Release);
    }

    /// Closes the fast way. The owner has seen that, or is inside and seen there
    /// by [`is_inside`](Self::is_inside): one of its store and its load is on
    /// either side of the barrier.
    pub(crate) fn close(&self, heavy_barrier: impl FnOnce()) {
        if self.closed.load(Ordering::Relaxed) == 0 {
            self.closed.store(1, Ordering::SeqCst);
            heavy_barrier();
        }
    }

    /// Whether the owner is inside.
    #[inline]
    pub(crate) fn is_inside(&self) -> bool {
        self.inside.load(Ordering::Acquire) != 0
    }

    /// Opens the fast way.
    pub(crate) fn open(&self) {
        self.closed.store(0, Ordering::Release);
    }
}

/// Names the calling thread among those that live. A thread-local's address would do as well, but
/// a shared library asks for that by a call.
#[inline]
fn me() -> u64 {
    let thread: u64;
    // SAFETY: the thread pointer points to itself (System V ABI for x86-64, TLS), and stays the
    // same for as long as the thread lives.
    unsafe {
        std::arch::asm!(
            "mov {}, fs:0",
            out(reg) thread,
            options(nostack, pure, readonly, preserves_flags)
        );
    }
    thread
}

impl<T> BiasedMutex<T> {
    /// A lock without an owner.
    pub fn new(value: T) -> BiasedMutex<T> {
        BiasedMutex {
            gate: Gate::new(),
            others: Mutex::new(Calm(0)),
            held: UnsafeCell::new(None),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock. `None`: the calling thread has it, as when a signal's
    /// handler interrupts its owner; so nobody else may wait for it either.
    #[inline]
    pub fn lock(&self) -> Option<BiasedGuard<'_, T>> {
        match self.enter() {
            Entry::Fast(guard) => Some(guard),
            Entry::Twice => None,
            Entry::Closed => Some(self.lock_slow()),
        }
    }

    /// The owner's way.
    #[inline]
    fn enter(&self) -> Entry<'_, T> {
        if self.gate.owner.load(Ordering::Relaxed) != me() {
            return Entry::Closed;
        }
        if self.gate.is_inside() {
            return Entry::Twice;
        }
        if !self.gate.enter(barrier::light) {
            return Entry::Closed;
        }
        Entry::Fast(BiasedGuard {
            lock: self,
            way: FAST,
            _here: PhantomData,
        })
    }

    #[cold]
    fn lock_slow(&self) -> BiasedGuard<'_, T> {
        let slow = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        self.admit(slow)
    }

    #[cold]
    fn leave_slow(&self) {
        // SAFETY: called with the mutex, whose guard is taken out before it unlocks.
        let slow = unsafe { (*self.held.get()).take() };
        if let Some(mut slow) = slow
            && slow.0 >= CALM
            && barrier::is_there()
        {
            slow.0 = 0;
            // Not earlier: a signal's handler of the owner would come in beside it.
            self.gate.open();
        }
    }

    /// The lock, if nobody has it now.
    pub fn try_lock(&self) -> Option<BiasedGuard<'_, T>> {
        match self.enter() {
            Entry::Fast(guard) => return Some(guard),
            Entry::Twice => return None,
            Entry::Closed => {}
        }
        let slow = match self.others.try_lock() {
            Ok(slow) => slow,
            Err(std::sync::TryLockError::Poisoned(error)) => error.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return None,
        };
        if self.gate.owner.load(Ordering::Relaxed) != me() {
            self.gate.close(barrier::heavy);
            if self.gate.is_inside() {
                return None;
            }
        }
        Some(self.admit(slow))
    }

    /// What everybody passes who comes by the mutex.
    fn admit<'a>(&'a self, mut slow: MutexGuard<'a, Calm>) -> BiasedGuard<'a, T> {
        if self.gate.owner.load(Ordering::Relaxed) == me() {
            slow.0 += 1;
        } else {
            slow.0 = 0;
            self.gate.close(barrier::heavy);
            while self.gate.is_inside() {
                std::thread::yield_now();
            }
        }
        // SAFETY: only whoever has the mutex touches `held`. The guard's longer
        // lifetime ends in `BiasedGuard::drop`, before `self` does.
        unsafe {
            let slow = std::mem::transmute::<MutexGuard<'a, Calm>, MutexGuard<'static, Calm>>(slow);
            *self.held.get() = Some(slow);
        }
        BiasedGuard {
            lock: self,
            way: SLOW,
            _here: PhantomData,
        }
    }

    /// Makes the calling thread the owner, if there is none.
    #[inline]
    pub fn own(&self) {
        if self.gate.owner.load(Ordering::Relaxed) == NOBODY {
            self.own_slow();
        }
    }

    #[cold]
    fn own_slow(&self) {
        let _slow = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if self.gate.owner.load(Ordering::Relaxed) == NOBODY && barrier::is_there() {
            self.gate.owner.store(me(), Ordering::Relaxed);
            self.gate.open();
        }
    }

    /// The calling thread is not the owner any more, if it was. Not with the lock.
    pub fn disown(&self) {
        if self.gate.owner.load(Ordering::Relaxed) == me() {
            self.forget_owner();
        }
    }

    /// There is no owner any more: its thread is gone. One that lives would go
    /// on to think that it is one. Not with the lock.
    pub fn forget_owner(&self) {
        let _slow = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        self.gate.close(barrier::heavy);
        self.gate.owner.store(NOBODY, Ordering::Relaxed);
        self.gate.leave();
    }
}

/// How the owner's way was found.
enum Entry<'a, T> {
    /// Open.
    Fast(BiasedGuard<'a, T>),
    /// The calling thread is inside already.
    Twice,
    /// Closed, or another thread's.
    Closed,
}

/// By the owner's way.
const FAST: usize = 0;
/// By the mutex.
const SLOW: usize = 1;

/// A lock that is held. Two words, so that it is passed in registers: what is
/// written to memory and read back in other portions waits for all that was
/// written before.
pub struct BiasedGuard<'a, T> {
    lock: &'a BiasedMutex<T>,
    /// [`FAST`] or [`SLOW`].
    way: usize,
    /// It stays in its thread, as a mutex's guard does.
    _here: PhantomData<MutexGuard<'a, ()>>,
}

impl<T> Deref for BiasedGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: one guard at a time: a fast one while the gate shows its owner
        // inside, which a slow one has waited for with the gate closed.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for BiasedGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for BiasedGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.way == FAST {
            self.lock.gate.leave();
        } else {
            self.lock.leave_slow();
        }
    }
}

/// The two halves of a barrier between two threads, one of them for free.
mod barrier {
    use std::sync::atomic::{AtomicU8, Ordering, compiler_fence};

    const UNKNOWN: u8 = 0;
    const THERE: u8 = 1;
    const MISSING: u8 = 2;
    static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

    /// Not exported by the C library's headers (linux/membarrier.h).
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: takes numbers, and changes no memory.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }

    /// Whether the kernel knows the other half. A child made by fork has what
    /// its parent registered.
    pub(super) fn is_there() -> bool {
        match STATE.load(Ordering::Relaxed) {
            UNKNOWN => {
                let there = membarrier(REGISTER_PRIVATE_EXPEDITED) && membarrier(PRIVATE_EXPEDITED);
                STATE.store(if there { THERE } else { MISSING }, Ordering::Relaxed);
                there
            }
            state => state == THERE,
        }
    }

    /// The half that is for free: the compiler keeps the order, and for the CPU
    /// the other half does.
    #[inline]
    pub(super) fn light() {
        compiler_fence(Ordering::SeqCst);
    }

    /// Every thread of the process passes a full barrier.
    pub(super) fn heavy() {
        if !membarrier(PRIVATE_EXPEDITED) {
            // In a child whose registration is missing after all.
            membarrier(REGISTER_PRIVATE_EXPEDITED);
            membarrier(PRIVATE_EXPEDITED);
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "biased_tests.rs"]
mod tests;
