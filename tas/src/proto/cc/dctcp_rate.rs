//! DCTCP on a rate: the reactions of RFC 8257, applied to a sending rate instead of a window.
#![forbid(unsafe_code)]

use super::{
    CcState, INITIAL_SEGMENTS, LOSS_FACTOR, RATE_FLOOR, Sample, USED_SLACK, achieved, conclude,
    kbps, leave_slow_start, observe,
};
use crate::config::DctcpRateParams;

/// The marked fraction is judged after this many intervals even if fewer than the minimum of
/// packets were acknowledged, and at once by flows that send hardly a segment in a round trip: in
/// an incast it would tell of times long past.
const MAX_OBSERVED: u32 = 10;

/// Round trips of an interval, at most, for which the rate grows.
const MAX_ROUND_TRIPS: f64 = 4.0;

/// Part of a reduction for marks that is given back after an interval.
const GIVEN_BACK: f64 = 0.75;

/// The rate after an interval, kbit/s.
pub(super) fn next(p: &DctcpRateParams, state: &mut CcState, sample: &Sample) -> u32 {
    let rate = f64::from(state.rate);
    let achieved = achieved(state, sample);
    observe(state, sample);
    if sample.acked_bytes > 0 && sample.interval_us >= sample.rtt_us {
        state.arrived = kbps(achieved, 0);
    }
    let before_marks = std::mem::take(&mut state.before_marks);
    let step = f64::from(p.step_kbps) * state.step_share();

    if sample.timeout {
        // RFC 5681 §3.1: remember half, begin anew.
        conclude(state, p.weight);
        state.threshold = kbps(rate / 2.0, RATE_FLOOR);
        state.avoidance = 0;
        return kbps((rate / 2.0).min(f64::from(p.init_kbps)), RATE_FLOOR);
    }
    if sample.drops > 0 {
        // A loss weighs more than any mark (RFC 8257 §3.5).
        conclude(state, p.weight);
        // Slow start ended beyond what the network lets through, maybe far beyond.
        let used = match state.avoidance {
            0 if state.arrived > 0 => rate.min(f64::from(state.arrived) * USED_SLACK),
            _ => rate,
        };
        leave_slow_start(state);
        // A loss on the way back leaves more to others (RFC 9438 §4.7).
        let regain = match used < f64::from(state.regain) {
            true => used * (1.0 + LOSS_FACTOR) / 2.0,
            false => used,
        };
        state.regain = kbps(regain, RATE_FLOOR);
        return kbps(used * LOSS_FACTOR, RATE_FLOOR);
    }
    let slow_start = state.avoidance == 0;
    if sample.is_first_mark() {
        state.regain = 0;
        if slow_start {
            conclude(state, p.weight);
            leave_slow_start(state);
        } else {
            state.before_marks = state.rate;
        }
        let floor = match state.is_overwhelmed() {
            true => RATE_FLOOR.min(state.rate),
            false => p.min_kbps.min(state.rate),
        };
        return kbps(rate * (1.0 - f64::from(state.alpha) / 2.0), floor);
    }
    let enough = state.acks >= p.min_pkts || state.intervals >= MAX_OBSERVED || sample.acks == 1;
    if state.acked > 0 && enough {
        conclude(state, p.weight);
    }
    if before_marks > state.rate {
        // A smaller window shortens the queue once, a lower rate as long as it lasts: until the
        // queue is empty and the wire idle. What shortened it is mostly given back, but not where
        // the queue is hardly ever short enough.
        let given_back = f64::from(before_marks) - rate;
        let given_back = given_back * GIVEN_BACK * (2.0 * state.step_share()).min(1.0);
        return kbps(rate + given_back + step, RATE_FLOOR);
    }
    if sample.acked_bytes == 0 || sample.ecn_bytes > 0 {
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
        return leave_at_threshold(state, (rate * 2.0).min(limit));
    }
    if !sample.backlogged {
        return state.rate;
    }
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
        Some(factor) => kbps((rate * factor).max(rate + conventional), RATE_FLOOR),
        None => kbps(rate + step, RATE_FLOOR),
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

fn leave_at_threshold(state: &mut CcState, rate: f64) -> u32 {
    if state.threshold != 0 && rate >= f64::from(state.threshold) {
        state.avoidance = 1;
        return state.threshold;
    }
    kbps(rate, RATE_FLOOR)
}
