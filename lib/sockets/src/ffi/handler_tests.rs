use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::super::call::{self, RESTART, inside, outside, waiting};
use super::*;
use crate::wait::{OnSignal, Until, Wait};

static SEEN: [AtomicI32; SIGNALS] = [const { AtomicI32::new(0) }; SIGNALS];

fn seen(signal: c_int) -> i32 {
    SEEN[signal as usize].load(Ordering::Relaxed)
}

extern "C" fn count(signal: c_int) {
    SEEN[signal as usize].fetch_add(1, Ordering::Relaxed);
}

extern "C" fn take_value(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: of a handler with SA_SIGINFO.
    let value = unsafe { (*info).si_value().sival_ptr }.addr();
    SEEN[signal as usize].store(value as i32, Ordering::Relaxed);
}

fn handle(signal: c_int, flags: c_int, handler: sighandler_t) {
    // SAFETY: zeros are an action.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: a live action, and a function as it says.
    let done = unsafe { sigaction(signal, &action, std::ptr::null_mut()) };
    assert_eq!(done, 0);
}

fn counted(signal: c_int, flags: c_int) {
    handle(signal, flags, count as *const () as sighandler_t);
}

// Each test has a signal of its own: handlers are the process's.

#[test]
fn a_handler_waits_until_the_thread_has_left() {
    let signal = libc::SIGRTMIN();
    counted(signal, 0);
    inside(|| {
        inside(|| signals::raise(signal));
        assert_eq!(seen(signal), 0);
        assert!(signals::has_deferred());
    });
    assert_eq!(seen(signal), 1);
    assert!(!signals::has_deferred());
    signals::raise(signal);
    assert_eq!(seen(signal), 2);
}

#[test]
fn a_handler_that_waits_is_told_what_came_with_the_signal() {
    let signal = libc::SIGRTMIN() + 1;
    let handler = take_value as *const () as sighandler_t;
    handle(signal, libc::SA_SIGINFO, handler);
    let value = libc::sigval {
        sival_ptr: std::ptr::without_provenance_mut(1234),
    };
    inside(|| {
        // SAFETY: a signal to this thread itself.
        unsafe { libc::pthread_sigqueue(libc::pthread_self(), signal, value) };
        assert_eq!(seen(signal), 0);
    });
    assert_eq!(seen(signal), 1234);
}

#[test]
fn a_handler_for_once_runs_once() {
    let signal = libc::SIGRTMIN() + 2;
    counted(signal, libc::SA_RESETHAND | libc::SA_NODEFER);
    inside(|| signals::raise(signal));
    assert_eq!(seen(signal), 1);
    let mut had = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: room for an action, which zeros are, too.
    let had = unsafe {
        sigaction(signal, std::ptr::null(), had.as_mut_ptr());
        had.assume_init()
    };
    assert_eq!(had.sa_sigaction, libc::SIG_DFL);
}

#[test]
fn handlers_run_in_system_calls_that_wait_with_nothing_held() {
    let signal = libc::SIGRTMIN() + 3;
    counted(signal, 0);
    inside(|| {
        outside(|| {
            signals::raise(signal);
            assert_eq!(seen(signal), 1);
        });
        signals::raise(signal);
        assert_eq!(seen(signal), 1);
        outside(|| assert_eq!(seen(signal), 2));
    });
}

/// A wait in which a signal comes before the first step.
fn interrupted(signal: c_int, on_signal: OnSignal) -> Errno {
    signals::raise(signal);
    let mut wait = Wait::new(Until::Forever, on_signal, None).unwrap();
    loop {
        if let Err(error) = wait.step(&[], &mut []) {
            return error;
        }
    }
}

#[test]
fn a_signal_before_the_first_step_of_a_wait_ends_it() {
    signals::will_defer();
    let signal = libc::SIGRTMIN() + 4;
    counted(signal, 0);
    inside(|| {
        assert_eq!(interrupted(signal, OnSignal::Restart), Errno::INTR);
        assert_eq!(seen(signal), 0);
    });
    assert_eq!(seen(signal), 1);
    counted(signal, libc::SA_RESTART);
    inside(|| assert_eq!(interrupted(signal, OnSignal::Interrupt), Errno::INTR));
    inside(|| assert_eq!(interrupted(signal, OnSignal::Restart), RESTART));
    assert_eq!(seen(signal), 3);
    assert!(!signals::are_held());
}

#[test]
fn a_restarted_call_begins_anew_after_the_handler() {
    signals::will_defer();
    let signal = libc::SIGRTMIN() + 5;
    counted(signal, libc::SA_RESTART);
    let mut tries = 0;
    let result: i32 = waiting(|| {
        tries += 1;
        assert_eq!(seen(signal), tries - 1);
        if tries == 4 {
            return Ok(7);
        }
        Err(interrupted(signal, OnSignal::Restart))
    });
    assert_eq!((result, tries), (7, 4));
}

#[test]
fn a_wait_without_signals_lasts_its_time() {
    inside(|| {
        let until = Until::after(Some(Duration::from_millis(20)));
        let mut wait = Wait::new(until, OnSignal::Interrupt, None).unwrap();
        loop {
            match wait.step(&[], &mut []) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, Errno::TIME);
                    break;
                }
            }
        }
    });
    assert!(!call::is_inside());
}

#[test]
fn programs_see_their_own_handlers() {
    let signal = libc::SIGRTMIN() + 6;
    let handler = count as *const () as sighandler_t;
    // SAFETY: a function that takes the signal.
    unsafe {
        assert_eq!(super::signal(signal, handler), libc::SIG_DFL);
        assert_eq!(super::signal(signal, libc::SIG_IGN), handler);
        assert_eq!(super::signal(signal, handler), libc::SIG_IGN);
        assert_eq!(sysv_signal(signal, libc::SIG_DFL), handler);
        assert_eq!(super::signal(1000, handler), libc::SIG_ERR);
    }
}
