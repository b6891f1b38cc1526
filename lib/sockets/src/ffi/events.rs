//! The kernel's epolls and polls, by number: not the C library's functions,
//! which an interposing library replaces.

use std::ffi::{c_int, c_long};
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use libc::{epoll_event, sigset_t, timespec};
use rustix::io::Errno;

use super::signals::{KERNEL_SET, SignalSet};
use super::{call, cancel, raw};
use crate::Result;
use crate::wait::Until;

/// How long a call may wait.
#[derive(Clone, Copy)]
pub enum Time {
    /// In milliseconds; negative: for ever.
    Millis(c_int),
    /// A time; `None`: for ever.
    Spec(Option<timespec>),
}

impl Time {
    /// When the time is over, counted from now.
    pub fn until(self) -> Until {
        match self {
            Time::Millis(0) => Until::Now,
            Time::Millis(ms) => Until::after(u64::try_from(ms).ok().map(Duration::from_millis)),
            Time::Spec(time) => Until::after(time.map(|time| {
                let secs = u64::try_from(time.tv_sec).unwrap_or(0);
                Duration::new(secs, u32::try_from(time.tv_nsec).unwrap_or(0))
            })),
        }
    }

    /// For calls that take a `timespec`.
    pub fn spec(self) -> Option<timespec> {
        match self {
            Time::Spec(time) => time,
            Time::Millis(ms) => (ms >= 0).then(|| timespec {
                tv_sec: (ms / 1000).into(),
                tv_nsec: (ms % 1000 * 1_000_000).into(),
            }),
        }
    }

    /// Whether a `timespec` is one.
    ///
    /// # Errors
    /// `EINVAL` if not.
    pub fn check(self) -> Result<Time> {
        match self {
            Time::Spec(Some(time))
                if time.tv_sec < 0 || !(0..1_000_000_000).contains(&time.tv_nsec) =>
            {
                Err(Errno::INVAL)
            }
            time => Ok(time),
        }
    }
}

/// The signal mask of a call, if it has one.
#[derive(Clone, Copy)]
pub struct Mask(Option<SignalSet>);

impl Mask {
    /// The thread's own.
    pub const NONE: Mask = Mask(None);

    /// The one at `mask`.
    ///
    /// # Safety
    /// `mask` is null or points to a set.
    pub unsafe fn from_c(mask: *const sigset_t) -> Mask {
        // SAFETY: the caller's promise.
        Mask((!mask.is_null()).then(|| unsafe { SignalSet::read(mask) }))
    }

    /// The set.
    pub fn set(self) -> Option<SignalSet> {
        self.0
    }
}

/// An address in the kernel's calling convention.
fn address<T>(place: Option<&T>) -> c_long {
    place.map_or(0, |place| {
        ptr::from_ref(place).expose_provenance() as c_long
    })
}

/// The same of what the kernel writes to.
fn room<T>(place: Option<&mut T>) -> c_long {
    place.map_or(0, |place| {
        ptr::from_mut(place).expose_provenance() as c_long
    })
}

/// A system call that waits, if it does: a cancellation point, in which handlers run.
///
/// # Safety
/// As the system call.
unsafe fn wait(time: Time, number: c_long, args: [c_long; 6]) -> Result<usize> {
    // SAFETY: the caller's promise.
    match time {
        Time::Millis(0) => {
            let [a, b, c, d, e, f] = args;
            // SAFETY: the caller's promise.
            checked(unsafe { libc::syscall(number, a, b, c, d, e, f) })
        }
        // SAFETY: the caller's promise.
        _ => call::outside(|| unsafe { cancel::syscall(number, args) }),
    }
}

/// Events that are to be told, in the program's memory.
pub struct Told<'a> {
    room: &'a mut [MaybeUninit<epoll_event>],
    len: usize,
}

