//! C functions `util_timeout_*`.
//!
//! A manager and its timeouts belong to one thread, and a timeout stays where
//! it is while it is armed: both are the caller's part of the contract.

use core::ffi::{c_int, c_long, c_void};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::{Links, List, Timeout, TimeoutManager, Timeouts};

#[repr(C)]
struct Timespec {
    sec: c_long,
    nsec: c_long,
}

unsafe extern "C" {
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
}

const CLOCK_MONOTONIC: c_int = 1;

/// Timeouts in their owners' memory. Made only by [`with_lists`], whose caller
/// vouches for every timeout on the lists and for the one named in the call.
struct Memory;

impl Links for Memory {
    type Id = NonNull<Timeout>;

    fn due(&self, id: Self::Id) -> u32 {
        // SAFETY: see `Memory`.
        unsafe { (*id.as_ptr()).timeout_due }
    }
    fn next(&self, id: Self::Id) -> Option<Self::Id> {
        // SAFETY: see `Memory`.
        unsafe { (*id.as_ptr()).next }
    }
    fn prev(&self, id: Self::Id) -> Option<Self::Id> {
        // SAFETY: see `Memory`.
        unsafe { (*id.as_ptr()).prev }
    }
    fn set_due(&mut self, id: Self::Id, due: u32) {
        // SAFETY: see `Memory`.
        unsafe { (*id.as_ptr()).timeout_due = due }
    }
    fn set_next(&mut self, id: Self::Id, next: Option<Self::Id>) {
        // SAFETY: see `Memory`.
        unsafe { (*id.as_ptr()).next = next }
    }
    fn set_prev(&mut self, id: Self::Id, prev: Option<Self::Id>) {
        // SAFETY: see `Memory`.
        unsafe { (*id.as_ptr()).prev = prev }
    }
}

/// Runs `change` on the manager's lists.
///
/// # Safety
/// `mgr` is initialised and no other thread uses it. Every timeout on its
/// lists, and every one `change` names, may be read and written.
unsafe fn with_lists<R>(
    mgr: NonNull<TimeoutManager>,
    change: impl FnOnce(&mut Timeouts<NonNull<Timeout>>, &mut Memory) -> R,
) -> R {
    let mgr = mgr.as_ptr();
    // SAFETY: initialised, used by this thread only.
    let mut lists = unsafe {
        Timeouts {
            armed: List {
                first: (*mgr).timeouts_first,
                last: (*mgr).timeouts_last,
            },
            due: List {
                first: (*mgr).due_first,
                last: (*mgr).due_last,
            },
        }
    };
    let result = change(&mut lists, &mut Memory);
    // SAFETY: as above.
    unsafe {
        (*mgr).timeouts_first = lists.armed.first;
        (*mgr).timeouts_last = lists.armed.last;
        (*mgr).due_first = lists.due.first;
        (*mgr).due_last = lists.due.last;
    }
    result
}

