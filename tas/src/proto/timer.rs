//! The passing of time.

use super::ext::{Keeper, Recovery, RexmitMode, Timing};
use super::flow::{Flow, ring_sub};
use super::types::{End, Signs, TcpParams, TimerOutcome};
use crate::types::Micros;

/// Timeouts, or probes of a closed window, before a flow that finishes by itself gives up: nobody
/// waits for it, but it takes memory.
const ORPHAN_RETRIES: u8 = 8;

impl Flow<'_> {
    /// When [`Flow::on_timer`] has something to do; never: [`Micros::NEVER`].
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Micros {
        let next = self.ext.ack_timer.at().min(self.ext.rexmit_timer.at());
        if self.ext.keeper != Keeper::App {
            return next.min(self.ext.linger.at());
        }
        next
    }

    /// Runs the timers that are due.
    pub fn on_timer(&mut self, params: &TcpParams, now: Micros) -> TimerOutcome {
        let mut out = TimerOutcome::default();
        if self.ext.linger.is_due(now) {
            if self.ext.detached() {
                self.abort();
                out.end = Some(End::Closed);
                return out;
            }
            self.on_liveness_timer(now, &mut out);
            if out.end.is_some() {
                return out;
            }
        }
        if self.ext.ack_timer.is_due(now) {
            self.ext.ack_timer.stop();
            self.ext.ack_due = true;
            self.ext.ack_held = true;
        }
        if self.ext.rexmit_timer.is_due(now) {
            match self.ext.rexmit_mode {
                RexmitMode::Retransmit => self.on_retransmission_timer(params, now, &mut out),
                RexmitMode::Reorder => self.on_reordering_timeout(params, now, &mut out),
                RexmitMode::Persist => self.on_persist_timeout(params, now, &mut out),
                RexmitMode::Off => self.ext.rexmit_timer.stop(),
            }
        }
        out.ack = self.ext.ack_due;
        out.send = self.sendable() > 0;
        out
    }

    /// Whether there were enough attempts, or the application has waited for long enough.
    fn gives_up(&self, params: &TcpParams, now: Micros) -> bool {
        if self.ext.detached() {
            return self.ext.retries >= params.max_retries.min(ORPHAN_RETRIES);
        }
        self.is_past_user_timeout(now)
            .unwrap_or(self.ext.retries >= params.max_retries)
    }

    #[cold]
    fn on_retransmission_timer(&mut self, params: &TcpParams, now: Micros, out: &mut TimerOutcome) {
        if self.believe_doubted(params, now) {
            out.signs.add(Signs::PATH);
        } else if !self.probe_tail(params, now, out) {
            self.on_retransmission_timeout(params, now, out);
        }
    }

    /// RFC 6298 §5.4 to §5.6, RFC 5681 §3.1: send again what is not acknowledged.
    #[cold]
    fn on_retransmission_timeout(
        &mut self,
        params: &TcpParams,
        now: Micros,
        out: &mut TimerOutcome,
    ) {
        self.note_stall(self.ext.rtt.rto(params), now);
        if self.gives_up(params, now) {
            self.abort();
            out.end = Some(End::TimedOut);
            return;
        }
        out.retransmit = true;
        let retries = self.ext.retries.saturating_add(1);
        self.ext.rtt.back_off();
        self.ext.timing = Timing::Nothing; // Karn.
        self.suspect_black_hole(retries);
        let by_sack = self.lose_outstanding();
        self.ext.set_recovery(Recovery::Timeout);
        self.ext.recover = self.ext.snd_max;
        // RFC 5681 §3.1: the loss window is one segment.
        self.ext.rexmit_wnd = self.ext.mss.into();
        self.ext.rexmit_at = Micros(0).into();
        self.ext.timed_out = true;
        self.st.cnt_tx_drops = self.st.cnt_tx_drops.saturating_add(1);
        self.ext.rexmit_due = by_sack;
        if by_sack {
            self.ext.rexmit_timer.set(now + self.ext.rtt.rto(params));
        } else {
            // Sending starts the timer again; if the window is closed, it becomes a persist timer.
            self.arm(params, now);
        }
        self.ext.retries = retries;
        self.watch_stall();
    }

    /// Takes all that was not reported as received for lost; whether the scoreboard says what to
    /// send again.
    pub(super) fn lose_outstanding(&mut self) -> bool {
        let by_sack = self.ext.sack && self.st.rx_remote_avail > 0;
        if by_sack {
            self.lose_all();
        } else {
            self.go_back();
        }
        by_sack
    }

    /// Goes back to SND.UNA, as if nothing had been sent since. The peer of which nothing is known
    /// may have all of it.
    fn go_back(&mut self) {
        let una = self.snd_una();
        self.ext.board.begin(una);
        self.ext.liveness.retransmits = self.ext.liveness.retransmits.wrapping_add(1);
        let st = &mut *self.st;
        st.tx_next_pos = ring_sub(st.tx_next_pos, st.tx_sent, st.tx_len);
        st.tx_next_seq = st.tx_next_seq.wrapping_sub(st.tx_sent);
        st.tx_avail = st.tx_avail.saturating_add(st.tx_sent);
        st.tx_sent = 0;
        st.rx_dupack_cnt = 0;
    }

    /// Time for a probe. A peer that keeps its window closed is not given up, unless nobody is
    /// waiting for it.
    #[cold]
    fn on_persist_timeout(&mut self, params: &TcpParams, now: Micros, out: &mut TimerOutcome) {
        self.note_stall(self.persist_pause(params), now);
        let waits = !self.ext.detached() && self.is_past_user_timeout(now).is_none();
        if !waits && self.gives_up(params, now) {
            self.abort();
            out.end = Some(End::TimedOut);
            return;
        }
        self.ext.retries = self.ext.retries.saturating_add(1);
        self.ext.probe = true;
        self.ext.rexmit_timer.set(now + self.persist_pause(params));
        self.watch_stall();
    }
}
