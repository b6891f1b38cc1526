//! The files in which cores record what they do, `/dev/shm/flexnic_trace_CORE`.

use std::fs;
use std::io;
use std::path::PathBuf;

use tas_abi::trace_control::trace_region_len;
use tas_shm::Backing;

use crate::config::{MAX_CORES, TraceConfig};
use crate::fast::{Trace, Wanted};

/// Frames tell of everybody's connections: only the service's user may look.
const MODE: u32 = 0o600;

/// The files' names, which go when this is dropped.
pub struct TraceFiles(Vec<PathBuf>);

fn path(core: u32) -> PathBuf {
    format!("/dev/shm/flexnic_trace_{core}").into()
}

impl TraceFiles {
    /// Creates a file for each of the cores, in place of what a crashed service has left.
    ///
    /// # Errors
    /// The system refuses a file or its memory.
    pub fn create(conf: &TraceConfig, cores: u32) -> io::Result<(TraceFiles, Vec<Trace>)> {
        let mut files = TraceFiles(Vec::new());
        for stale in 0..MAX_CORES {
            let _ = fs::remove_file(path(stale));
        }
        let wanted = match conf.events {
            0 => Wanted::NOTHING,
            events => Wanted {
                events,
                snap: conf.snap,
            },
        };
        let mut traces = Vec::new();
        for core in 0..cores {
            let path = path(core);
            files.0.push(path.clone());
            let file = Backing::named(&path, trace_region_len(conf.len), MODE)?;
            traces.push(Trace::new(file, conf.len, wanted)?);
        }
        Ok((files, traces))
    }
}

impl Drop for TraceFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // Nothing is lost when it has gone already.
            let _ = fs::remove_file(path);
        }
    }
}
