//! Whether the peer is still there: keepalive probes (RFC 9293 §3.8.4) and the user timeout
//! (RFC 9293 §3.8.3, RFC 5482).
//!
//! Ordinary segments leave no trace here: a timer compares from time to time how far the flow is,
//! and is not set at all for flows without such options. What has no effect on the flow, such as
//! the answer to a probe, is noted.

use tas_wire::TcpFlags;
use zerocopy::FromZeros;

use super::ext::{Keeper, Micros0, RexmitMode, Timer};
use super::flow::Flow;
use super::types::{End, Keepalive, LivenessOptions, SegmentPlan, TimerOutcome};
use crate::types::Micros;

/// Looks at the flow in a keepalive's idle time, at least. The first probe may be late by the time
/// between two looks.
const LOOKS: u64 = 8;
/// Shortest time between two looks.
const SHORTEST_LOOK: Micros = Micros::from_millis(250);

/// State of the options, and what they need.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
pub(super) struct Liveness {
    /// Seconds; 0: no keepalive.
    keep_idle: u32,
    /// Seconds.
    keep_interval: u32,
    keep_count: u8,
    /// Probes since the peer was last heard of.
    keep_sent: u8,
    /// A segment came that changed nothing.
    pub(super) heard: bool,
    /// Milliseconds; 0: none.
    user_timeout: u32,
    /// RCV.NXT, SND.UNA and TS.Recent at the last look.
    seen: [u32; 3],
    /// When the peer was last heard of, as far as looks tell.
    heard_at: Micros0,
    /// The next look.
    look: Timer,
    /// When the peer last made progress, before the timeouts or probes that count now.
    progress_at: Micros0,
    /// Segments sent again.
    pub(super) retransmits: u32,
}

impl Liveness {
    fn idle(&self) -> Micros {
        seconds(self.keep_idle)
    }

    fn look_pause(&self) -> Micros {
        Micros(self.idle().0 / LOOKS).max(SHORTEST_LOOK)
    }

    fn user_timeout(&self) -> Option<Micros> {
        (self.user_timeout > 0).then(|| Micros::from_millis(self.user_timeout.into()))
    }
}

fn seconds(seconds: u32) -> Micros {
    Micros::from_millis(u64::from(seconds) * 1000)
}

impl Flow<'_> {
    /// Sets the options.
    #[cold]
    pub fn set_liveness(&mut self, options: &LivenessOptions, now: Micros) {
        if self.ext.detached() || self.ext.state.is_over() {
            return;
        }
        let seen = self.progress();
        let live = &mut self.ext.liveness;
        live.user_timeout = options.user_timeout_ms;
        let Keepalive {
            idle,
            interval,
            count,
        } = options.keepalive.unwrap_or_default();
        if options.keepalive.is_none() {
            live.keep_idle = 0;
            live.look.stop();
        } else {
            live.keep_idle = idle.max(1);
            live.keep_interval = interval.max(1);
            live.keep_count = count.max(1);
            live.keep_sent = 0;
            live.seen = seen;
            live.heard = false;
            live.heard_at = now.into();
            live.look.set(now + live.look_pause());
        }
        self.arm_liveness();
    }

    /// The application lets go: the timer is free for other use.
    pub(super) fn stop_watching(&mut self) {
        self.ext.liveness.look.stop();
        self.ext.linger.stop();
        self.ext.keeper = Keeper::App;
    }

    /// What changes when the peer sends.
    fn progress(&self) -> [u32; 3] {
        [
            self.rcv_nxt().0,
            self.snd_una().0,
            self.ts_recent().unwrap_or(0),
        ]
    }

    /// Sets the timer to what comes first.
    fn arm_liveness(&mut self) {
        let live = &self.ext.liveness;
        let mut next = live.look.at();
        if let Some(timeout) = live.user_timeout()
            && self.ext.retries > 0
        {
            next = next.min(Micros::from(live.progress_at) + timeout);
        }
        if next == Micros::NEVER {
            self.ext.keeper = Keeper::App;
            self.ext.linger.stop();
        } else {
            self.ext.keeper = Keeper::Watching;
            self.ext.linger.set(next);
        }
    }

    /// A retransmission timeout or a probe of a closed window is due that the timer was set for
    /// `pause` ago.
    pub(super) fn note_stall(&mut self, pause: Micros, now: Micros) {
        if self.ext.retries == 0 {
            self.ext.liveness.progress_at = now.since(pause).into();
        }
    }

    /// The peer has made no progress for as long as the application waits; `None`: it does not
    /// say how long that is.
    pub(super) fn is_past_user_timeout(&self, now: Micros) -> Option<bool> {
        let timeout = self.ext.liveness.user_timeout()?;
        Some(now.since(self.ext.liveness.progress_at.into()) >= timeout)
    }

    /// After a timeout or probe: sees to it that the user timeout is not overslept.
    pub(super) fn watch_stall(&mut self) {
        if self.ext.liveness.user_timeout > 0 && !self.ext.detached() {
            self.arm_liveness();
        }
    }

    /// The timer of a flow that has an application.
    #[cold]
    pub(super) fn on_liveness_timer(&mut self, now: Micros, out: &mut TimerOutcome) {
        let stalled = self.ext.retries > 0 && self.ext.rexmit_mode != RexmitMode::Off;
        if stalled && self.is_past_user_timeout(now) == Some(true) {
            self.abort();
            out.end = Some(End::TimedOut);
            return;
        }
        if !stalled {
            // Nothing to wait for.
            self.ext.liveness.progress_at = now.into();
        }
        if self.ext.liveness.look.is_due(now) {
            self.look(now, out);
        }
        if out.end.is_none() {
            self.arm_liveness();
        }
    }

    /// Whether the peer was heard of since the last look, and what follows from that.
    fn look(&mut self, now: Micros, out: &mut TimerOutcome) {
        let progress = self.progress();
        // What waits to be sent or acknowledged has timers that tell the same.
        let busy = self.st.tx_sent > 0 || self.st.tx_avail > 0;
        let live = &mut self.ext.liveness;
        let heard = std::mem::take(&mut live.heard) || progress != live.seen || busy;
        live.seen = progress;
        if heard {
            live.keep_sent = 0;
            live.heard_at = now.into();
            live.look.set(now + live.look_pause().min(live.idle()));
            return;
        }
        let first = Micros::from(live.heard_at) + live.idle();
        if now < first {
            live.look.set(first);
            return;
        }
        let silent = now.since(live.heard_at.into());
        let given_up = match live.user_timeout() {
            Some(timeout) => live.keep_sent > 0 && silent >= timeout,
            None => live.keep_sent >= live.keep_count,
        };
        if given_up {
            self.abort();
            out.end = Some(End::TimedOut);
            return;
        }
        live.keep_sent = live.keep_sent.saturating_add(1);
        live.look.set(now + seconds(live.keep_interval));
        out.keepalive = true;
    }

    /// A segment that an idle peer answers: it has been acknowledged already (RFC 9293 §3.8.4).
    #[cold]
    #[must_use]
    pub fn keepalive_plan(&mut self, now: Micros) -> SegmentPlan {
        let mut plan = self.ack_plan(now);
        plan.seq = self.snd_una() - 1;
        plan.flags = TcpFlags::ACK;
        plan
    }
}
