//! `sigaction` and its like, in front of the C library's: handlers of signals
//! wait while their thread is inside this library.
//!
//! The kernel is given a handler of this library's, which calls the program's,
//! unless the thread is inside: then the signal is sent again, and waits until
//! the thread leaves ([`signals::defer`]). So handlers may use sockets, end
//! their thread or jump, and a wait knows of every signal without asking the
//! kernel.
//!
//! The functions have names of their own; the build gives them those of the C
//! library.

use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use libc::{sighandler_t, siginfo_t};
use rustix::io::Errno;

use super::{call, raw, signals};

/// One more than the highest signal.
const SIGNALS: usize = 65;
/// `SIG_HOLD`, which sigset(3) takes and returns.
const SIG_HOLD: sighandler_t = 2;

/// The program's handlers, by signal. What was the last one stays while the
/// signal has none.
static HANDLERS: [AtomicUsize; SIGNALS] = [const { AtomicUsize::new(0) }; SIGNALS];

/// The place of a signal's handler. None for those that cannot wait: faults and
/// `abort`.
fn place(signal: c_int) -> Option<&'static AtomicUsize> {
    let can_wait = signals::can_wait(signal) && signal != libc::SIGABRT;
    let place = HANDLERS.get(usize::try_from(signal).ok()?);
    place.filter(|_| can_wait)
}

type Handler = unsafe extern "C-unwind" fn(c_int, *mut siginfo_t, *mut c_void);

/// What the kernel calls for handlers that were installed without SA_SIGINFO.
///
/// # Safety
/// For the kernel to call, which passes all three arguments anyway.
unsafe extern "C-unwind" fn plain(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: what the kernel has passed; there is no information.
    unsafe {
        if call::is_inside() {
            return defer(signal, std::ptr::null_mut(), context);
        }
        run(signal, info, context);
    }
}

/// What the kernel calls for handlers that were installed with SA_SIGINFO.
///
/// # Safety
/// For the kernel to call.
unsafe extern "C-unwind" fn with_info(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: what the kernel has passed.
    unsafe {
        if call::is_inside() {
            return defer(signal, info, context);
        }
        run(signal, info, context);
    }
}

/// Runs the program's handler.
///
/// # Safety
/// The arguments are the kernel's.
unsafe fn run(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let handler = place(signal).map_or(0, |place| place.load(Ordering::Acquire));
    if is_function(handler) {
        // SAFETY: the program's handler, which may take fewer arguments.
        unsafe {
            let handler = std::ptr::with_exposed_provenance::<c_void>(handler);
            std::mem::transmute::<*const c_void, Handler>(handler)(signal, info, context);
        }
    }
}

/// Has the signal wait.
///
/// # Safety
/// As [`signals::defer`].
#[cold]
unsafe fn defer(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    raw::keeping_errno(|| {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: room for an action, which zeros are, too; the caller's promise.
        unsafe {
            sigaction_of_c()(signal, std::ptr::null(), action.as_mut_ptr());
            let mut action = action.assume_init();
            if action.sa_flags & libc::SA_RESETHAND != 0 && action.sa_sigaction == libc::SIG_DFL {
                // The handler has not run yet.
                action.sa_sigaction = ours(action.sa_flags);
                sigaction_of_c()(signal, &raw const action, std::ptr::null_mut());
            }
            signals::defer(signal, info, context);
        }
    });
}

/// The function that the kernel is given.
fn ours(flags: c_int) -> sighandler_t {
    let handler: Handler = match flags & libc::SA_SIGINFO {
        0 => plain,
        _ => with_info,
    };
    handler as *const () as sighandler_t
}

fn is_ours(handler: sighandler_t) -> bool {
    handler == ours(0) || handler == ours(libc::SA_SIGINFO)
}

/// Not one of the values that stand for something else.
fn is_function(handler: sighandler_t) -> bool {
    !matches!(
        handler,
        libc::SIG_DFL | libc::SIG_IGN | libc::SIG_ERR | SIG_HOLD
    )
}

/// Notes a handler that is about to be installed. `None`: it is none that could wait.
fn note(signal: c_int, handler: sighandler_t) -> Option<sighandler_t> {
    let place = place(signal).filter(|_| is_function(handler))?;
    match is_ours(handler) {
        // Somebody has it from the kernel.
        true => Some(place.load(Ordering::Acquire)),
        false => Some(place.swap(handler, Ordering::AcqRel)),
    }
}

/// What the program is to see of a handler that the kernel has had. `before` is
/// what [`note`] returned.
fn seen(signal: c_int, handler: sighandler_t, before: Option<sighandler_t>) -> sighandler_t {
    match place(signal) {
        Some(place) if is_ours(handler) => before.unwrap_or(place.load(Ordering::Acquire)),
        _ => handler,
    }
}

