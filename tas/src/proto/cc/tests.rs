//! The algorithms against a toy model: one link with a queue, and flows that share it.

use super::*;
use crate::config::{ConstRateParams, DctcpRateParams, DctcpWinParams, TimelyParams};

pub(super) const DCTCP_RATE: CcAlgorithm = CcAlgorithm::DctcpRate(DctcpRateParams {
    weight: 0.0625,
    init_kbps: 10_000,
    step_kbps: 10_000,
    mimd: None,
    min_kbps: 10_000,
    min_pkts: 50,
});
pub(super) const DCTCP_WIN: CcAlgorithm = CcAlgorithm::DctcpWin(DctcpWinParams {
    weight: 0.0625,
    link_bw_gbps: 10,
});
const TIMELY: CcAlgorithm = CcAlgorithm::Timely(TimelyParams {
    t_low_us: 30,
    t_high_us: 150,
    step_kbps: 10_000,
    init_kbps: 10_000,
    alpha: 0.02,
    beta: 0.8,
    min_rtt_us: 11,
    min_rate_kbps: 10_000,
});

pub(super) fn params(algorithm: CcAlgorithm) -> CcParams {
    CcParams {
        algorithm,
        granularity: Micros(50),
        interval_rtts: 2,
        rexmit_ints: 4,
        rtt_init: Micros(50),
    }
}

const MSS: u32 = 1448;
/// Packets above this queue are marked, as RFC 8257 §4.2 wants the switch to do.
const MARK_ABOVE: f64 = 65.0 * MSS as f64;
const BASE_RTT_US: f64 = 50.0;

/// A bottleneck of 10 Gbit/s.
struct Link {
    bytes_per_us: f64,
    queue: f64,
    limit: f64,
    /// Whether the switch marks.
    ecn: bool,
}

impl Link {
    fn new(ecn: bool) -> Link {
        Link {
            bytes_per_us: 1250.0,
            queue: 0.0,
            limit: 400.0 * MSS as f64,
            ecn,
        }
    }

    fn rtt(&self) -> f64 {
        BASE_RTT_US + self.queue / self.bytes_per_us
    }
}

/// Runs `flows` over `link` for `steps` intervals; returns their mean rates over the last half
/// and the longest queue there, bytes.
fn run(algorithm: CcAlgorithm, flows: usize, steps: usize, link: &mut Link) -> (Vec<f64>, f64) {
    let params = params(algorithm);
    let mut states = vec![CcState::default(); flows];
    let mut rates: Vec<u32> = states.iter_mut().map(|s| start(&params, s)).collect();
    let mut heeded = vec![false; flows];
    let (mut sums, mut queue_max) = (vec![0.0; flows], 0.0f64);
    for step in 0..steps {
        let interval = (2.0 * link.rtt()).max(50.0);
        let offered: Vec<f64> = rates
            .iter()
            .map(|r| f64::from(*r) / 8000.0 * interval)
            .collect();
        let total: f64 = offered.iter().sum();
        let drained = link.bytes_per_us * interval;
        // What arrived and left in this interval, shared as offered.
        let delivered = (link.queue + total).min(drained);
        let marked = link.ecn && link.queue + total - drained > MARK_ABOVE;
        link.queue = (link.queue + total - drained).max(0.0);
        let dropped = link.queue > link.limit;
        link.queue = link.queue.min(link.limit);
        if step >= steps / 2 {
            queue_max = queue_max.max(link.queue);
        }
        for (i, state) in states.iter_mut().enumerate() {
            let acked = delivered * offered[i] / total;
            let sample = Sample {
                acked_bytes: acked as u32,
                ecn_bytes: if marked { acked as u32 } else { 0 },
                acks: (acked / f64::from(MSS)).ceil() as u16,
                drops: dropped.into(),
                timeout: false,
                rtt_us: link.rtt() as u32,
                fresh_rtt_us: link.rtt() as u32,
                interval_us: interval as u32,
                in_flight: (acked * link.rtt() / interval) as u32,
                backlogged: true,
                heeded: heeded[i],
                mss: MSS as u16,
            };
            heeded[i] = marked && !heeded[i];
            rates[i] = on_interval(&params, state, &sample);
            if step >= steps / 2 {
                sums[i] += acked * 8000.0 / interval;
            }
        }
    }
    let half = (steps - steps / 2) as f64;
    (sums.iter().map(|s| s / half).collect(), queue_max)
}

fn fairness(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|r| r * r).sum();
    sum * sum / (rates.len() as f64 * squares)
}

