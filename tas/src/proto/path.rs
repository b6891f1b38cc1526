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
    /// Timeouts since smaller segments are tried, and those that sizes above a limit would have
    /// had; 0: they are not.
    trial: u8,
    /// Times that smaller segments got through where larger ones had not.
    holes: u8,
    /// The MTU that a limit came from.
    mtu: u16,
    /// SND.MAX when segments became as large as they are.
    since: u32,
    /// Data of that time was acknowledged, more than one segment.
    proven: bool,
    /// Segments before `larger_before` may be larger than the path admits, as the path of another
    /// flow has shown.
    larger: bool,
    larger_before: u32,
    /// What somebody says of a path that segments of this size got through.
    doubted: Doubted,
}

/// A report that waits for the segment it quotes to be acknowledged, or not to be in time.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
struct Doubted {
    /// The MTU; 0: there is none.
    mtu: u16,
    /// The segment.
    seq: u32,
    /// When larger ones would be tried again.
    until: Timer,
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
        self.ext.path = Path {
            full,
            ..Path::default()
        };
        self.set_mss(full);
    }

    fn set_mss(&mut self, mss: u16) {
        self.ext.mss = mss;
        self.ext.path.since = self.ext.snd_max;
        self.ext.path.proven = false;
    }

    fn set_limit(&mut self, limit: PathLimit) {
        let mss = self.mss_in(limit.mtu);
        self.search_below(mss);
        if mss < self.ext.mss {
            self.set_mss(mss);
        }
        self.ext.path.mtu = limit.mtu;
        self.ext.path.until.set(limit.until);
    }

    /// A search for what gets through goes on where it is, below a limit: were it to begin anew,
    /// lower limits could come often enough for it never to reach the smallest size. One that is
    /// over may begin anew, for the path is another one now.
    fn search_below(&mut self, mss: u16) {
        if self.smaller(self.ext.path.trial).is_none() {
            self.ext.path.trial = 0;
        }
        self.ext.path.before = mss;
    }

    /// The path to the peer is known to have a smaller MTU, by another flow.
    #[cold]
    pub fn limit_path(&mut self, limit: PathLimit) {
        let mss = self.mss_in(limit.mtu);
        let known = match self.ext.path.trial {
            0 => self.ext.mss,
            _ => self.ext.path.before,
        };
        if mss < known {
            // Whether those in flight were too large, routers will say.
            self.ext.path.larger = self.st.tx_sent > 0;
            self.ext.path.larger_before = self.ext.snd_max;
            self.set_limit(limit);
        }
    }

    /// The limit that the flow keeps to, since [`Flow::on_too_big`] or the timer said so.
    #[cold]
    #[must_use]
    pub fn path_limit(&self) -> PathLimit {
        PathLimit {
            mtu: self.ext.path.mtu,
            until: self.ext.path.until.at(),
        }
    }

    /// A router, or whoever says so, did not pass on the segment at `seq` since it was too large.
    /// True if that can be so and something follows: segments are smaller from now on, and what is
    /// outstanding is sent again, at once and with no reduction, for nothing tells of congestion.
    ///
    /// Where segments of that size got through before, it waits for the timer to show that this
    /// one did not (RFC 5927 §7.2).
    #[cold]
    pub fn on_too_big(
        &mut self,
        seq: SeqNum,
        limit: PathLimit,
        params: &TcpParams,
        now: Micros,
    ) -> bool {
        if self.ext.state.is_over() || !self.is_in_flight(seq) {
            return false;
        }
        let mss = self.mss_in(limit.mtu);
        if mss < self.ext.mss && self.is_proven() {
            let mut until = Timer::default();
            until.set(limit.until);
            self.ext.path.doubted = Doubted {
                mtu: limit.mtu,
                seq: seq.0,
                until,
            };
            return false;
        }
        let path = &self.ext.path;
        let expected = path.larger && seq.lt(SeqNum(path.larger_before));
        if mss < self.ext.mss {
            self.set_limit(limit);
        } else if mss > self.ext.mss || !expected {
            return false;
        }
        self.obey_limit(params, now);
        true
    }

    /// RFC 5927 §4: who does not see the connection's segments hardly knows what is in flight.
    fn is_in_flight(&self, seq: SeqNum) -> bool {
        let una = self.snd_una();
        seq.since(una) < self.snd_max().since(una)
    }

    /// Segments as large as they are now have been acknowledged, unless the application writes
    /// less at a time.
    fn is_proven(&self) -> bool {
        let path = &self.ext.path;
        path.proven
            || self
                .snd_una()
                .gt(SeqNum(path.since) + u32::from(self.ext.mss))
    }

    /// The retransmission timer ran out: whether it was for a report that was doubted.
    pub(super) fn believe_doubted(&mut self, params: &TcpParams, now: Micros) -> bool {
        let doubted = std::mem::take(&mut self.ext.path.doubted);
        let limit = PathLimit {
            mtu: doubted.mtu,
            until: doubted.until.at(),
        };
        let lowers = doubted.mtu > 0 && self.mss_in(doubted.mtu) < self.ext.mss;
        if !lowers || !self.is_in_flight(SeqNum(doubted.seq)) {
            return false;
        }
        self.set_limit(limit);
        self.obey_limit(params, now);
        true
    }

    fn obey_limit(&mut self, params: &TcpParams, now: Micros) {
        self.ext.path.larger = false;
        if self.st.tx_sent > 0 {
            self.send_smaller(params, now);
        }
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
        let full = self.ext.path.before;
        let is_smaller = |trial: &u8| self.smaller(*trial).is_none_or(|mss| mss < full);
        let trial = (trial..=u8::MAX).find(is_smaller).unwrap_or(trial);
        self.ext.path.trial = trial;
        // When none gets through, size was not the reason.
        self.set_mss(self.smaller(trial).unwrap_or(full));
    }

    /// Most data in a segment at this timeout since smaller ones are tried; none: all were tried.
    fn smaller(&self, trial: u8) -> Option<u16> {
        let step = trial.saturating_sub(1) / ATTEMPTS;
        let mss = SMALLER.get(usize::from(step))?;
        Some(mss.saturating_sub(self.options_len()))
    }

    /// Whether what has to be sent again first is larger than what one would try instead.
    fn is_full_sized(&self) -> bool {
        let smallest = SMALLER[SMALLER.len() - 1].saturating_sub(self.options_len());
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
            self.set_mss(self.ext.path.before);
        }
        if self.ext.path.until.is_due(now) {
            self.ext.path.until.stop();
            self.set_mss(self.ext.path.full);
        }
        self.ext.path.proven = self.is_proven();
    }
}
