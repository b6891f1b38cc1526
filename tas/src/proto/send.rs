//! What to send, and the header fields that every segment has.

use tas_wire::{SeqNum, TcpFlags, Timestamps};

use super::ext::{Recovery, RexmitMode, Timing};
use super::flow::{Flow, ring_add, ring_sub};
use super::rtt::doubled;
use super::types::{SegmentPlan, TcpParams};
use crate::types::Micros;

impl Flow<'_> {
    /// Bytes of sequence space that may be sent now; not 0 exactly if [`Flow::next_segment`]
    /// would return a segment.
    #[inline]
    #[must_use]
    pub fn sendable(&self) -> u32 {
        if self.ext.state.is_over() {
            return 0;
        }
        let next = self.sendable_in_window();
        if self.ext.rexmit_due || self.ext.probe {
            return next.saturating_add(self.sendable_beside());
        }
        next
    }

    /// Bytes that may be sent besides those that follow in order.
    #[cold]
    fn sendable_beside(&self) -> u32 {
        let again = self.next_retransmission().map_or(0, |(_, len)| len);
        again.saturating_add(self.ext.probe.into())
    }

    /// Bytes from `tx_next_seq` on that the window, and silly-window avoidance, let out.
    #[inline]
    pub(super) fn sendable_in_window(&self) -> u32 {
        let avail = self.st.tx_avail;
        let mut window = self.st.rx_remote_avail;
        if self.st.tx_sent.wrapping_add(avail) > self.ext.unlimited {
            window = window.min(self.local_window());
        }
        let n = avail.min(window.saturating_sub(self.st.tx_sent));
        // RFC 9293 §3.8.6.2.1: a full segment, or all there is, or half the largest window.
        // Nagle's algorithm is not applied.
        if n == avail || n >= self.ext.mss.into() || (n > 0 && n >= self.ext.max_wnd / 2) {
            n
        } else {
            0
        }
    }

    /// How far ahead of SND.UNA new data may be sent by what the network bears.
    #[cold]
    fn local_window(&self) -> u32 {
        if self.ext.recovery < Recovery::Sack {
            return self.ext.cwnd();
        }
        // While a loss is repaired, what is under way is counted otherwise.
        let room = self.ext.rexmit_wnd.saturating_sub(self.pipe());
        self.st.tx_sent.saturating_add(room)
    }

    /// The next segment with data, FIN or a probe, if one may be sent now. It carries the ACK
    /// that is due.
    #[must_use]
    pub fn next_segment(&mut self, params: &TcpParams, now: Micros) -> Option<SegmentPlan> {
        let mut plan = SegmentPlan::default();
        self.plan_next(params, now, &mut plan).then_some(plan)
    }

    /// Like [`Flow::next_segment`], into `plan`, which is as [`SegmentPlan::default`] before;
    /// false when there is none.
    #[inline]
    pub fn plan_next(&mut self, params: &TcpParams, now: Micros, plan: &mut SegmentPlan) -> bool {
        if self.ext.state.is_over() {
            return false;
        }
        if self.ext.rexmit_due && self.retransmit(now, plan) {
            return true;
        }
        let n = self.sendable_in_window();
        if n == 0 {
            return self.ext.probe && self.probe(params, now, plan);
        }
        self.send_next(n, params, now, plan);
        true
    }

    /// The rate keeps back what could be sent: it is used to the full.
    #[inline]
    pub fn hold_back(&mut self) {
        self.ext.backlogged = true;
    }

    /// Sends from `tx_next_seq` on: at most `n` numbers.
    #[inline]
    fn send_next(&mut self, n: u32, params: &TcpParams, now: Micros, plan: &mut SegmentPlan) {
        let (n, fin) = self.cut(n, self.st.tx_avail);
        let seq = SeqNum(self.st.tx_next_seq);
        let end = seq + n;
        self.data_header(now, plan);
        plan.seq = seq;
        plan.pos = self.st.tx_next_pos;
        plan.len = n - u32::from(fin);
        if fin {
            plan.flags |= TcpFlags::FIN;
        }
        if n == self.st.tx_avail && plan.len > 0 {
            plan.flags |= TcpFlags::PSH;
        }

        if seq == self.snd_max() {
            self.note_fresh(plan, end, now);
        } else if self.st.tx_sent == 0 {
            self.ext.rexmit_at = now.into();
        }
        self.ext.snd_max = self.snd_max().max(end).0;
        self.st.tx_next_pos = ring_add(self.st.tx_next_pos, n, self.st.tx_len);
        self.st.tx_next_seq = end.0;
        self.st.tx_avail -= n;
        self.st.tx_sent += n;
        self.ext.probe = false;
        self.ext.quick_acks = 0;
        if self.ext.ack_held {
            // The answer came after all, only later than the ACK waited for it.
            self.ext.ack_held = false;
            self.ext.ack_patience.grow();
        }
        if self.ext.rexmit_mode < RexmitMode::Retransmit {
            // RFC 6298 §5.1.
            if self.ext.rexmit_mode == RexmitMode::Persist {
                self.ext.retries = 0;
            }
            self.ext.rexmit_mode = RexmitMode::Retransmit;
            self.ext.rexmit_timer.set(now + self.ext.rtt.rto(params));
        }
    }

    /// What holds only for data that is sent for the first time.
    #[inline]
    fn note_fresh(&mut self, plan: &mut SegmentPlan, end: SeqNum, now: Micros) {
        match self.ext.timing {
            Timing::Nothing => {
                self.ext.timing = Timing::One;
                self.ext.rtt_seq = end.0;
                self.ext.rtt_at = now.into();
            }
            Timing::One => {
                self.ext.timing = Timing::Two;
                self.ext.rtt_next_seq = end.0;
                self.ext.rtt_next_at = now.into();
            }
            Timing::Two => {}
        }
        if self.ecn() && plan.len > 0 {
            // RFC 3168 §6.1.4 and §6.1.5: not on ACKs, not on retransmissions.
            plan.ect = true;
            if self.ext.cwr_due {
                self.ext.cwr_due = false;
                plan.flags |= TcpFlags::CWR;
            }
        }
    }

    /// How many of `n` numbers one segment takes, and whether the last of them is FIN. `left` is
    /// what is queued from there on.
    #[inline]
    fn cut(&self, n: u32, left: u32) -> (u32, bool) {
        let mss = u32::from(self.ext.mss);
        if n < left || !self.tx_fin() {
            return (n.min(mss), false);
        }
        // FIN rides on the last data.
        if n - 1 <= mss {
            (n, true)
        } else {
            (mss, false)
        }
    }

    /// Sends something again (RFC 5681 §3.2, RFC 6582 §3.2, RFC 6675 §5).
    #[cold]
    fn retransmit(&mut self, now: Micros, plan: &mut SegmentPlan) -> bool {
        let Some((start, n)) = self.next_retransmission() else {
            self.ext.rexmit_due = false;
            return false;
        };
        let offset = start.since(self.snd_una());
        let left = (self.st.tx_sent - offset).saturating_add(self.st.tx_avail);
        let (n, fin) = self.cut(n, left);
        // Karn. What SACK recovery sends again lies before the segment that is timed, whose own
        // arrival is reported.
        if self.ext.recovery != Recovery::Sack {
            self.ext.timing = Timing::Nothing;
        }
        self.ext.liveness.retransmits = self.ext.liveness.retransmits.wrapping_add(1);
        self.data_header(now, plan);
        plan.seq = start;
        plan.pos = ring_sub(
            self.st.tx_next_pos,
            self.st.tx_sent - offset,
            self.st.tx_len,
        );
        plan.len = n - u32::from(fin);
        if fin {
            plan.flags |= TcpFlags::FIN;
        }
        self.note_retransmission(start, start + n, now);
        true
    }

    /// A probe of a closed window (RFC 9293 §3.8.6.1), or what a small window admits after
    /// waiting long enough for a larger one (RFC 1122 §4.2.3.4).
    #[cold]
    fn probe(&mut self, params: &TcpParams, now: Micros, plan: &mut SegmentPlan) -> bool {
        self.ext.probe = false;
        let room = self.st.rx_remote_avail.saturating_sub(self.st.tx_sent);
        let n = room.min(self.st.tx_avail);
        if n > 0 {
            // Nothing was heard of the peer, so this is one more attempt.
            let retries = self.ext.retries;
            self.send_next(n, params, now, plan);
            self.ext.retries = retries;
            return true;
        }
        if self.st.tx_avail == 0 {
            return false;
        }
        let (n, fin) = self.cut(1, self.st.tx_avail);
        self.data_header(now, plan);
        plan.seq = SeqNum(self.st.tx_next_seq);
        plan.pos = self.st.tx_next_pos;
        plan.len = n - u32::from(fin);
        if fin {
            plan.flags |= TcpFlags::FIN;
        }
        // The peer may take it or not: it does not count as sent, but may be acknowledged.
        self.ext.snd_max = self.snd_max().max(plan.seq + n).0;
        self.ext.timing = Timing::Nothing;
        true
    }

    /// Pause before the next probe.
    pub(super) fn persist_pause(&self, params: &TcpParams) -> Micros {
        doubled(params.persist_min, self.ext.retries, params.rto_max)
    }

    /// The ACK due, unless another segment carried it meanwhile.
    #[inline]
    pub fn take_ack(&mut self, now: Micros) -> Option<SegmentPlan> {
        self.ext.ack_due.then(|| self.ack_plan(now))
    }

    /// A segment without data.
    pub(super) fn ack_plan(&mut self, now: Micros) -> SegmentPlan {
        let mut plan = SegmentPlan::default();
        self.header(now, &mut plan);
        plan.seq = self.seq_without_data();
        self.ext.ack_due = false;
        if self.ext.sack_news {
            self.report_sacks(&mut plan);
        }
        plan
    }

    /// A segment that makes the peer drop the connection. The caller ends the flow after it.
    #[cold]
    #[must_use]
    pub fn reset_plan(&self, now: Micros) -> SegmentPlan {
        SegmentPlan {
            seq: self.seq_without_data(),
            ack: self.rcv_nxt(),
            flags: TcpFlags::RST | TcpFlags::ACK,
            timestamps: self.timestamps(now),
            ..SegmentPlan::default()
        }
    }

    /// A second one, where the peer may expect either of two numbers: it has taken a probe of its
    /// closed window or not, and would ignore a reset below the window (RFC 5961 §3.2).
    #[cold]
    #[must_use]
    pub fn second_reset_plan(&self, now: Micros) -> Option<SegmentPlan> {
        let mut plan = self.reset_plan(now);
        let probed = plan.seq != self.snd_max();
        plan.seq = self.snd_max();
        probed.then_some(plan)
    }

    /// Sequence number of segments that occupy none: SND.NXT, regardless of rewinding. Beside a
    /// closed window only SND.UNA is taken by the peer (RFC 9293 §3.10.7.4, table 6), whatever
    /// probes were sent.
    #[inline]
    fn seq_without_data(&self) -> SeqNum {
        if self.st.rx_remote_avail == 0 && self.st.tx_sent == 0 {
            self.snd_una()
        } else {
            self.snd_max()
        }
    }

    /// The header of a segment with data, which carries the ACK that is due but has no room for a
    /// SACK option: what there is to report goes with an ACK of its own (RFC 2018 §4).
    #[inline]
    fn data_header(&mut self, now: Micros, plan: &mut SegmentPlan) {
        self.ext.ack_due &= self.ext.sack_news;
        self.header(now, plan);
    }

    /// The fields that tell of the receiving side. Whatever is sent acknowledges.
    #[inline]
    fn header(&mut self, now: Micros, plan: &mut SegmentPlan) {
        self.ext.ack_timer.stop();
        self.ext.last_ack = self.st.rx_next_seq;
        plan.ack = self.rcv_nxt();
        plan.flags = TcpFlags::ACK;
        if self.ext.ce {
            plan.flags |= TcpFlags::ECE;
        }
        plan.window = self.announce();
        plan.timestamps = self.timestamps(now);
    }

    /// Our clock counts milliseconds.
    #[inline]
    pub(super) fn timestamps(&self, now: Micros) -> Option<Timestamps> {
        self.ext.timestamps.then(|| Timestamps {
            val: self.ext.ts_offset.wrapping_add((now.0 / 1000) as u32),
            ecr: self.st.tx_next_ts,
        })
    }

    /// Window announced so far, from RCV.NXT on.
    #[inline]
    fn announced(&self) -> u32 {
        let left = SeqNum(self.ext.rcv_adv).distance(self.rcv_nxt());
        u32::try_from(left).unwrap_or(0)
    }

    /// Growth of the window that is worth telling (RFC 1122 §4.2.3.3).
    #[inline]
    fn window_step(&self) -> u32 {
        u32::from(self.ext.mss).min(self.st.rx_len / 2)
    }

    /// The window field of a segment that is sent now; remembers it.
    #[inline]
    fn announce(&mut self) -> u16 {
        let scale = self.ext.rcv_wscale;
        let announced = self.announced();
        let free = self.st.rx_avail;
        let grows = free.saturating_sub(announced) >= self.window_step();
        let window = if grows { free } else { announced };
        // Rounding down would move the right edge back (RFC 7323 §2.4). Only at the very end of
        // the buffer there is nothing else to do, and what was announced is accepted anyway.
        let mut field = window.div_ceil(1 << scale);
        if field
            .checked_shl(scale.into())
            .is_none_or(|bytes| bytes > free)
        {
            field = free >> scale;
        }
        let field = u16::try_from(field).unwrap_or(u16::MAX);
        let edge = self.rcv_nxt() + (u32::from(field) << scale);
        if self.announced() < edge.since(self.rcv_nxt()) {
            self.ext.rcv_adv = edge.0;
        }
        field
    }

    /// Whether the window opened so far that the peer should hear of it without waiting for
    /// the next ACK: by a step, and to twice what it knows of. A sender that is held up, or
    /// about to be, knows of little.
    #[inline]
    pub(super) fn window_update_due(&self) -> bool {
        let announced = self.announced();
        let growth = self.st.rx_avail.saturating_sub(announced);
        growth >= self.window_step() && growth >= announced && !self.rx_fin()
    }
}
