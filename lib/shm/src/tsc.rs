//! The cycle counter as a clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time stamp counter: cycles at a constant rate, the same on all cores.
#[inline]
pub fn rdtsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a counter and has no other effect.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(target_arch = "aarch64")]
    {
        let ticks: u64;
        // SAFETY: reads the virtual counter, which Linux opens to user space.
        unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
        ticks
    }
}

/// The counter, read neither before earlier loads finished nor before later
/// ones began: unlike `rdtsc`, it keeps its place in program order.
#[inline]
pub(crate) fn rdtsc_ordered() -> u64 {
    load_fence();
    let now = rdtsc();
    load_fence();
    now
}

#[inline]
fn load_fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a fence; SSE2 is part of x86_64.
    unsafe {
        core::arch::x86_64::_mm_lfence()
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier, no other effect.
    unsafe {
        core::arch::asm!("isb", options(nostack))
    }
}

/// Converts cycles to microseconds, once calibrated against the system's
/// monotonic clock.
#[derive(Copy, Clone, Debug)]
pub struct TscClock {
    start: u64,
    hz: u64,
    /// Microseconds per cycle, times 2^64.
    us_per_cycle: u64,
}

impl TscClock {
    /// Measures the counter's rate. Takes about 10 ms.
    pub fn calibrate() -> TscClock {
        const MEASURE: Duration = Duration::from_millis(10);
        let (start, began) = both_clocks();
        std::thread::sleep(MEASURE);
        let (end, ended) = both_clocks();
        let cycles = u128::from(end.wrapping_sub(start));
        let hz = cycles * 1_000_000_000 / ended.duration_since(began).as_nanos().max(1);
        Self::with_rate(start, u64::try_from(hz).unwrap_or(u64::MAX))
    }

    /// The process's clock, calibrated on first use.
    pub fn global() -> &'static TscClock {
        static CLOCK: OnceLock<TscClock> = OnceLock::new();
        CLOCK.get_or_init(TscClock::calibrate)
    }

    fn with_rate(start: u64, hz: u64) -> TscClock {
        // Below 1 MHz-and-a-bit the fraction would not fit; no counter is that slow.
        let hz = hz.max(1_000_001);
        let us_per_cycle = ((1_000_000u128 << 64) / u128::from(hz)) as u64;
        TscClock {
            start,
            hz,
            us_per_cycle,
        }
    }

    /// Whole cycles in a microsecond.
    pub fn cycles_per_us(&self) -> u64 {
        self.hz / 1_000_000
    }

    /// Cycles in a second.
    pub fn hz(&self) -> u64 {
        self.hz
    }

    /// Microseconds since calibration.
    #[inline]
    pub fn now_us(&self) -> u64 {
        self.us_at(rdtsc())
    }

    /// Microseconds between calibration and the counter value `tsc`; 0 before.
    #[inline]
    pub fn us_at(&self, tsc: u64) -> u64 {
        let cycles = tsc.saturating_sub(self.start);
        ((u128::from(cycles) * u128::from(self.us_per_cycle)) >> 64) as u64
    }

    /// Cycles in `us` microseconds. `u32::MAX` means never and stays so, as
    /// `u64::MAX`.
    pub fn us_to_cycles(&self, us: u32) -> u64 {
        if us == u32::MAX {
            return u64::MAX;
        }
        let cycles = u128::from(us) * u128::from(self.hz) / 1_000_000;
        u64::try_from(cycles).unwrap_or(u64::MAX - 1)
    }
}

/// The same moment on both clocks: of several looks the one that took least,
/// since anything may come between the two reads on a busy machine.
fn both_clocks() -> (u64, Instant) {
    let look = || {
        let before = rdtsc_ordered();
        let now = Instant::now();
        let took = rdtsc_ordered().wrapping_sub(before);
        (took, before.wrapping_add(took / 2), now)
    };
    let mut best = look();
    for _ in 0..15 {
        let next = look();
        if next.0 < best.0 {
            best = next;
        }
    }
    (best.1, best.2)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn conversions_round_trip() {
        let clock = TscClock::with_rate(1000, 2_500_000_000);
        assert_eq!(clock.cycles_per_us(), 2500);
        assert_eq!(clock.us_to_cycles(10), 25_000);
        assert_eq!(clock.us_to_cycles(u32::MAX), u64::MAX);
        assert_eq!(clock.us_at(500), 0);
        let hour = clock.us_at(1000 + 3600 * 2_500_000_000);
        assert!((3_599_999_999..=3_600_000_000).contains(&hour), "{hour}");
    }

    #[test]
    fn calibrated_clock_follows_the_monotonic_one() {
        let began = Instant::now();
        let clock = TscClock::calibrate();
        assert!(clock.cycles_per_us() > 0);
        let first = clock.now_us();
        std::thread::sleep(Duration::from_millis(20));
        let passed = clock.now_us() - first;
        assert!(passed >= 19_000, "{passed}");
        assert!(u128::from(passed) <= began.elapsed().as_micros());
    }
}
