//! DCTCP on a rate: the reactions of RFC 8257, applied to a sending rate instead of a window.
#![forbid(unsafe_code)]

use super::{
    CcState, INITIAL_SEGMENTS, LOSS_FACTOR, RATE_FLOOR, RTT_THRESHOLD_END, RTT_THRESHOLD_SLOW,
    Sample, USED_SLACK, achieved, conclude, is_filling, is_queued, kbps, note_mark, note_rtt,
    observe,
};
use crate::config::DctcpRateParams;
use crate::types::Micros;

/// The marked fraction is judged after this many intervals even if fewer than the minimum of
/// packets were acknowledged, and at once by flows that send hardly a segment in a round trip: in
/// an incast it would tell of times long past.
const MAX_OBSERVED: u32 = 10;

/// Round trips of an interval, at most, for which the rate grows.
const MAX_ROUND_TRIPS: f64 = 4.0;

/// Part of a reduction for marks that is given back after an interval.
const GIVEN_BACK: f64 = 0.75;

/// What slow start leaves of the rate at which data arrives when it meets a queue.
const DRAIN: f64 = 0.75;

/// How far beyond the rate at which data arrives a flow may stay while there is a queue.
const QUEUE_GROWTH: f64 = 1.05;

/// The window of slow start in round trips without a queue: one for the wire, and the queue that is
/// usual, without headers.
const WINDOW_RTTS: f64 = 1.9;
/// Bytes under way to which slow start is not held, and time for which data may wait beside that,
/// µs: marks must show up before the window keeps the queue short.
const WINDOW_MIN: f64 = 65_536.0;
const WINDOW_SLACK: f64 = 500.0;

/// Steps that slow start takes in a round trip, and the shortest one, which lumps of ACKs do not
/// distort.
const SLOW_START_STEPS: u32 = 4;
const SLOW_START_STEP: Micros = Micros(2_500);

/// How often slow start looks at what arrives.
pub(super) fn step_of_slow_start(rtt: Micros) -> Micros {
    Micros(rtt.0 / u64::from(SLOW_START_STEPS)).max(rtt.min(SLOW_START_STEP))
}

/// The rate after an interval, kbit/s.
pub(super) fn next(p: &DctcpRateParams, state: &mut CcState, sample: &Sample) -> u32 {
    let rate = next_rate(p, state, sample);
    state.cwnd = match state.avoidance {
        0 if state.least_rtt > 0 => state.cwnd.max(slow_start_window(state)),
        _ => 0,
    };
    rate
}

/// That slow start is beyond what the network takes shows a round trip later. What is lost until
/// then is bounded by a window of twice what arrives in a round trip.
fn slow_start_window(state: &CcState) -> u32 {
    let span = f64::from(state.least_rtt) * WINDOW_RTTS + WINDOW_SLACK;
    let bytes = f64::from(state.arrived) * span / 8000.0;
    bytes.max(WINDOW_MIN) as u32
}

fn next_rate(p: &DctcpRateParams, state: &mut CcState, sample: &Sample) -> u32 {
    let rate = f64::from(state.rate);
    let achieved = achieved(state, sample);
    observe(state, sample);
    let round_trip = match state.avoidance {
        0 => sample.rtt_us / SLOW_START_STEPS / 2,
        _ => sample.rtt_us / 2,
    };
    if sample.acked_bytes > 0 && sample.interval_us >= round_trip {
        state.arrived = kbps(achieved, 0);
    }
    note_rtt(state, sample);
    let before_queue = std::mem::take(&mut state.before_queue);
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
        state.avoidance = 1;
        // A loss on the way back leaves more to others (RFC 9438 §4.7).
        let regain = match used < f64::from(state.regain) {
            true => used * (1.0 + LOSS_FACTOR) / 2.0,
            false => used,
        };
        state.regain = kbps(regain, RATE_FLOOR);
        if is_queued(state, RTT_THRESHOLD_SLOW) {
            state.before_queue = state.arrived.min(state.rate);
        }
        return kbps(used * LOSS_FACTOR, RATE_FLOOR);
    }
    let slow_start = state.avoidance == 0;
    if sample.is_first_mark() {
        state.regain = 0;
        if slow_start {
            conclude(state, p.weight);
        } else {
            state.before_queue = state.rate;
        }
        note_mark(state);
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
    if before_queue > state.rate {
        // A smaller window shortens the queue once, a lower rate as long as it lasts: until the
        // queue is empty and the wire idle. What shortened it is mostly given back, but not where
        // the queue is hardly ever short enough.
        let given_back = f64::from(before_queue) - rate;
        let given_back = given_back * GIVEN_BACK * (2.0 * state.step_share()).min(1.0);
        return kbps(rate + given_back + step, RATE_FLOOR);
    }
    if sample.acked_bytes == 0 || sample.ecn_bytes > 0 {
        return state.rate;
    }
    if slow_start && sample.backlogged && is_queued(state, RTT_THRESHOLD_END) {
        // Before it is full (RFC 9406 §4.2).
        state.avoidance = 1;
        state.before_queue = state.arrived.min(state.rate);
        let drained = f64::from(state.arrived) * DRAIN;
        return kbps(drained.clamp(rate / 4.0, rate), RATE_FLOOR);
    }
    if slow_start {
        // ACKs of this interval tell of the rate one round trip ago, which was half of it.
        let used = sample.backlogged && achieved * 2.0 * USED_SLACK >= rate;
        let limit = if used {
            f64::INFINITY
        } else {
            rate.max(initial_window(sample))
        };
        let round_trips = f64::from(sample.interval_us) / f64::from(sample.rtt_us.max(1));
        let growth = round_trips.min(1.0).exp2();
        return leave_at_threshold(state, (rate * growth).min(limit));
    }
    if !sample.backlogged {
        return state.rate;
    }
    let regain = f64::from(state.regain);
    let conventional = match rate < regain {
        true => conventional_step(sample).min(regain - rate),
        false => 0.0,
    };
    if is_queued(state, RTT_THRESHOLD_SLOW) {
        // More than arrives would only make it longer.
        let most = rate.min(f64::from(state.arrived) * QUEUE_GROWTH);
        let step = step.min(conventional_step(sample)).max(conventional);
        return kbps(most.max(rate * LOSS_FACTOR) + step, RATE_FLOOR);
    }
    let step = match is_filling(state, sample, RTT_THRESHOLD_SLOW) {
        true => step.min(conventional_step(sample)).max(conventional),
        false => step.max(conventional),
    };
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
