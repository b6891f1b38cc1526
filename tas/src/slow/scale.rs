//! How many cores are on, and which flow groups each of them has.
//!
//! The cores that are on are the first ones. The load says how many there should be, unless an
//! application or the operator says so; a round of steering ([`crate::fast`]) moves groups to where
//! they are to be, one round at a time.

use std::sync::Arc;

use tas_abi::memif::{FLEXNIC_PL_MAX_FLOWGROUPS, PlMem};
use tas_shm::{Mapping, Placed};

use super::effects::CoreLink;
use crate::fast::counters::CoreCounters;
use crate::link::ToFast;
use crate::nic::Redirect;
use crate::steering::Steering;
use crate::types::{CoreId, FlowGroup, Micros};

/// One core more when so little of one is idle, in thousandths of a core.
const IDLE_TOO_LITTLE: u64 = 200;
/// One core less when more than so much is idle. A core more must leave less than that idle.
const IDLE_TOO_MUCH: u64 = 1250;
/// How often the load is measured, and how often while next to nothing is to do.
const SAMPLE: Micros = Micros::from_millis(10);
const SAMPLE_IDLE: Micros = Micros::from_millis(100);
/// A load, in thousandths of a core, that counts as next to nothing.
const QUIET: u64 = 100;
/// Weight of the latest measurement in the average: one in so many.
const WEIGHT: u64 = 8;
/// How long the load is watched after a change before the next.
const SETTLE: Micros = Micros::from_millis(100);
/// How long a number of cores stays that was asked for.
const ASKED: Micros = Micros::from_millis(10_000);

/// The cores' load, on average, and when it was last measured.
struct Monitor {
    counters: Vec<Placed<CoreCounters>>,
    /// Of the cycles that cores count.
    cycles_per_us: u64,
    busy: u64,
    measured: Micros,
    next: Micros,
    settled: Micros,
    /// In thousandths of a core.
    load: u64,
}

impl Monitor {
    fn measure(&mut self, now: Micros) {
        let busy = self.counters.iter().fold(0u64, |sum, core| {
            // A core that waits for its CPU with work to do has none to spare.
            let core = core
                .busy_cycles
                .get()
                .wrapping_add(core.kept_away_cycles.get());
            sum.wrapping_add(core)
        });
        let passed = now
            .since(self.measured)
            .0
            .saturating_mul(self.cycles_per_us);
        let load = busy.wrapping_sub(self.busy).saturating_mul(1000) / passed.max(1);
        self.busy = busy;
        self.measured = now;
        self.load = (self.load * (WEIGHT - 1) + load) / WEIGHT;
        self.next = now
            + if self.load < QUIET {
                SAMPLE_IDLE
            } else {
                SAMPLE
            };
    }
}

/// The number of cores for a load, in thousandths of a core, with `active` on of `cores`.
fn judge(active: u16, cores: u16, load: u64) -> u16 {
    let idle = (u64::from(active) * 1000).saturating_sub(load);
    if idle < IDLE_TOO_LITTLE && active < cores {
        active + 1
    } else if idle > IDLE_TOO_MUCH && active > 1 {
        active - 1
    } else {
        active
    }
}

/// Shares the groups out evenly among the first `active` cores, moving as few as possible.
fn share_out(table: &mut [CoreId], active: u16) {
    let active = usize::from(active.max(1));
    let share = table.len() / active;
    let mut extra = table.len() % active;
    let mut has = vec![0; active];
    let mut homeless = Vec::new();
    for (group, core) in table.iter().enumerate() {
        match has.get_mut(usize::from(core.0)) {
            Some(has) if *has < share => *has += 1,
            Some(has) if *has == share && extra > 0 => {
                *has += 1;
                extra -= 1;
            }
            _ => homeless.push(group),
        }
    }
    let short = (0u16..)
        .zip(&has)
        .flat_map(|(core, has)| std::iter::repeat_n(core, share.saturating_sub(*has)));
    let full = (0u16..)
        .zip(&has)
        .filter(|(_, has)| **has <= share)
        .map(|(core, _)| core)
        .take(extra);
    for (group, core) in homeless.into_iter().zip(short.chain(full)) {
        if let Some(place) = table.get_mut(group) {
            *place = CoreId(core);
        }
    }
}

