//! The service's statistics as tools see them: whatever groups and columns the page describes.

use std::io;
use std::path::Path;

use tas_abi::stats::{
    STATS_COLUMNS_MAX, STATS_COUNTER, STATS_GAUGE, STATS_GROUPS_MAX, STATS_LABEL, STATS_MAGIC,
    STATS_NAME, STATS_ROWS_MAX, STATS_VERSION, StatsColumn, StatsGroup, StatsHeader,
};
use tas_shm::{Backing, Mapping};

use crate::region::{self, SHM_DIR};

/// What a column's numbers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// They only grow.
    Counter,
    /// Present values.
    Gauge,
    /// Names of the row.
    Label,
    /// Something that this tool does not know.
    Other,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its numbers are.
    pub kind: Kind,
    /// What it means.
    pub help: String,
}

/// A group of rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The rows in use, each with a number for each column.
    pub rows: Vec<Vec<u64>>,
}

impl Group {
    /// The number of a column in a row; 0 where there is none, as with another version of the
    /// service.
    pub fn value(&self, row: usize, name: &str) -> u64 {
        let column = self.columns.iter().position(|column| column.name == name);
        column
            .and_then(|column| self.rows.get(row)?.get(column))
            .copied()
            .unwrap_or(0)
    }

    /// The sum of a column over all rows.
    pub fn total(&self, name: &str) -> u64 {
        (0..self.rows.len())
            .map(|row| self.value(row, name))
            .fold(0, u64::wrapping_add)
    }
}

/// All numbers at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The service's process.
    pub pid: u32,
    /// CLOCK_MONOTONIC when the service started, in nanoseconds.
    pub started: u64,
    /// What columns in cycles count in a second.
    pub cycles_per_second: u64,
    /// The groups.
    pub groups: Vec<Group>,
}

impl Snapshot {
    /// A group; an empty one where there is none.
    pub fn group(&self, name: &str) -> Group {
        let group = self.groups.iter().find(|group| group.name == name);
        group.cloned().unwrap_or_else(|| Group {
            name: name.to_owned(),
            columns: Vec::new(),
            rows: Vec::new(),
        })
    }
}

/// The page, described once and read again and again.
pub struct Stats {
    mapping: Mapping,
    header: StatsHeader,
    groups: Vec<(StatsGroup, Vec<Column>)>,
}

impl Stats {
    /// Opens the page of the service that runs here.
    ///
    /// # Errors
    /// There is no service, it does not let us look, or it has another kind of page.
    pub fn open() -> io::Result<Stats> {
        let path = Path::new(SHM_DIR).join(STATS_NAME);
        Self::new(&region::open(&path, false)?)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// The page in a file.
    ///
    /// # Errors
    /// It is none, or of another version.
    pub fn new(file: &Backing) -> io::Result<Stats> {
        let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
        let mapping = Mapping::new(file.fd(), file.len(), false)?;
        let header: StatsHeader = mapping.read_at(0)?;
        if mapping.load_u64(0)? != STATS_MAGIC {
            return Err(invalid("is no page of statistics, or not ready yet"));
        }
        if header.version != STATS_VERSION || header.groups > STATS_GROUPS_MAX {
            return Err(invalid("is of another version of TAS than this tool"));
        }
        let mut groups = Vec::new();
        for index in 0..u64::from(header.groups) {
            let at = (size_of::<StatsHeader>() + size_of::<StatsGroup>() * index as usize) as u64;
            let group: StatsGroup = mapping.read_at(at)?;
            if group.columns > STATS_COLUMNS_MAX || group.rows > STATS_ROWS_MAX {
                return Err(invalid("is broken"));
            }
            let columns = (0..u64::from(group.columns))
                .map(|index| {
                    let at = size_of::<StatsColumn>() as u64 * index;
                    let at = group.columns_at.saturating_add(at);
                    Ok(column(&mapping.read_at(at)?))
                })
                .collect::<io::Result<_>>()?;
            groups.push((group, columns));
        }
        Ok(Stats {
            mapping,
            header,
            groups,
        })
    }

    /// The numbers as they are now.
    ///
    /// # Errors
    /// The page is broken.
    pub fn read(&self) -> io::Result<Snapshot> {
        let groups = self.groups.iter().map(|(group, columns)| {
            let mut rows = Vec::new();
            for row in 0..u64::from(group.rows) {
                let values = self.row(group, row)?;
                let names_row = columns.first().is_some_and(|c| c.kind == Kind::Label);
                if !names_row || values.first() != Some(&0) {
                    rows.push(values);
                }
            }
            Ok(Group {
                name: text(&group.name),
                columns: columns.clone(),
                rows,
            })
        });
        Ok(Snapshot {
            pid: self.header.pid,
            started: self.header.started,
            cycles_per_second: self.header.cycles_per_second,
            groups: groups.collect::<io::Result<_>>()?,
        })
    }

    fn row(&self, group: &StatsGroup, row: u64) -> io::Result<Vec<u64>> {
        let start = row.saturating_mul(group.stride);
        let start = group.values_at.saturating_add(start);
        (0..u64::from(group.columns))
            .map(|column| Ok(self.mapping.load_u64(start.saturating_add(8 * column))?))
            .collect()
    }
}

fn column(column: &StatsColumn) -> Column {
    Column {
        name: text(&column.name),
        kind: match column.kind {
            STATS_COUNTER => Kind::Counter,
            STATS_GAUGE => Kind::Gauge,
            STATS_LABEL => Kind::Label,
            _ => Kind::Other,
        },
        help: text(&column.help),
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = end.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
#[path = "stats_tests.rs"]
pub(crate) mod tests;
