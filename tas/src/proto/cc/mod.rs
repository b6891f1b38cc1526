//! Congestion control: pure updates of a flow's sending rate, one for each control interval.
//!
//! The owner of a flow counts what was acknowledged, marked and lost during an interval into a
//! [`Sample`] and asks for the rate of the next one. Every algorithm yields a rate, since the
//! queue manager paces; the window-based one converts its window by the round-trip time.
#![forbid(unsafe_code)]

mod dctcp_rate;
mod dctcp_win;
mod timely;

#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod tests;

use zerocopy::FromZeros;

use crate::config::{CcAlgorithm, CcConfig, TcpConfig};
use crate::types::Micros;

/// The parameters of congestion control, the same for every flow.
#[derive(Clone, Debug, PartialEq)]
pub struct CcParams {
    /// The algorithm and its own parameters.
    pub algorithm: CcAlgorithm,
    /// Shortest control interval.
    pub granularity: Micros,
    /// Length of the control interval in round-trip times.
    pub interval_rtts: u32,
    /// Control intervals without progress that count as a loss.
    pub rexmit_ints: u32,
    /// Round-trip time assumed before one is measured.
    pub rtt_init: Micros,
}

impl CcParams {
    /// The parameters that the command line asks for.
    #[must_use]
    pub fn new(cc: &CcConfig, tcp: &TcpConfig) -> CcParams {
        CcParams {
            algorithm: cc.algorithm,
            granularity: Micros(cc.control_granularity_us.into()),
            interval_rtts: cc.control_interval_rtts,
            rexmit_ints: cc.rexmit_ints,
            rtt_init: Micros(tcp.rtt_init_us.into()),
        }
    }

    /// Length of the control interval for a flow of this round-trip time; `None` before it is
    /// measured. Never zero.
    #[must_use]
    pub fn interval(&self, state: &CcState, rtt: Option<Micros>) -> Micros {
        let rtt = rtt.unwrap_or(self.rtt_init);
        let shortest = match self.algorithm {
            // Nothing is controlled: only the counters begin anew.
            CcAlgorithm::ConstRate(_) => CONST_RATE_INTERVAL,
            _ => self.granularity,
        };
        let interval = match self.algorithm {
            CcAlgorithm::DctcpRate(_) if state.avoidance == 0 => {
                dctcp_rate::step_of_slow_start(rtt)
            }
            _ => Micros(rtt.0.saturating_mul(self.interval_rtts.into())),
        };
        interval.max(shortest).max(Micros(1))
    }

    /// Whether each round-trip time counts, and not only their average, for a flow that is
    /// `backlogged` or not: others make no queue.
    #[must_use]
    pub fn follows_rtt(&self, backlogged: bool) -> bool {
        match self.algorithm {
            CcAlgorithm::Timely(_) => true,
            CcAlgorithm::DctcpRate(_) | CcAlgorithm::DctcpWin(_) => backlogged,
            CcAlgorithm::ConstRate(_) => false,
        }
    }

    /// Whether connections negotiate ECN: only DCTCP makes use of the marks (RFC 8257 §3).
    #[must_use]
    pub fn ecn(&self) -> bool {
        matches!(
            self.algorithm,
            CcAlgorithm::DctcpRate(_) | CcAlgorithm::DctcpWin(_)
        )
    }
}

/// What a flow's congestion control remembers. All zeroes is the state before [`start`].
#[derive(Clone, Copy, Debug, Default, PartialEq, FromZeros)]
#[repr(C)]
pub struct CcState {
    /// Current rate, kbit/s; the window-based algorithm keeps its last conversion here.
    rate: u32,
    /// Congestion window, bytes (dctcp-win, and dctcp-rate in slow start); 0 = none.
    cwnd: u32,
    /// Slow start ends here: kbit/s or bytes as the algorithm counts. 0 = unlimited.
    threshold: u32,
    /// Bytes acknowledged in the observation window.
    acked: u32,
    /// Of these, bytes acknowledged with a mark.
    marked: u32,
    /// ACKs in the observation window.
    acks: u32,
    /// Control intervals in the observation window.
    intervals: u32,
    /// Microseconds since the last interval in which something was acknowledged.
    quiet_us: u32,
    /// Fraction of marked bytes, moving average (RFC 8257 §3.3).
    alpha: f32,
    /// Last round-trip time, µs; 0 = none yet.
    last_rtt: u32,
    /// Shortest one ever, µs; 0 = none yet.
    least_rtt: u32,
    /// Round-trip time difference, moving average, µs (timely).
    rtt_diff: f32,
    /// Intervals in a row with a gradient that is not positive (timely).
    calm: u32,
    /// The rate that was lost to a loss, kbit/s; 0 = none (dctcp-rate).
    regain: u32,
    /// What arrived in the last interval of a round trip or more, kbit/s (dctcp-rate).
    arrived: u32,
    /// Rate before the last reduction for a queue, kbit/s (dctcp-rate); 0 = none to go back to.
    before_queue: u32,
    /// 1 once slow start is over.
    avoidance: u8,
    /// 1 once there was a mark.
    any_mark: u8,
    /// Keeps the layout free of implicit padding.
    pad: [u8; 2],
}

