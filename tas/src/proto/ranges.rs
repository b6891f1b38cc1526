//! The ranges of data that came out of order.

use tas_wire::{SackBlock, SackBlocks, SeqNum};
use zerocopy::FromZeros;

/// Ranges held for a flow.
pub(super) const MAX_RANGES: usize = 32;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
struct Range {
    start: u32,
    /// One beyond the last.
    end: u32,
}

impl Range {
    fn start(self) -> SeqNum {
        SeqNum(self.start)
    }

    fn end(self) -> SeqNum {
        SeqNum(self.end)
    }
}

/// What became of a range that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insert {
    /// Some of it is new.
    New,
    /// All of it was there.
    Duplicate,
    /// It touches no other, and there is no place for one more.
    Full,
}

/// Disjoint ranges of sequence numbers that do not touch, in ascending order, all within less
/// than 2³¹ of each other.
#[derive(Clone, Debug, FromZeros)]
pub(super) struct Ranges {
    ranges: [Range; MAX_RANGES],
    len: u8,
    /// Start of what was added last: SACK reports the range around it first (RFC 2018 §4).
    newest: u32,
}

impl Ranges {
    fn as_slice(&self) -> &[Range] {
        self.ranges.get(..usize::from(self.len)).unwrap_or(&[])
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Start and length of the first range; zeroes if there is none.
    pub(super) fn first(&self) -> (SeqNum, u32) {
        match self.as_slice().first() {
            Some(range) => (range.start(), range.end().since(range.start())),
            None => (SeqNum(0), 0),
        }
    }

    /// One beyond the last sequence number held.
    pub(super) fn end(&self) -> Option<SeqNum> {
        self.as_slice().last().map(|range| range.end())
    }

    /// Adds a range that is not empty.
    pub(super) fn insert(&mut self, start: SeqNum, end: SeqNum) -> Insert {
        let held = self.as_slice();
        // All from `first` up to but not including `after` overlap or touch the new one.
        let first = held.partition_point(|range| range.end().lt(start));
        let after = held.partition_point(|range| range.start().le(end));
        if first >= after {
            return self.insert_between(
                first,
                Range {
                    start: start.0,
                    end: end.0,
                },
            );
        }
        let (Some(&left), Some(&right)) = (held.get(first), held.get(after - 1)) else {
            return Insert::Full;
        };
        if after - first == 1 && left.start().le(start) && left.end().ge(end) {
            return Insert::Duplicate;
        }
        let merged = Range {
            start: left.start().min(start).0,
            end: right.end().max(end).0,
        };
        if let Some(slot) = self.ranges.get_mut(first) {
            *slot = merged;
        }
        self.remove(first + 1, after);
        self.newest = start.0;
        Insert::New
    }

    fn insert_between(&mut self, at: usize, range: Range) -> Insert {
        let len = usize::from(self.len);
        if len >= MAX_RANGES || at > len {
            return Insert::Full;
        }
        if let Some(tail) = self.ranges.get_mut(at..=len) {
            tail.rotate_right(1);
        }
        if let Some(slot) = self.ranges.get_mut(at) {
            *slot = range;
        }
        self.len += 1;
        self.newest = range.start;
        Insert::New
    }

    /// Takes out the ranges from index `from` up to but not including `to`.
    fn remove(&mut self, from: usize, to: usize) {
        let len = usize::from(self.len);
        if from >= to || to > len {
            return;
        }
        if let Some(tail) = self.ranges.get_mut(from..len) {
            tail.rotate_left(to - from);
        }
        self.len = (len - (to - from)) as u8;
    }

    /// Takes out all ranges that begin at or before `next`, the first number not received in
    /// order; returns what is next then.
    pub(super) fn take_in_order(&mut self, next: SeqNum) -> SeqNum {
        let mut reached = next;
        let mut taken = 0;
        for range in self.as_slice() {
            if range.start().gt(reached) {
                break;
            }
            reached = reached.max(range.end());
            taken += 1;
        }
        self.remove(0, taken);
        reached
    }

    /// At most `max` ranges, the one that grew last first (RFC 2018 §4).
    pub(super) fn sack_blocks(&self, max: usize) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        let newest = SeqNum(self.newest);
        let is_newest = |range: &Range| newest.ge(range.start()) && newest.lt(range.end());
        let held = self.as_slice();
        let rest = held.iter().filter(|range| !is_newest(range));
        for range in held
            .iter()
            .filter(|range| is_newest(range))
            .chain(rest)
            .take(max)
        {
            blocks.push(SackBlock {
                left: range.start(),
                right: range.end(),
            });
        }
        blocks
    }

    #[cfg(test)]
    pub(super) fn to_vec(&self) -> Vec<(u32, u32)> {
        self.as_slice()
            .iter()
            .map(|range| (range.start, range.end))
            .collect()
    }
}

#[cfg(test)]
#[path = "ranges_tests.rs"]
mod tests;
