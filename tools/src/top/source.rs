//! Looks at the service: its numbers and its connections at one time.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::time::{ClockId, clock_gettime};
use tas_abi::memif::FlowSt;

use crate::region;
use crate::state::each_flow;
use crate::stats::{Snapshot, Stats};

/// The service at a time.
#[derive(Clone, Debug)]
pub struct Sample {
    /// CLOCK_MONOTONIC, in nanoseconds.
    pub at: u64,
    /// Its numbers.
    pub stats: Snapshot,
    /// Its connections, by flow id.
    pub flows: BTreeMap<u32, FlowSt>,
    /// Names of the applications' processes, by process id.
    pub names: BTreeMap<u64, String>,
}

impl Sample {
    /// Looks now. Everything is opened anew, so that a service that was started again is found.
    ///
    /// # Errors
    /// No service runs here, or it does not let us look.
    pub fn take() -> io::Result<Sample> {
        let stats = Stats::open()?.read()?;
        let mut flows = BTreeMap::new();
        each_flow(&*region::internal()?, |id, state| {
            flows.insert(id, *state);
            Ok(())
        })?;
        let apps = stats.group("app");
        let pids = (0..apps.rows.len()).map(|row| apps.value(row, "pid"));
        let names = pids.map(|pid| (pid, name(pid))).collect();
        let now = clock_gettime(ClockId::Monotonic);
        Ok(Sample {
            at: now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64,
            stats,
            flows,
            names,
        })
    }
}

/// The name of a process, as far as this user and process namespace can tell.
fn name(pid: u64) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "?".to_owned(), |name| name.trim_end().to_owned())
}
