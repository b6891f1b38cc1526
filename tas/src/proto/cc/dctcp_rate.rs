//! DCTCP on a rate: the reactions of RFC 8257, applied to a sending rate instead of a window.
#![forbid(unsafe_code)]

use super::{
    CcState, INITIAL_SEGMENTS, LOSS_FACTOR, Sample, USED_SLACK, achieved, conclude, kbps, observe,
};
use crate::config::DctcpRateParams;

/// The marked fraction is judged after this many intervals even if fewer than the minimum of
/// packets were acknowledged, so that slow flows in an incast react too.
const MAX_OBSERVED: u32 = 10;

/// Round trips of an interval, at most, for which the rate grows.
const MAX_ROUND_TRIPS: f64 = 4.0;

/// The rate after an interval, kbit/s.
pub(super) fn next(p: &DctcpRateParams, state: &mut CcState, sample: &Sample) -> u32 {
    let rate = f64::from(state.rate);
    let achieved = achieved(state, sample);
    observe(state, sample);
    if sample.acked_bytes > 0 && sample.interval_us >= sample.rtt_us {
        state.arrived = kbps(achieved, 0);
    }

    if sample.timeout {
        // RFC 5681 §3.1: remember half, begin anew.
        conclude(state, p.weight);
        state.threshold = kbps(rate / 2.0, p.min_kbps);
        state.avoidance = 0;
        return kbps((rate / 2.0).min(f64::from(p.init_kbps)), p.min_kbps);
    }
    if sample.drops > 0 {
        // A loss weighs more than any mark (RFC 8257 §3.5).
        conclude(state, p.weight);
        let used = match std::mem::replace(&mut state.avoidance, 1) {
            // Slow start ended beyond what the network lets through, maybe far beyond.
            0 if state.arrived > 0 => rate.min(f64::from(state.arrived) * USED_SLACK),
            _ => rate,
        };
        // A loss on the way back leaves more to others (RFC 9438 §4.7).
        let regain = match used < f64::from(state.regain) {
            true => used * (1.0 + LOSS_FACTOR) / 2.0,
            false => used,
        };
        state.regain = kbps(regain, p.min_kbps);
        return kbps(used * LOSS_FACTOR, p.min_kbps);
    }

    let slow_start = state.avoidance == 0;
    let judged = state.acked > 0
        && (state.acks >= p.min_pkts
            || state.intervals >= MAX_OBSERVED
            || (slow_start && state.marked > 0));
    if judged && conclude(state, p.weight) {
        state.avoidance = 1;
        state.regain = 0;
        return kbps(rate * (1.0 - f64::from(state.alpha) / 2.0), p.min_kbps);
    }
    if sample.acked_bytes == 0 || state.marked > 0 {
        return state.rate;
    }
    if slow_start {
        // ACKs of this interval tell of the rate one round trip ago, which was half of it.
        let used = sample.backlogged && achieved * 2.0 * USED_SLACK >= rate;
        let limit = if used {
            f64::INFINITY
        } else {
            rate.max(initial_window(sample))
        };
        return leave_at_threshold(state, (rate * 2.0).min(limit), p.min_kbps);
    }
    if !sample.backlogged {
        return state.rate;
    }
    let step = f64::from(p.step_kbps);
    let regain = f64::from(state.regain);
    let conventional = match rate < regain {
        true => conventional_step(sample).min(regain - rate),
        false => 0.0,
    };
    let step = step.max(conventional);
    if achieved * USED_SLACK + 2.0 * step < rate {
        return state.rate;
    }
    match p.mimd {
        Some(factor) => kbps((rate * factor).max(rate + conventional), p.min_kbps),
        None => kbps(rate + step, p.min_kbps),
    }
}

/// By how much conventional congestion control increases a rate in this interval: a segment in a
/// round trip, for each round trip (RFC 5681 §3.1). Kbit/s.
fn conventional_step(sample: &Sample) -> f64 {
    match sample.rtt_us {
        0 => 0.0,
        rtt => {
            let rtt = f64::from(rtt);
            let round_trips = (f64::from(sample.interval_us) / rtt).min(MAX_ROUND_TRIPS);
            f64::from(sample.mss) * 8000.0 / rtt * round_trips
        }
    }
}

/// The rate that sends the initial window of RFC 6928 in one round trip, kbit/s. Up to here a
/// flow grows even if it does not use its rate: its short messages would only be stretched.
fn initial_window(sample: &Sample) -> f64 {
    match sample.rtt_us {
        0 => 0.0,
        rtt => f64::from(INITIAL_SEGMENTS * u32::from(sample.mss)) * 8000.0 / f64::from(rtt),
    }
}

fn leave_at_threshold(state: &mut CcState, rate: f64, min: u32) -> u32 {
    if state.threshold != 0 && rate >= f64::from(state.threshold) {
        state.avoidance = 1;
        return kbps(f64::from(state.threshold), min);
    }
    kbps(rate, min)
}
