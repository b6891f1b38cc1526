//! Waiting for several descriptors.

use std::ffi::{c_int, c_ulong};

use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};
use tas_sockets::ffi::user::is_address;

use super::entry::by_descriptor;
use crate::real::{self, set_errno};
use crate::sockets::undisturbed;
use crate::{sockets, state};

by_descriptor! {
    epoll_ctl(epfd: c_int, op: c_int, fd: c_int, event: *mut epoll_event) -> c_int
        => tas_epoll_ctl;
    epoll_wait(epfd: c_int, events: *mut epoll_event, count: c_int, timeout: c_int) -> c_int
        => tas_epoll_wait;
    epoll_pwait(epfd: c_int, events: *mut epoll_event, count: c_int, timeout: c_int,
        mask: *const sigset_t) -> c_int => tas_epoll_pwait;
    epoll_pwait2(epfd: c_int, events: *mut epoll_event, count: c_int, timeout: *const timespec,
        mask: *const sigset_t) -> c_int => tas_epoll_pwait2;
}

/// # Safety
/// None; unsafe as its like.
#[unsafe(export_name = "tas_interpose_epoll_create1")]
pub(super) unsafe extern "C-unwind" fn epoll_create1(flags: c_int) -> c_int {
    // SAFETY: no pointers.
    unsafe {
        if !undisturbed(state::may_have_sockets) {
            return real::epoll_create1(flags);
        }
        sockets::tas_epoll_create1(flags)
    }
}

/// # Safety
/// None; unsafe as its like.
#[unsafe(export_name = "tas_interpose_epoll_create")]
pub(super) unsafe extern "C-unwind" fn epoll_create(size: c_int) -> c_int {
    if size <= 0 {
        set_errno(libc::EINVAL);
        return -1;
    }
    // SAFETY: no pointers.
    unsafe { epoll_create1(0) }
}

/// Whether one of the descriptors is ours.
///
/// # Safety
/// As for `poll`.
pub(super) unsafe fn any_polled(fds: *const pollfd, count: nfds_t) -> bool {
    // The kernel says EFAULT.
    if !sockets::any() || !is_address(fds.cast()) {
        return false;
    }
    (0..count as usize).any(|at| {
        // SAFETY: within the caller's array. Read one by one, as another
        // thread of the program may write what we do not read.
        let fd = unsafe { (*fds.add(at)).fd };
        sockets::is_ours(fd)
    })
}

/// Whether a descriptor in one of the sets is ours.
///
/// # Safety
/// As for `select`.
pub(super) unsafe fn any_selected(count: c_int, sets: [*const fd_set; 3]) -> bool {
    if !sockets::any() || count <= 0 {
        return false;
    }
    const BITS: usize = c_ulong::BITS as usize;
    let count = count as usize;
    sets.into_iter()
        .filter(|set| is_address(set.cast()))
        .any(|set| {
            let words: *const c_ulong = set.cast();
            (0..count.div_ceil(BITS)).any(|at| {
                // SAFETY: the sets have `count` bits; programs with more than
                // FD_SETSIZE descriptors allocate longer ones.
                let mut word = unsafe { words.add(at).read() };
                while word != 0 {
                    let fd = at * BITS + word.trailing_zeros() as usize;
                    if fd < count && sockets::is_ours(fd as c_int) {
                        return true;
                    }
                    word &= word - 1;
                }
                false
            })
        })
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_poll")]
pub(super) unsafe extern "C-unwind" fn poll(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match any_polled(fds, count) {
            true => sockets::tas_poll(fds, count, timeout),
            false => real::poll(fds, count, timeout),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_ppoll")]
pub(super) unsafe extern "C-unwind" fn ppoll(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match any_polled(fds, count) {
            true => sockets::tas_ppoll(fds, count, timeout, mask),
            false => real::ppoll(fds, count, timeout, mask),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_select")]
pub(super) unsafe extern "C-unwind" fn select(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *mut timeval,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match any_selected(count, [read, write, except].map(<*mut fd_set>::cast_const)) {
            true => sockets::tas_select(count, read, write, except, timeout),
            false => real::select(count, read, write, except, timeout),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_pselect")]
pub(super) unsafe extern "C-unwind" fn pselect(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match any_selected(count, [read, write, except].map(<*mut fd_set>::cast_const)) {
            true => sockets::tas_pselect(count, read, write, except, timeout, mask),
            false => real::pselect(count, read, write, except, timeout, mask),
        }
    }
}
