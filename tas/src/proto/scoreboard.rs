//! What of the data outstanding the peer has reported by SACK (RFC 2018 §5, RFC 6675 §3), as the
//! holes that it leaves.

use tas_wire::SeqNum;
use zerocopy::FromZeros;

use super::invariants::{Broken, ensure};
use crate::types::Micros;

/// Holes kept for a flow.
pub(super) const MAX_HOLES: usize = 32;
/// Segments reported above a hole that tell of its loss (RFC 6675 §2, DupThresh).
const DUP_THRESH: u32 = 3;

/// Data that the peer has not reported, before some that it has.
///
/// Sequence numbers in order: `start`, `resent`, `tried`, `end`; neighbours may be equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
struct Hole {
    start: u32,
    /// One beyond the last.
    end: u32,
    /// What lies before was sent again, and was not found lost since.
    resent: u32,
    /// What lies before was sent more than once, or will be whatever it takes.
    tried: u32,
    /// SND.NXT when it was sent again last.
    snd_nxt: u32,
    /// When that was, microseconds modulo 2³².
    at: u32,
}

impl Hole {
    fn start(&self) -> SeqNum {
        SeqNum(self.start)
    }

    fn end(&self) -> SeqNum {
        SeqNum(self.end)
    }

    fn len(&self) -> u32 {
        self.end().since(self.start())
    }

    /// Bytes sent again that may be under way.
    fn under_way(&self) -> u32 {
        SeqNum(self.resent).since(self.start())
    }

    /// The part from `start` on.
    fn from(self, start: SeqNum) -> Hole {
        Hole {
            start: start.0,
            resent: SeqNum(self.resent).max(start).0,
            tried: SeqNum(self.tried).max(start).0,
            ..self
        }
    }

    /// The part before `end`.
    fn up_to(self, end: SeqNum) -> Hole {
        Hole {
            end: end.0,
            resent: SeqNum(self.resent).min(end).0,
            tried: SeqNum(self.tried).min(end).0,
            ..self
        }
    }
}

/// When a segment was sent again, and which of those sent at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
struct SentAgain {
    at: u32,
    seq: u32,
}

impl SentAgain {
    fn is_before(self, other: SentAgain) -> bool {
        match self.at.wrapping_sub(other.at).cast_signed() {
            0 => SeqNum(self.seq).lt(SeqNum(other.seq)),
            later => later < 0,
        }
    }
}

/// What an acknowledgement said that was not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// Data arrived behind other data that was sent after it, though it was sent only once.
    pub(super) reordered: bool,
    /// Something could not be remembered. The peer repeats it, or it is sent once more.
    pub(super) full: bool,
}

/// The scoreboard, from SND.UNA to [`Scoreboard::edge`].
#[derive(Clone, Debug, FromZeros)]
pub(super) struct Scoreboard {
    /// In ascending order.
    holes: [Hole; MAX_HOLES],
    /// Where what is known ends.
    edge: u32,
    /// Of the data sent again that has arrived: what was sent last (RACK, RFC 8985 §5.2).
    latest: SentAgain,
    len: u8,
    /// `latest` means something.
    any_again: bool,
}

impl Scoreboard {
    /// Nothing is known beyond SND.UNA.
    pub(super) fn begin(&mut self, una: SeqNum) {
        self.len = 0;
        self.edge = una.0;
        self.any_again = false;
    }