/// It could not be installed.
fn take_back(signal: c_int, before: Option<sighandler_t>) {
    if let (Some(place), Some(before)) = (place(signal), before) {
        place.store(before, Ordering::Release);
    }
}

/// # Safety
/// As for `sigaction`.
#[unsafe(export_name = "tas_interpose_sigaction")]
unsafe extern "C" fn sigaction(
    signal: c_int,
    action: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let mut given = action.as_ref().copied();
        let before = given.as_mut().and_then(|given| {
            let before = note(signal, given.sa_sigaction)?;
            given.sa_sigaction = ours(given.sa_flags);
            Some(before)
        });
        let given = given.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let result = sigaction_of_c()(signal, given, old);
        if result != 0 {
            take_back(signal, before);
        } else if let Some(old) = old.as_mut() {
            old.sa_sigaction = seen(signal, old.sa_sigaction, before);
        }
        result
    }
}

/// # Safety
/// As for `signal` and its like, of which `install` is one.
unsafe fn install(install: Install, signal: c_int, handler: sighandler_t) -> sighandler_t {
    let before = note(signal, handler);
    let given = before.map_or(handler, |_| ours(0));
    // SAFETY: the caller's promise.
    let had = unsafe { install(signal, given) };
    if had == libc::SIG_ERR {
        take_back(signal, before);
    }
    seen(signal, had, before)
}

type Install = unsafe extern "C" fn(c_int, sighandler_t) -> sighandler_t;
type Sigaction = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;

/// A function of the C library's: null until it is found.
struct Real {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Real {
    const fn new(name: &'static CStr) -> Real {
        Real {
            name,
            address: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Its address, of whichever library comes next in the search order.
    fn find(&self) -> *mut c_void {
        let address = self.address.load(Ordering::Relaxed);
        if !address.is_null() {
            return address;
        }
        // SAFETY: a string. Threads that look at once find the same.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(address, Ordering::Relaxed);
        address
    }
}

static SIGACTION: Real = Real::new(c"sigaction");

/// The C library's, which has it.
fn sigaction_of_c() -> Sigaction {
    // SAFETY: the function of that name.
    unsafe { std::mem::transmute::<*mut c_void, Sigaction>(SIGACTION.find()) }
}

/// What the kernel has for a signal: its flags, if there is a handler.
pub(super) fn flags(signal: c_int) -> Option<c_int> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only; zeros are a valid action.
    let action = unsafe {
        if sigaction_of_c()(signal, std::ptr::null(), action.as_mut_ptr()) != 0 {
            return None;
        }
        action.assume_init()
    };
    is_function(action.sa_sigaction).then_some(action.sa_flags)
}

macro_rules! installing {
    ($($name:ident $exported:literal $real:ident;)*) => {
        $(
            static $real: Real = Real::new(match CStr::from_bytes_with_nul(
                concat!(stringify!($name), "\0").as_bytes()
            ) {
                Ok(name) => name,
                Err(_) => panic!("a name with a zero byte"),
            });

            /// # Safety
            /// As for the function in C.
            #[unsafe(export_name = $exported)]
            unsafe extern "C" fn $name(signal: c_int, handler: sighandler_t) -> sighandler_t {
                let address = $real.find();
                if address.is_null() {
                    raw::set_errno(Errno::NOSYS);
                    return libc::SIG_ERR;
                }
                // SAFETY: the function of that name; the arguments are the caller's.
                unsafe {
                    let real = std::mem::transmute::<*mut c_void, Install>(address);
                    install(real, signal, handler)
                }
            }
        )*

        fn find_all() {
            SIGACTION.find();
            $($real.find();)*
        }
    };
}

installing! {
    signal "tas_interpose_signal" SIGNAL;
    bsd_signal "tas_interpose_bsd_signal" BSD_SIGNAL;
    ssignal "tas_interpose_ssignal" SSIGNAL;
    sysv_signal "tas_interpose_sysv_signal" SYSV_SIGNAL;
    __sysv_signal "tas_interpose___sysv_signal" SYSV_SIGNAL_INTERNAL;
    sigset "tas_interpose_sigset" SIGSET;
}

/// Runs when the library is loaded. A library that was loaded later than the C
/// library is not in front of it.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = {
    extern "C" fn at_load() {
        find_all();
        let mine: Sigaction = sigaction;
        // SAFETY: a string.
        let first = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"sigaction".as_ptr()) };
        if first.addr() == mine as *const () as usize {
            signals::will_defer();
        }
        // An older C library has not all of them; the program must not hear of it.
        // SAFETY: forgets an error.
        unsafe { libc::dlerror() };
    }
    at_load
};

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
