//! Signals under a wait: which came, whether its handler wants the call to be
//! restarted, and sleeping without one getting lost.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::call::{self, RESTART};
use super::{cancel, handlers};
use crate::Result;
use crate::wait::OnSignal;

/// Bytes of the kernel's signal sets.
pub(super) const KERNEL_SET: usize = size_of::<SignalSet>();
/// Faults of the program itself, which must not be held back.
const FAULTS: [i32; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
];
/// Those that the C library has for itself, to cancel threads and to change
/// their user (nptl(7)).
const INTERNAL: [i32; 2] = [32, 33];

/// A set of signals, as the kernel has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// The set of one signal, which exists.
    const fn only(signal: i32) -> SignalSet {
        SignalSet(1 << (signal - 1))
    }

    /// The set at `set`.
    ///
    /// # Safety
    /// `set` points to a set of the C library's or of the kernel's.
    pub unsafe fn read(set: *const libc::sigset_t) -> SignalSet {
        // SAFETY: the caller's promise; both begin with the kernel's words.
        SignalSet(unsafe { set.cast::<u64>().read_unaligned() })
    }

    /// Every signal that can be held back.
    const fn holdable() -> SignalSet {
        let mut set = u64::MAX;
        let mut at = 0;
        while at < FAULTS.len() {
            set &= !SignalSet::only(FAULTS[at]).0;
            at += 1;
        }
        SignalSet(set & !SignalSet::only(INTERNAL[0]).0 & !SignalSet::only(INTERNAL[1]).0)
    }

    /// Those that are not in `other`.
    const fn without(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & !other.0)
    }

    /// The signals in it.
    fn iter(self) -> impl Iterator<Item = i32> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let at = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(at.cast_signed() + 1)
        })
    }
}

/// Whether the signal can be held back.
pub(super) fn can_wait(signal: i32) -> bool {
    (1..=64).contains(&signal) && SignalSet::holdable().0 & SignalSet::only(signal).0 != 0
}

fn change_mask(how: c_int, set: SignalSet) -> SignalSet {
    let mut old = SignalSet::default();
    // SAFETY: two live sets and their size.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            how,
            &raw const set,
            &raw mut old,
            KERNEL_SET,
        )
    };
    old
}

fn pending() -> SignalSet {
    let mut set = SignalSet::default();
    // SAFETY: a live set and its size.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, KERNEL_SET) };
    set
}

/// Masks of a thread whose signals are held back.
#[derive(Clone, Copy, Debug)]
pub struct Masks {
    /// Its own.
    own: SignalSet,
    /// The one while it waits, which `ppoll` and its like have.
    during: SignalSet,
}

impl Masks {
    /// With those signals let through.
    #[must_use]
    pub(super) fn without(self, signals: SignalSet) -> Masks {
        Masks {
            own: self.own.without(signals),
            during: self.during.without(signals),
        }
    }

    /// Lets the handlers of signals that came run, and puts the thread's mask back.
    pub(super) fn let_through(self) {
        if self.during != self.own {
            change_mask(libc::SIG_SETMASK, self.during);
        }
        self.put_back();
    }

    /// Puts the thread's mask back.
    pub(super) fn put_back(self) {
        change_mask(libc::SIG_SETMASK, self.own);
    }
}

/// Holds signals back until the thread leaves the library, so that none comes
/// between the look at what is waited for and the sleep. `during` is the mask
/// for the wait, instead of the thread's.
pub fn hold(during: Option<SignalSet>) {
    if call::masks().is_none() {
        let own = change_mask(libc::SIG_BLOCK, SignalSet::holdable());
        call::keep_masks(Masks {
            own,
            during: during.unwrap_or(own),
        });
    }
}

/// Signals are held back.
pub fn are_held() -> bool {
    call::masks().is_some()
}

/// Handlers wait until the thread leaves the library ([`defer`]).
static DEFERRABLE: AtomicBool = AtomicBool::new(false);

/// From now on all handlers call [`defer`] when they find the thread inside.
pub fn will_defer() {
    DEFERRABLE.store(true, Ordering::Relaxed);
}

/// Whether a signal that comes while they are not held back is known of.
pub fn are_noticed() -> bool {
    DEFERRABLE.load(Ordering::Relaxed)
}

/// A signal came whose handler waits. Without a system call.
pub fn has_deferred() -> bool {
    call::has_deferred()
}

