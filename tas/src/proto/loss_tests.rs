//! Loss: timeouts (RFC 6298), fast retransmit (RFC 5681, RFC 6582), and what congestion control
//! hears of it.

use tas_wire::TcpFlags;

use super::cc::CcParams;
use super::tests::{Trace, init, init_timestamps, params, recv, sends};
use super::{End, FlowInit, Received, Signs, TcpParams};
use crate::config::{CcAlgorithm, DctcpRateParams};
use crate::types::Micros;

/// SRTT 100, RTTVAR 50: the shortest timeout counts as granularity.
const RTO: u64 = 1_100;

fn lost(out: Received) -> bool {
    out.signs.contains(Signs::LOSS)
}

/// `n` full segments are under way.
fn in_flight(n: u32) -> Trace {
    let mut t = Trace::new(init());
    t.write(n as usize * 1000);
    for i in 0..n {
        sends!(t, seq: 1001 + i * 1000, len: 1000);
    }
    t
}

mod timeout_rfc6298_5 {
    use super::*;

    #[test]
    fn goes_back_and_doubles() {
        // Smaller than what one tries when nothing gets through.
        let mut t = Trace::new(init());
        t.write(500);
        sends!(t, len: 500);
        for i in 0..5 {
            let (waited, out) = t.timer();
            assert!(out.retransmit && out.send && out.end.is_none());
            assert_eq!(waited, RTO << i);
            sends!(t, seq: 1001, len: 500, pos: 0, flags: TcpFlags::PSH);
        }
        assert_eq!(t.host.st.cnt_tx_drops, 5);
    }

