//! What the receiver tells of data that did not come in order (RFC 2018), and of data that came
//! twice (RFC 2883).

use tas_wire::{SackBlock, SackBlocks, SeqNum};
use zerocopy::FromZeros;

use super::flow::Flow;
use super::types::{Received, SegmentPlan};
use crate::types::Micros;

/// Data that came twice and of which the peer was not told yet. Empty: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub(super) struct Duplicate {
    start: u32,
    /// One beyond the last.
    end: u32,
}

impl Duplicate {
    fn block(self) -> Option<SackBlock> {
        (self.start != self.end).then_some(SackBlock {
            left: SeqNum(self.start),
            right: SeqNum(self.end),
        })
    }
}

impl Flow<'_> {
    /// Remembers data that came a second time, for the next ACK (RFC 2883 §4). An earlier report
    /// that did not leave yet is lost: the option has room for one.
    #[cold]
    pub(super) fn note_duplicate_data(&mut self, start: SeqNum, end: SeqNum) {
        if self.ext.sack {
            self.ext.duplicate = Duplicate {
                start: start.0,
                end: end.0,
            };
            self.ext.sack_news = true;
        }
    }

    /// There is something to report exactly if data is held or came twice.
    pub(super) fn refresh_sack_news(&mut self) {
        let duplicate = self.ext.duplicate != Duplicate::default();
        self.ext.sack_news = self.ext.sack && (duplicate || !self.ext.ranges.is_empty());
    }

    /// Adds the SACK option to an ACK: what came twice, then the range that it lies in if it is
    /// held, without which it would look like any other (RFC 2883 §4), then what else is held.
    #[cold]
    pub(super) fn report_sacks(&mut self, plan: &mut SegmentPlan) {
        // Timestamps leave room for one block less (RFC 2018 §3).
        let max = SackBlocks::MAX - usize::from(self.ext.timestamps);
        if let Some(block) = self.ext.duplicate.block() {
            plan.sack.push(block);
            if let Some(outer) = self.ext.ranges.around(block.left) {
                plan.sack.push(outer);
            }
        }
        self.ext.ranges.report(&mut plan.sack, max);
        self.ext.duplicate = Duplicate::default();
        self.refresh_sack_news();
    }

    /// Acknowledges data out of order without waiting for the rest of the batch, which must not
    /// be lost in it: without SACK every segment is one duplicate ACK (RFC 5681 §4.2); with it
    /// an ACK names only the few ranges that grew last.
    pub(super) fn acknowledge_now(&mut self, now: Micros, out: &mut Received) {
        if out.ack_first.is_none() {
            out.ack_first = Some(self.ack_plan(now));
        }
    }
}
