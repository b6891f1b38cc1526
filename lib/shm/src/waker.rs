//! Waking a sleeper that says when it sleeps.
//!
//! Unlike a [`Doorbell`](crate::Doorbell)'s, this sleeper need not poll for an
//! interval first. It announces its sleep, looks at its queues once more, and
//! blocks on its eventfd. A producer publishes, then looks whether a sleep is
//! announced, and writes the eventfd only then. Each passes a full fence
//! between its own write and the look at the other's, so whichever comes
//! second sees what the first one wrote.

use std::sync::Arc;

use crate::OutOfBounds;
use crate::doorbell::EventFd;
use crate::region::Mapping;
use crate::sync::{AtomicU64, Ordering, fence};

const AWAKE: u64 = 0;
const ASLEEP: u64 = 1;

// Everybody changes the flag by exchanges, so that their order is that of the
// values: a producer that ends a sleep cannot end the next one unseen.

pub(crate) fn announce(flag: &AtomicU64) {
    flag.swap(ASLEEP, Ordering::AcqRel);
    fence(Ordering::SeqCst);
}

pub(crate) fn awake(flag: &AtomicU64) {
    flag.swap(AWAKE, Ordering::AcqRel);
}

/// The producer's side, to be called after publishing: whether the owner of
/// the flag must be woken. The flag may lie in memory that this process can
/// only read.
#[inline]
pub fn must_wake(flag: &AtomicU64) -> bool {
    fence(Ordering::SeqCst);
    flag.load(Ordering::Relaxed) != AWAKE
}

/// The same where the producer can write the flag: of several, one wakes.
#[inline]
pub(crate) fn ends_sleep(flag: &AtomicU64) -> bool {
    must_wake(flag) && flag.swap(AWAKE, Ordering::AcqRel) != AWAKE
}

/// Wakes a thread of this process.
#[derive(Debug)]
pub struct Waker {
    flag: AtomicU64,
    event: EventFd,
}

impl Waker {
    /// A waker around `event`, for a thread that is awake.
    pub fn new(event: EventFd) -> Waker {
        Waker {
            flag: AtomicU64::new(AWAKE),
            event,
        }
    }

    /// Says that this thread is about to block on the eventfd. It must look at
    /// its queues once more before it does.
    pub fn announce(&self) {
        announce(&self.flag);
    }

    /// Says that this thread is awake again.
    pub fn awake(&self) {
        awake(&self.flag);
    }

    /// Wakes the thread if it has announced its sleep. To be called after
    /// publishing.
    #[inline]
    pub fn wake(&self) {
        if ends_sleep(&self.flag) {
            self.event.notify();
        }
    }

    /// The eventfd to block on and to drain afterwards.
    pub fn event(&self) -> &EventFd {
        &self.event
    }
}

/// The flag of a thread that other processes wake, in a page which they can
/// read and test with [`must_wake`]. Nobody else writes it.
#[derive(Debug)]
pub struct SleepSign {
    page: Arc<Mapping>,
    at: u64,
}

impl SleepSign {
    /// A flag in the 8-aligned word at byte `at`, for a thread that is awake.
    ///
    /// # Errors
    /// The page has no such word, or may not be written.
    pub fn new(page: Arc<Mapping>, at: u64) -> Result<SleepSign, OutOfBounds> {
        page.store_u64(at, AWAKE)?;
        Ok(SleepSign { page, at })
    }

    /// As [`Waker::announce`].
    pub fn announce(&self) {
        self.set(ASLEEP);
        fence(Ordering::SeqCst);
    }

    /// As [`Waker::awake`].
    pub fn awake(&self) {
        self.set(AWAKE);
    }

    fn set(&self, value: u64) {
        let stored = self.page.store_u64(self.at, value);
        debug_assert!(stored.is_ok(), "it was possible before");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_an_announced_sleep_is_ended() {
        let waker = Waker::new(EventFd::new().unwrap());
        waker.wake();
        assert!(!waker.event().drain());
        waker.announce();
        waker.wake();
        waker.wake();
        assert!(waker.event().drain());
        assert!(!waker.event().drain());
        waker.announce();
        waker.awake();
        waker.wake();
        assert!(!waker.event().drain());
    }

    #[test]
    fn a_sign_is_seen_through_a_read_only_mapping() {
        let file = crate::Backing::memfd_unsealed("page", 4096, false).unwrap();
        let page = Arc::new(Mapping::new(file.fd(), 4096, true).unwrap());
        let readable = Mapping::new(file.fd(), 4096, false).unwrap();
        assert!(SleepSign::new(Arc::clone(&page), 4092).is_err());
        let sign = SleepSign::new(page, 1232).unwrap();
        sign.announce();
        assert_eq!(readable.load_u64(1232), Ok(ASLEEP));
        sign.awake();
        assert_eq!(readable.load_u64(1232), Ok(AWAKE));
        let private = AtomicU64::new(ASLEEP);
        assert!(must_wake(&private));
    }
}