impl<'a> Told<'a> {
    /// None yet.
    pub fn new(room: &'a mut [MaybeUninit<epoll_event>]) -> Told<'a> {
        Told { room, len: 0 }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more there may be.
    #[inline]
    pub fn room(&self) -> usize {
        self.room.len() - self.len
    }

    /// Adds one, if there is room.
    #[inline]
    pub fn push(&mut self, events: u32, data: u64) {
        if let Some(place) = self.room.get_mut(self.len) {
            place.write(epoll_event { events, u64: data });
            self.len += 1;
        }
    }

    fn stored(&self) -> &[epoll_event] {
        // SAFETY: the first `len` are initialised, and `MaybeUninit` has the
        // layout of what it holds.
        unsafe { std::slice::from_raw_parts(self.room.as_ptr().cast(), self.len) }
    }

    /// Their bits, and the program's words.
    pub fn events(&self) -> impl Iterator<Item = (u32, u64)> {
        self.stored().iter().map(|event| (event.events, event.u64))
    }

    /// Drops those from `from` on that call threads back from the kernel.
    pub fn drop_recalls(&mut self, from: usize) {
        let mut kept = from;
        for at in from..self.len {
            let event = self.stored().get(at).copied();
            if let Some(event) = event.filter(|event| event.u64 != recall_word())
                && let Some(place) = self.room.get_mut(kept)
            {
                place.write(event);
                kept += 1;
            }
        }
        self.len = kept;
    }
}

/// A word that no object of the program's has as its address.
pub fn recall_word() -> u64 {
    static RECALL: u8 = 0;
    ptr::from_ref(&RECALL).addr() as u64
}

fn checked(result: c_long) -> Result<usize> {
    usize::try_from(result).map_err(|_| raw::last_error())
}

/// As epoll_create1.
///
/// # Errors
/// As epoll_create1(2).
pub fn epoll_create(close_on_exec: bool) -> Result<c_int> {
    let flags = if close_on_exec {
        libc::EPOLL_CLOEXEC
    } else {
        0
    };
    // SAFETY: numbers only.
    let fd = checked(unsafe { libc::syscall(libc::SYS_epoll_create1, flags) })?;
    c_int::try_from(fd).map_err(|_| Errno::MFILE)
}

fn control(epfd: c_int, op: c_int, fd: c_int, events: u32, data: u64) -> Result<()> {
    let event = epoll_event { events, u64: data };
    // SAFETY: a live event.
    checked(unsafe { libc::syscall(libc::SYS_epoll_ctl, epfd, op, fd, &raw const event) })?;
    Ok(())
}

/// EPOLL_CTL_ADD.
///
/// # Errors
/// As epoll_ctl(2).
pub fn epoll_add(epfd: c_int, fd: c_int, events: u32, data: u64) -> Result<()> {
    control(epfd, libc::EPOLL_CTL_ADD, fd, events, data)
}

/// EPOLL_CTL_MOD.
///
/// # Errors
/// As epoll_ctl(2).
pub fn epoll_modify(epfd: c_int, fd: c_int, events: u32, data: u64) -> Result<()> {
    control(epfd, libc::EPOLL_CTL_MOD, fd, events, data)
}

/// EPOLL_CTL_DEL.
///
/// # Errors
/// As epoll_ctl(2).
pub fn epoll_delete(epfd: c_int, fd: c_int) -> Result<()> {
    control(epfd, libc::EPOLL_CTL_DEL, fd, 0, 0)
}

/// What is ready now, at most `most`.
///
/// # Errors
/// As epoll_wait(2).
pub fn epoll_now(epfd: c_int, out: &mut Told<'_>, most: usize) -> Result<()> {
    store(epfd, out, most, Time::Millis(0), Mask::NONE)
}

/// As epoll_pwait2.
///
/// # Errors
/// As epoll_pwait2(2).
pub fn epoll_wait(epfd: c_int, out: &mut Told<'_>, time: Time, mask: Mask) -> Result<()> {
    store(epfd, out, usize::MAX, time, mask)
}

fn store(epfd: c_int, out: &mut Told<'_>, most: usize, time: Time, mask: Mask) -> Result<()> {
    let room = out.room.get_mut(out.len..).unwrap_or_default();
    let most = c_int::try_from(room.len().min(most)).unwrap_or(c_int::MAX);
    let at = room.as_mut_ptr().expose_provenance() as c_long;
    let (mask, len) = (address(mask.0.as_ref()), KERNEL_SET as c_long);
    let (number, limit) = match &time {
        Time::Millis(ms) => (libc::SYS_epoll_pwait, c_long::from(*ms)),
        Time::Spec(spec) => (libc::SYS_epoll_pwait2, address(spec.as_ref())),
    };
    let args = [epfd.into(), at, most.into(), limit, mask, len];
    // SAFETY: live room for as many events, a live time and mask or none.
    let count = unsafe { wait(time, number, args)? };
    out.len += count.min(room.len());
    Ok(())
}

/// As ppoll.
///
/// # Safety
/// `fds` points to `count` entries, or the kernel says EFAULT.
///
/// # Errors
/// As ppoll(2).
pub unsafe fn poll(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    time: Time,
    mask: Mask,
) -> Result<usize> {
    let (fds, count) = (fds.expose_provenance() as c_long, count as c_long);
    // The kernel stores the time that is left in the copy.
    let mut left = time.spec();
    let (number, args) = match time {
        Time::Millis(ms) if mask.0.is_none() => (libc::SYS_poll, [fds, count, ms.into(), 0, 0, 0]),
        _ => {
            let (left, mask) = (room(left.as_mut()), address(mask.0.as_ref()));
            let args = [fds, count, left, mask, KERNEL_SET as c_long, 0];
            (libc::SYS_ppoll, args)
        }
    };
    // SAFETY: the caller's promise; a live time and mask or none.
    unsafe { wait(time, number, args) }
}

/// As pselect6.
///
/// # Safety
/// The sets are null or hold `count` descriptors, or the kernel says EFAULT.
///
/// # Errors
/// As pselect(2).
pub unsafe fn select(
    count: c_int,
    sets: [*mut libc::fd_set; 3],
    time: Option<timespec>,
    mask: Mask,
) -> Result<usize> {
    let [read, write, except] = sets.map(|set| set.expose_provenance() as c_long);
    let signals = [address(mask.0.as_ref()), KERNEL_SET as c_long];
    // The kernel stores the time that is left in the copy.
    let mut left = time;
    let args = [
        count.into(),
        read,
        write,
        except,
        room(left.as_mut()),
        address(Some(&signals)),
    ];
    // SAFETY: the caller's promise; a live time and mask or none.
    unsafe { wait(Time::Spec(time), libc::SYS_pselect6, args) }
}
