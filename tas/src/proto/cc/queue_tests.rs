//! What queues that nobody marks do to rates.

use super::tests::{DCTCP_RATE, DCTCP_WIN, busy, params};
use super::*;

/// Samples of a line of 100 Mbit/s and 10 ms: `rtt_ms` is the latest round trip.
fn on_line(state: &CcState, rtt_ms: u32, interval_ms: u32) -> Sample {
    Sample {
        rtt_us: rtt_ms * 1000,
        fresh_rtt_us: rtt_ms * 1000,
        ..busy(state.rate.min(100_000), interval_ms * 1000)
    }
}

/// A flow on that line, which has just been given `rate` kbit/s.
fn flow_on_line(rate: u32, avoidance: u8) -> CcState {
    CcState {
        avoidance,
        rate,
        least_rtt: 10_000,
        last_rtt: 10_000,
        arrived: rate,
        ..CcState::default()
    }
}

#[test]
fn slow_start_ends_where_a_queue_grows_rfc9406_4_2() {
    for algorithm in [DCTCP_RATE, DCTCP_WIN] {
        let params = params(algorithm);
        for (rtt_ms, backlogged, ends) in [(13, true, false), (14, true, true), (40, false, false)]
        {
            let mut state = flow_on_line(200_000, 0);
            state.cwnd = 250_000;
            let sample = Sample {
                backlogged,
                ..on_line(&state, rtt_ms, 10)
            };
            on_interval(&params, &mut state, &sample);
            assert_eq!(state.avoidance == 1, ends, "{rtt_ms} ms, {backlogged}");
        }
    }
    // The queue empties, then the flow has what arrived.
    let params = params(DCTCP_RATE);
    let mut state = flow_on_line(200_000, 0);
    let full = on_line(&state, 14, 10);
    assert_eq!(on_interval(&params, &mut state, &full), 75_000);
    let empty = on_line(&state, 10, 20);
    let rate = on_interval(&params, &mut state, &empty);
    assert!((95_000..110_000).contains(&rate), "{rate}");
}

/// Twice what arrives in a round trip, for the time until it is known how much arrives.
#[test]
fn slow_start_has_a_window() {
    let params = params(DCTCP_RATE);
    let mut state = flow_on_line(100_000, 0);
    for _ in 0..10 {
        let sample = on_line(&state, 10, 3);
        on_interval(&params, &mut state, &sample);
    }
    let (window, round_trip) = (state.window(1448), 125_000);
    assert!(
        (round_trip * 3 / 2..round_trip * 2).contains(&window),
        "{window}"
    );
    // Later there is none.
    let lost = Sample {
        drops: 1,
        ..on_line(&state, 10, 3)
    };
    on_interval(&params, &mut state, &lost);
    assert_eq!(state.window(1448), u32::MAX);
}

#[test]
fn where_a_queue_grows_a_rate_does_hardly() {
    let params = params(DCTCP_RATE);
    let segment = 1448 * 8 / 10;
    // The round trip tells: what does not arrive is given up.
    let mut state = flow_on_line(130_000, 1);
    let sample = on_line(&state, 13, 20);
    let rate = on_interval(&params, &mut state, &sample);
    assert!((105_000..105_000 + 2 * segment).contains(&rate), "{rate}");
    // What is under way tells before.
    for (in_flight, grown) in [(149_000, 10_000), (151_000, 2 * segment)] {
        let mut state = flow_on_line(100_000, 1);
        let sample = Sample {
            in_flight,
            ..on_line(&state, 10, 20)
        };
        let rate = on_interval(&params, &mut state, &sample);
        assert!((rate - 100_000).abs_diff(grown) < 10, "{rate}");
    }
}

/// The window is smaller, and the queue so shorter: the line needs what it took before.
#[test]
fn a_loss_to_a_full_queue_leaves_the_line_full() {
    let params = params(DCTCP_RATE);
    for (rtt_ms, back) in [(20, 90_000..105_000), (10, 70_000..85_000)] {
        let mut state = flow_on_line(100_000, 1);
        let lost = Sample {
            drops: 1,
            ..on_line(&state, rtt_ms, 20)
        };
        assert_eq!(on_interval(&params, &mut state, &lost), 70_000);
        let sample = on_line(&state, 10, 20);
        let rate = on_interval(&params, &mut state, &sample);
        assert!(back.contains(&rate), "{rate}");
    }
}

/// Where nothing marks there is no reason to take small steps.
#[test]
fn alpha_begins_with_the_first_mark() {
    let params = params(DCTCP_RATE);
    let mut state = flow_on_line(50_000, 0);
    let lost = Sample {
        drops: 1,
        ..on_line(&state, 10, 10)
    };
    on_interval(&params, &mut state, &lost);
    let before = state.rate;
    let sample = on_line(&state, 10, 20);
    assert_eq!(on_interval(&params, &mut state, &sample), before + 10_000);
    let marked = Sample {
        ecn_bytes: 1448,
        ..on_line(&state, 10, 20)
    };
    let before = state.rate;
    assert_eq!(on_interval(&params, &mut state, &marked), before / 2);
}