/// Of a handler that found its thread inside the library: the signal is sent
/// again, and waits until the thread leaves.
///
/// # Safety
/// The arguments are those of a handler; `info` is null or what SA_SIGINFO gives.
pub unsafe fn defer(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let only = SignalSet::only(signal);
    // The handler may have been installed with SA_NODEFER.
    change_mask(libc::SIG_BLOCK, only);
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the caller's promise. The context's mask becomes the thread's
    // when the handler returns; the kernel has room for its own set only.
    unsafe {
        let mask = (&raw mut (*context).uc_sigmask).cast::<u64>();
        mask.write(mask.read() | only.0);
    }
    call::note_deferred(only);
    // SAFETY: numbers, and the information that the kernel gave.
    unsafe {
        let (process, thread) = (libc::getpid(), libc::syscall(libc::SYS_gettid));
        let number = libc::SYS_rt_tgsigqueueinfo;
        if info.is_null() || libc::syscall(number, process, thread, signal, info) != 0 {
            // Without it, if too many signals wait already.
            libc::syscall(libc::SYS_tgkill, process, thread, signal);
        }
    }
}

/// Lets deferred signals through.
pub(super) fn unblock(deferred: SignalSet) {
    if deferred.0 != 0 {
        change_mask(libc::SIG_UNBLOCK, deferred);
    }
}

/// Whether a signal that came ends the wait. Of those without a handler, which
/// end the program or do nothing, nothing is heard.
///
/// # Errors
/// `EINTR`, or [`RESTART`] if the call begins anew after the handlers.
pub fn check(on_signal: OnSignal) -> Result<()> {
    let Some(masks) = call::masks() else {
        return Ok(());
    };
    let came = SignalSet(pending().0 & !masks.during.0);
    let mut outcome = Ok(());
    for signal in came.iter() {
        match handler_restarts(signal) {
            Some(true) if on_signal == OnSignal::Restart => outcome = Err(RESTART),
            Some(_) => return Err(Errno::INTR),
            None => {}
        }
    }
    if came.0 != 0 && outcome.is_ok() {
        let held = change_mask(libc::SIG_SETMASK, masks.during);
        change_mask(libc::SIG_SETMASK, held);
    }
    outcome
}

/// Whether a signal's handler was installed with SA_RESTART (signal(7)). `None`
/// without a handler.
fn handler_restarts(signal: i32) -> Option<bool> {
    handlers::flags(signal).map(|flags| flags & libc::SA_RESTART != 0)
}

/// Sleeps until a descriptor is ready, the time has passed, or a signal came
/// that the wait lets through. Signals are held back, and [`check`] says what
/// they mean.
///
/// # Errors
/// `ECANCELED` if the thread ends.
pub fn sleep(fds: &mut Vec<libc::pollfd>, time: Option<Duration>) -> Result<()> {
    let time = time.map(|time| libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // Signals stay held back and are seen as a descriptor.
    let during = call::masks().map_or(SignalSet::default(), |masks| masks.during);
    let signals = signal_descriptor(SignalSet::holdable().without(during));
    fds.push(libc::pollfd {
        fd: signals,
        events: libc::POLLIN,
        revents: 0,
    });
    let args = [
        fds.as_mut_ptr().expose_provenance() as c_long,
        fds.len() as c_long,
        time.expose_provenance() as c_long,
        0,
        KERNEL_SET as c_long,
        0,
    ];
    // SAFETY: a live array and its length; a live time or none.
    let slept = unsafe { cancel::syscall(libc::SYS_ppoll, args) };
    fds.pop();
    if signals >= 0 {
        crate::sys::close(signals);
    }
    match slept {
        Err(Errno::CANCELED) => Err(Errno::CANCELED),
        // What has become of descriptors that do not exist stands in the array.
        _ => Ok(()),
    }
}

/// A descriptor that is readable when one of the signals is pending.
fn signal_descriptor(wanted: SignalSet) -> c_int {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: a live set and its size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_signalfd4,
            -1,
            &raw const wanted,
            KERNEL_SET,
            flags,
        )
    };
    c_int::try_from(fd).unwrap_or(-1)
}

/// Sends the calling thread a signal.
pub(super) fn raise(signal: c_int) {
    // SAFETY: a signal to this thread itself.
    unsafe { libc::pthread_kill(libc::pthread_self(), signal) };
}

/// All signals are held back in the thread until this is dropped.
pub struct HeldForThread(SignalSet);

/// Holds signals back for a thread that the calling one is about to make.
pub fn hold_for_thread() -> HeldForThread {
    HeldForThread(change_mask(libc::SIG_BLOCK, SignalSet::holdable()))
}

impl Drop for HeldForThread {
    fn drop(&mut self) {
        change_mask(libc::SIG_SETMASK, self.0);
    }
}
