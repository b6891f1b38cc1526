//! epoll, poll and select.

use std::ffi::{c_int, c_long};
use std::mem::MaybeUninit;
use std::ptr;
use std::slice;
use std::time::{Duration, Instant};

use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};
use rustix::io::Errno;

use super::events::{self, Mask, Time, Told};
use super::user::is_address;
use super::{done, guard, waiting};
use crate::epoll::control::{self, Change, Wanted};
use crate::epoll::{self, wait};
use crate::select::{self, Sets};
use crate::wait::Until;
use crate::{Result, poll, table};

/// Sets of descriptors larger than this are held against the process's limit first.
const MANY: nfds_t = 1024;

fn counted(count: usize) -> c_int {
    c_int::try_from(count).unwrap_or(c_int::MAX)
}

/// As epoll_create(2).
#[unsafe(no_mangle)]
pub extern "C" fn tas_epoll_create(size: c_int) -> c_int {
    guard(|| {
        if size <= 0 {
            return Err(Errno::INVAL);
        }
        epoll::create(false)
    })
}

/// As epoll_create1(2).
#[unsafe(no_mangle)]
pub extern "C" fn tas_epoll_create1(flags: c_int) -> c_int {
    guard(|| {
        if flags & !libc::EPOLL_CLOEXEC != 0 {
            return Err(Errno::INVAL);
        }
        epoll::create(flags != 0)
    })
}

/// As epoll_ctl(2). The descriptor may be anything.
///
/// # Safety
/// `event` points to an event, unless `op` is EPOLL_CTL_DEL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_epoll_ctl(
    epfd: c_int,
    op: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    done(|| {
        let wanted = || {
            if !is_address(event.cast()) {
                return Err(Errno::FAULT);
            }
            // SAFETY: the caller's promise.
            let event = unsafe { event.read_unaligned() };
            Ok(Wanted {
                events: event.events,
                data: event.u64,
            })
        };
        if !table::is_ours(epfd) && !table::is_ours(fd) {
            return Err(Errno::BADF);
        }
        let change = match op {
            libc::EPOLL_CTL_ADD => Change::Add(wanted()?),
            libc::EPOLL_CTL_MOD => Change::Modify(wanted()?),
            libc::EPOLL_CTL_DEL => Change::Delete,
            _ => return Err(Errno::INVAL),
        };
        control::control(epfd, fd, change)
    })
}

/// Waits for events in the program's room.
///
/// # Safety
/// `event` points to room for `max` events; `mask` is null or points to a set.
unsafe fn wait_into(
    epfd: c_int,
    event: *mut epoll_event,
    max: c_int,
    time: Time,
    mask: *const sigset_t,
) -> c_int {
    waiting(|| {
        if !table::is_ours(epfd) {
            return Err(Errno::BADF);
        }
        let max = usize::try_from(max).map_err(|_| Errno::INVAL)?;
        let most = c_int::MAX as usize / size_of::<epoll_event>();
        if max == 0 || max > most {
            return Err(Errno::INVAL);
        }
        if !is_address(event.cast()) {
            return Err(Errno::FAULT);
        }
        let time = time.check()?;
        // SAFETY: the caller's promise of room, which is only written.
        let room = unsafe { slice::from_raw_parts_mut(event.cast::<MaybeUninit<_>>(), max) };
        // SAFETY: the caller's promise.
        let mask = unsafe { Mask::from_c(mask) };
        wait::wait(epfd, &mut Told::new(room), time, mask).map(counted)
    })
}

/// As epoll_wait(2).
///
/// # Safety
/// `event` points to room for `max` events.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_epoll_wait(
    epfd: c_int,
    event: *mut epoll_event,
    max: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { wait_into(epfd, event, max, Time::Millis(timeout), ptr::null()) }
}

/// As epoll_pwait(2).
///
/// # Safety
/// As `tas_epoll_wait`; `mask` is null or points to a set.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_epoll_pwait(
    epfd: c_int,
    event: *mut epoll_event,
    max: c_int,
    timeout: c_int,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { wait_into(epfd, event, max, Time::Millis(timeout), mask) }
}

/// As epoll_pwait2(2).
///
/// # Safety
/// As `tas_epoll_pwait`; `timeout` is null or points to a time.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_epoll_pwait2(
    epfd: c_int,
    event: *mut epoll_event,
    max: c_int,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise.
    let time = unsafe { timeout.as_ref() }.copied();
    // SAFETY: the caller's promise.
    unsafe { wait_into(epfd, event, max, Time::Spec(time), mask) }
}

