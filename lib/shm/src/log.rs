//! A ring of bytes that its writer goes on overwriting, and that others read at any time.
//!
//! The writer waits for nobody. It first says how far it is going to write, then writes, then
//! says how far it has written: a reader that copies the ring in between knows which bytes of
//! its copy are whole.

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use crate::arena::OutOfBounds;
use crate::copy;
use crate::owned::Claim;
use crate::region::Mapping;

/// Where the parts of a log lie in a mapping, in bytes from its start; words are 8-aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPlaces {
    /// The word that says where in the ring the last record ends.
    pub end: u64,
    /// The ring.
    pub ring: u64,
    /// Bytes of the ring; at least 1.
    pub len: u32,
    /// The word that says up to where the writer may have written, counted from the start.
    pub claimed: u64,
    /// The word that says up to where records are complete, counted from the start.
    pub written: u64,
}

/// A log that nothing else in this process accesses; its parts are in bounds and aligned.
struct Place {
    mapping: Arc<Mapping>,
    at: LogPlaces,
    ring: NonNull<u8>,
    _claims: [Claim; 4],
}

// SAFETY: the bytes behind the pointer are accessed by copies and atomics only, and live as long as
// the mapping.
unsafe impl Send for Place {}
// SAFETY: as for Send.
unsafe impl Sync for Place {}

impl Place {
    fn new(mapping: &Arc<Mapping>, at: LogPlaces) -> io::Result<Place> {
        let ring = mapping.place(at.ring, at.len.into())?;
        let claim = |from, len| Claim::new(mapping, from, len);
        let word = |from| {
            mapping.word(from)?;
            claim(from, 8)
        };
        if at.len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Place {
            ring,
            _claims: [
                word(at.end)?,
                word(at.claimed)?,
                word(at.written)?,
                claim(at.ring, at.len.into())?,
            ],
            mapping: Arc::clone(mapping),
            at,
        })
    }

    /// Writes a word; `new` found that it is there.
    fn store(&self, at: u64, value: u64) {
        if let Ok(word) = self.mapping.word(at) {
            word.store(value, Ordering::Release);
        }
    }

    fn load(&self, at: u64) -> u64 {
        self.mapping
            .word(at)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }
}

/// The writing end. There is one in this process, and there must be none in another.
pub struct LogWriter {
    place: Arc<Place>,
    /// Bytes written since the start.
    total: u64,
    /// Where in the ring the next record begins.
    pos: u32,
}

impl LogWriter {
    /// Lays a log over `mapping`, in place of what was there.
    ///
    /// # Errors
    /// As for [`FlowSlots::map_array`](crate::FlowSlots::map_array); also for a ring of no bytes.
    pub fn map(mapping: &Arc<Mapping>, places: LogPlaces) -> io::Result<LogWriter> {
        if !mapping.is_writable() {
            return Err(OutOfBounds.into());
        }
        let place = Arc::new(Place::new(mapping, places)?);
        for word in [places.end, places.claimed, places.written] {
            place.store(word, 0);
        }
        Ok(LogWriter {
            place,
            total: 0,
            pos: 0,
        })
    }

    /// A reader of this log in the same process.
    pub fn reader(&self) -> LogReader {
        LogReader(Arc::clone(&self.place))
    }

    /// Bytes of the ring.
    pub fn len(&self) -> u32 {
        self.place.at.len
    }

    /// Whether nothing has been written yet.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Writes a record that consists of `parts`. False, and nothing is written, when it is longer
    /// than the ring.
    pub fn write(&mut self, parts: &[&[u8]]) -> bool {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > self.len() as usize {
            return false;
        }
        self.total += len as u64;
        let at = self.place.at;
        self.place.store(at.claimed, self.total);
        // No byte below may be seen changed by a reader that does not see the claim.
        fence(Ordering::Release);
        for part in parts {
            self.append(part);
        }
        self.place.store(at.end, u64::from(self.pos));
        self.place.store(at.written, self.total);
        true
    }

