//! DCTCP on a window (RFC 8257), turned into a rate by the round-trip time.
#![forbid(unsafe_code)]

use super::{
    CcState, INITIAL_SEGMENTS, LOSS_FACTOR, RTT_THRESHOLD_END, Sample, conclude, is_queued,
    note_mark, note_rtt, observe,
};
use crate::config::DctcpWinParams;
use crate::types::Micros;

/// Segment size assumed before the flow tells its own.
const USUAL_MSS: u32 = 1460;
/// The window does not shrink below this many segments if that is not too much for the network:
/// with one, a delayed ACK holds up the flow.
const MIN_SEGMENTS: u32 = 2;
/// If it is, it does not shrink below this part of a segment.
const LEAST_SHARE: u32 = 16;
/// Largest window: a quarter of the sequence space.
const MAX_WINDOW: u32 = 1 << 30;

/// Sets the initial window; returns the rate in kbit/s.
pub(super) fn start(p: &DctcpWinParams, state: &mut CcState, rtt: Micros) -> u32 {
    state.cwnd = INITIAL_SEGMENTS * USUAL_MSS;
    rate(p, state.cwnd, rtt.0)
}

/// The rate after an interval, kbit/s.
pub(super) fn next(
    p: &DctcpWinParams,
    state: &mut CcState,
    sample: &Sample,
    rtt_init: Micros,
) -> u32 {
    let mss = u32::from(sample.mss.max(1));
    let usual = mss * MIN_SEGMENTS;
    let least = mss / LEAST_SHARE;
    observe(state, sample);
    note_rtt(state, sample);

    if sample.timeout {
        // RFC 5681 §3.1.
        conclude(state, p.weight);
        state.threshold = (state.cwnd / 2).max(usual);
        state.avoidance = 0;
        state.cwnd = (state.cwnd / 2).clamp(least, mss);
    } else if sample.drops > 0 {
        conclude(state, p.weight);
        state.avoidance = 1;
        let kept = f64::from(state.cwnd) * LOSS_FACTOR;
        state.cwnd = (kept as u32).max(usual.min(state.cwnd));
    } else if sample.is_first_mark() {
        // Once for each window of data (RFC 8257 §3.3).
        note_mark(state);
        let floor = match state.is_overwhelmed() {
            true => least,
            false => usual.min(state.cwnd),
        };
        let kept = f64::from(state.cwnd) * (1.0 - f64::from(state.alpha) / 2.0);
        state.cwnd = (kept as u32).max(floor);
    } else if state.avoidance == 0 && sample.backlogged && is_queued(state, RTT_THRESHOLD_END) {
        // Before it is full (RFC 9406 §4.2).
        state.avoidance = 1;
    } else if sample.backlogged && sample.ecn_bytes == 0 {
        grow(state, sample.acked_bytes, mss);
    }
    if state.acked >= state.cwnd {
        conclude(state, p.weight);
    }
    let rtt = match sample.rtt_us {
        0 => rtt_init.0,
        rtt => rtt.into(),
    };
    // The window limits what is under way; the rate only spreads it over the round trip.
    // Less than a segment can be sent in a round trip only by the rate.
    let margin = match (state.cwnd < usual, state.avoidance) {
        (true, _) => 0,
        (false, 0) => state.cwnd / 2,
        (false, _) => state.cwnd / 4,
    };
    rate(p, state.cwnd.saturating_add(margin), rtt)
}

/// Slow start and congestion avoidance (RFC 5681 §3.1).
fn grow(state: &mut CcState, acked: u32, mss: u32) {
    // A flow of less than a segment in a round trip grows as one of a whole segment does.
    let acked = acked.min(state.cwnd.saturating_mul(2));
    let step = if state.avoidance == 0 {
        acked
    } else {
        let step = u64::from(mss) * u64::from(acked) / u64::from(state.cwnd.max(1));
        (step as f64 * state.step_share()) as u32
    };
    let window = state.cwnd.saturating_add(step);
    state.cwnd = window.min(MAX_WINDOW);
    if state.avoidance == 0 && state.threshold != 0 && state.cwnd >= state.threshold {
        state.avoidance = 1;
        state.cwnd = state.threshold;
    }
}

/// The rate that sends `window` bytes in one round trip, at most the link's.
fn rate(p: &DctcpWinParams, window: u32, rtt_us: u64) -> u32 {
    let kbps = u64::from(window) * 8000 / rtt_us.max(1);
    let link = u64::from(p.link_bw_gbps.max(1)) * 1_000_000;
    u32::try_from(kbps.clamp(1, link)).unwrap_or(u32::MAX)
}
