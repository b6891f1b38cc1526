//! What is logged about applications. Any of them can bring it about as often as it likes, so only
//! so much is written in a time, and the rest is counted.

use std::fmt::Display;

use crate::types::Micros;

/// Lines that are written one after the other.
const AT_ONCE: u64 = 10;
/// After those, one in so much time.
const INTERVAL: Micros = Micros::from_millis(10_000);

/// How much was written.
#[derive(Default)]
pub struct Complaints {
    /// When all that was written would be worth its time.
    paid: Micros,
    /// Lines not written since the last one that was.
    skipped: u64,
    /// All of them.
    withheld: u64,
}

impl Complaints {
    /// Writes a line, unless there were too many.
    pub fn say(&mut self, now: Micros, line: impl Display) {
        if !self.admits(now) {
            self.skipped += 1;
            self.withheld += 1;
            return;
        }
        match std::mem::take(&mut self.skipped) {
            0 => log::warn!("{line}"),
            more => log::warn!("{line} ({more} more about applications were not logged)"),
        }
    }

    /// Lines that were not written.
    pub fn withheld(&self) -> u64 {
        self.withheld
    }

    fn admits(&mut self, now: Micros) -> bool {
        let paid = self.paid.max(now);
        let admitted = paid.since(now) < Micros(INTERVAL.0 * AT_ONCE);
        if admitted {
            self.paid = paid + INTERVAL;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_mostly_withheld() {
        let mut complaints = Complaints::default();
        let second = Micros::from_millis(1000).0;
        for i in 0..100_000 {
            complaints.say(Micros(i * second / 1000), "x");
        }
        // 10 at once and 10 in the 100 seconds.
        assert_eq!(complaints.withheld(), 100_000 - 20);
    }

    #[test]
    fn what_is_rare_is_written() {
        let mut complaints = Complaints::default();
        for i in 0..1000 {
            complaints.say(Micros(i * INTERVAL.0), "x");
        }
        assert_eq!(complaints.withheld(), 0);
        // The time without complaints is not saved up without an end.
        for _ in 0..100 {
            complaints.say(Micros(5000 * INTERVAL.0), "x");
        }
        assert_eq!(complaints.withheld(), 100 - AT_ONCE);
    }
}
