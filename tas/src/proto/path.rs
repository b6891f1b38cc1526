//! How large a segment may be on its way: what routers say (RFC 1191), and what follows when they
//! say nothing (RFC 2923 §2.1, RFC 4821 §7.7).
//!
//! A lower limit never lasts: paths change. When its time is over, the next control interval
//! begins with segments as large as the handshake allows.

use tas_wire::SeqNum;
use zerocopy::FromZeros;

use super::ext::{Recovery, RexmitMode, Timer, Timing};
use super::flow::{Flow, TIMESTAMPS_LEN};
use super::types::{PathLimit, Signs, TcpParams};
use crate::types::Micros;

/// IPv4 and TCP headers without options.
const HEADERS: u16 = 40;
/// Timeouts in a row after which segments may be too large for the path.
const SUSPICIOUS: u8 = 4;
/// MSS to try then, one after the other: what tunnels usually leave room for, and what RFC 1122
/// §4.2.2.6 has every path carry.
const SMALLER: [u16; 2] = [1024, 536];
/// Timeouts that each of them gets.
const ATTEMPTS: u8 = 2;
/// How long smaller segments are used the first time that they got through. It may have been an
/// outage that just ended; but each further time counts for twice as long.
const FIRST_STAY: Micros = Micros::from_millis(1000);
/// The longest such time (RFC 1191 §6.3).
const LONGEST_STAY: Micros = Micros::from_millis(600_000);

/// What is known of the path.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
pub(super) struct Path {
    /// When larger segments are tried again; not set: there is no limit.
    until: Timer,
    /// Most data in a segment as the handshake left it.
    full: u16,
    /// The same before smaller ones were tried.
    before: u16,
    /// Timeouts since smaller segments are tried; 0: they are not.
    trial: u8,
    /// Times that smaller segments got through where larger ones had not.
    holes: u8,
}

#[cfg(test)]
impl Path {
    /// For how much longer there is a limit.
    pub(super) fn stay(&self, now: Micros) -> Micros {
        self.until.at().since(now)
    }
}

impl Flow<'_> {
    /// Sets out with `full` bytes of data in a segment at most.
    pub(super) fn begin_path(&mut self, full: u16) {
        self.ext.mss = full;
        self.ext.path = Path {
            full,
            ..Path::default()
        };
    }

    /// The path to the peer is known to have a smaller MTU.
    #[cold]
    pub fn limit_path(&mut self, limit: PathLimit) {
        let mss = self.mss_in(limit.mtu);
        if mss < self.ext.mss {
            self.ext.mss = mss;
            self.ext.path.until.set(limit.until);
        }
    }

    /// A router, or whoever says so, did not pass on the segment at `seq` since it was too large.
    /// True if that can be so and is news: segments are smaller from now on, and what is
    /// outstanding is sent again, at once and with no reduction, for nothing tells of congestion.
    #[cold]
    pub fn on_too_big(
        &mut self,
        seq: SeqNum,
        limit: PathLimit,
        params: &TcpParams,
        now: Micros,
    ) -> bool {
        let una = self.snd_una();
        // RFC 5927 §4: who does not see the connection's segments hardly knows what is in flight.
        let in_flight = seq.since(una) < self.snd_max().since(una);
        if self.ext.state.is_over() || !in_flight || self.mss_in(limit.mtu) >= self.ext.mss {
            return false;
        }
        self.limit_path(limit);
        self.ext.path.trial = 0;
        if self.st.tx_sent > 0 {
            self.send_smaller(params, now);
        }
        true
    }

    /// Sends what is outstanding again.
    fn send_smaller(&mut self, params: &TcpParams, now: Micros) {
        let allowed = self.st.tx_sent.max(self.ext.mss.into());
        let by_sack = self.lose_outstanding();
        if self.ext.recovery < Recovery::Sack {
            self.ext.rexmit_wnd = allowed;
        }
        self.ext.set_recovery(Recovery::Timeout);
        self.ext.recover = self.ext.snd_max;
        self.ext.timing = Timing::Nothing; // Karn.
        self.ext.rexmit_due = by_sack;
        if by_sack {
            self.ext.rexmit_mode = RexmitMode::Retransmit;
            self.ext.rexmit_timer.set(now + self.ext.rtt.rto(params));
        } else {
            self.arm(params, now);
        }
    }

    /// Most data in a segment on a path with this MTU.
    fn mss_in(&self, mtu: u16) -> u16 {
        mtu.saturating_sub(HEADERS + self.options_len()).max(1)
    }

    fn options_len(&self) -> u16 {
        match self.ext.timestamps {
            true => TIMESTAMPS_LEN,
            false => 0,
        }
    }

    /// The retransmission timer ran out `timeouts` times in a row: full segments may get lost
    /// without a word, for each of which smaller ones are tried.
    pub(super) fn suspect_black_hole(&mut self, timeouts: u8) {
        let trial = match self.ext.path.trial {
            0 if timeouts < SUSPICIOUS || !self.is_full_sized() => return,
            0 => {
                self.ext.path.before = self.ext.mss;
                1
            }
            trial => trial.saturating_add(1),
        };
        self.ext.path.trial = trial;
        let step = usize::from((trial - 1) / ATTEMPTS);
        let options = self.options_len();
        let full = self.ext.path.before;
        let mut smaller = SMALLER.iter().map(|mss| mss.saturating_sub(options));
        let mut smaller = smaller.by_ref().filter(|mss| *mss < full);
        // When none gets through, size was not the reason.
        self.ext.mss = smaller.nth(step).unwrap_or(full);
    }

    /// Whether what has to be sent again first is larger than what one would try instead.
    fn is_full_sized(&self) -> bool {
        let smallest = SMALLER[SMALLER.len() - 1];
        let first = self.st.tx_sent.min(self.ext.mss.into());
        first > smallest.into()
    }

    /// The peer makes progress after timeouts.
    pub(super) fn judge_black_hole(&mut self, now: Micros, signs: &mut Signs) {
        let path = &mut self.ext.path;
        if path.trial == 0 {
            return;
        }
        path.trial = 0;
        if self.ext.mss < path.before {
            let stay = LONGEST_STAY.min(Micros(FIRST_STAY.0 << path.holes.min(10)));
            path.holes = path.holes.saturating_add(1);
            let until = path.until.at();
            let longer = if path.until.is_set() { until } else { now };
            path.until.set(longer.max(now + stay));
            signs.add(Signs::BLACK_HOLE);
        }
    }

    /// From time to time: whether larger segments are to be tried again.
    pub(super) fn review_path(&mut self, now: Micros) {
        if self.ext.path.trial > 0 && self.ext.retries == 0 {
            // The peer closed its window meanwhile: nothing was found out.
            self.ext.path.trial = 0;
            self.ext.mss = self.ext.path.before;
        }
        if self.ext.path.until.is_due(now) {
            self.ext.path.until.stop();
            self.ext.mss = self.ext.path.full;
        }
    }
}
