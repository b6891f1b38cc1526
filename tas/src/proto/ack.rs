//! The acknowledgment and window of a segment (RFC 9293 §3.10.7.4, RFC 5681, RFC 6582).

use tas_wire::{SackBlocks, SeqNum, TcpFlags};

use super::cc::{self, Sample};
use super::ext::{Keeper, Recovery, RexmitMode, Timing};
use super::flow::{Flow, ring_add};
use super::state::{Event, State};
use super::types::{End, Received, Segment, Signs, TcpParams};
use crate::types::Micros;

/// Duplicate ACKs that tell of a loss (RFC 5681 §3.2).
const DUPACK_THRESHOLD: u32 = 3;

impl Flow<'_> {
    /// Takes SEG.ACK and SEG.WND of an acceptable segment.
    #[inline]
    pub(super) fn process_ack(
        &mut self,
        seg: &Segment,
        sacks: &SackBlocks,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) {
        let una = self.snd_una();
        let acked = seg.ack.since(una);
        if acked > self.snd_max().since(una) {
            return; // An old duplicate.
        }
        if acked == 0 {
            if seg.len == 0 && self.ext.keeper == Keeper::Watching {
                self.ext.liveness.heard = true;
            }
            if seg.sack || (seg.len == 0 && self.expects_acks()) {
                self.on_no_progress(seg, sacks, params, now, out);
            }
            self.update_window(seg, 0);
        } else {
            self.update_window(seg, acked);
            self.on_progress(seg, sacks, acked, params, now, out);
        }
        self.arm(params, now);
    }

    /// SND.WND, SND.WL1, SND.WL2: an older segment does not change the window's right edge.
    #[inline]
    fn update_window(&mut self, seg: &Segment, acked: u32) {
        let window = self.scaled(seg);
        let wl1 = SeqNum(self.ext.snd_wl1);
        if wl1.lt(seg.seq) || (wl1 == seg.seq && SeqNum(self.ext.snd_wl2).le(seg.ack)) {
            self.st.rx_remote_avail = window;
            self.ext.max_wnd = self.ext.max_wnd.max(window);
            self.ext.snd_wl1 = seg.seq.0;
            self.ext.snd_wl2 = seg.ack.0;
        } else {
            self.st.rx_remote_avail = self.st.rx_remote_avail.saturating_sub(acked);
        }
        self.ext.last_wnd = window;
    }

    /// SEG.WND in bytes.
    #[inline]
    fn scaled(&self, seg: &Segment) -> u32 {
        u32::from(seg.window) << self.ext.snd_wscale
    }

    /// `acked` bytes are newly acknowledged.
    #[inline]
    fn on_progress(
        &mut self,
        seg: &Segment,
        sacks: &SackBlocks,
        acked: u32,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) {
        let st = &mut *self.st;
        if acked <= st.tx_sent {
            st.tx_sent -= acked;
        } else {
            // Sent before a timeout moved back, or as a probe: need not be sent again.
            let skipped = acked - st.tx_sent;
            st.tx_sent = 0;
            st.tx_avail = st.tx_avail.saturating_sub(skipped);
            st.tx_next_pos = ring_add(st.tx_next_pos, skipped, st.tx_len);
            st.tx_next_seq = st.tx_next_seq.wrapping_add(skipped);
        }
        st.rx_dupack_cnt = 0;
        st.cnt_rx_acks = st.cnt_rx_acks.saturating_add(1);
        st.cnt_rx_ack_bytes = st.cnt_rx_ack_bytes.saturating_add(acked);
        if seg.flags.contains(TcpFlags::ECE) && self.ecn() {
            self.st.cnt_rx_ecn_bytes = self.st.cnt_rx_ecn_bytes.saturating_add(acked);
            if !self.ext.cc_reacted {
                // RFC 8257 §3.3: the first mark of a window counts at once, others do not.
                self.ext.cc_next = now.into();
            }
        }
        out.notice.tx_bump = acked;

        if self.ext.retries > 0 {
            self.ext.rtt.ease_off(self.ext.retries);
            self.ext.retries = 0;
            self.judge_black_hole(now, &mut out.signs);
        }
        self.ext.rexmit_due = false;
        if self.ext.timing == Timing::One && seg.ack.ge(SeqNum(self.ext.rtt_seq)) {
            self.take_sample(self.ext.rtt_at.into(), params, now);
        } else if self.ext.timing == Timing::Two {
            self.sample_of_two(seg.ack, params, now);
        }
        let restart = (self.ext.recovery == Recovery::None && !seg.sack)
            || self.recover(seg, sacks, acked, params, now, out);
        if self.st.tx_sent > 0 && restart {
            // RFC 6298 §5.3; §5.2 is in `arm`.
            self.ext.rexmit_timer.set(now + self.ext.rtt.rto(params));
        }
        if self.st.tx_avail > 0 {
            self.ext.backlogged = true;
        } else if self.st.tx_sent == 0 && self.tx_fin() {
            self.on_fin_acked(params, now, out);
        }
        if now >= self.ext.cc_next.into() {
            self.end_interval(params, now);
        }
    }

    /// Two segments are being timed, and all up to `right` is acknowledged. If the ACK of the first
    /// waited for the second (RFC 1122 §4.2.3.2), that one counts: the wait is as long as the rate
    /// is low, and no round trip.
    fn sample_of_two(&mut self, right: SeqNum, params: &TcpParams, now: Micros) {
        if right.ge(SeqNum(self.ext.rtt_next_seq)) {
            self.take_sample(self.ext.rtt_next_at.into(), params, now);
        } else if right.ge(SeqNum(self.ext.rtt_seq)) {
            self.take_sample(self.ext.rtt_at.into(), params, now);
        }
    }

    /// What was `sent` then, and timed, has arrived.
    #[inline]
    pub(super) fn take_sample(&mut self, sent: Micros, params: &TcpParams, now: Micros) {
        self.ext.timing = Timing::Nothing;
        let rtt = self.ext.rtt.sample(now.since(sent));
        self.st.rtt_est = self.ext.rtt.srtt_us();
        if rtt < self.ext.rtt_watch {
            self.on_short_rtt(rtt, params, now);
        }
    }

    /// A round trip was shorter than those before in this control interval, or much shorter than
    /// what the interval was chosen by: a time that a retransmission, or a queue, took.
    #[cold]
    fn on_short_rtt(&mut self, rtt: u32, params: &TcpParams, now: Micros) {
        self.ext.rtt_watch = rtt;
        self.ext.rtt_least = rtt;
        if rtt < self.st.rtt_est / 2 {
            let interval = params
                .cc
                .interval(&self.ext.cc, Some(Micros(self.st.rtt_est.into())));
            self.ext.cc_next = Micros::from(self.ext.cc_next).min(now + interval).into();
        }
    }

    /// An ACK during loss recovery. Returns whether the retransmission timer restarts.
    #[cold]
    fn recover(
        &mut self,
        seg: &Segment,
        sacks: &SackBlocks,
        acked: u32,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) -> bool {
        if self.ext.sack {
            return self.on_sack(seg, sacks, acked, params, now, &mut out.signs);
        }
        let complete = seg.ack.ge(SeqNum(self.ext.recover));
        let restart = match self.ext.recovery {
            // RFC 6582 §3.2 step 3, a partial ACK: the next segment is lost too. Only the first
            // restarts the timer (the impatient variant).
            Recovery::Fast if !complete => {
                self.ext.rexmit_due = true;
                !std::mem::replace(&mut self.ext.partial_acked, true)
            }
            Recovery::Timeout => {
                // Slow start (RFC 5681 §3.1) until what was outstanding is acknowledged.
                let growth = acked.min(self.ext.mss.into());
                self.ext.rexmit_wnd = self.ext.rexmit_wnd.saturating_add(growth);
                self.sample_retransmission(seg, now);
                true
            }
            _ => true,
        };
        if complete {
            self.ext.set_recovery(Recovery::None);
        }
        restart
    }

    /// The echoed timestamp tells which transmission an ACK after a timeout is for, so that it is
    /// a sample in spite of Karn (RFC 7323 §4.1): of the last one exactly, which was at least a
    /// shortest timeout after the one before, or of an earlier one by the timestamps' ticks. The
    /// timeout was too short then, and without the sample would stay so.
    pub(super) fn sample_retransmission(&mut self, seg: &Segment, now: Micros) {
        let sent = Micros::from(self.ext.rexmit_at);
        if sent == Micros(0) {
            return;
        }
        if let (Some(echoed), Some(ours)) = (seg.timestamps, self.timestamps(sent))
            && let Ok(earlier) = u64::try_from(ours.val.wrapping_sub(echoed.ecr).cast_signed())
        {
            self.ext.rexmit_at = Micros(0).into();
            let rtt = now.since(sent) + Micros::from_millis(earlier);
            self.ext.rtt.sample(rtt);
            self.st.rtt_est = self.ext.rtt.srtt_us();
        }
    }

    /// ACKs mean something even if they acknowledge nothing new.
    #[inline]
    fn expects_acks(&self) -> bool {
        self.st.tx_sent > 0 || self.ext.recovery != Recovery::None
    }

    /// A segment that acknowledges nothing new.
    #[cold]
    fn on_no_progress(
        &mut self,
        seg: &Segment,
        sacks: &SackBlocks,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) {
        if !self.ext.sack {
            if seg.len == 0 {
                self.note_duplicate(seg, params, now, out);
            }
        } else if seg.sack || self.ext.recovery != Recovery::None {
            self.update_window(seg, 0);
            if self.on_sack(seg, sacks, 0, params, now, &mut out.signs) {
                self.ext.rexmit_timer.set(now + self.ext.rtt.rto(params));
            }
        }
    }

    /// Without SACK: a segment that acknowledges nothing new and carries no data, while something
    /// is outstanding.
    fn note_duplicate(
        &mut self,
        seg: &Segment,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) {
        // RFC 5681 §2.
        let changes = seg.flags.contains(TcpFlags::FIN) || self.scaled(seg) != self.ext.last_wnd;
        if changes || self.st.tx_sent == 0 {
            return;
        }
        self.st.rx_dupack_cnt = self.st.rx_dupack_cnt.saturating_add(1);
        // RFC 6582 §3.2 step 2: once for a window of data, and not for what a timeout sends
        // again. Limited transmit (RFC 3042) needs nothing: no window of our own withholds new
        // data.
        if self.st.rx_dupack_cnt != DUPACK_THRESHOLD || self.ext.recovery != Recovery::None {
            return;
        }
        self.ext.set_recovery(Recovery::Fast);
        self.ext.recover = self.ext.snd_max;
        self.ext.partial_acked = false;
        self.ext.rexmit_due = true;
        self.ext.timing = Timing::Nothing; // Karn.
        self.ext.rexmit_timer.set(now + self.ext.rtt.rto(params));
        self.reduce(params, now);
        out.signs.add(Signs::LOSS);
    }

    /// Everything is acknowledged, our FIN too.
    #[cold]
    fn on_fin_acked(&mut self, params: &TcpParams, now: Micros, out: &mut Received) {
        let before = self.ext.state;
        self.ext.state = before.next(Event::FinAcked);
        if self.ext.state == before {
            return;
        }
        match self.ext.state {
            State::Closed => {
                self.abort();
                out.end = Some(End::Closed);
            }
            State::TimeWait => {
                self.stop_timers();
                out.end = Some(End::TimeWait);
            }
            State::FinWait2 if self.ext.detached() => {
                self.ext.linger.set(now + params.fin_wait2);
            }
            _ => {}
        }
    }

    /// Runs the retransmission timer as a persist timer exactly if nothing is outstanding and
    /// something waits for the window; stops it if nothing is outstanding otherwise.
    #[inline]
    pub(super) fn arm(&mut self, params: &TcpParams, now: Micros) {
        if self.st.tx_sent > 0 {
            return;
        }
        if self.st.tx_avail > 0 && !self.ext.state.is_over() && self.sendable_in_window() == 0 {
            if self.ext.rexmit_mode != RexmitMode::Persist {
                self.ext.rexmit_mode = RexmitMode::Persist;
                self.ext.retries = 0;
                self.ext.rexmit_timer.set(now + self.persist_pause(params));
            } else if self.st.rx_remote_avail > 0 {
                // The peer is there: its window is open, if only a little.
                self.ext.retries = 0;
            }
        } else if self.ext.rexmit_mode != RexmitMode::Off {
            self.ext.rexmit_mode = RexmitMode::Off;
            self.ext.rexmit_timer.stop();
            self.ext.probe = false;
        }
    }

    /// Ends a control interval: the counters become a new rate.
    #[cold]
    pub(super) fn end_interval(&mut self, params: &TcpParams, now: Micros) {
        let interval = now.since(self.ext.cc_start.into()).0;
        let sample = Sample {
            acked_bytes: self.st.cnt_rx_ack_bytes,
            ecn_bytes: self.st.cnt_rx_ecn_bytes,
            acks: self.st.cnt_rx_acks,
            drops: self.st.cnt_tx_drops,
            timeout: self.ext.timed_out,
            rtt_us: self.st.rtt_est,
            fresh_rtt_us: self.ext.rtt_least,
            interval_us: u32::try_from(interval).unwrap_or(u32::MAX),
            in_flight: match self.ext.recovery {
                Recovery::None => self.st.tx_sent,
                _ => self.pipe(),
            },
            backlogged: self.ext.backlogged,
            heeded: self.ext.cc_reacted,
            mss: self.ext.mss,
        };
        let rate = cc::on_interval(&params.cc, &mut self.ext.cc, &sample);
        // RFC 3168 §6.1.2: CWR tells that the mark was heeded.
        if sample.ecn_bytes > 0 && rate < self.st.tx_rate {
            self.ext.cwr_due = true;
        }
        self.st.tx_rate = rate;
        self.review_path(now);
        self.ext.review_window();
        self.begin_interval(params, now);
        self.ext.cc_reacted = sample.is_first_mark();
    }

    /// Begins a control interval.
    pub(super) fn begin_interval(&mut self, params: &TcpParams, now: Micros) {
        let rtt = (self.st.rtt_est > 0).then_some(Micros(self.st.rtt_est.into()));
        self.ext.cc_start = now.into();
        self.ext.cc_next = (now + params.cc.interval(&self.ext.cc, rtt)).into();
        self.ext.timed_out = false;
        self.ext.cc_reacted = false;
        let backlogged = std::mem::take(&mut self.ext.backlogged);
        self.ext.rtt_least = 0;
        self.ext.rtt_watch = match params.cc.follows_rtt(backlogged) {
            true => u32::MAX,
            false => self.st.rtt_est / 2,
        };
        self.st.cnt_rx_ack_bytes = 0;
        self.st.cnt_rx_ecn_bytes = 0;
        self.st.cnt_rx_acks = 0;
        self.st.cnt_tx_drops = 0;
    }
}