/// Returns microseconds of a clock that never goes back; wraps after 71
/// minutes.
#[unsafe(no_mangle)]
pub extern "C" fn util_timeout_time_us() -> u32 {
    let mut time = MaybeUninit::<Timespec>::uninit();
    // SAFETY: `time` may be written; this clock always exists, so the call
    // initialises it.
    let time = unsafe {
        clock_gettime(CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    let us = (time.sec as u64).wrapping_mul(1_000_000) + time.nsec as u64 / 1_000;
    us as u32
}

/// Prepares a manager whose due timeouts go to `handler`, with `opaque`.
/// Returns 0, or -1 if `mgr` or `handler` is NULL.
///
/// # Safety
/// `mgr` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_timeout_init(
    mgr: *mut TimeoutManager,
    handler: Option<unsafe extern "C" fn(timeout: *mut Timeout, r#type: u8, opaque: *mut c_void)>,
    opaque: *mut c_void,
) -> c_int {
    if mgr.is_null() || handler.is_none() {
        return -1;
    }
    let manager = TimeoutManager {
        timeouts_first: None,
        timeouts_last: None,
        due_first: None,
        due_last: None,
        handler,
        handler_opaque: opaque,
    };
    // SAFETY: not NULL, so it may be written; it may be uninitialised.
    unsafe { mgr.write(manager) };
    0
}

/// Arms `to`, which is not armed, to be due in `us` microseconds.
///
/// # Safety
/// `mgr` is NULL or initialised and used by this thread only; `to` is NULL or
/// stays where it is until it was handled or disarmed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_timeout_arm(
    mgr: *mut TimeoutManager,
    to: *mut Timeout,
    us: u32,
    r#type: u8,
) {
    // SAFETY: passed on from the caller.
    unsafe { util_timeout_arm_ts(mgr, to, us, r#type, util_timeout_time_us()) }
}

/// The same as `util_timeout_arm` at time `cur_ts`, from
/// `util_timeout_time_us`.
///
/// # Safety
/// As for `util_timeout_arm`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_timeout_arm_ts(
    mgr: *mut TimeoutManager,
    to: *mut Timeout,
    us: u32,
    r#type: u8,
    cur_ts: u32,
) {
    let (Some(mgr), Some(to)) = (NonNull::new(mgr), NonNull::new(to)) else {
        return;
    };
    // SAFETY: the caller owns manager and timeouts. The new timeout may be
    // uninitialised: all of it is written here, before any of it is read.
    unsafe {
        to.write(Timeout {
            timeout_type: u32::from(r#type),
            timeout_due: cur_ts,
            next: None,
            prev: None,
        });
        with_lists(mgr, |lists, memory| lists.arm(memory, to, us, cur_ts));
    }
}

/// Disarms `to`, which was armed at some time; nothing happens if it was
/// handled or disarmed since.
///
/// # Safety
/// `mgr` is NULL or initialised and used by this thread only; `to` is NULL or
/// was armed on `mgr`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_timeout_disarm(mgr: *mut TimeoutManager, to: *mut Timeout) {
    let (Some(mgr), Some(to)) = (NonNull::new(mgr), NonNull::new(to)) else {
        return;
    };
    // SAFETY: the caller owns manager and timeouts.
    unsafe { with_lists(mgr, |lists, memory| lists.disarm(memory, to)) }
}

/// Calls the handler once for each timeout that is due. The handler may arm
/// and disarm timeouts, and finds its own disarmed.
///
/// # Safety
/// `mgr` is NULL or initialised and used by this thread only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_timeout_poll(mgr: *mut TimeoutManager) {
    // SAFETY: passed on from the caller.
    unsafe { util_timeout_poll_ts(mgr, util_timeout_time_us()) }
}

/// The same as `util_timeout_poll` at time `cur_ts`, from
/// `util_timeout_time_us`.
///
/// # Safety
/// As for `util_timeout_poll`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_timeout_poll_ts(mgr: *mut TimeoutManager, cur_ts: u32) {
    let Some(mgr) = NonNull::new(mgr) else {
        return;
    };
    // SAFETY: the caller owns manager and timeouts.
    unsafe { with_lists(mgr, |lists, memory| lists.expire(memory, cur_ts)) };
    loop {
        // SAFETY: as above, and still so when the handler has changed them.
        let due = unsafe { with_lists(mgr, |lists, memory| lists.pop_due(memory)) };
        let Some(due) = due else {
            return;
        };
        // SAFETY: the caller owns manager and timeouts, and gave the handler
        // for just this use.
        unsafe {
            let manager = mgr.as_ptr();
            if let Some(handler) = (*manager).handler {
                let r#type = (*due.as_ptr()).timeout_type as u8;
                handler(due.as_ptr(), r#type, (*manager).handler_opaque);
            }
        }
    }
}

/// Returns the microseconds from `cur_ts` until a timeout is due, 0 if one is
/// overdue, all ones if none is armed.
///
/// # Safety
/// `mgr` is NULL or initialised and used by this thread only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_timeout_next(mgr: *mut TimeoutManager, cur_ts: u32) -> u32 {
    let Some(mgr) = NonNull::new(mgr) else {
        return u32::MAX;
    };
    // SAFETY: the caller owns manager and timeouts.
    let next = unsafe { with_lists(mgr, |lists, memory| lists.until_next(memory, cur_ts)) };
    next.unwrap_or(u32::MAX)
}
