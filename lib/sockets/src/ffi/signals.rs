//! Signals under a wait: which one came, whether its handler wants the call to
//! be restarted, and sleeping with a mask.

use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use crate::wait::OnSignal;

/// Bytes of the kernel's signal sets.
const KERNEL_SET: usize = 8;
/// Faults of the program itself, which must not be held back.
const FAULTS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
];

fn empty() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: initialises the set, for which zeros are valid anyway.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn has(set: &libc::sigset_t, signal: i32) -> bool {
    // SAFETY: an initialised set.
    unsafe { libc::sigismember(set, signal) == 1 }
}

/// Every signal that can be held back.
fn all() -> libc::sigset_t {
    let mut set = empty();
    // SAFETY: an initialised set, and valid signals.
    unsafe {
        libc::sigfillset(&mut set);
        for signal in FAULTS {
            libc::sigdelset(&mut set, signal);
        }
    }
    set
}

fn set_mask(mask: &libc::sigset_t) -> libc::sigset_t {
    let mut old = empty();
    // SAFETY: two initialised sets.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, &mut old) };
    old
}

/// All signals are held back from here on to the end of the wait, so that none
/// comes between the look at what is waited for and the sleep.
pub struct Held {
    /// The thread's mask.
    old: libc::sigset_t,
    /// The mask while the wait lasts.
    during: libc::sigset_t,
}

impl Held {
    /// Holds signals back. `during` is the mask for the wait, instead of the
    /// thread's.
    pub fn new(during: Option<&libc::sigset_t>) -> Held {
        let old = set_mask(&all());
        Held {
            old,
            during: *during.unwrap_or(&old),
        }
    }

    /// Whether a signal that came ends the wait. If not, and there is one, its
    /// handler runs.
    pub fn interrupted(&self, on_signal: OnSignal) -> bool {
        let mut pending = empty();
        // SAFETY: an initialised set.
        unsafe { libc::sigpending(&mut pending) };
        let mut any = false;
        for signal in 1..=libc::SIGRTMAX() {
            if !has(&pending, signal) || has(&self.during, signal) {
                continue;
            }
            any = true;
            if interrupts(signal, on_signal) {
                return true;
            }
        }
        if any {
            self.let_through();
        }
        false
    }

    /// Lets the handlers of signals that came run.
    fn let_through(&self) {
        let held = set_mask(&self.during);
        set_mask(&held);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        set_mask(&self.during);
        set_mask(&self.old);
    }
}

/// Whether a signal's handler ends a call, by its flags (signal(7)). Signals
/// without a handler end the program or do nothing.
fn interrupts(signal: i32, on_signal: OnSignal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only; zeros are a valid action.
    let action = unsafe {
        if libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) != 0 {
            return false;
        }
        action.assume_init()
    };
    let handled = action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN;
    handled && (on_signal == OnSignal::Interrupt || action.sa_flags & libc::SA_RESTART == 0)
}

/// Sleeps until a descriptor is ready, the time has passed, or a signal came
/// that the wait lets through. Which signals end the call is
/// [`Held::interrupted`]'s to say.
pub fn sleep(fds: &mut Vec<libc::pollfd>, time: Option<Duration>, held: &Held) {
    let time = time.map(|time| libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // Signals stay held back and are seen as a descriptor: their handlers run
    // only once it is known what they mean for the call.
    let signals = signal_descriptor(held);
    fds.push(libc::pollfd {
        fd: signals,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: a live array and its length; a live time or none. By number,
    // since the function would be a cancellation point: a thread must not end
    // in the middle of this library.
    unsafe {
        libc::syscall(
            libc::SYS_ppoll,
            fds.as_mut_ptr(),
            fds.len(),
            time,
            ptr::null::<libc::sigset_t>(),
            KERNEL_SET,
        )
    };
    fds.pop();
    if signals >= 0 {
        crate::sys::close(signals);
    }
}

/// A descriptor that is readable when a signal is pending.
fn signal_descriptor(held: &Held) -> i32 {
    let mut wanted = empty();
    for signal in 1..=libc::SIGRTMAX() {
        if !has(&held.during, signal) {
            // SAFETY: an initialised set and a valid signal.
            unsafe { libc::sigaddset(&mut wanted, signal) };
        }
    }
    // SAFETY: an initialised set.
    unsafe { libc::signalfd(-1, &wanted, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }
}

/// Sends the calling thread SIGPIPE.
pub fn broken_pipe() {
    // SAFETY: a signal to this thread itself.
    unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGPIPE) };
}
