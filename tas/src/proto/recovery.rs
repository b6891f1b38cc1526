//! Loss recovery by what the peer reports: detection by count (RFC 6675) and by time (RACK, RFC
//! 8985), tail loss probes, and taking back what a loss caused that was none.
//!
//! RACK compares the times at which segments were sent. Here they are not kept: a hole shows up
//! when what was sent after it is reported, one round trip after that was sent. So the hole's age
//! since it showed up is what RACK would compute, and only the few retransmissions have times.

use tas_wire::{SackBlock, SackBlocks, SeqNum};
use zerocopy::FromZeros;

use super::cc::CcState;
use super::ext::{Micros0, Recovery, RexmitMode, Timing};
use super::flow::Flow;
use super::types::{Segment, Signs, TcpParams, TimerOutcome};
use crate::types::Micros;

/// Recoveries without a sign of reordering after which less of it is expected (RFC 8985 §6.2,
/// RACK.reo_wnd_persist).
const CALM_RECOVERIES: u8 = 16;
/// The reordering window in quarters of the round-trip time, at most.
const QUARTERS_MAX: u8 = 4;

/// What the probe of a tail consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(u8)]
enum Probe {
    /// New data, which goes out anyway.
    #[default]
    Fresh,
    /// The last segment, to be sent again.
    Due,
    /// The last segment, sent again.
    Sent,
}

/// How to take back a reduction of the rate.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
struct Undo {
    /// Congestion control before.
    prior: CcState,
    /// When the first retransmission was sent, until the first ACK after it; 0: not.
    first_at: Micros0,
    /// Retransmissions that the peer did not report as sent in vain.
    resent: u16,
    possible: bool,
    /// Something was sent again, all of it before `until`.
    any: bool,
    until: u32,
}

/// What loss recovery remembers besides the scoreboard.
#[derive(Clone, Debug, Default, FromZeros)]
pub(super) struct Loss {
    /// What is missing before this is lost.
    lost: u32,
    /// What is missing before this was known to be missing
    exposed: u32,
    /// since then.
    exposed_at: Micros0,
    undo: Undo,
    /// When this recovery began.
    begun_at: Micros0,
    /// The network reorders: holes are lost by their age only.
    reordering: bool,
    /// Reordering window beyond the first quarter of the round-trip time, in quarters.
    quarters: u8,
    /// Recoveries until it shrinks again.
    calm: u8,
    probe: Probe,
    /// What may be under way at the end of this recovery, bytes (RFC 6937, ssthresh).
    goal: u32,
    /// How much of what was under way at its begin that is, in 256ths.
    kept: u16,
    /// The probe is for what a recovery did not find: there was a reduction already.
    reduced: bool,
}

impl Loss {
    fn begin(&mut self, una: SeqNum) {
        self.lost = una.0;
        self.exposed = una.0;
    }
}

