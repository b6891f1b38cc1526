//! Segment arrives (RFC 9293 §3.10.7.4).

use tas_wire::{SackBlocks, SeqNum, TcpFlags};

use super::flow::{Flow, coarse};
use super::state::State;
use super::types::{End, Received, Segment, Signs, TcpParams};
use crate::types::Micros;

/// Flags that an ordinary segment may have besides ACK.
const ORDINARY: TcpFlags = TcpFlags::PSH.union(TcpFlags::ECE).union(TcpFlags::CWR);
/// TS.Recent is not to be trusted when older than 24 days (RFC 7323 §5.5), in units of 2²⁰ µs.
const TS_RECENT_MAX_AGE: u32 = ((24 * 24 * 3600 * 1_000_000u64) >> 20) as u32;
/// Challenge ACKs per 4 seconds and flow (RFC 5961 §7).
const CHALLENGES_MAX: u8 = 10;

/// Acceptability test of RFC 9293 §3.10.7.4, table 6. `len` counts SYN and FIN.
#[inline]
pub(super) fn acceptable(seq: SeqNum, len: u32, rcv_nxt: SeqNum, rcv_wnd: u32) -> bool {
    match (len, rcv_wnd) {
        (0, 0) => seq == rcv_nxt,
        (0, _) => seq.in_window(rcv_nxt, rcv_wnd),
        (_, 0) => false,
        _ => seq.in_window(rcv_nxt, rcv_wnd) || (seq + (len - 1)).in_window(rcv_nxt, rcv_wnd),
    }
}

impl Segment {
    /// SEG.LEN: data, SYN and FIN.
    fn seq_len(&self) -> u32 {
        let control = u32::from(self.flags.contains(TcpFlags::SYN))
            + u32::from(self.flags.contains(TcpFlags::FIN));
        self.len.saturating_add(control)
    }
}