    fn append(&mut self, part: &[u8]) {
        let to_end = (self.len() - self.pos) as usize;
        let (head, tail) = part.split_at(part.len().min(to_end));
        let ring = self.place.ring.as_ptr();
        // SAFETY: `head` ends at the ring's end or before, and `tail`, which goes on at its start,
        // is shorter than the ring, since the whole record is no longer. `part` is no part of the
        // ring, of which no reference exists.
        unsafe {
            copy::copy(ring.add(self.pos as usize), head.as_ptr(), head.len());
            copy::copy(ring, tail.as_ptr(), tail.len());
        }
        self.pos = if head.len() == to_end {
            tail.len() as u32
        } else {
            self.pos + head.len() as u32
        };
    }
}

/// The reading end, in the writer's process or in another.
pub struct LogReader(Arc<Place>);

impl LogReader {
    /// Finds the log that another process has laid over the mapped file.
    ///
    /// # Errors
    /// As for [`LogWriter::map`]; the mapping may be read-only.
    pub fn map(mapping: &Arc<Mapping>, places: LogPlaces) -> io::Result<LogReader> {
        Place::new(mapping, places).map(|place| LogReader(Arc::new(place)))
    }

    /// Copies the log while its writer may go on.
    pub fn snapshot(&self) -> LogSnapshot {
        self.snapshot_since(0)
    }

    /// Copies what was written after byte `since`, counted from the log's start.
    pub fn snapshot_since(&self, since: u64) -> LogSnapshot {
        let LogReader(place) = self;
        let len = u64::from(place.at.len);
        let end = place.load(place.at.written);
        fence(Ordering::Acquire);
        let from = since.min(end).max(end.saturating_sub(len));
        let mut ring = vec![0; len as usize];
        let (pos, count) = ((from % len) as usize, (end - from) as usize);
        let before_end = count.min(ring.len() - pos);
        for (pos, count) in [(pos, before_end), (0, count - before_end)] {
            if let Some(to) = ring.get_mut(pos..pos + count) {
                // SAFETY: the place is as long as the vector, which is private memory.
                unsafe { copy::copy(to.as_mut_ptr(), place.ring.as_ptr().add(pos), count) };
            }
        }
        // What was copied is not newer than the claim that is read next.
        fence(Ordering::Acquire);
        let claimed = place.load(place.at.claimed).max(end);
        let start = claimed.saturating_sub(len).clamp(from, end);
        LogSnapshot { ring, start, end }
    }
}

/// A copy of a log's ring, and which bytes of it are whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSnapshot {
    ring: Vec<u8>,
    /// The oldest byte that is whole, counted from the log's start.
    pub start: u64,
    /// One beyond the last byte of the last record, counted from the log's start.
    pub end: u64,
}

impl LogSnapshot {
    /// A snapshot of a ring that lies still, of which all bytes count: `end` is where in the ring
    /// the last record ends.
    pub fn of_ring(ring: Vec<u8>, end: u64) -> LogSnapshot {
        let len = ring.len() as u64;
        let pos = end.checked_rem(len).unwrap_or(0);
        LogSnapshot {
            ring,
            start: pos,
            end: pos + len,
        }
    }

    /// Copies the bytes from `at` on, counted from the log's start. False when they are not all
    /// whole.
    pub fn read(&self, at: u64, to: &mut [u8]) -> bool {
        let len = self.ring.len() as u64;
        let until = at.saturating_add(to.len() as u64);
        if len == 0 || at < self.start || until > self.end {
            return false;
        }
        let pos = (at % len) as usize;
        let head = to.len().min(self.ring.len() - pos);
        let (first, second) = to.split_at_mut(head);
        first.copy_from_slice(&self.ring[pos..pos + head]);
        second.copy_from_slice(&self.ring[..second.len()]);
        true
    }
}

#[cfg(all(test, not(loom)))]
#[path = "log_tests.rs"]
mod tests;
