//! Polling on a CPU that others may need.
//!
//! Whether a thread has its CPU to itself cannot be asked: any thread of any
//! process may be pinned to it, now or later. But it can be measured. A
//! `sched_yield` with nobody waiting for the CPU returns at once, and one that
//! let somebody run takes a context switch or two longer. So a poller yields
//! whenever it finds nothing while the CPU is shared, and hardly ever while it
//! is not.

use crate::tsc::rdtsc;

/// A yield that takes fewer cycles than this switched to nobody. The system
/// call alone takes some 500, two context switches upward of 2,500.
const ALONE: u64 = 2048;
/// Most cycles between two yields of a poller that is alone: what somebody who
/// wakes up on this CPU waits for at most, for less than 1 % of the time spent
/// without work.
const LONGEST_PAUSE: u64 = 1 << 17;
/// A yield that takes more cycles than this went to somebody who does not yield: the kernel took the
/// CPU back from him when its clock ticked, or he had to wait for something.
const LONG: u64 = 1 << 20;
/// Cycles for which a long yield is remembered.
const MEMORY: u64 = 1 << 32;
/// Cycles after a sleep in which somebody who does not yield gets nothing, before the answer of
/// whoever was woken in turn: it comes within this time, if not from this CPU.
const GRACE: u64 = 1 << 19;
/// Pauses grow by this and by a quarter, so that a yield comes late by a
/// quarter of the time that was spent waiting, at most.
const PAUSE_STEP: u64 = 512;

/// When a polling thread lets others run. One per thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Yielder {
    /// The end of the last yield.
    last: u64,
    /// Cycles before the next; 0: somebody used the last.
    pause: u64,
}

impl Yielder {
    /// For a thread that does not know yet whether others need its CPU.
    pub const fn new() -> Yielder {
        Yielder { last: 0, pause: 0 }
    }

    /// To be called when a poll found nothing. Lets others run if any seem to
    /// be there, otherwise returns at once. Returns for how many cycles others
    /// had the CPU.
    #[inline]
    pub fn idle(&mut self) -> u64 {
        self.idle_after(|| ())
    }

    /// The same, with something to do before a yield.
    #[inline]
    pub fn idle_after(&mut self, before: impl FnOnce()) -> u64 {
        let now = rdtsc();
        if !self.due(now) {
            return 0;
        }
        before();
        let now = rdtsc();
        std::thread::yield_now();
        self.yielded(now, rdtsc())
    }

    #[inline]
    fn due(&self, now: u64) -> bool {
        now.wrapping_sub(self.last) >= self.pause
    }

    fn yielded(&mut self, began: u64, ended: u64) -> u64 {
        self.last = ended;
        let took = ended.wrapping_sub(began);
        if took < ALONE {
            self.pause = (self.pause + self.pause / 4 + PAUSE_STEP).min(LONGEST_PAUSE);
            return 0;
        }
        self.pause = 0;
        took
    }
}

/// The [`Yielder`] of a thread that others wait for when it wakes up.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrudgingYielder {
    yielder: Yielder,
    /// The end of the last long yield, if there was any.
    long: Option<u64>,
    /// The end of the last sleep, until what it brought has been answered.
    woken: Option<u64>,
}

impl GrudgingYielder {
    /// As [`Yielder::new`].
    pub const fn new() -> GrudgingYielder {
        GrudgingYielder {
            yielder: Yielder::new(),
            long: None,
            woken: None,
        }
    }

    /// As [`Yielder::idle_after`].
    #[inline]
    pub fn idle_after(&mut self, before: impl FnOnce()) -> u64 {
        if self.is_grudging(rdtsc()) {
            return 0;
        }
        let took = self.yielder.idle_after(before);
        self.note(took, rdtsc());
        took
    }

    /// To be called after a sleep, if others are woken by what it brings, and their answer needs
    /// this thread.
    pub fn woken(&mut self) {
        self.woken = Some(rdtsc());
    }