impl Flow<'_> {
    /// Takes a segment that belongs to this flow and whose checksum is right. `sacks` are its
    /// SACK blocks, none unless [`Segment::sack`].
    #[must_use]
    pub fn on_segment(
        &mut self,
        seg: &Segment,
        sacks: &SackBlocks,
        params: &TcpParams,
        now: Micros,
    ) -> Received {
        let mut out = Received::default();
        self.take_segment(seg, sacks, params, now, &mut out);
        out
    }

    /// Like [`Flow::on_segment`], into `out`, which is as [`Received::default`] before: to move
    /// the result would cost more than most of the rest.
    #[inline]
    pub fn take_segment(
        &mut self,
        seg: &Segment,
        sacks: &SackBlocks,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) {
        if self.is_expected(seg) {
            self.note_timestamp(seg, now);
            self.process_ack(seg, sacks, params, now, out);
            if seg.len > 0 {
                self.receive_in_order(seg, params, now, out);
            }
        } else {
            self.on_unexpected(seg, sacks, params, now, out);
        }
        self.conclude(out);
    }

    /// Header prediction: what an established flow sees nearly all the time. It implies every
    /// check of [`Flow::on_unexpected`].
    #[inline]
    fn is_expected(&self, seg: &Segment) -> bool {
        self.ext.state == State::Established
            && seg.flags.without(ORDINARY) == TcpFlags::ACK
            && seg.seq == self.rcv_nxt()
            && seg.len <= self.st.rx_avail
            && seg.ack.since(self.snd_una()) <= self.snd_max().since(self.snd_una())
            && !self.ext.detached()
            && !self.ext.fin_held
            && match seg.timestamps {
                Some(ts) => !self.ext.timestamps || !self.is_older(ts.val),
                None => !self.ext.timestamps,
            }
    }

    /// The checks of RFC 9293 §3.10.7.4 in their order, with those of RFC 7323 and RFC 5961.
    #[cold]
    #[inline(never)]
    fn on_unexpected(
        &mut self,
        seg: &Segment,
        sacks: &SackBlocks,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) {
        if self.ext.state.is_over() {
            return;
        }
        let reset = seg.flags.contains(TcpFlags::RST);
        if self.ext.timestamps && !reset {
            let Some(ts) = seg.timestamps else {
                return; // RFC 7323 §3.2: silently.
            };
            // PAWS, RFC 7323 §5.3 R1.
            if self.is_older(ts.val) && self.is_ts_recent_valid(now) {
                self.answer_unacceptable(seg, now, out);
                return;
            }
        }

        let in_window = acceptable(seg.seq, seg.seq_len(), self.rcv_nxt(), self.st.rx_avail);
        if !in_window {
            if reset {
                // RFC 5961 §3.2, case 3. But a peer of which a whole window was lost resets just
                // beyond it: it is asked, as within the window, or we would wait for ever.
                if seg.seq == self.rcv_nxt() + self.st.rx_avail {
                    self.challenge(now, out);
                }
                return;
            }
            // What is taken nevertheless and has no data needs no answer. It would come out of the
            // allowance for challenges, which a reset after it may need.
            if !self.is_bare_ack_at_edge(seg) {
                self.note_old_data(seg);
                self.answer_unacceptable(seg, now, out);
            }
            if !self.is_ack_allowed(seg) {
                return;
            }
        }
        if reset {
            self.on_reset(seg, now, out);
            return;
        }
        if seg.flags.contains(TcpFlags::SYN) {
            self.challenge(now, out); // RFC 5961 §4.2.
            return;
        }
        if !seg.flags.contains(TcpFlags::ACK) {
            return;
        }
        // RFC 5961 §5.2: neither for what was never sent nor older than any window.
        let oldest = self.snd_una() - self.ext.max_wnd;
        if seg.ack.since(oldest) > self.snd_max().since(oldest) {
            self.challenge(now, out);
            return;
        }
        self.note_timestamp(seg, now);
        self.process_ack(seg, sacks, params, now, out);
        if in_window && out.end.is_none() {
            self.receive(seg, params, now, out);
        }
    }

    /// Data that was received before, as far as such may still be under way.
    fn note_old_data(&mut self, seg: &Segment) {
        let end = seg.seq + seg.len;
        let old = self.rcv_nxt().since(seg.seq) <= self.st.rx_len;
        if seg.len > 0 && old && end.le(self.rcv_nxt()) {
            self.note_duplicate_data(seg.seq, end);
        }
    }

    /// Segments out of the window whose ACK counts nevertheless.
    fn is_ack_allowed(&self, seg: &Segment) -> bool {
        // "Special allowance should be made to accept valid ACKs" beside a closed window.
        let at_edge = seg.seq == self.rcv_nxt() + self.st.rx_avail;
        // Each side may have received more than the other knows: both probed a closed window at
        // once, say, and both took the byte. Then each finds all that the other sends too old,
        // for ever unless the ACKs count (RFC 9293 §3.10.7.4 refers to
        // draft-gont-tcpm-tcp-seq-validation).
        let old = self.rcv_nxt().since(seg.seq) <= self.st.rx_len;
        old || (at_edge && self.st.rx_avail == 0) || self.is_bare_ack_at_edge(seg)
    }

    /// An ACK without data just beyond the window, which is full of data beyond a hole.
    fn is_bare_ack_at_edge(&self, seg: &Segment) -> bool {
        seg.seq_len() == 0 && seg.seq == self.rcv_nxt() + self.st.rx_avail
    }

    /// Fills in what follows from the flow's state.
    #[inline]
    fn conclude(&mut self, out: &mut Received) {
        out.ack = self.ext.ack_due;
        out.send = (self.st.tx_avail > 0 || self.ext.rexmit_due) && self.sendable() > 0;
    }

    /// RFC 5961 §3.2: only the exact sequence number resets.
    #[cold]
    fn on_reset(&mut self, seg: &Segment, now: Micros, out: &mut Received) {
        if seg.seq != self.rcv_nxt() {
            self.challenge(now, out);
            return;
        }
        self.abort();
        out.notice.rx_closed = true;
        out.notice.reset = true;
        out.end = Some(End::Reset);
    }

    /// Answers a segment out of the window. Without data the answer counts as a challenge:
    /// two hosts that find each other's ACKs wrong would otherwise exchange them for ever.
    fn answer_unacceptable(&mut self, seg: &Segment, now: Micros, out: &mut Received) {
        self.ext.liveness.heard = true;
        if seg.seq_len() > 0 && !seg.flags.contains(TcpFlags::SYN) {
            self.ext.ack_due = true;
        } else {
            self.challenge(now, out);
        }
    }

    /// A challenge ACK (RFC 5961), unless there were many (§7).
    #[cold]
    fn challenge(&mut self, now: Micros, out: &mut Received) {
        out.signs.add(Signs::CHALLENGE);
        let epoch = coarse(now) / 4;
        if self.ext.challenge_epoch != epoch {
            self.ext.challenge_epoch = epoch;
            self.ext.challenges = 0;
        }
        if self.ext.challenges < CHALLENGES_MAX {
            self.ext.challenges += 1;
            self.ext.ack_due = true;
        }
    }

    /// SEG.TSval < TS.Recent.
    #[inline]
    fn is_older(&self, ts_val: u32) -> bool {
        ts_val.wrapping_sub(self.st.tx_next_ts).cast_signed() < 0
    }

    /// RFC 7323 §5.5.
    fn is_ts_recent_valid(&self, now: Micros) -> bool {
        coarse(now).wrapping_sub(self.ext.ts_recent_at) < TS_RECENT_MAX_AGE
    }

    /// Updates TS.Recent (RFC 7323 §4.3). Only for segments that passed PAWS.
    #[inline]
    fn note_timestamp(&mut self, seg: &Segment, now: Micros) {
        if let Some(ts) = seg.timestamps
            && self.ext.timestamps
            && seg.seq.le(SeqNum(self.ext.last_ack))
            && ts.val != self.st.tx_next_ts
        {
            self.st.tx_next_ts = ts.val;
            self.ext.ts_recent_at = coarse(now);
        }
    }
}