    fn held(&self) -> &[Hole] {
        self.holes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    fn held_mut(&mut self) -> &mut [Hole] {
        self.holes
            .get_mut(..usize::from(self.len))
            .unwrap_or(&mut [])
    }

    /// One beyond the last number reported.
    pub(super) fn edge(&self) -> SeqNum {
        SeqNum(self.edge)
    }

    pub(super) fn has_holes(&self) -> bool {
        self.len > 0
    }

    /// Where the first hole begins.
    pub(super) fn first(&self) -> Option<SeqNum> {
        self.held().first().map(Hole::start)
    }

    /// Where the last hole ends.
    pub(super) fn last_end(&self) -> Option<SeqNum> {
        self.held().last().map(Hole::end)
    }

    /// Bytes beyond `una` that were reported.
    pub(super) fn sacked(&self, una: SeqNum) -> u32 {
        let missing: u32 = self.held().iter().map(Hole::len).sum();
        self.edge().since(una).saturating_sub(missing)
    }

    /// Bytes in holes that begin before `lost`, and were not sent again.
    pub(super) fn lost(&self, lost: SeqNum) -> u32 {
        let holes = self.held().iter().filter(|hole| hole.start().lt(lost));
        holes.map(|hole| hole.len() - hole.under_way()).sum()
    }

    /// What lies in front of SND.UNA is of no interest any more.
    pub(super) fn advance(&mut self, una: SeqNum) -> Learned {
        let mut learned = Learned::default();
        let known = una.min(self.edge());
        self.fill(self.first().unwrap_or(known), known, &mut learned);
        self.edge = self.edge().max(una).0;
        learned
    }

    /// The peer has acknowledged everything up to a number that it had reported, and not what
    /// follows, which it had reported too: it threw data away (RFC 2018 §8).
    pub(super) fn has_reneged(&self, una: SeqNum) -> bool {
        self.edge().gt(una) && self.first() != Some(una)
    }

    /// Believes nothing of what was reported: all up to `end` is one hole, to be sent again.
    pub(super) fn renege(&mut self, una: SeqNum, end: SeqNum) {
        self.begin(una);
        self.miss_up_to(end);
    }

    /// All up to `end` that was not reported is lost, retransmissions included.
    pub(super) fn miss_up_to(&mut self, end: SeqNum) {
        for hole in self.held_mut() {
            hole.resent = hole.start;
            hole.tried = hole.end;
        }
        if end.le(self.edge()) {
            return;
        }
        let tail = Hole {
            start: self.edge,
            end: end.0,
            resent: self.edge,
            tried: end.0,
            ..Hole::default()
        };
        let room = self.insert_at(self.len.into(), tail);
        if !room && let Some(last) = self.held_mut().last_mut() {
            // What was reported behind the last hole is sent again too.
            last.end = end.0;
            last.tried = end.0;
        }
        self.edge = end.0;
    }

    /// The peer has `left` up to but not including `right`, which is not empty and lies behind
    /// SND.UNA.
    pub(super) fn insert(&mut self, left: SeqNum, right: SeqNum) -> Learned {
        let mut learned = Learned::default();
        let edge = self.edge();
        if left.gt(edge) {
            let hole = Hole {
                start: edge.0,
                end: left.0,
                resent: edge.0,
                tried: edge.0,
                ..Hole::default()
            };
            if self.insert_at(self.len.into(), hole) {
                self.edge = right.0;
            } else {
                learned.full = true;
            }
            return learned;
        }
        self.edge = edge.max(right).0;
        self.fill(left, right.min(edge), &mut learned);
        learned
    }

    /// `left` up to but not including `right` is missing no more.
    fn fill(&mut self, left: SeqNum, right: SeqNum, learned: &mut Learned) {
        let mut index = 0;
        while let Some(&hole) = self.held().get(index) {
            if hole.start().ge(right) {
                break;
            }
            if hole.end().le(left) {
                index += 1;
                continue;
            }
            let (from, to) = (hole.start().max(left), hole.end().min(right));
            self.note_arrival(&hole, from, to, learned);
            match (from == hole.start(), to == hole.end()) {
                (true, true) => {
                    self.remove(index);
                    continue;
                }
                (true, false) => self.replace(index, hole.from(to)),
                (false, true) => self.replace(index, hole.up_to(from)),
                (false, false) if self.insert_at(index + 1, hole.from(to)) => {
                    self.replace(index, hole.up_to(from));
                }
                (false, false) => learned.full = true,
            }
            index += 1;
        }
    }

    /// What the arrival of a part of a hole tells.
    fn note_arrival(&mut self, hole: &Hole, from: SeqNum, to: SeqNum, learned: &mut Learned) {
        learned.reordered |= to.gt(SeqNum(hole.tried));
        if from.lt(SeqNum(hole.resent)) {
            let sent = SentAgain {
                at: hole.at,
                seq: from.0,
            };
            if !self.any_again || self.latest.is_before(sent) {
                self.latest = sent;
                self.any_again = true;
            }
        }
    }

    /// Forgets which retransmission arrived last: what arrived may have been the original, as it
    /// took less time than anything takes.
    pub(super) fn forget_latest_since(&mut self, earliest: Micros) {
        let since = self.latest.at.wrapping_sub(earliest.0 as u32).cast_signed();
        if self.any_again && since > 0 {
            self.any_again = false;
        }
    }

    /// Something has arrived that was sent after the beginning of the first hole was sent again.
    pub(super) fn is_first_overtaken(&self) -> bool {
        let first = self.held().first();
        first.is_some_and(|hole| hole.under_way() > 0 && self.edge().gt(SeqNum(hole.snd_nxt)))
    }

    /// Finds the retransmissions that are lost: something that was sent later has arrived
    /// (RFC 8985 §6.2). Only those sent before `before` count. Returns whether there were any that
    /// were sent from `since` on.
    pub(super) fn lose_retransmissions(&mut self, before: Micros, since: Micros) -> bool {
        let (edge, latest) = (self.edge(), self.latest);
        let any_again = self.any_again;
        let mut lost = false;
        for hole in self.held_mut() {
            let sent = SentAgain {
                at: hole.at,
                seq: hole.start,
            };
            let overtaken = edge.gt(SeqNum(hole.snd_nxt)) || (any_again && sent.is_before(latest));
            let old = (before.0 as u32).wrapping_sub(hole.at).cast_signed() >= 0;
            if hole.under_way() > 0 && overtaken && old {
                hole.resent = hole.start;
                lost |= (since.0 as u32).wrapping_sub(hole.at).cast_signed() <= 0;
            }
        }
        lost
    }

    /// Everything missing before this number is lost, since enough behind it was reported
    /// (RFC 6675 §4, IsLost); `None`: nothing is.
    pub(super) fn lost_by_count(&self, mss: u32) -> Option<SeqNum> {
        let (mut reported, mut ranges) = (0u32, 0);
        let mut above = self.edge();
        for hole in self.held().iter().rev() {
            if above != hole.end() {
                reported += above.since(hole.end());
                ranges += 1;
            }
            if ranges >= DUP_THRESH || reported > (DUP_THRESH - 1) * mss {
                return Some(hole.end());
            }
            above = hole.start();
        }
        None
    }

    /// What of the lost data, which begins before `lost`, is to be sent again first.
    pub(super) fn next_lost(&self, lost: SeqNum) -> Option<(SeqNum, SeqNum)> {
        self.held()
            .iter()
            .take_while(|hole| hole.start().lt(lost))
            .find(|hole| hole.resent != hole.end)
            .map(|hole| (SeqNum(hole.resent), hole.end()))
    }

    /// What [`Scoreboard::next_lost`] began with was sent again, up to `end`.
    pub(super) fn note_resent(&mut self, end: SeqNum, snd_nxt: SeqNum, now: Micros) {
        let index = self.held().partition_point(|hole| hole.end().lt(end));
        if let Some(hole) = self.held_mut().get_mut(index) {
            hole.resent = end.0;
            hole.tried = SeqNum(hole.tried).max(end).0;
            hole.snd_nxt = snd_nxt.0;
            hole.at = now.0 as u32;
        }
    }

    fn replace(&mut self, index: usize, hole: Hole) {
        if let Some(place) = self.held_mut().get_mut(index) {
            *place = hole;
        }
    }

    /// False when there is no room.
    fn insert_at(&mut self, index: usize, hole: Hole) -> bool {
        let len = usize::from(self.len);
        if len >= MAX_HOLES || index > len {
            return false;
        }
        if let Some(tail) = self.holes.get_mut(index..=len) {
            tail.rotate_right(1);
        }
        self.len += 1;
        self.replace(index, hole);
        true
    }

    fn remove(&mut self, index: usize) {
        if let Some(tail) = self.held_mut().get_mut(index..) {
            tail.rotate_left(1);
            self.len -= 1;
        }
    }

    /// Checks what holds between any two calls, for data outstanding from `una` to `end`.
    pub(super) fn check(&self, una: SeqNum, end: SeqNum) -> Result<(), Broken> {
        let mut before = una;
        for hole in self.held() {
            let inside = [hole.start, hole.resent, hole.tried, hole.end].map(SeqNum);
            ensure(
                before.le(hole.start()) && hole.start().lt(hole.end()),
                "holes overlap, or one is empty",
            )?;
            ensure(
                inside.is_sorted_by(|a, b| a.le(*b)),
                "a hole is not in order",
            )?;
            before = hole.end();
        }
        ensure(before.le(self.edge()), "a hole beyond what is known")?;
        ensure(
            self.edge().le(end),
            "something was reported before it was sent",
        )
    }

    /// The numbers missing, for tests.
    #[cfg(test)]
    pub(super) fn holes(&self) -> Vec<(u32, u32)> {
        let holes = self.held().iter();
        holes.map(|hole| (hole.start, hole.end)).collect()
    }
}

#[cfg(test)]
#[path = "scoreboard_tests.rs"]
mod tests;