    #[test]
    fn ends_after_the_last_retry() {
        let mut t = Trace::with_params(
            init(),
            TcpParams {
                max_retries: 3,
                ..params()
            },
        );
        t.write(100);
        sends!(t);
        for _ in 0..3 {
            assert_eq!(t.timer().1.end, None);
            sends!(t, seq: 1001);
        }
        assert_eq!(t.timer().1.end, Some(End::TimedOut));
        assert!(t.is_quiet());
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn progress_restarts_the_timer_and_the_count() {
        let mut t = in_flight(2);
        t.wait(1000);
        recv!(t, ack: 2001);
        // The sample was 1000: SRTT 212, 4 · RTTVAR 1050.
        assert_eq!(t.timer().0, 212 + 1050);
        assert_eq!(t.host.ext.retries, 1);
        sends!(t, seq: 2001);
        recv!(t, ack: 3001);
        assert_eq!(t.host.ext.retries, 0);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn begins_with_one_segment_rfc5681_3_1() {
        let mut t = in_flight(8);
        t.timer();
        sends!(t, seq: 1001);
        assert!(t.is_quiet());
        recv!(t, ack: 2001);
        sends!(t, seq: 2001);
        sends!(t, seq: 3001);
        assert!(t.is_quiet());
    }

    #[test]
    fn acks_of_what_was_sent_before_are_taken() {
        let mut t = in_flight(8);
        t.timer();
        sends!(t, seq: 1001);
        // Only the first was lost.
        assert_eq!(recv!(t, ack: 9001).notice.tx_bump, 8000);
        assert!(t.is_quiet());
        assert_eq!((t.host.st.tx_avail, t.host.st.tx_sent), (0, 0));
        t.write(10);
        sends!(t, seq: 9001, len: 10, pos: 8000);
    }

    #[test]
    fn acks_between_skip_what_arrived() {
        let mut t = in_flight(8);
        t.timer();
        sends!(t, seq: 1001);
        assert_eq!(recv!(t, ack: 5001).notice.tx_bump, 4000);
        sends!(t, seq: 5001, pos: 4000);
    }

    #[test]
    fn karn_takes_no_sample_of_what_was_sent_twice() {
        let mut t = in_flight(1);
        t.timer();
        sends!(t);
        t.wait(50_000);
        recv!(t, ack: 2001);
        assert_eq!(t.host.st.rtt_est, 100);
    }

    #[test]
    fn timestamps_tell_which_one_was_acknowledged_rfc7323_4_1() {
        let mut t = Trace::new(init_timestamps());
        t.write(100);
        let first = sends!(t).timestamps.unwrap().val;
        let (_, out) = t.timer();
        assert!(out.retransmit);
        let second = sends!(t).timestamps.unwrap().val;
        assert!(second > first);
        t.wait(900);
        recv!(t, ack: 1101, ts: (501, second));
        assert_eq!(t.host.st.rtt_est, 200);
    }

    #[test]
    fn a_timeout_that_was_too_short_learns_from_the_first_ones_ack_rfc7323_4_1() {
        let mut t = Trace::new(init_timestamps());
        t.write(100);
        let first = sends!(t).timestamps.unwrap().val;
        let (waited, out) = t.timer();
        assert!(out.retransmit);
        let second = sends!(t).timestamps.unwrap().val;
        t.wait(40_000);
        recv!(t, ack: 1101, ts: (501, first));
        // An eighth of what passed since the first, of which the ticks are known.
        let rtt = 40_000 + u64::from(second - first) * 1000;
        assert_eq!(u64::from(t.host.st.rtt_est), (100 * 7 + rtt).div_ceil(8));
        // The next one waits for longer than that took.
        t.write(100);
        sends!(t);
        assert!(waited < 40_000 && t.timer().0 > rtt);
    }

    #[test]
    fn the_round_trip_is_measured_one_segment_at_a_time() {
        let mut t = Trace::new(init());
        t.write(3000);
        sends!(t);
        t.wait(40);
        sends!(t);
        t.wait(140);
        recv!(t, ack: 3001);
        // The ACK waited for the second, from which it is 140: 7/8 · 100 + 1/8 · 140.
        assert_eq!(t.host.st.rtt_est, 105);
    }

    #[test]
    fn one_second_without_any_measurement_rfc6298_2_1() {
        let mut t = Trace::new(FlowInit {
            rtt: None,
            ..init()
        });
        t.write(1);
        sends!(t);
        assert_eq!(t.timer().0, 1_000_000);
    }
}

mod fast_retransmit_rfc5681_3_2 {
    use super::*;

    #[test]
    fn at_the_third_duplicate() {
        let mut t = in_flight(5);
        assert!(!lost(recv!(t)));
        assert!(!lost(recv!(t)));
        assert!(t.is_quiet());
        let out = recv!(t);
        assert!(lost(out) && out.send);
        sends!(t, seq: 1001, len: 1000, pos: 0, flags: TcpFlags::EMPTY);
        assert!(t.is_quiet());
        // Only once.
        assert!(!lost(recv!(t)));
        assert!(t.is_quiet());
        assert_eq!(recv!(t, ack: 6001).notice.tx_bump, 5000);
        assert_eq!(t.host.st.rx_dupack_cnt, 0);
    }

    #[test]
    fn what_is_not_a_duplicate_rfc5681_2() {
        let mut t = in_flight(5);
        for i in 0..5 {
            recv!(t, window: 9_000 + i);
        }
        for i in 0..5 {
            recv!(t, seq: 5001 + i, len: 1, window: 9_004);
        }
        assert_eq!(t.host.st.rx_dupack_cnt, 0);
        let mut t = Trace::new(init());
        for _ in 0..5 {
            recv!(t);
        }
        assert_eq!(t.host.st.rx_dupack_cnt, 0, "nothing outstanding");
    }

    #[test]
    fn new_data_goes_out_on_duplicates_rfc3042() {
        let mut t = in_flight(2);
        t.write(2000);
        recv!(t);
        sends!(t, seq: 3001);
        recv!(t);
        sends!(t, seq: 4001);
    }

    #[test]
    fn partial_acks_retransmit_the_next_hole_rfc6582() {
        let mut t = in_flight(8);
        for _ in 0..3 {
            recv!(t);
        }
        sends!(t, seq: 1001);
        assert!(recv!(t, ack: 4001).send);
        sends!(t, seq: 4001, pos: 3000);
        assert!(t.is_quiet());
        recv!(t, ack: 9001);
        assert!(t.is_quiet());
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn not_for_duplicates_that_a_timeout_causes_rfc6582_4() {
        let mut t = in_flight(8);
        t.timer();
        sends!(t, seq: 1001);
        recv!(t, ack: 2001);
        sends!(t, seq: 2001);
        sends!(t, seq: 3001);
        for _ in 0..5 {
            assert!(!lost(recv!(t, ack: 2001)));
        }
        assert!(t.is_quiet());
    }

    #[test]
    fn a_lost_retransmission_ends_in_a_timeout() {
        let mut t = in_flight(5);
        for _ in 0..3 {
            recv!(t);
        }
        sends!(t, seq: 1001);
        assert!(t.timer().1.retransmit);
        sends!(t, seq: 1001);
    }

    #[test]
    fn the_fin_is_retransmitted_with_the_last_data() {
        let mut t = Trace::new(init());
        t.write(500);
        t.close();
        sends!(t, seq: 1001, len: 500, flags: TcpFlags::FIN | TcpFlags::PSH);
        for _ in 0..3 {
            recv!(t);
        }
        sends!(t, seq: 1001, len: 500, flags: TcpFlags::FIN);
    }
}

mod ecn_and_congestion_control {
    use super::*;

    fn dctcp() -> TcpParams {
        let dctcp = DctcpRateParams {
            weight: 0.0625,
            init_kbps: 100_000,
            step_kbps: 10_000,
            mimd: None,
            min_kbps: 10_000,
            min_pkts: 1,
        };
        let cc = CcParams {
            algorithm: CcAlgorithm::DctcpRate(dctcp),
            ..params().cc
        };
        TcpParams { cc, ..params() }
    }

    #[test]
    fn new_data_is_ect_retransmissions_and_acks_are_not_rfc3168_6_1() {
        let mut t = Trace::new(FlowInit {
            ecn: true,
            ..init()
        });
        t.write(1000);
        sends!(t, ect: true);
        t.timer();
        sends!(t, seq: 1001, ect: false);
        recv!(t, len: 1000, ack: 2001);
        t.timer();
        assert!(!t.host.take_ack(t.now).unwrap().ect);
        let mut t = Trace::new(init());
        t.write(1000);
        sends!(t, ect: false);
    }

    #[test]
    fn a_mark_slows_down_and_is_answered_by_cwr_once() {
        let mut t = Trace::with_params(
            FlowInit {
                ecn: true,
                ..init()
            },
            dctcp(),
        );
        assert_eq!(t.host.st.tx_rate, 100_000);
        t.write(4000);
        sends!(t);
        sends!(t);
        t.wait(300);
        recv!(t, ack: 3001, flags: TcpFlags::ECE);
        assert!(t.host.st.tx_rate < 100_000);
        sends!(t, flags: TcpFlags::CWR);
        sends!(t, flags: TcpFlags::PSH);
    }

    #[test]
    fn counters_run_from_one_interval_to_the_next() {
        let mut t = Trace::with_params(
            FlowInit {
                ecn: true,
                ..init()
            },
            dctcp(),
        );
        t.write(4000);
        for _ in 0..4 {
            sends!(t);
        }
        t.wait(10);
        recv!(t, ack: 2001);
        let st = &t.host.st;
        assert_eq!(
            (st.cnt_rx_acks, st.cnt_rx_ack_bytes, st.cnt_rx_ecn_bytes),
            (1, 1000, 0)
        );
        // RFC 8257 §3.3: the first mark counts at once.
        let before = st.tx_rate;
        recv!(t, ack: 3001, flags: TcpFlags::ECE);
        let st = &t.host.st;
        assert!(st.tx_rate < before);
        assert_eq!((st.cnt_rx_acks, st.cnt_rx_ecn_bytes), (0, 0));
        t.wait(200);
        recv!(t, ack: 4001);
        let st = &t.host.st;
        assert_eq!(
            (st.cnt_rx_acks, st.cnt_rx_ack_bytes, st.cnt_rx_ecn_bytes),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_loss_slows_down() {
        let mut t = Trace::with_params(init(), dctcp());
        t.write(5000);
        for _ in 0..5 {
            sends!(t);
        }
        for _ in 0..3 {
            recv!(t);
        }
        sends!(t, seq: 1001);
        t.wait(300);
        recv!(t, ack: 6001);
        assert_eq!(t.host.st.tx_rate, 70_000);
    }
}