impl Flow<'_> {
    /// An ACK with blocks, or while not all is well. `acked` bytes are newly acknowledged. Returns
    /// whether the retransmission timer restarts.
    #[cold]
    pub(super) fn on_sack(
        &mut self,
        seg: &Segment,
        sacks: &SackBlocks,
        acked: u32,
        params: &TcpParams,
        now: Micros,
        signs: &mut Signs,
    ) -> bool {
        let una = self.snd_una();
        if acked > 0 {
            self.compare_timestamps(seg, now, signs);
        }
        if self.ext.recovery == Recovery::None {
            self.ext.board.begin(una);
            self.ext.loss.begin(una);
        }
        let before = self.ext.board.sacked(una - acked);
        let learned = self.ext.board.advance(una);
        self.ext.loss.reordering |= learned.reordered;
        if self.ext.board.has_reneged(una) {
            let edge = self.ext.board.edge();
            self.ext.board.renege(una, edge);
            self.ext.loss.lost = edge.0;
        }
        let twice = self.take_blocks(sacks, signs);
        let delivered = (acked + self.ext.board.sacked(una)).saturating_sub(before);
        self.count_delivered(acked, delivered);
        self.sample_by_sack(params, now);
        if self.ext.recovery == Recovery::Probe {
            self.judge_probe(acked, twice, seg.sack, params, now);
        }
        self.settle(acked, delivered, params, now, signs)
    }

    /// Of the bytes of an ACK, those count for congestion control that have arrived with it; not
    /// those that had been reported before, which may be many at once.
    fn count_delivered(&mut self, acked: u32, delivered: u32) {
        let counted = self.st.cnt_rx_ack_bytes.saturating_add(delivered);
        self.st.cnt_rx_ack_bytes = counted.saturating_sub(acked);
    }

    /// Takes the blocks of an ACK; returns whether one told of data that came twice.
    fn take_blocks(&mut self, sacks: &SackBlocks, signs: &mut Signs) -> bool {
        let una = self.snd_una();
        let sent = self.snd_max().since(una);
        let (mut blocks, mut twice) = (sacks.as_slice(), false);
        if let [first, rest @ ..] = blocks
            && self.is_duplicate(first, rest.first())
        {
            twice = true;
            blocks = rest;
            self.on_duplicate_report(signs);
        }
        for block in blocks {
            let (left, right) = (block.left.since(una), block.right.since(una));
            if left == 0 || left >= right || right > sent {
                signs.add(Signs::BAD_SACK);
            } else if right <= self.st.tx_sent {
                let learned = self.ext.board.insert(block.left, block.right);
                self.ext.loss.reordering |= learned.reordered;
            }
        }
        twice
    }

    /// The first block reports data that came twice (RFC 2883 §4): it was acknowledged before,
    /// or lies in the second block.
    fn is_duplicate(&self, first: &SackBlock, second: Option<&SackBlock>) -> bool {
        let una = self.snd_una();
        let old = first.right.le(una) && una.since(first.left) <= self.ext.max_wnd;
        let inside = second.is_some_and(|second| {
            second.left.le(first.left) && first.right.le(second.right) && second.left.gt(una)
        });
        first.left.lt(first.right) && (old || inside)
    }

    /// A segment was sent twice and arrived twice: what showed up as missing was only late.
    fn on_duplicate_report(&mut self, signs: &mut Signs) {
        let loss = &mut self.ext.loss;
        loss.quarters = (loss.quarters + 1).min(QUARTERS_MAX - 1);
        loss.calm = CALM_RECOVERIES;
        let undo = &mut loss.undo;
        if undo.possible && undo.resent > 0 {
            undo.resent -= 1;
            if undo.resent == 0 {
                // RFC 3708: every retransmission was in vain.
                self.undo(signs);
            }
        }
    }

    /// An ACK that echoes a time before the first retransmission is for the original: nothing
    /// was lost (Eifel, RFC 3522 §3.2).
    fn compare_timestamps(&mut self, seg: &Segment, now: Micros, signs: &mut Signs) {
        if !self.is_repairing() && self.ext.recovery != Recovery::Probe {
            return;
        }
        let first = Micros::from(self.ext.loss.undo.first_at);
        self.ext.loss.undo.first_at = Micros(0).into();
        if self.ext.recovery != Recovery::Sack {
            self.sample_retransmission(seg, now);
        }
        if first == Micros(0) || !self.ext.loss.undo.possible {
            return;
        }
        if let (Some(echoed), Some(ours)) = (seg.timestamps, self.timestamps(first))
            && echoed.ecr.wrapping_sub(ours.val).cast_signed() < 0
        {
            self.undo(signs);
        }
    }

    /// Takes back what a recovery did that had no reason.
    fn undo(&mut self, signs: &mut Signs) {
        signs.add(Signs::SPURIOUS);
        let undo = &mut self.ext.loss.undo;
        undo.possible = false;
        if self.ext.timed_out {
            self.ext.timed_out = false;
            self.st.cnt_tx_drops = 0;
        }
        let prior = undo.prior;
        if prior.rate() > self.st.tx_rate {
            self.ext.cc = prior;
            self.st.tx_rate = prior.rate();
            self.ext.review_window();
        }
        if self.is_repairing() {
            // Reports of what is really missing will come again.
            let una = self.snd_una();
            self.ext.board.begin(una);
            self.ext.loss.begin(una);
            self.ext.set_recovery(Recovery::None);
        }
    }

    /// The segment being timed has arrived, though something before it has not.
    fn sample_by_sack(&mut self, params: &TcpParams, now: Micros) {
        if self.ext.timing != Timing::Nothing && self.ext.board.edge().ge(SeqNum(self.ext.rtt_seq))
        {
            // Of segments out of order each is acknowledged at once (RFC 5681 §4.2).
            self.take_sample(self.ext.rtt_at.into(), params, now);
        }
    }

    /// What an ACK says of the probe of a tail (RFC 8985 §7.4).
    fn judge_probe(
        &mut self,
        acked: u32,
        twice: bool,
        sack: bool,
        params: &TcpParams,
        now: Micros,
    ) {
        let (una, end) = (self.snd_una(), SeqNum(self.ext.recover));
        let over = match self.ext.loss.probe {
            Probe::Fresh => una.ge(end),
            Probe::Due => acked > 0,
            // An ACK again, and nothing to report: the peer knows no DSACK.
            Probe::Sent => twice || una.gt(end) || (una == end && acked == 0 && !sack),
        };
        if !over {
            return;
        }
        if self.ext.loss.probe == Probe::Sent && !twice && una.gt(end) {
            // The probe repaired a loss, of which nothing else tells.
            self.reduce(params, now);
        }
        self.ext.set_recovery(Recovery::Disorder);
    }

    /// Draws the conclusions from what is on the scoreboard, of which `delivered` bytes are new.
    /// Returns whether the retransmission timer restarts.
    fn settle(
        &mut self,
        acked: u32,
        delivered: u32,
        params: &TcpParams,
        now: Micros,
        signs: &mut Signs,
    ) -> bool {
        let done = self.snd_una().ge(SeqNum(self.ext.recover));
        if self.is_repairing() && done {
            self.ext.set_recovery(Recovery::Disorder);
        }
        self.find_lost(now);
        if self.is_repairing() {
            self.go_on(delivered, now);
        } else {
            let lost = SeqNum(self.ext.loss.lost);
            let first = self.ext.board.first();
            if first.is_some_and(|first| first.lt(lost)) {
                self.begin_recovery(params, now, signs);
            } else if self.ext.recovery != Recovery::Probe {
                self.ext.set_recovery(match first {
                    Some(_) => Recovery::Disorder,
                    None => Recovery::None,
                });
            }
        }
        self.ext.rexmit_due = self.next_retransmission().is_some();
        self.watch_reordering(params, now);
        // What is reported restarts the timer like what is acknowledged, until something arrives
        // that was sent after the retransmission waited for (RFC 6675 §6).
        let waits = delivered > 0 && self.is_repairing() && !self.ext.board.is_first_overtaken();
        (acked > 0 || waits) && self.ext.rexmit_mode != RexmitMode::Reorder
    }

    /// What is lost is being sent again.
    fn is_repairing(&self) -> bool {
        matches!(self.ext.recovery, Recovery::Sack | Recovery::Timeout)
    }

    /// Finds out what is lost.
    fn find_lost(&mut self, now: Micros) {
        let repairing = self.is_repairing();
        let window = self.reordering_window();
        let (board, loss) = (&self.ext.board, &mut self.ext.loss);
        let edge = board.edge();
        let by_count = match (loss.reordering, repairing) {
            (true, _) => None,
            // RFC 8985 §6.2 step 4: without reordering there is nothing to wait for any more.
            (false, true) => Some(edge),
            (false, false) => board.lost_by_count(self.ext.mss.into()),
        };
        let lost = SeqNum(loss.lost);
        let exposed = SeqNum(loss.exposed);
        let mut known = by_count.map_or(lost, |by_count| lost.max(by_count));
        if now >= Micros::from(loss.exposed_at) + window {
            known = known.max(exposed);
        }
        loss.lost = known.0;
        if exposed.le(known) && edge.gt(exposed) {
            loss.exposed = edge.0;
            loss.exposed_at = now.into();
        }
    }

    /// How much later than others a segment may arrive (RFC 8985 §6.2, RACK.reo_wnd).
    fn reordering_window(&self) -> Micros {
        let srtt = u64::from(self.st.rtt_est);
        Micros((srtt * (1 + u64::from(self.ext.loss.quarters)) / 4).max(1))
    }

    /// Recovery goes on: what arrived makes room for as much, and for some more.
    fn go_on(&mut self, delivered: u32, now: Micros) {
        self.widen(delivered);
        let srtt = u64::from(self.st.rtt_est);
        let patience = match self.ext.loss.reordering {
            true => srtt + self.reordering_window().0,
            false => 0,
        };
        let before = Micros(now.0.saturating_sub(patience));
        let plausible = Micros(now.0.saturating_sub(srtt / 2));
        self.ext.board.forget_latest_since(plausible);
        // What was sent in the round trip after the reduction met the same full queue.
        let next = Micros::from(self.ext.loss.begun_at) + Micros(srtt);
        if self.ext.board.lose_retransmissions(before, next) {
            // RFC 5681 §4.3: the loss of a retransmission counts once more.
            self.st.cnt_tx_drops = self.st.cnt_tx_drops.saturating_add(1);
        }
    }

    /// `delivered` bytes more have arrived: how much may be under way now.
    fn widen(&mut self, delivered: u32) {
        let wnd = self.ext.rexmit_wnd;
        // One segment more for each ACK: slow start after a timeout (RFC 5681 §3.1), and the
        // slow-start reduction bound of proportional rate reduction (RFC 6937 §3.1) otherwise.
        let wider = wnd.saturating_add(delivered.min(self.ext.mss.into()));
        let Loss { goal, kept, .. } = self.ext.loss;
        self.ext.rexmit_wnd = if self.ext.recovery == Recovery::Timeout {
            wider
        } else if wnd > goal {
            // The queue empties within the round trip in which the rate falls.
            let less = u64::from(delivered) * u64::from(256u16.saturating_sub(kept)) / 256;
            wnd.saturating_sub(u32::try_from(less).unwrap_or(wnd))
                .max(goal)
        } else {
            wider.min(goal)
        };
    }

    /// Something is lost: send it again, and slow down (RFC 6675 §5 step 4).
    fn begin_recovery(&mut self, params: &TcpParams, now: Micros, signs: &mut Signs) {
        signs.add(Signs::LOSS);
        let reduced = self.ext.recovery == Recovery::Probe && self.ext.loss.reduced;
        self.ext.set_recovery(Recovery::Sack);
        self.ext.recover = self.st.tx_next_seq;
        let loss = &mut self.ext.loss;
        loss.begun_at = now.into();
        loss.calm = loss.calm.saturating_sub(1);
        if loss.calm == 0 {
            loss.quarters = 0;
        }
        self.find_lost(now);
        self.ext.rexmit_wnd = self.pipe() + u32::from(self.ext.mss);
        self.remember_rate();
        let before = self.granted();
        if !reduced {
            self.reduce(params, now);
        }
        self.aim(before);
        self.ext.rexmit_mode = RexmitMode::Retransmit;
        self.ext.rexmit_timer.set(now + self.ext.rtt.rto(params));
    }

    /// The window, or the rate if there is none: what congestion control reduces.
    fn granted(&self) -> u32 {
        match self.ext.cwnd() {
            u32::MAX => self.st.tx_rate,
            cwnd => cwnd,
        }
    }

    /// What is under way shall be less by as much as the window or the rate, which was `before`.
    fn aim(&mut self, before: u32) {
        let kept = u64::from(self.granted()) * 256 / u64::from(before.max(1));
        let kept = if before == 0 { 256 } else { kept.min(256) };
        let goal = u64::from(self.st.tx_sent) * kept / 256;
        self.ext.loss.kept = u16::try_from(kept).unwrap_or(256);
        self.ext.loss.goal = u32::try_from(goal)
            .unwrap_or(u32::MAX)
            .max(2 * u32::from(self.ext.mss));
    }

    /// Remembers what to go back to if the loss turns out to be none. As long as what was sent
    /// again for another loss may still be acknowledged, ACKs do not tell of this one alone.
    fn remember_rate(&mut self) {
        let una = self.snd_una();
        let undo = &mut self.ext.loss.undo;
        if undo.any && una.lt(SeqNum(undo.until)) {
            return;
        }
        *undo = Undo {
            prior: self.ext.cc,
            possible: true,
            ..Undo::default()
        };
    }

    /// Tells congestion control of a loss without waiting for the end of its interval, unless
    /// the interval began with one: it reacts to losses once in an interval.
    pub(super) fn reduce(&mut self, params: &TcpParams, now: Micros) {
        self.st.cnt_tx_drops = self.st.cnt_tx_drops.saturating_add(1);
        if !self.ext.cc_reacted {
            self.end_interval(params, now);
            self.ext.cc_reacted = true;
        }
    }

    /// Lets the timer run for the holes that are too young to be lost (RFC 8985 §6.3).
    fn watch_reordering(&mut self, params: &TcpParams, now: Micros) {
        let lost = SeqNum(self.ext.loss.lost);
        let young = self.ext.board.last_end().is_some_and(|end| end.gt(lost));
        if young && SeqNum(self.ext.loss.exposed).gt(lost) {
            let at = Micros::from(self.ext.loss.exposed_at) + self.reordering_window();
            self.ext.rexmit_mode = RexmitMode::Reorder;
            self.ext.rexmit_timer.set(at.max(now + Micros(1)));
        } else if self.ext.rexmit_mode == RexmitMode::Reorder {
            self.ext.rexmit_mode = RexmitMode::Retransmit;
            self.ext.rexmit_timer.set(now + self.ext.rtt.rto(params));
        }
    }

    /// Holes have become old enough to be lost.
    #[cold]
    pub(super) fn on_reordering_timeout(
        &mut self,
        params: &TcpParams,
        now: Micros,
        out: &mut TimerOutcome,
    ) {
        self.settle(0, 0, params, now, &mut out.signs);
    }

    /// Probes the tail when the retransmission timer runs out for the first time, instead of
    /// taking all for lost (RFC 8985 §7). The shortest timeout is so short that there is no room
    /// for a probe before it. False when it is not the time for one.
    #[cold]
    pub(super) fn probe_tail(
        &mut self,
        params: &TcpParams,
        now: Micros,
        out: &mut TimerOutcome,
    ) -> bool {
        let silent = match self.ext.recovery {
            Recovery::None => true,
            Recovery::Sack => !self.ext.board.has_holes(),
            _ => false,
        };
        let in_window = self.st.tx_sent <= self.st.rx_remote_avail;
        if !self.ext.sack || !silent || !in_window || self.ext.retries > 0 {
            return false;
        }
        self.ext.loss.reduced = self.ext.recovery == Recovery::Sack;
        self.ext.set_recovery(Recovery::Probe);
        self.ext.recover = self.st.tx_next_seq;
        let una = self.snd_una();
        self.ext.board.begin(una);
        self.ext.loss.begin(una);
        let fresh = self.sendable_in_window() > 0;
        self.ext.loss.probe = if fresh { Probe::Fresh } else { Probe::Due };
        self.ext.rexmit_due = !fresh;
        self.ext.rexmit_at = Micros(0).into();
        self.ext.rexmit_timer.set(now + self.ext.rtt.rto(params));
        out.signs.add(Signs::PROBE);
        true
    }

    /// The retransmission timer ran out: all that the peer has not reported is lost. What it has
    /// reported is believed until the next time (RFC 6675 §5.1, RFC 2018 §8).
    pub(super) fn lose_all(&mut self) {
        let una = self.snd_una();
        if self.ext.recovery == Recovery::None || self.ext.retries > 0 {
            self.ext.board.begin(una);
        }
        self.ext.board.miss_up_to(SeqNum(self.st.tx_next_seq));
        self.ext.loss.lost = self.st.tx_next_seq;
        self.ext.loss.exposed = self.st.tx_next_seq;
        self.remember_rate();
    }

    /// Where the next retransmission begins, and its length at most.
    pub(super) fn next_retransmission(&self) -> Option<(SeqNum, u32)> {
        let una = self.snd_una();
        let window = self.st.rx_remote_avail.min(self.st.tx_sent);
        let (start, end) = match self.ext.recovery {
            Recovery::Probe if self.ext.loss.probe == Probe::Due => {
                (una + self.tail(), una + window)
            }
            Recovery::Sack | Recovery::Timeout if self.ext.sack => {
                let lost = SeqNum(self.ext.loss.lost);
                let (start, end) = self.ext.board.next_lost(lost)?;
                if self.pipe() >= self.ext.rexmit_wnd {
                    return None;
                }
                (start, end.min(una + window))
            }
            Recovery::Fast if self.ext.rexmit_due => (una, una + window),
            _ => return None,
        };
        start.lt(end).then(|| (start, end.since(start)))
    }

    /// Where the last segment outstanding begins, from SND.UNA on.
    fn tail(&self) -> u32 {
        let fin = self.tx_fin() && self.st.tx_avail == 0;
        let last = u32::from(self.ext.mss) + u32::from(fin);
        self.st.tx_sent.saturating_sub(last)
    }

    /// What [`Flow::next_retransmission`] said was sent, up to `end`.
    pub(super) fn note_retransmission(&mut self, start: SeqNum, end: SeqNum, now: Micros) {
        match self.ext.recovery {
            Recovery::Sack | Recovery::Timeout if self.ext.sack => {
                let snd_nxt = SeqNum(self.st.tx_next_seq);
                self.ext.board.note_resent(end, snd_nxt, now);
                let undo = &mut self.ext.loss.undo;
                if undo.resent == 0 && undo.possible {
                    undo.first_at = now.into();
                }
                undo.resent = undo.resent.saturating_add(1);
                undo.until = match std::mem::replace(&mut undo.any, true) {
                    true => SeqNum(undo.until).max(end).0,
                    false => end.0,
                };
                if start == self.snd_una() {
                    self.ext.rexmit_at = now.into();
                }
                self.ext.rexmit_due = self.next_retransmission().is_some();
            }
            recovery => {
                if recovery == Recovery::Probe {
                    self.ext.loss.probe = Probe::Sent;
                    self.ext.rexmit_at = now.into();
                }
                self.ext.rexmit_due = false;
            }
        }
    }

    /// Bytes that are probably under way (RFC 6675 §4, pipe).
    pub(super) fn pipe(&self) -> u32 {
        if !self.ext.sack {
            return self.st.tx_sent;
        }
        let board = &self.ext.board;
        let gone = board.sacked(self.snd_una()) + board.lost(SeqNum(self.ext.loss.lost));
        self.st.tx_sent.saturating_sub(gone)
    }
}