impl CcState {
    /// The current rate, kbit/s; 0 = unlimited.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Most bytes that may be under way; a segment of `mss` bytes always.
    #[must_use]
    pub fn window(&self, mss: u16) -> u32 {
        match self.cwnd {
            0 => u32::MAX,
            cwnd => cwnd.max(mss.into()),
        }
    }

    /// Most of what is acknowledged is marked, not only now.
    fn is_overwhelmed(&self) -> bool {
        self.alpha > 0.5
    }

    /// The part of an additive increase that is taken: where thousands of flows share a link, and
    /// so almost all is marked, whole steps together would be many times what it carries.
    fn step_share(&self) -> f64 {
        f64::from(1.0 - self.alpha).max(LEAST_STEP)
    }
}

/// What happened to a flow during one control interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Bytes newly acknowledged.
    pub acked_bytes: u32,
    /// Of these, bytes acknowledged with ECE.
    pub ecn_bytes: u32,
    /// ACKs that acknowledged something.
    pub acks: u16,
    /// Losses found by duplicate ACKs.
    pub drops: u16,
    /// The retransmission timer ran out.
    pub timeout: bool,
    /// Smoothed round-trip time, µs; 0 = not measured.
    pub rtt_us: u32,
    /// Shortest round-trip time measured in the interval, µs; 0 = none was, or it does not count
    /// ([`CcParams::follows_rtt`]).
    pub fresh_rtt_us: u32,
    /// Length of the interval, µs.
    pub interval_us: u32,
    /// Bytes under way at its end.
    pub in_flight: u32,
    /// The application had more to send than the rate let out.
    pub backlogged: bool,
    /// The interval began with the reaction to a mark or a loss: more marks change nothing.
    pub heeded: bool,
    /// Maximum segment size, bytes.
    pub mss: u16,
}

impl Sample {
    /// The interval ends with the first mark since the last reaction: time for the next one.
    pub(super) fn is_first_mark(&self) -> bool {
        self.ecn_bytes > 0 && !self.heeded
    }
}

/// Begins a flow; returns its first rate in kbit/s, 0 = unlimited.
pub fn start(params: &CcParams, state: &mut CcState) -> u32 {
    *state = CcState::default();
    state.rate = match &params.algorithm {
        CcAlgorithm::DctcpRate(p) => p.init_kbps.max(1),
        CcAlgorithm::DctcpWin(p) => dctcp_win::start(p, state, params.rtt_init),
        CcAlgorithm::Timely(p) => p.init_kbps.max(1),
        CcAlgorithm::ConstRate(p) => p.rate_kbps,
    };
    state.rate
}

/// Ends a control interval; returns the rate for the next in kbit/s, 0 = unlimited.
pub fn on_interval(params: &CcParams, state: &mut CcState, sample: &Sample) -> u32 {
    state.rate = match &params.algorithm {
        CcAlgorithm::DctcpRate(p) => dctcp_rate::next(p, state, sample),
        CcAlgorithm::DctcpWin(p) => dctcp_win::next(p, state, sample, params.rtt_init),
        CcAlgorithm::Timely(p) => timely::next(p, state, sample),
        CcAlgorithm::ConstRate(p) => p.rate_kbps,
    };
    state.rate
}

/// Below the least rate that was asked for, a flow goes when even that is too much for the network:
/// thousands may share a link. Not below this, kbit/s: a segment in 12 ms, often enough to notice
/// when there is room.
const RATE_FLOOR: u32 = 1000;

/// Least part of an additive increase that is taken.
const LEAST_STEP: f64 = 1.0 / 16.0;