#[test]
fn flows_fill_the_link_and_share_it() {
    for (name, algorithm) in [("rate", DCTCP_RATE), ("win", DCTCP_WIN), ("timely", TIMELY)] {
        for flows in [1, 2, 16] {
            let (rates, queue) = run(algorithm, flows, 20_000, &mut Link::new(true));
            let total: f64 = rates.iter().sum();
            assert!(total > 0.75 * 10e6, "{name} {flows}: {total} kbit/s");
            assert!(fairness(&rates) > 0.9, "{name} {flows}: {rates:?}");
            assert!(
                queue < 400.0 * f64::from(MSS),
                "{name} {flows}: queue {queue}"
            );
        }
    }
}

#[test]
fn losses_alone_control_where_nothing_marks() {
    for algorithm in [DCTCP_RATE, DCTCP_WIN] {
        let (rates, _) = run(algorithm, 4, 20_000, &mut Link::new(false));
        let total: f64 = rates.iter().sum();
        assert!(total > 0.7 * 10e6, "{total}");
    }
}

pub(super) fn busy(rate: u32, interval_us: u32) -> Sample {
    let acked = (u64::from(rate) * u64::from(interval_us) / 8000) as u32;
    Sample {
        acked_bytes: acked,
        acks: (acked / MSS).max(1) as u16,
        rtt_us: 50,
        fresh_rtt_us: 50,
        interval_us,
        backlogged: true,
        mss: MSS as u16,
        ..Sample::default()
    }
}

#[test]
fn slow_start_doubles_until_the_first_mark() {
    let params = params(DCTCP_RATE);
    let mut state = CcState::default();
    let mut rate = start(&params, &mut state);
    for doubled in [20_000, 40_000, 80_000] {
        rate = on_interval(&params, &mut state, &busy(rate, 10_000));
        assert_eq!(rate, doubled);
    }
    let mut marked = busy(rate, 10_000);
    marked.ecn_bytes = marked.acked_bytes / 10;
    // The first mark halves: RFC 8257 §3.3 begins with alpha = 1.
    assert_eq!(on_interval(&params, &mut state, &marked), 40_000);
    assert_eq!(
        on_interval(&params, &mut state, &busy(40_000, 10_000)),
        40_625
    );
}

#[test]
fn mild_marking_slows_down_mildly() {
    let params = params(DCTCP_RATE);
    let mut state = CcState {
        avoidance: 1,
        any_mark: 1,
        rate: 1_000_000,
        alpha: 0.25,
        ..CcState::default()
    };
    let mut first = busy(1_000_000, 1000);
    first.ecn_bytes = MSS;
    assert_eq!(on_interval(&params, &mut state, &first), 875_000);
    // Three quarters of it come back after an interval, and most of a step; further marks in it
    // count only for alpha.
    let mut rest = busy(875_000, 1000);
    rest.ecn_bytes = rest.acked_bytes / 2;
    rest.heeded = true;
    let back = on_interval(&params, &mut state, &rest);
    assert!(
        (875_000 + 93_750 + 5_000..875_000 + 93_750 + 10_000).contains(&back),
        "{back}"
    );
    assert!(state.alpha > 0.2 && state.alpha < 0.3, "{}", state.alpha);
    let quiet = on_interval(&params, &mut state, &busy(back, 1000));
    assert!((back + 5_000..back + 10_000).contains(&quiet), "{quiet}");
}

#[test]
fn a_loss_during_the_reaction_to_marks_gives_nothing_back() {
    let params = params(DCTCP_RATE);
    let mut state = CcState {
        avoidance: 1,
        any_mark: 1,
        rate: 1_000_000,
        alpha: 0.25,
        ..CcState::default()
    };
    let mut first = busy(1_000_000, 1000);
    first.ecn_bytes = MSS;
    on_interval(&params, &mut state, &first);
    let mut loss = busy(875_000, 1000);
    loss.heeded = true;
    loss.drops = 1;
    assert_eq!(on_interval(&params, &mut state, &loss), 612_500);
    let next = on_interval(&params, &mut state, &busy(612_500, 1000));
    // What was lost to the loss comes back, not what was before the marks.
    assert_eq!(next, 875_000);
}

#[test]
fn loss_slows_down_and_timeout_begins_anew() {
    for algorithm in [DCTCP_RATE, TIMELY] {
        let params = params(algorithm);
        let mut state = CcState {
            avoidance: 1,
            rate: 1_000_000,
            ..CcState::default()
        };
        let mut loss = busy(1_000_000, 100);
        loss.drops = 3;
        assert_eq!(on_interval(&params, &mut state, &loss), 700_000);
        let timeout = Sample {
            timeout: true,
            ..busy(0, 100)
        };
        assert_eq!(on_interval(&params, &mut state, &timeout), 10_000);
    }
}

