//! What the service's threads have in common when they sleep.

use std::num::NonZeroU64;

use crate::types::Micros;

/// The part of the time without work by which something new may be late.
const LATENESS: u64 = 64;

/// How long a thread sleeps that nobody wakes for some of its work, after `idle` without any:
/// rarely disturbed work is looked for rarely.
pub fn blind_sleep(idle: Micros, shortest: Micros, longest: Micros) -> Micros {
    Micros((idle.0 / LATENESS).max(shortest.0).min(longest.0))
}

/// Makes this thread's sleeps end when asked for, instead of up to 50 µs later, when the kernel
/// finds it convenient.
pub fn sleep_precisely() {
    // Where it is refused, sleeps are a little longer.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_grow_with_idleness_within_bounds() {
        let sleep = |idle| blind_sleep(Micros(idle), Micros(100), Micros(4000)).0;
        assert_eq!(sleep(0), 100);
        assert_eq!(sleep(10_000), 156);
        assert_eq!(sleep(64_000), 1000);
        assert_eq!(sleep(1_000_000), 4000);
        assert_eq!(sleep(u64::MAX), 4000);
    }
}
