//! What was found: the content of the JSON file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::loopback::{Connect, Echo, Pair, Times};
use crate::machine::Machine;
use crate::plan::{Cell, MemoryCell, SocketsCell, Table};

/// Everything that a run of the benchmark found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// Where.
    pub machine: Machine,
    /// The service's command line, as the original was measured.
    pub command: Vec<String>,
    /// How long each run took.
    pub times: Times,
    /// Requests and responses.
    pub echo: Vec<Measured<Cell, Echo>>,
    /// Sockets beside the low-level library.
    #[serde(default)]
    pub sockets: Vec<Measured<SocketsCell, Pair>>,
    /// Connections opened and closed, this many at a time.
    pub connect: Vec<Measured<u32, Connect>>,
    /// Bytes per end of a connection.
    pub memory: Vec<Measured<MemoryCell, f64>>,
}

/// The runs of one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured<C, R> {
    /// What was measured.
    pub cell: C,
    /// What each run found.
    pub runs: Vec<R>,
    /// Why there are fewer runs than there should be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
}

impl<C, R> Measured<C, R> {
    /// The run in the middle, by `key`.
    pub fn median(&self, key: impl Fn(&R) -> f64) -> Option<&R> {
        let mut runs: Vec<&R> = self.runs.iter().collect();
        runs.sort_by(|a, b| key(a).total_cmp(&key(b)));
        runs.get(runs.len() / 2).copied()
    }
}

impl Measured<Cell, Echo> {
    /// The run in the middle, by requests per second.
    pub fn echo(&self) -> Option<&Echo> {
        self.median(|run| run.requests_per_s)
    }

    /// How often the original's requests per second it has.
    pub fn ratio(&self) -> Option<f64> {
        let original = self.cell.reference?.requests_per_s?;
        Some(self.echo()?.requests_per_s / original)
    }
}

impl Results {
    /// What `path` has.
    pub fn read(path: &Path) -> Result<Results> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read {}: run make bench", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Puts it into the file `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Takes over the parts that are missing here.
    pub fn add_missing(&mut self, earlier: Results) {
        for table in [Table::Original, Table::Matrix] {
            if self.echo.iter().all(|m| m.cell.table != table) {
                let rows = earlier.echo.iter().filter(|m| m.cell.table == table);
                self.echo.extend(rows.cloned());
            }
        }
        if self.sockets.is_empty() {
            self.sockets = earlier.sockets;
        }
        if self.connect.is_empty() {
            self.connect = earlier.connect;
        }
        if self.memory.is_empty() {
            self.memory = earlier.memory;
        }
    }

    /// Whether every measurement came to an end.
    pub fn complete(&self) -> bool {
        self.echo.iter().all(|m| m.failure.is_none())
            && self.sockets.iter().all(|m| m.failure.is_none())
            && self.connect.iter().all(|m| m.failure.is_none())
            && self.memory.iter().all(|m| m.failure.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(runs: &[f64]) -> Measured<(), f64> {
        Measured {
            cell: (),
            runs: runs.to_vec(),
            failure: None,
        }
    }

    #[test]
    fn the_median_is_the_run_in_the_middle() {
        assert_eq!(measured(&[]).median(|run| *run), None);
        assert_eq!(measured(&[5.0]).median(|run| *run), Some(&5.0));
        assert_eq!(measured(&[9.0, 1.0, 5.0]).median(|run| *run), Some(&5.0));
    }
}