/// By a segment in a round trip: at 50 µs that is 232 Mbit/s more, in each.
#[test]
fn what_was_lost_to_a_loss_comes_back_as_fast_as_elsewhere_rfc5681_3_1() {
    let params = params(DCTCP_RATE);
    let mut state = CcState {
        avoidance: 1,
        rate: 2_000_000,
        ..CcState::default()
    };
    let lossy = |rate| Sample {
        drops: 1,
        ..busy(rate, 50)
    };
    let mut rate = on_interval(&params, &mut state, &lossy(2_000_000));
    let mut seen = vec![rate];
    for _ in 0..4 {
        rate = on_interval(&params, &mut state, &busy(rate, 50));
        seen.push(rate);
    }
    assert_eq!(
        seen,
        [1_400_000, 1_631_680, 1_863_360, 2_000_000, 2_010_000]
    );
    // A loss on the way back leaves more to others: RFC 9438 §4.7.
    on_interval(&params, &mut state, &lossy(2_010_000));
    let again = on_interval(&params, &mut state, &lossy(1_407_000));
    let back = on_interval(&params, &mut state, &busy(again, 50));
    let beyond = on_interval(&params, &mut state, &busy(back, 50));
    let expected = [984_900, 1_195_950, 1_205_950];
    for (got, expected) in [again, back, beyond].into_iter().zip(expected) {
        assert!(got.abs_diff(expected) <= 2, "{got} instead of {expected}");
    }
}

/// Slow start that went too far goes back to what arrived, not to a part of what was sent.
#[test]
fn overshoot_ends_at_once() {
    let params = params(DCTCP_RATE);
    let mut state = CcState {
        rate: 4_000_000,
        ..CcState::default()
    };
    on_interval(&params, &mut state, &busy(1_000_000, 100));
    let loss = Sample {
        drops: 1,
        ..busy(1_000_000, 10)
    };
    let next = on_interval(&params, &mut state, &loss);
    assert!((800_000..900_000).contains(&next), "{next}");
}

#[test]
fn slow_start_after_a_timeout_ends_at_half_of_what_was() {
    let params = params(DCTCP_RATE);
    let mut state = CcState {
        avoidance: 1,
        rate: 100_000,
        ..CcState::default()
    };
    let mut rate = on_interval(
        &params,
        &mut state,
        &Sample {
            timeout: true,
            ..busy(0, 100)
        },
    );
    let mut seen = vec![rate];
    for _ in 0..4 {
        rate = on_interval(&params, &mut state, &busy(rate, 10_000));
        seen.push(rate);
    }
    assert_eq!(seen, [10_000, 20_000, 40_000, 50_000, 60_000]);
}

#[test]
fn unused_rate_does_not_grow() {
    for algorithm in [DCTCP_RATE, DCTCP_WIN, TIMELY] {
        let params = params(algorithm);
        let mut state = CcState::default();
        let first = start(&params, &mut state);
        // Beyond the initial window in one round trip of 50 µs (RFC 6928).
        let limit = (first + first / 2).max(10 * MSS * 160);
        for _ in 0..1000 {
            // The application sends little.
            let idle = Sample {
                backlogged: false,
                ..busy(first / 10, 100)
            };
            assert!(on_interval(&params, &mut state, &idle) <= limit);
        }
    }
    // Something else than the rate holds the flow back.
    let params = params(DCTCP_RATE);
    let mut state = CcState {
        rate: 5_000_000,
        ..CcState::default()
    };
    let limited = Sample {
        backlogged: true,
        ..busy(100_000, 1000)
    };
    assert_eq!(on_interval(&params, &mut state, &limited), 5_000_000);
}

#[test]
fn empty_intervals_change_nothing() {
    // At 10 Mbit/s a packet takes longer than many control intervals.
    let params = params(DCTCP_RATE);
    let mut state = CcState::default();
    let rate = start(&params, &mut state);
    for _ in 0..11 {
        let nothing = Sample {
            acks: 0,
            acked_bytes: 0,
            ..busy(0, 100)
        };
        assert_eq!(on_interval(&params, &mut state, &nothing), rate);
    }
    let one = Sample {
        acked_bytes: MSS,
        acks: 1,
        ..busy(0, 60)
    };
    assert_eq!(on_interval(&params, &mut state, &one), 2 * rate);
}

#[test]
fn multiplicative_increase() {
    let CcAlgorithm::DctcpRate(p) = DCTCP_RATE else {
        unreachable!()
    };
    let params = params(CcAlgorithm::DctcpRate(DctcpRateParams {
        mimd: Some(1.5),
        ..p
    }));
    let mut state = CcState {
        avoidance: 1,
        rate: 100_000,
        ..CcState::default()
    };
    assert_eq!(
        on_interval(&params, &mut state, &busy(100_000, 10_000)),
        150_000
    );
}

#[test]
fn window_rate_is_bounded_by_the_link() {
    let params = params(DCTCP_WIN);
    let mut state = CcState::default();
    // Ten segments in 50 µs.
    assert_eq!(start(&params, &mut state), 14_600 * 8000 / 50);
    state.cwnd = 1 << 29;
    assert_eq!(
        on_interval(&params, &mut state, &busy(10_000_000, 100)),
        10_000_000
    );
}

