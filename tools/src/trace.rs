//! Trace buffers as tools see them: the records of a core, and the word that switches it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tas_abi::trace::{TraceEntryHead, TraceEntryTail, TraceHeader};
use tas_abi::trace_control::{
    TRACE_CONTROL_MAGIC, TRACE_EVENTS, TRACE_RING_OFF, TRACE_SNAP_SHIFT, TraceControl, trace_bit,
    trace_control_off, trace_region_len,
};
use tas_shm::{Backing, LogPlaces, LogReader, LogSnapshot, Mapping};
use zerocopy::{FromZeros, IntoBytes};

use crate::region::{self, SHM_DIR};

const HEAD: usize = size_of::<TraceEntryHead>();
const TAIL: usize = size_of::<TraceEntryTail>();

/// A record and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// CLOCK_MONOTONIC, in nanoseconds.
    pub ts: u64,
    /// Its number.
    pub seq: u32,
    /// `FLEXNIC_TRACE_EV_*` or `FLEXNIC_PL_TREV_*`.
    pub kind: u16,
    /// What it tells.
    pub body: Vec<u8>,
}

/// The trace buffer of a core.
pub struct TraceBuffer {
    path: PathBuf,
    file: Backing,
    mapping: Arc<Mapping>,
    len: u32,
    /// Absent in a buffer of the original service.
    reader: Option<LogReader>,
    /// How far [`TraceBuffer::news`] has read, and the number of the record it read last.
    read: u64,
    last: Option<u32>,
}

/// Records that came since the last look, the oldest first.
pub struct News {
    /// The records.
    pub records: Vec<Record>,
    /// How many more there were, which have been overwritten.
    pub lost: u32,
}

impl TraceBuffer {
    /// Opens the buffer of a core; `writable` to switch it.
    ///
    /// # Errors
    /// There is no service with this core, it does not let us look, or the file is not a buffer.
    pub fn open(core: u32, writable: bool) -> io::Result<TraceBuffer> {
        let path = path(core);
        let file = region::open(&path, writable)?;
        Self::new(path.clone(), file, writable)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// A buffer in a file.
    ///
    /// # Errors
    /// It is not a buffer.
    pub fn new(path: PathBuf, file: Backing, writable: bool) -> io::Result<TraceBuffer> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "is not a trace buffer");
        let mapping = Arc::new(Mapping::new(file.fd(), file.len(), writable)?);
        let header: TraceHeader = mapping.read_at(0)?;
        let len = u32::try_from(header.length).map_err(|_| broken())?;
        if len == 0 || TRACE_RING_OFF + u64::from(len) > file.len() {
            return Err(broken());
        }
        let control = trace_control_off(len);
        let ours = trace_region_len(len) <= file.len()
            && mapping.load_u64(control)? == TRACE_CONTROL_MAGIC;
        let places = LogPlaces {
            end: 0,
            ring: TRACE_RING_OFF,
            len,
            claimed: control + std::mem::offset_of!(TraceControl, claimed) as u64,
            written: control + std::mem::offset_of!(TraceControl, written) as u64,
        };
        let reader = match ours {
            true => Some(LogReader::map(&mapping, places)?),
            false => None,
        };
        Ok(TraceBuffer {
            path,
            file,
            mapping,
            len,
            reader,
            read: 0,
            last: None,
        })
    }

    /// All records, the newest first.
    ///
    /// # Errors
    /// The buffer went away.
    pub fn records(&self) -> io::Result<Vec<Record>> {
        Ok(walk(&self.snapshot(0)?, 0))
    }

    /// What was recorded since this was last called.
    ///
    /// # Errors
    /// The buffer went away.
    pub fn news(&mut self) -> io::Result<News> {
        let snapshot = self.snapshot(self.read)?;
        let mut records = walk(&snapshot, self.read);
        records.reverse();
        self.read = snapshot.end;
        let mut lost = 0;
        if let (Some(first), Some(newest)) = (records.first(), records.last()) {
            lost = match self.last {
                Some(last) => first.seq.wrapping_sub(last).wrapping_sub(1),
                None => 0,
            };
            self.last = Some(newest.seq);
        }
        Ok(News { records, lost })
    }

    fn snapshot(&self, since: u64) -> io::Result<LogSnapshot> {
        match &self.reader {
            Some(reader) => Ok(reader.snapshot_since(since)),
            None => {
                let mut ring = vec![0; self.len as usize];
                let end = self.mapping.load_u64(0)?;
                self.mapping.read_bytes(TRACE_RING_OFF, &mut ring)?;
                Ok(LogSnapshot::of_ring(ring, end))
            }
        }
    }

    /// Whether the service is still there.
    pub fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Whether records that are new can be told from others; not in a buffer of the original.
    pub fn can_follow(&self) -> bool {
        self.reader.is_some()
    }

    /// The word that says what is recorded.
    ///
    /// # Errors
    /// The buffer is the original's, which has none.
    pub fn wanted(&self) -> io::Result<u64> {
        Ok(self.mapping.load_u64(self.wanted_at()?)?)
    }

    /// Switches recording. The memory that it takes is taken here, where a lack of it can be
    /// reported.
    ///
    /// # Errors
    /// There is no memory, or the buffer is the original's.
    pub fn switch(&self, events: u16, snap: u16) -> io::Result<()> {
        let at = self.wanted_at()?;
        if events != 0 {
            self.file.populate(0, trace_region_len(self.len))?;
        }
        let word = match events {
            0 => 0,
            _ => u64::from(snap) << TRACE_SNAP_SHIFT | u64::from(events),
        };
        Ok(self.mapping.store_u64(at, word)?)
    }

    fn wanted_at(&self) -> io::Result<u64> {
        match self.reader {
            Some(_) => {
                Ok(trace_control_off(self.len) + std::mem::offset_of!(TraceControl, wanted) as u64)
            }
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this service's tracing cannot be switched",
            )),
        }
    }

    /// Bytes of the ring.
    pub fn ring_len(&self) -> u32 {
        self.len
    }
}

