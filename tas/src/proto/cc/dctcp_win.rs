//! DCTCP on a window (RFC 8257), turned into a rate by the round-trip time.
#![forbid(unsafe_code)]

use super::{CcState, INITIAL_SEGMENTS, LOSS_FACTOR, Sample, conclude, observe};
use crate::config::DctcpWinParams;
use crate::types::Micros;

/// Segment size assumed before the flow tells its own.
const USUAL_MSS: u32 = 1460;
/// The window does not shrink below this many segments: with one, a delayed ACK holds up the
/// flow.
const MIN_SEGMENTS: u32 = 2;
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
    observe(state, sample);
    let floor = mss * MIN_SEGMENTS;
    let window_over = state.acked >= state.cwnd || (state.avoidance == 0 && state.marked > 0);

    if sample.timeout {
        // RFC 5681 §3.1.
        conclude(state, p.weight);
        state.threshold = (state.cwnd / 2).max(floor);
        state.avoidance = 0;
        state.cwnd = mss;
    } else if sample.drops > 0 {
        conclude(state, p.weight);
        state.avoidance = 1;
        state.cwnd = ((f64::from(state.cwnd) * LOSS_FACTOR) as u32).max(floor);
    } else if window_over && conclude(state, p.weight) {
        // Once for each window of data (RFC 8257 §3.3).
        state.avoidance = 1;
        let kept = f64::from(state.cwnd) * (1.0 - f64::from(state.alpha) / 2.0);
        state.cwnd = (kept as u32).max(floor);
    } else if sample.backlogged && state.marked == 0 {
        grow(state, sample.acked_bytes, mss);
    }
    // A queue that grows makes the rate of the window fall at once, not when the average knows.
    let rtt = match sample.rtt_us.max(sample.last_rtt_us) {
        0 => rtt_init.0,
        rtt => rtt.into(),
    };
    rate(p, state.cwnd, rtt)
}

/// Slow start and congestion avoidance (RFC 5681 §3.1).
fn grow(state: &mut CcState, acked: u32, mss: u32) {
    let window = if state.avoidance == 0 {
        state.cwnd.saturating_add(acked)
    } else {
        let step = u64::from(mss) * u64::from(acked) / u64::from(state.cwnd.max(1));
        state
            .cwnd
            .saturating_add(u32::try_from(step).unwrap_or(u32::MAX))
    };
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