#[test]
fn timely_follows_the_gradient() {
    let params = params(TIMELY);
    let mut state = CcState {
        rate: 1_000_000,
        ..CcState::default()
    };
    let at = |rtt_us| Sample {
        fresh_rtt_us: rtt_us,
        ..busy(4_000_000, 100)
    };
    // Below T_low: up, whatever the gradient.
    assert_eq!(on_interval(&params, &mut state, &at(20)), 1_010_000);
    // Rising between the thresholds: down.
    let slower = on_interval(&params, &mut state, &at(100));
    assert!(slower < 1_010_000);
    // Above T_high: down by the excess.
    let rate = on_interval(&params, &mut state, &at(300));
    assert_eq!(rate, (f64::from(slower) * (1.0 - 0.8 * 0.5)) as u32);
    // Five quiet intervals between the thresholds: hyperactive increase.
    state = CcState {
        rate: 1_000_000,
        ..CcState::default()
    };
    let steps: Vec<u32> = (0..6)
        .map(|_| on_interval(&params, &mut state, &at(100)))
        .collect();
    assert_eq!(
        steps,
        [
            1_010_000, 1_020_000, 1_030_000, 1_040_000, 1_090_000, 1_140_000
        ]
    );
}

/// What lasts longer than twice T_high without a queue is a long way: the least rate that was asked
/// for is kept, and returned to after a loss. A queue as long takes the flow lower.
#[test]
fn timely_keeps_its_least_rate_on_a_long_way() {
    let params = params(TIMELY);
    let mut state = CcState {
        rate: 1_000_000,
        ..CcState::default()
    };
    let mut after = |rtt_us, drops, intervals| {
        for _ in 0..intervals {
            let sample = Sample {
                rtt_us,
                fresh_rtt_us: rtt_us,
                drops,
                ..busy(state.rate(), rtt_us)
            };
            on_interval(&params, &mut state, &sample);
        }
        state.rate()
    };
    assert_eq!(after(10_000, 0, 20), 10_000);
    assert_eq!(after(10_000, 1, 1), 7_000);
    assert_eq!(after(10_000, 0, 3), 10_000);
    assert_eq!(after(10_400, 0, 20), RATE_FLOOR);
    assert_eq!(after(10_000, 0, 20), 10_000);
}

#[test]
fn constant_rate_is_constant() {
    let params = params(CcAlgorithm::ConstRate(ConstRateParams { rate_kbps: 0 }));
    let mut state = CcState::default();
    assert_eq!(start(&params, &mut state), 0);
    assert_eq!(
        on_interval(
            &params,
            &mut state,
            &Sample {
                timeout: true,
                ..busy(0, 1)
            }
        ),
        0
    );
}

#[test]
fn interval_follows_the_rtt() {
    let params = params(DCTCP_RATE);
    let slow_start = CcState::default();
    let avoidance = CcState {
        avoidance: 1,
        ..slow_start
    };
    for (state, rtt, interval) in [
        (&avoidance, None, 100),
        (&avoidance, Some(10), 50),
        (&avoidance, Some(1000), 2000),
        (&slow_start, Some(10), 50),
        (&slow_start, Some(1000), 1000),
        (&slow_start, Some(6000), 2500),
        (&slow_start, Some(40_000), 10_000),
    ] {
        let found = params.interval(state, rtt.map(Micros));
        assert_eq!(found, Micros(interval), "{rtt:?}");
    }
    assert!(params.ecn());
    assert!(!super::tests::params(TIMELY).ecn());
}

proptest::proptest! {
    /// No sample makes a rate fall below the floor, or to 0, which would mean unlimited.
    #[test]
    fn rates_stay_in_bounds(samples in proptest::collection::vec(
        (0u32..u32::MAX, 0u32..u32::MAX, 0u16..u16::MAX, 0u16..3, 0u8..8, 0u32..u32::MAX, 0u32..u32::MAX),
        1..50)
    ) {
        for (algorithm, floor) in [(DCTCP_RATE, RATE_FLOOR), (DCTCP_WIN, 1), (TIMELY, RATE_FLOOR)] {
            let params = params(algorithm);
            let mut state = CcState::default();
            start(&params, &mut state);
            for (acked_bytes, ecn_bytes, acks, drops, odd, rtt_us, interval_us) in samples.clone() {
                let rate = on_interval(&params, &mut state, &Sample {
                    acked_bytes, ecn_bytes, acks, drops, timeout: odd == 0, rtt_us, fresh_rtt_us: rtt_us / 2, interval_us,
                    in_flight: acked_bytes / 2,
                    backlogged: odd & 1 == 0, heeded: odd & 2 == 0, mss: acks,
                });
                proptest::prop_assert!(rate >= floor);
            }
        }
    }
}
