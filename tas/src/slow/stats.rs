//! The line of statistics that is printed every second.

use std::io::Write;

use tas_shm::Placed;

use crate::fast::counters::CoreCounters;
use crate::types::Micros;

const INTERVAL: Micros = Micros::from_millis(1000);

/// What the last line told, so that the next tells what came since.
pub struct Statistics {
    next: Micros,
    last: Totals,
}

/// Sums over all cores since the service's start.
#[derive(Clone, Copy, Default)]
struct Totals {
    drops: u64,
    rexmit: u64,
    ecn: u64,
    acks: u64,
}

impl Totals {
    fn of(counters: &[Placed<CoreCounters>]) -> Totals {
        counters.iter().fold(Totals::default(), |sum, core| {
            let malformed: u64 = core.malformed.iter().map(|counter| counter.get()).sum();
            Totals {
                drops: sum.drops
                    + malformed
                    + core.to_slow_dropped.get()
                    + core.foreign_address.get()
                    + core.no_buffers.get(),
                rexmit: sum.rexmit + core.timeouts.get(),
                ecn: sum.ecn + core.ecn_echoes.get(),
                acks: sum.acks + core.acks_received.get(),
            }
        })
    }
}

impl Statistics {
    /// The first line comes one interval after `now`.
    pub fn new(now: Micros) -> Statistics {
        Statistics {
            next: now + INTERVAL,
            last: Totals::default(),
        }
    }

    /// When the next line is due.
    pub fn next(&self) -> Micros {
        self.next
    }

    /// Prints a line if one is due.
    pub fn tick(&mut self, now: Micros, counters: &[Placed<CoreCounters>]) {
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        let totals = Totals::of(counters);
        let last = std::mem::replace(&mut self.last, totals);
        // A closed stdout is no reason to stop serving.
        let _ = writeln!(
            std::io::stdout(),
            "stats: drops={} k_rexmit={} ecn={} acks={}",
            totals.drops - last.drops,
            totals.rexmit - last.rexmit,
            totals.ecn - last.ecn,
            totals.acks - last.acks
        );
    }
}