/// The file of a core's buffer.
pub fn path(core: u32) -> PathBuf {
    Path::new(SHM_DIR).join(format!("flexnic_trace_{core}"))
}

/// The names of the events in a word that says what is recorded; "off" for none.
pub fn wanted_text(word: u64) -> String {
    let names: Vec<&str> = TRACE_EVENTS
        .iter()
        .filter(|(_, event)| word & u64::from(trace_bit(*event)) != 0)
        .map(|(name, _)| *name)
        .collect();
    match names.is_empty() {
        true => "off".to_owned(),
        false => format!("{} snap={}", names.join(","), word >> TRACE_SNAP_SHIFT),
    }
}

/// Walks from the newest record back to byte `until`, or to where the ring is not whole.
fn walk(snapshot: &LogSnapshot, until: u64) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut at = snapshot.end;
    while at > until.max(snapshot.start) {
        let Some((start, record)) = before(snapshot, at) else {
            break;
        };
        // A ring of the original says nothing of what is whole, but its records are numbered.
        if records
            .last()
            .is_some_and(|newer| newer.seq.wrapping_sub(1) != record.seq)
        {
            break;
        }
        at = start;
        records.push(record);
    }
    records
}

/// The record that ends at `at`, and where it begins.
fn before(snapshot: &LogSnapshot, at: u64) -> Option<(u64, Record)> {
    let mut tail = TraceEntryTail::new_zeroed();
    read(snapshot, at.checked_sub(TAIL as u64)?, tail.as_mut_bytes())?;
    let mut body = vec![0; usize::from(tail.length)];
    let start = at.checked_sub((HEAD + body.len() + TAIL) as u64)?;
    let mut head = TraceEntryHead::new_zeroed();
    read(snapshot, start, head.as_mut_bytes())?;
    read(snapshot, start + HEAD as u64, &mut body)?;
    let (length, kind) = (head.length, head.type_);
    if length != tail.length || kind == 0 {
        return None;
    }
    let record = Record {
        ts: head.ts,
        seq: head.seq,
        kind,
        body,
    };
    Some((start, record))
}

fn read(snapshot: &LogSnapshot, at: u64, to: &mut [u8]) -> Option<()> {
    snapshot.read(at, to).then_some(())
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