/// What the number of cores follows from.
pub struct ScalerParts {
    /// The table that cores steer by.
    pub steering: Arc<Steering>,
    /// Cores there are.
    pub cores: u16,
    /// Their counters when the load decides, and the speed of the clock they count by, in cycles
    /// per microsecond; `None`: all cores are always on unless somebody asks for fewer.
    pub autoscale: Option<(Vec<Placed<CoreCounters>>, u64)>,
    /// The port's redirection table, if it has one.
    pub redirect: Option<Box<dyn Redirect>>,
    /// Where tools look for the steering table, if anywhere.
    pub internal: Option<Arc<Mapping>>,
}

/// Decides how many cores are on, and has flows moved.
pub struct Scaler {
    steering: Arc<Steering>,
    cores: u16,
    active: u16,
    wanted: u16,
    /// Cores that are not through with the round that is under way.
    in_round: u16,
    monitor: Option<Monitor>,
    redirect: Option<Box<dyn Redirect>>,
    internal: Option<Arc<Mapping>>,
}

impl Scaler {
    /// Shares out the groups before any core runs: with autoscaling to one core, else to all.
    pub fn new(parts: ScalerParts, now: Micros) -> Scaler {
        let cores = parts.cores.max(1);
        let active = if parts.autoscale.is_some() { 1 } else { cores };
        let monitor = parts.autoscale.map(|(counters, cycles_per_us)| Monitor {
            counters,
            cycles_per_us,
            busy: 0,
            measured: now,
            next: now + SAMPLE,
            settled: now + SETTLE,
            load: 0,
        });
        let mut scaler = Scaler {
            steering: parts.steering,
            cores,
            active,
            wanted: active,
            in_round: 0,
            monitor: monitor.filter(|_| cores > 1),
            redirect: parts.redirect,
            internal: parts.internal,
        };
        scaler.steer();
        scaler
    }

    /// Cores that are on, or are about to be once a round is over.
    #[must_use]
    pub fn active(&self) -> u16 {
        self.active
    }

    /// Somebody asks for a number of cores. False when there are not so many.
    pub fn ask(&mut self, cores: u32, now: Micros) -> bool {
        match u16::try_from(cores) {
            Ok(cores) if (1..=self.cores).contains(&cores) => {
                self.wanted = cores;
                if let Some(monitor) = &mut self.monitor {
                    monitor.settled = now + ASKED;
                }
                true
            }
            _ => false,
        }
    }

    /// When the load is to be measured; may be early.
    #[must_use]
    pub fn next_deadline(&self) -> Micros {
        self.monitor
            .as_ref()
            .map_or(Micros::NEVER, |monitor| monitor.next)
    }

    /// Looks at the load when it is time, and begins a round if groups are to move. True when
    /// there was something to do.
    pub(super) fn turn(&mut self, now: Micros, links: &mut [CoreLink]) -> bool {
        let mut worked = false;
        if let Some(monitor) = &mut self.monitor
            && monitor.next <= now
        {
            monitor.measure(now);
            if monitor.settled <= now && self.wanted == self.active && self.in_round == 0 {
                self.wanted = judge(self.active, self.cores, monitor.load);
                if self.wanted != self.active {
                    monitor.settled = now + SETTLE;
                }
            }
            worked = true;
        }
        if self.wanted != self.active && self.in_round == 0 {
            self.begin_round(links);
            worked = true;
        }
        worked
    }

    fn begin_round(&mut self, links: &mut [CoreLink]) {
        log::debug!("{} of {} cores are on", self.wanted, self.cores);
        self.active = self.wanted;
        self.in_round = self.cores;
        let round = self.steering.begin_round();
        self.steer();
        for link in links {
            link.send(ToFast::Rebalance(round));
        }
    }

    /// A core is through with the round.
    pub(super) fn rebalanced(&mut self) {
        self.in_round = self.in_round.saturating_sub(1);
    }

    /// Shares out the groups, and tells the port and the tools.
    fn steer(&mut self) {
        let mut table = self.steering.table();
        share_out(&mut table, self.active);
        for (group, core) in (0u16..).zip(&table) {
            self.steering.assign(FlowGroup(group), *core);
        }
        if let Some(redirect) = &mut self.redirect
            && let Err(error) = redirect.redirect(&table)
        {
            // Cores still pass on what reaches the wrong one.
            log::warn!("{error}");
            self.redirect = None;
        }
        if let Some(internal) = &self.internal {
            let first = std::mem::offset_of!(PlMem, flow_group_steering) as u64;
            for (group, core) in (0u64..).zip(&table).take(FLEXNIC_PL_MAX_FLOWGROUPS) {
                // Inside the table, so it cannot fail.
                let _ = internal.write_at(first + group, &(core.0 as u8));
            }
        }
    }
}

#[cfg(test)]
#[path = "scale_tests.rs"]
mod tests;
