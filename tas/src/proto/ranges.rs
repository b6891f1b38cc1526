//! The ranges of data that came out of order.

use tas_wire::{SackBlock, SackBlocks, SeqNum};
use zerocopy::FromZeros;

use super::invariants::{Broken, ensure};

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

    fn contains(self, at: SeqNum) -> bool {
        self.start().le(at) && at.lt(self.end())
    }

    fn block(self) -> SackBlock {
        SackBlock {
            left: self.start(),
            right: self.end(),
        }
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
    /// Numbers in the ranges that grew last, the latest first: the order in which SACK reports
    /// them (RFC 2018 §4). Some may have been delivered since.
    recent: [u32; SackBlocks::MAX],
}

impl Ranges {
    fn as_slice(&self) -> &[Range] {
        self.ranges.get(..usize::from(self.len)).unwrap_or(&[])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len.into()
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

    /// Checks what holds between any two calls.
    pub(super) fn check(&self) -> Result<(), Broken> {
        let held = self.as_slice();
        ensure(
            held.iter().all(|range| range.start().lt(range.end())),
            "an empty range",
        )?;
        ensure(
            held.is_sorted_by(|a, b| a.end().lt(b.start())),
            "ranges touch, or are not in order",
        )
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
        self.note_growth(start, merged);
        Insert::New
    }

    /// Remembers that `range` grew at `start`.
    fn note_growth(&mut self, start: SeqNum, range: Range) {
        if !self
            .recent
            .first()
            .is_some_and(|&last| range.contains(SeqNum(last)))
        {
            self.recent.rotate_right(1);
        }
        if let Some(latest) = self.recent.first_mut() {
            *latest = start.0;
        }
    }

    /// What of a segment is held already: the first such part, if any.
    pub(super) fn overlap(&self, start: SeqNum, end: SeqNum) -> Option<SackBlock> {
        let held = self.as_slice();
        let range = held.get(held.partition_point(|range| range.end().le(start)))?;
        let block = SackBlock {
            left: range.start().max(start),
            right: range.end().min(end),
        };
        block.left.lt(block.right).then_some(block)
    }

    fn at(&self, at: SeqNum) -> Option<&Range> {
        let held = self.as_slice();
        let first = held.partition_point(|range| range.end().le(at));
        held.get(first).filter(|range| range.contains(at))
    }

    /// The range that a number lies in.
    pub(super) fn around(&self, at: SeqNum) -> Option<SackBlock> {
        self.at(at).map(|range| range.block())
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
        self.note_growth(range.start(), range);
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

    /// Appends ranges to `blocks` until they are `max`: those that grew last first (RFC 2018 §4).
    pub(super) fn report(&self, blocks: &mut SackBlocks, max: usize) {
        let held = self.as_slice();
        let recent = self.recent.iter().filter_map(|&at| self.at(SeqNum(at)));
        for range in recent.chain(held) {
            let block = range.block();
            if blocks.as_slice().len() >= max {
                return;
            }
            if !blocks.as_slice().contains(&block) {
                blocks.push(block);
            }
        }
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
