//! TIMELY: control by the gradient of the round-trip time (Mittal et al., SIGCOMM 2015, §4.3).
#![forbid(unsafe_code)]

use super::{
    CcState, LEAST_STEP, LOSS_FACTOR, RATE_FLOOR, Sample, USED_SLACK, achieved, kbps, note_rtt,
    observe,
};
use crate::config::TimelyParams;

/// After this many intervals without a positive gradient, the increase is hyperactive.
const CALM_INTERVALS: u32 = 5;
/// Steps taken at once then.
const HYPERACTIVE_STEPS: f64 = 5.0;

/// Largest step as a part of the rate: thousands of flows take it at the same time.
const MOST_STEP: f64 = 0.25;

/// The rate after an interval, kbit/s.
pub(super) fn next(p: &TimelyParams, state: &mut CcState, sample: &Sample) -> u32 {
    let rate = f64::from(state.rate);
    let achieved = achieved(state, sample);
    observe(state, sample);
    if sample.timeout {
        state.calm = 0;
        return kbps((rate / 2.0).min(f64::from(p.init_kbps)), RATE_FLOOR);
    }
    if sample.drops > 0 {
        state.calm = 0;
        return kbps(rate * LOSS_FACTOR, RATE_FLOOR);
    }
    if sample.acked_bytes == 0 || sample.fresh_rtt_us == 0 {
        return state.rate;
    }
    let rtt_us = sample.fresh_rtt_us;
    if sample.acks == 1 && rtt_us > state.last_rtt.saturating_mul(2) && state.last_rtt != 0 {
        // A peer may hold back one ACK. The next tells whether it did.
        state.last_rtt = rtt_us;
        return state.rate;
    }

    let gradient = gradient(p, state, sample);
    let whole_step = f64::from(p.step_kbps);
    let step = whole_step.min((rate * MOST_STEP).max(whole_step * LEAST_STEP));
    let grown = |steps: f64| {
        // Growth that the flow did not use would let it burst later.
        let used = sample.backlogged && achieved * USED_SLACK + 2.0 * steps * step >= rate;
        if used { rate + steps * step } else { rate }
    };
    let next = if rtt_us < p.t_low_us {
        state.calm = 0;
        grown(1.0)
    } else if rtt_us > p.t_high_us {
        state.calm = 0;
        let excess = 1.0 - f64::from(p.t_high_us) / f64::from(rtt_us);
        rate * (1.0 - p.beta * excess)
    } else if gradient <= 0.0 {
        state.calm = state.calm.saturating_add(1);
        grown(if state.calm >= CALM_INTERVALS {
            HYPERACTIVE_STEPS
        } else {
            1.0
        })
    } else {
        state.calm = 0;
        rate * (1.0 - p.beta * gradient.min(1.0))
    };
    // What the way itself takes is no queue.
    let queue_us = rtt_us.saturating_sub(state.least_rtt);
    let floor = match queue_us > p.t_high_us.saturating_mul(2) {
        true => f64::from(RATE_FLOOR.min(state.rate)),
        false => grown(1.0).min(f64::from(p.min_rate_kbps)),
    };
    kbps(next.max(floor), RATE_FLOOR.min(state.rate))
}

/// The normalised gradient with the interval's round-trip time taken into account.
fn gradient(p: &TimelyParams, state: &mut CcState, sample: &Sample) -> f64 {
    let diff = match state.last_rtt {
        0 => 0.0,
        last => f64::from(sample.fresh_rtt_us) - f64::from(last),
    };
    note_rtt(state, sample);
    let average = (1.0 - p.alpha) * f64::from(state.rtt_diff) + p.alpha * diff;
    state.rtt_diff = average as f32;
    average / f64::from(p.min_rtt_us.max(state.least_rtt).max(1))
}