    /// Their answer has come.
    #[inline]
    pub fn answered(&mut self) {
        self.woken = None;
    }

    /// Has just woken up, on a CPU that a yield might lose for long.
    #[inline]
    fn is_grudging(&self, now: u64) -> bool {
        self.woken
            .is_some_and(|woken| now.wrapping_sub(woken) < GRACE)
            && self
                .long
                .is_some_and(|long| now.wrapping_sub(long) < MEMORY)
    }

    /// A yield took so many cycles.
    #[inline]
    fn note(&mut self, took: u64, ended: u64) {
        if took > LONG {
            self.long = Some(ended);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Polls every 50 cycles for `cycles`; returns the yields, each of which takes `cost`.
    fn poll(yielder: &mut Yielder, now: &mut u64, cycles: u64, cost: u64) -> u64 {
        let end = *now + cycles;
        let mut yields = 0;
        while *now < end {
            *now += 50;
            if yielder.due(*now) {
                let began = *now;
                *now += cost;
                yielder.yielded(began, *now);
                yields += 1;
            }
        }
        yields
    }

    #[test]
    fn one_that_is_alone_hardly_yields() {
        let (mut yielder, mut now) = (Yielder::new(), 0);
        assert!(poll(&mut yielder, &mut now, LONGEST_PAUSE * 10, 500) < 40);
        let yields = poll(&mut yielder, &mut now, LONGEST_PAUSE * 100, 500);
        assert!((90..=100).contains(&yields), "{yields}");
    }

    #[test]
    fn one_that_shares_yields_in_every_poll() {
        let (mut yielder, mut now) = (Yielder::new(), 0);
        assert_eq!(poll(&mut yielder, &mut now, 100 * 3050, 3000), 100);
    }

    #[test]
    fn one_that_is_joined_by_another_notices() {
        let (mut yielder, mut now) = (Yielder::new(), 0);
        poll(&mut yielder, &mut now, LONGEST_PAUSE * 10, 500);
        let yields = poll(&mut yielder, &mut now, LONGEST_PAUSE + 10 * 3050, 3000);
        assert!(yields >= 10, "{yields}");
    }

    #[test]
    fn one_that_has_slept_grudges_a_yield_to_who_does_not_give_back() {
        for (cost, grudged) in [(3000, false), (LONG + 1, true)] {
            let (mut yielder, mut now) = (GrudgingYielder::new(), MEMORY);
            yielder.note(cost, now);
            // Not without a sleep.
            assert!(!yielder.is_grudging(now));
            yielder.woken = Some(now);
            assert_eq!(yielder.is_grudging(now), grudged);
            assert_eq!(yielder.is_grudging(now + GRACE - 1), grudged);
            assert!(!yielder.is_grudging(now + GRACE));
            yielder.answered();
            assert!(!yielder.is_grudging(now));
            // Who was there may be gone.
            now += MEMORY;
            yielder.woken = Some(now);
            assert!(!yielder.is_grudging(now));
        }
    }

    #[test]
    fn time_that_others_had_is_told() {
        let mut yielder = Yielder::new();
        assert_eq!(yielder.yielded(10, 10 + ALONE), ALONE);
        assert_eq!(yielder.yielded(5000, 5000 + ALONE - 1), 0);
    }

    #[test]
    fn one_that_waits_for_another_yields_in_time() {
        let (mut yielder, mut now) = (Yielder::new(), 0);
        yielder.yielded(0, ALONE);
        // However long it has waited, the next yield is not much more than a quarter of that away.
        for _ in 0..40 {
            let waited = now;
            while !yielder.due(now) {
                now += 50;
            }
            let (late, most) = (now - waited, waited / 3 + 4 * PAUSE_STEP);
            assert!(late <= most, "{late} cycles late after {waited}");
            yielder.yielded(now, now + 500);
            now += 500;
        }
    }

    #[test]
    fn a_real_yield_returns() {
        let mut yielder = Yielder::new();
        for _ in 0..1000 {
            yielder.idle();
        }
    }
}