/// Polls the program's entries.
///
/// # Safety
/// `fds` points to `count` entries; `mask` is null or points to a set.
unsafe fn poll_entries(
    fds: *mut pollfd,
    count: nfds_t,
    time: Time,
    mask: *const sigset_t,
) -> c_int {
    waiting(|| {
        let time = time.check()?;
        // SAFETY: the caller's promise.
        let mask = unsafe { Mask::from_c(mask) };
        let many = count > MANY && count > most_descriptors();
        if count == 0 || many || !is_address(fds.cast()) {
            // SAFETY: the caller's promise; the kernel judges the rest.
            return unsafe { events::poll(fds, count, time, mask) }.map(counted);
        }
        let len = usize::try_from(count).map_err(|_| Errno::INVAL)?;
        // SAFETY: the caller's promise.
        let entries = unsafe { slice::from_raw_parts_mut(fds, len) };
        if !poll::any_ours(entries) {
            // SAFETY: the caller's promise.
            return unsafe { events::poll(fds, count, time, mask) }.map(counted);
        }
        poll::poll(entries, time.until(), mask).map(counted)
    })
}

/// RLIMIT_NOFILE.
fn most_descriptors() -> nfds_t {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(nfds_t::MAX)
}

/// As poll(2), for descriptors of any kind.
///
/// # Safety
/// `fds` points to `count` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { poll_entries(fds, count, Time::Millis(timeout), ptr::null()) }
}

/// As ppoll(2), for descriptors of any kind.
///
/// # Safety
/// As `tas_poll`; `timeout` and `mask` are null or point to a time and a set.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_ppoll(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise.
    let time = unsafe { timeout.as_ref() }.copied();
    // SAFETY: the caller's promise.
    unsafe { poll_entries(fds, count, Time::Spec(time), mask) }
}

/// The words of a set.
///
/// # Safety
/// `set` is null or points to a set of `count` descriptors.
unsafe fn words<'a>(set: *mut fd_set, count: usize) -> Option<&'a mut [u64]> {
    // SAFETY: the caller's promise: a set is of whole longs, which are 64 bits.
    (!set.is_null()).then(|| unsafe { slice::from_raw_parts_mut(set.cast(), select::words(count)) })
}

/// Selects among the program's sets.
///
/// # Safety
/// `sets` are null or point to sets of `count` descriptors; `mask` is null or
/// points to a set of signals.
unsafe fn select_sets(
    count: c_int,
    sets: [*mut fd_set; 3],
    time: Option<timespec>,
    mask: *const sigset_t,
) -> Result<c_int> {
    let len = usize::try_from(count).map_err(|_| Errno::INVAL)?;
    let bad = |set: &*mut fd_set| !set.is_null() && !is_address(set.cast());
    let time = Time::Spec(time).check()?;
    // SAFETY: the caller's promise.
    let mask = unsafe { Mask::from_c(mask) };
    let [read, write, except] = sets;
    let many = len > MANY as usize && len as nfds_t > most_descriptors();
    if many || sets.iter().any(bad) {
        // SAFETY: the caller's promise; the kernel judges the rest.
        return unsafe { events::select(count, sets, time.spec(), mask) }.map(counted);
    }
    // SAFETY: the caller's promise.
    let ours = unsafe {
        Sets {
            read: words(read, len),
            write: words(write, len),
            except: words(except, len),
        }
    };
    if !ours.any_ours(len) {
        // SAFETY: the caller's promise.
        return unsafe { events::select(count, sets, time.spec(), mask) }.map(counted);
    }
    select::select(len, ours, time.until(), mask).map(counted)
}

/// As select(2), for descriptors of any kind. Stores the time that is left.
///
/// # Safety
/// The sets are null or hold `count` descriptors; `timeout` is null or points to a time.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_select(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *mut timeval,
) -> c_int {
    waiting(|| {
        // SAFETY: the caller's promise.
        let timeout = unsafe { timeout.as_mut() };
        let time = timeout.as_deref().map(to_spec).transpose()?;
        let end = time.and_then(|time| match Time::Spec(Some(time)).until() {
            Until::Time(end) => Some(end),
            Until::Now | Until::Forever => None,
        });
        // SAFETY: the caller's promise.
        let selected = unsafe { select_sets(count, [read, write, except], time, ptr::null()) };
        if let (Some(timeout), Some(end)) = (timeout, end) {
            let left = end.saturating_duration_since(Instant::now());
            *timeout = from_duration(left);
        }
        selected
    })
}

fn to_spec(time: &timeval) -> Result<timespec> {
    const MICROS: c_long = 1_000_000;
    if time.tv_sec < 0 || time.tv_usec < 0 {
        return Err(Errno::INVAL);
    }
    Ok(timespec {
        tv_sec: time.tv_sec.saturating_add(time.tv_usec / MICROS),
        tv_nsec: time.tv_usec % MICROS * 1000,
    })
}

fn from_duration(time: Duration) -> timeval {
    timeval {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_usec: time.subsec_micros().into(),
    }
}

/// As pselect(2), for descriptors of any kind.
///
/// # Safety
/// As `tas_select`; `mask` is null or points to a set of signals.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_pselect(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    waiting(|| {
        // SAFETY: the caller's promise.
        let time = unsafe { timeout.as_ref() }.copied();
        // SAFETY: the caller's promise.
        unsafe { select_sets(count, [read, write, except], time, mask) }
    })
}
