//! The shared page: laid out and described once, then only numbers change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use tas_abi::stats::{
    STATS_MAGIC, STATS_NAME, STATS_VERSION, StatsColumn, StatsGroup, StatsHeader,
};
use tas_shm::{Backing, Mapping, Placed, SharedTable, TscClock};
use thiserror::Error;

use super::column::Column;
use super::publish::{AppValues, slow_columns};
use crate::fast::counters::CoreCounters;
use crate::slow::TENANTS_MAX;

/// Rows begin on cache lines of their own, two at a time as processors fetch them.
const ROW_ALIGN: u64 = 128;
/// It tells of everybody's connections: only the service's user may look.
const MODE: u32 = 0o600;
const PAGE: u64 = 4096;

/// Why there are no statistics.
#[derive(Debug, Error)]
#[error("cannot create /dev/shm/{STATS_NAME}: {0}")]
pub struct StatsError(#[from] io::Error);

/// A group of rows that have the same columns.
pub struct Group {
    /// Its name; for a reader's convenience that of one row.
    pub name: &'static str,
    /// What the rows are.
    pub about: &'static str,
    /// The columns.
    pub columns: Vec<Column>,
}

impl Group {
    /// All groups, in the order of the page.
    pub fn all() -> [Group; 3] {
        [
            Group {
                name: "core",
                about: "Each fast-path core.",
                columns: CoreCounters::columns(),
            },
            Group {
                name: "slow",
                about: "The slow path: connections begin and end there.",
                columns: slow_columns(),
            },
            Group {
                name: "app",
                about: "Each application that is attached.",
                columns: AppValues::columns(),
            },
        ]
    }
}

/// The page and its file, whose name goes when this is dropped.
pub struct StatsPage {
    /// Each core's counters.
    pub cores: Vec<Placed<CoreCounters>>,
    /// The slow path's numbers.
    pub slow: Arc<SharedTable>,
    /// The applications' numbers, a row after the other.
    pub apps: Arc<SharedTable>,
    path: PathBuf,
}

impl StatsPage {
    /// Creates the page for `cores` cores, in place of what a crashed service has left.
    ///
    /// # Errors
    /// The system refuses the file or its memory.
    pub fn create(cores: u32) -> Result<StatsPage, StatsError> {
        Self::create_in(Path::new("/dev/shm"), cores)
    }

    pub(crate) fn create_in(dir: &Path, cores: u32) -> Result<StatsPage, StatsError> {
        let groups = Group::all();
        let rows = [cores, 1, TENANTS_MAX as u32];
        let (descriptions, len) = lay_out(&groups, rows);
        let path = dir.join(STATS_NAME);
        let file = Backing::named(&path, len, MODE)?;
        // A full file system refuses here, rather than when a number is first written.
        file.populate(0, file.len())?;
        let mapping = Arc::new(Mapping::new(file.fd(), file.len(), true)?);
        describe(&mapping, &groups, &descriptions, len)?;
        let [core, slow, app] = descriptions;
        let words = |group: StatsGroup| group.rows * (group.stride / 8) as u32;
        Ok(StatsPage {
            cores: (0..u64::from(cores))
                .map(|row| Placed::map(&mapping, core.values_at + row * core.stride))
                .collect::<io::Result<_>>()?,
            slow: Arc::new(SharedTable::map_table(
                &mapping,
                slow.values_at,
                words(slow),
            )?),
            apps: Arc::new(SharedTable::map_table(&mapping, app.values_at, words(app))?),
            path,
        })
    }
}

impl StatsPage {
    /// The rows in use of each group, each with a number for each column.
    pub fn rows(&self) -> [Vec<Vec<u64>>; 3] {
        let core = |core: &Placed<CoreCounters>| core.each().map(|(_, value)| value).collect();
        let slow = (0..self.slow.count()).map(|index| self.slow.load(index));
        let columns = AppValues::columns().len() as u32;
        let apps = (0..self.apps.count() / columns).map(|row| {
            let at = row * columns;
            (at..at + columns)
                .map(|index| self.apps.load(index))
                .collect::<Vec<u64>>()
        });
        [
            self.cores.iter().map(core).collect(),
            vec![slow.collect()],
            apps.filter(|row| row.first() != Some(&0)).collect(),
        ]
    }
}

impl Drop for StatsPage {
    fn drop(&mut self) {
        // Nothing is lost when it has gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where everything lies, and how long the page is.
fn lay_out(groups: &[Group; 3], rows: [u32; 3]) -> ([StatsGroup; 3], u64) {
    let mut at = (size_of::<StatsHeader>() + groups.len() * size_of::<StatsGroup>()) as u64;
    let mut described = groups.each_ref().map(|group| {
        let columns_at = at;
        at += (group.columns.len() * size_of::<StatsColumn>()) as u64;
        StatsGroup {
            name: text(group.name),
            columns: group.columns.len() as u32,
            rows: 0,
            columns_at,
            values_at: 0,
            stride: 8 * group.columns.len() as u64,
        }
    });
    let [core, ..] = &mut described;
    // A core's row is a whole value, with its padding.
    core.stride = size_of::<CoreCounters>() as u64;
    for (group, rows) in described.iter_mut().zip(rows) {
        at = at.next_multiple_of(ROW_ALIGN);
        group.rows = rows;
        group.values_at = at;
        at += u64::from(rows) * group.stride;
    }
    (described, at.next_multiple_of(PAGE))
}

fn describe(
    mapping: &Mapping,
    groups: &[Group; 3],
    described: &[StatsGroup; 3],
    len: u64,
) -> io::Result<()> {
    for (index, (group, described)) in groups.iter().zip(described).enumerate() {
        let at = size_of::<StatsHeader>() + index * size_of::<StatsGroup>();
        mapping.write_at(at as u64, described)?;
        for (index, column) in group.columns.iter().enumerate() {
            let at = described.columns_at + (index * size_of::<StatsColumn>()) as u64;
            let column = StatsColumn {
                name: text(&column.name),
                kind: column.kind.word(),
                _pad: 0,
                help: text(&column.help),
            };
            mapping.write_at(at, &column)?;
        }
    }
    let now = clock_gettime(ClockId::Monotonic);
    let header = StatsHeader {
        magic: 0,
        version: STATS_VERSION,
        groups: groups.len() as u32,
        len,
        pid: std::process::id(),
        _pad: 0,
        started: now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64,
        cycles_per_second: TscClock::global().hz(),
    };
    mapping.write_at(0, &header)?;
    Ok(mapping.store_u64(0, STATS_MAGIC)?)
}

/// Text as bytes with at least one zero behind it, cut if need be.
fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().take(N - 1).zip(text.bytes()) {
        *to = from;
    }
    bytes
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