/// Shortest control interval of a constant rate: often enough for the path to be reviewed, and no
/// more, since with thousands of connections their ends are work.
const CONST_RATE_INTERVAL: Micros = Micros::from_millis(1000);

/// Segments in the initial window (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;

/// Slack allowed between the rate granted and the rate that was really achieved before growth
/// stops: ACKs come in lumps.
const USED_SLACK: f64 = 1.2;

/// What is left of a rate or window after a loss. DCTCP reacts to losses as conventional
/// congestion control does (RFC 8257 §3.5); that is today's (RFC 9438 §4.6).
const LOSS_FACTOR: f64 = 0.7;

/// The rate at which bytes were acknowledged, kbit/s.
fn achieved(state: &CcState, sample: &Sample) -> f64 {
    let span = f64::from(state.quiet_us.saturating_add(sample.interval_us).max(1));
    f64::from(sample.acked_bytes) * 8.0 * 1000.0 / span
}

/// Adds the interval to the observation window.
fn observe(state: &mut CcState, sample: &Sample) {
    state.acked = state.acked.saturating_add(sample.acked_bytes);
    state.marked = state
        .marked
        .saturating_add(sample.ecn_bytes.min(sample.acked_bytes));
    state.acks = state.acks.saturating_add(sample.acks.into());
    state.intervals = state.intervals.saturating_add(1);
    state.quiet_us = match sample.acked_bytes {
        0 => state.quiet_us.saturating_add(sample.interval_us),
        _ => 0,
    };
}

/// Ends the observation window: folds its marked fraction into alpha (RFC 8257 §3.3 step 3).
fn conclude(state: &mut CcState, weight: f64) {
    let fraction = f64::from(state.marked) / f64::from(state.acked.max(1));
    let alpha = (1.0 - weight) * f64::from(state.alpha) + weight * fraction;
    state.alpha = alpha.clamp(0.0, 1.0) as f32;
    state.acked = 0;
    state.marked = 0;
    state.acks = 0;
    state.intervals = 0;
}

/// A mark ends slow start. Alpha begins here, and with the first mark (RFC 8257 §3.3 step 1): what
/// was seen before is no measure of what is to come. A loss where nothing marks says nothing of it.
fn note_mark(state: &mut CcState) {
    if state.avoidance == 0 || state.any_mark == 0 {
        state.avoidance = 1;
        state.any_mark = 1;
        state.alpha = 1.0;
    }
}

/// A round trip longer than the shortest one by this part of it tells of a queue, within bounds
/// (RFC 9406 §4.2): less may be the hosts' scheduling, more is a queue whatever the distance.
const RTT_DIVISOR: u32 = 8;
const RTT_THRESHOLD_MAX: u32 = 16_000;
/// The lower bound, µs, where growth ends for good;
const RTT_THRESHOLD_END: u32 = 4_000;
/// and where it only becomes slower.
const RTT_THRESHOLD_SLOW: u32 = 2_000;

/// Remembers the shortest round trip of the interval.
fn note_rtt(state: &mut CcState, sample: &Sample) {
    let rtt = sample.fresh_rtt_us;
    if rtt == 0 {
        return;
    }
    state.last_rtt = rtt;
    state.least_rtt = match state.least_rtt {
        0 => rtt,
        least => least.min(rtt),
    };
}

/// So much is under way that it takes longer to arrive than the shortest round trip, by at least
/// `bound` µs. That shows at once, where a round trip is measured only when it is over.
fn is_filling(state: &CcState, sample: &Sample, bound: u32) -> bool {
    let threshold = (state.least_rtt / RTT_DIVISOR).clamp(bound, RTT_THRESHOLD_MAX);
    let span = f64::from(state.least_rtt.saturating_add(threshold));
    state.least_rtt > 0 && f64::from(sample.in_flight) * 8000.0 >= span * f64::from(state.arrived)
}

/// The last round trip measured was longer than the shortest one, by at least `bound` µs.
fn is_queued(state: &CcState, bound: u32) -> bool {
    let threshold = (state.least_rtt / RTT_DIVISOR).clamp(bound, RTT_THRESHOLD_MAX);
    state.last_rtt.saturating_sub(state.least_rtt) >= threshold
}

/// A rate as a whole number of kbit/s between `floor` and the largest that the type holds; never
/// 0, which means unlimited.
fn kbps(rate: f64, floor: u32) -> u32 {
    (rate as u32).max(floor).max(1)
}
