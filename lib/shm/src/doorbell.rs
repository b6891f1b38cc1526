//! Waking a consumer that sleeps on an eventfd, without a system call per entry.
//!
//! A producer publishes, then reads the clock, and kicks only if its last kick
//! is older than the consumer's poll interval. A consumer keeps polling for
//! that interval after its last work or kick and polls once more right before
//! it blocks. An entry published without a kick was published within an
//! interval of a kick; the consumer had that kick drained or will find it
//! readable, and in the first case polls past the end of the interval. Both
//! sides put a full fence between the memory access and the clock.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::kick::kick;
use crate::sync::{Ordering, fence};
use crate::tsc::rdtsc_ordered;

/// A poll interval, in cycles, that means: never sleeps, needs no kick.
pub const NEVER: u64 = u64::MAX;

/// A counter to wait on; the consumer's end and the producer's are the same.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new eventfd, non-blocking and closed on exec.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: no pointers involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor just made and owned by nobody else.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The same with a high number, as [`out_of_the_way`](crate::fdpass::out_of_the_way) gives it.
    #[must_use]
    pub fn out_of_the_way(self) -> EventFd {
        EventFd(crate::fdpass::out_of_the_way(self.0))
    }

    /// Takes over a descriptor that a peer sent.
    ///
    /// # Errors
    /// `InvalidInput` unless it is an eventfd: writing to anything else could
    /// block or raise a signal.
    pub fn from_peer(fd: OwnedFd) -> io::Result<EventFd> {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        if link.as_os_str() != "anon_inode:[eventfd]" {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not an eventfd",
            ));
        }
        Ok(EventFd(fd))
    }

    /// Makes the eventfd readable. A peer that shares it can make this block,
    /// unless the process called [`guard_kicks`](crate::guard_kicks).
    pub fn notify(&self) {
        kick(self.0.as_fd());
    }

    /// Makes the eventfd unreadable; returns whether it was readable. Never
    /// blocks, not even if a peer that shares it made it blocking.
    pub fn drain(&self) -> bool {
        let mut count = [0u8; 8];
        let part = libc::iovec {
            iov_base: count.as_mut_ptr().cast(),
            iov_len: count.len(),
        };
        // SAFETY: one iovec over a live array.
        let got = unsafe { libc::preadv2(self.0.as_raw_fd(), &part, 1, -1, libc::RWF_NOWAIT) };
        got == count.len() as isize
    }

    /// Another handle on the same counter.
    pub fn try_clone(&self) -> io::Result<EventFd> {
        self.0.try_clone().map(EventFd)
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<EventFd> for OwnedFd {
    fn from(event: EventFd) -> OwnedFd {
        event.0
    }
}

/// When a producer's next kick is due.
#[derive(Debug)]
pub(crate) struct Throttle {
    poll_cycle: u64,
    last_kick: Option<u64>,
}

impl Throttle {
    pub(crate) fn new(poll_cycle: u64) -> Throttle {
        Throttle {
            poll_cycle,
            last_kick: None,
        }
    }

    /// Whether to kick now, after publishing. `clock` is read behind a full
    /// fence: the entry is visible before the time is taken.
    #[inline]
    pub(crate) fn due(&mut self, clock: impl FnOnce() -> u64) -> bool {
        if self.poll_cycle == NEVER {
            return false;
        }
        fence(Ordering::SeqCst);
        let now = clock();
        let recent = |last: u64| now.wrapping_sub(last) <= self.poll_cycle;
        if self.last_kick.is_some_and(recent) {
            return false;
        }
        self.last_kick = Some(now);
        true
    }
}

/// The producer's side of a consumer's eventfd.
#[derive(Debug)]
pub struct Doorbell {
    event: EventFd,
    throttle: Throttle,
}

impl Doorbell {
    /// A doorbell for a consumer that polls for `poll_cycle` cycles before it
    /// sleeps (`u64::MAX`: it never sleeps).
    pub fn new(event: EventFd, poll_cycle: u64) -> Doorbell {
        Doorbell {
            event,
            throttle: Throttle::new(poll_cycle),
        }
    }

    /// Call after publishing. Kicks unless the last kick is so recent that the
    /// consumer must still be polling; returns whether it did.
    #[inline]
    pub fn ring_if_needed(&mut self) -> bool {
        let due = self.throttle.due(rdtsc_ordered);
        if due {
            self.event.notify();
        }
        due
    }

    /// Kicks, always.
    pub fn ring(&self) {
        self.event.notify();
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// The consumer's side: decides when it may block.
///
/// Call [`active`](SleepGate::active) whenever there was work and after every
/// drain of the eventfd. When [`may_sleep`](SleepGate::may_sleep) says yes,
/// poll everything once more, and block only if still nothing was found.
#[derive(Debug)]
pub struct SleepGate {
    poll_cycle: u64,
    last_active: u64,
}

impl SleepGate {
    /// A gate for a consumer that polls for `poll_cycle` cycles before it
    /// sleeps (`u64::MAX`: it never sleeps).
    pub fn new(poll_cycle: u64) -> SleepGate {
        SleepGate::starting(poll_cycle, rdtsc_ordered)
    }

    pub(crate) fn starting(poll_cycle: u64, clock: impl FnOnce() -> u64) -> SleepGate {
        SleepGate {
            poll_cycle,
            last_active: clock(),
        }
    }

    /// Notes that there was work, or that the eventfd was just drained.
    #[inline]
    pub fn active(&mut self) {
        self.active_at(rdtsc_ordered);
    }

    pub(crate) fn active_at(&mut self, clock: impl FnOnce() -> u64) {
        self.last_active = clock();
    }

    /// Whether the interval passed without work. If so, the caller's next
    /// poll sees everything that was published without a kick.
    #[inline]
    pub fn may_sleep(&self) -> bool {
        self.may_sleep_at(rdtsc_ordered)
    }

    pub(crate) fn may_sleep_at(&self, clock: impl FnOnce() -> u64) -> bool {
        if self.poll_cycle == NEVER || clock().wrapping_sub(self.last_active) <= self.poll_cycle {
            return false;
        }
        fence(Ordering::SeqCst);
        true
    }
}

#[cfg(all(test, not(loom)))]
#[path = "doorbell_tests.rs"]
mod tests;
