//! Recovery by SACK: what is sent again and when (RFC 6675, RFC 8985), how fast (RFC 6937), and
//! what is taken back (RFC 3522, RFC 3708).

use tas_wire::{SeqNum, TcpFlags};

use super::cc::CcParams;
use super::ext::Recovery;
use super::tests::{Trace, init, init_timestamps, params, recv, sends};
use super::{FlowInit, Received, Signs, TcpParams};
use crate::config::{CcAlgorithm, DctcpRateParams};
use crate::types::Micros;

const RTT: u64 = 100;
/// The shortest timeout counts as granularity.
const RTO: u64 = RTT + 1_000;
/// A quarter of the round-trip time.
const WINDOW: u64 = RTT / 4;

fn with_sack() -> FlowInit {
    FlowInit {
        sack: true,
        ..init()
    }
}

/// `n` full segments are under way, for a round trip.
fn in_flight(n: u32) -> Trace {
    sending(Trace::new(with_sack()), n)
}

fn sending(mut t: Trace, n: u32) -> Trace {
    t.write(n as usize * 1000);
    for i in 0..n {
        sends!(t, seq: 1001 + i * 1000, len: 1000);
    }
    t.wait(RTT);
    t
}

fn lost(out: Received) -> bool {
    out.signs.contains(Signs::LOSS)
}

/// Where the next segment begins, if there is one.
fn next(t: &mut Trace) -> Option<u32> {
    let next = t.host.next(t.now);
    next.map(|(plan, _)| plan.seq.0)
}

mod detection_by_count_rfc6675_4 {
    use super::*;

    #[test]
    fn at_the_third_segment_reported_behind_it() {
        let mut t = in_flight(6);
        assert!(!lost(recv!(t, sack: [(2001, 3001)])));
        assert!(!lost(recv!(t, sack: [(2001, 4001)])));
        assert!(t.is_quiet());
        let out = recv!(t, sack: [(2001, 5001)]);
        assert!(lost(out) && out.send);
        sends!(t, seq: 1001, len: 1000, pos: 0, flags: TcpFlags::EMPTY);
        assert!(t.is_quiet());
        recv!(t, ack: 5001);
        assert!(t.is_quiet());
        assert_eq!(recv!(t, ack: 7001).notice.tx_bump, 2000);
        assert_eq!(t.host.ext.recovery, Recovery::None);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn an_ack_that_was_lost_does_not_matter() {
        let mut t = in_flight(6);
        assert!(lost(recv!(t, sack: [(2001, 5001)])));
        sends!(t, seq: 1001);
    }

    #[test]
    fn all_holes_are_sent_again_within_a_round_trip() {
        let mut t = in_flight(9);
        recv!(t, sack: [(2001, 3001)]);
        recv!(t, sack: [(4001, 5001), (2001, 3001)]);
        assert!(lost(
            recv!(t, sack: [(6001, 7001), (4001, 5001), (2001, 3001)])
        ));
        assert_eq!(next(&mut t), Some(1001));
        recv!(t, sack: [(6001, 8001), (4001, 5001), (2001, 3001)]);
        assert_eq!(next(&mut t), Some(3001));
        assert_eq!(next(&mut t), Some(5001));
        assert_eq!(next(&mut t), None);
        // Nothing is sent twice while nothing tells of its loss.
        recv!(t, sack: [(6001, 9001), (4001, 5001), (2001, 3001)]);
        assert_eq!(next(&mut t), None);
        recv!(t, ack: 10_001);
        assert_eq!(t.host.ext.recovery, Recovery::None);
    }

    #[test]
    fn new_data_goes_out_meanwhile_rfc3042() {
        let mut t = in_flight(2);
        t.write(2000);
        recv!(t, sack: [(2001, 3001)]);
        sends!(t, seq: 3001);
        sends!(t, seq: 4001);
        recv!(t, sack: [(2001, 5001)]);
        sends!(t, seq: 1001);
    }

    #[test]
    fn plain_duplicate_acks_do_not_count() {
        let mut t = in_flight(6);
        for _ in 0..5 {
            assert!(!lost(recv!(t)));
        }
        assert!(t.is_quiet());
    }

    #[test]
    fn reports_on_data_segments_count() {
        let mut t = in_flight(6);
        assert!(lost(recv!(t, len: 100, sack: [(2001, 5001)])));
        sends!(t, seq: 1001);
    }

    #[test]
    fn the_fin_is_sent_again_with_the_last_data() {
        let mut t = in_flight(1);
        t.write(500);
        t.close();
        sends!(t, seq: 2001, len: 500, flags: TcpFlags::FIN | TcpFlags::PSH);
        t.timer();
        sends!(t, seq: 1501, len: 1000, flags: TcpFlags::FIN);
        recv!(t, ack: 2502);
        assert!(t.is_quiet());
    }

    #[test]
    fn only_what_the_window_admits() {
        let mut t = in_flight(6);
        recv!(t, sack: [(2001, 3001), (4001, 7001)], window: 400);
        sends!(t, seq: 1001, len: 400);
        assert!(t.is_quiet());
        recv!(t, ack: 1401, sack: [(2001, 3001), (4001, 7001)], window: 10_000);
        sends!(t, seq: 1401, len: 600);
        sends!(t, seq: 3001, len: 1000);
    }
}

mod detection_by_time_rfc8985_6_2 {
    use super::*;

    #[test]
    fn a_quarter_of_the_round_trip_after_it_showed_up() {
        let mut t = in_flight(2);
        recv!(t, sack: [(2001, 3001)]);
        assert!(t.is_quiet());
        let (waited, out) = t.timer();
        assert_eq!(waited, WINDOW);
        assert!(out.signs.contains(Signs::LOSS) && out.send && !out.retransmit);
        sends!(t, seq: 1001);
        // From here on the retransmission timer runs.
        assert_eq!(t.timer().0, RTO);
    }

    #[test]
    fn what_was_only_late_is_not_sent_again() {
        let mut t = in_flight(3);
        recv!(t, sack: [(2001, 3001)]);
        t.wait(WINDOW - 1);
        recv!(t, ack: 3001);
        assert!(t.is_quiet());
        assert_eq!(t.host.ext.recovery, Recovery::None);
        assert_eq!(t.timer().0, RTO);
    }

    #[test]
    fn once_reordering_was_seen_the_count_does_not_matter() {
        let mut t = in_flight(9);
        recv!(t, sack: [(2001, 3001)]);
        recv!(t, ack: 3001);
        assert!(!lost(recv!(t, ack: 3001, sack: [(4001, 9001)])));
        assert!(t.is_quiet());
        assert_eq!(t.timer().0, WINDOW);
        sends!(t, seq: 3001);
    }

    #[test]
    fn a_report_of_data_that_came_twice_makes_it_wait_longer() {
        let mut t = in_flight(9);
        recv!(t, sack: [(2001, 3001)]);
        recv!(t, ack: 3001);
        recv!(t, ack: 4001, sack: [(3001, 4001)]);
        recv!(t, ack: 4001, sack: [(5001, 9001)]);
        assert_eq!(t.timer().0, 2 * WINDOW);
    }

    #[test]
    fn new_data_does_not_put_it_off() {
        let mut t = in_flight(2);
        recv!(t, sack: [(2001, 3001)]);
        t.write(500);
        sends!(t, seq: 3001);
        assert_eq!(t.timer().0, WINDOW);
        sends!(t, seq: 1001);
    }
}

mod lost_retransmissions {
    use super::*;

    #[test]
    fn are_found_by_what_was_sent_after_them() {
        let mut t = in_flight(6);
        t.write(3000);
        recv!(t, sack: [(2001, 5001)]);
        sends!(t, seq: 1001);
        recv!(t, sack: [(2001, 6001)]);
        sends!(t, seq: 7001);
        t.wait(RTT);
        recv!(t, sack: [(2001, 8001)]);
        sends!(t, seq: 1001);
        // It may have met the same queue as what it was for.
        assert_eq!(t.host.st.cnt_tx_drops, 0);
        sends!(t, seq: 8001);
        t.wait(RTT);
        recv!(t, sack: [(2001, 9001)]);
        sends!(t, seq: 1001);
        // RFC 5681 §4.3: one more loss.
        assert_eq!(t.host.st.cnt_tx_drops, 1);
    }

    #[test]
    fn end_in_a_timeout_when_nothing_was() {
        let mut t = in_flight(6);
        recv!(t, sack: [(2001, 7001)]);
        sends!(t, seq: 1001);
        let (waited, out) = t.timer();
        assert!(waited == RTO && out.retransmit);
        sends!(t, seq: 1001);
        assert!(t.is_quiet());
    }
}

mod rate_rfc6937 {
    use super::*;

    /// Half of ten segments are lost, every other one.
    #[test]
    fn retransmissions_are_clocked_by_acks() {
        let mut t = in_flight(10);
        let odd: Vec<_> = (0..5).map(|i| (2001 + 2000 * i, 3001 + 2000 * i)).collect();
        recv!(t, sack: [odd[0]]);
        recv!(t, sack: [odd[1], odd[0]]);
        recv!(t, sack: [odd[2], odd[1], odd[0]]);
        // The first at once.
        assert_eq!(next(&mut t), Some(1001));
        assert_eq!(next(&mut t), None);
        // Then as much as arrives, and a segment.
        recv!(t, sack: [odd[3], odd[2], odd[1]]);
        assert_eq!(next(&mut t), Some(3001));
        assert_eq!(next(&mut t), Some(5001));
        assert_eq!(next(&mut t), Some(7001));
        assert_eq!(next(&mut t), None);
    }

    #[test]
    fn new_data_waits_for_room_too() {
        let mut t = in_flight(6);
        t.write(4000);
        recv!(t, sack: [(2001, 7001)]);
        sends!(t, seq: 1001);
        assert_eq!(t.host.ext.rexmit_wnd, 1000);
        assert!(t.is_quiet());
        recv!(t, ack: 1501, sack: [(2001, 7001)]);
        sends!(t, seq: 7001);
        assert!(t.is_quiet());
    }

    /// What is under way falls like the rate, within the round trip.
    #[test]
    fn the_queue_empties_meanwhile() {
        let mut t = sending(Trace::with_params(with_sack(), dctcp()), 10);
        recv!(t, sack: [(2001, 5001)]);
        sends!(t, seq: 1001);
        assert_eq!(t.host.ext.rexmit_wnd, 7000);
        recv!(t, sack: [(2001, 6001)]);
        // 7/10 of the ten segments that were under way, in 256ths.
        assert_eq!(t.host.ext.rexmit_wnd, 6992);
        recv!(t, sack: [(2001, 7001)]);
        assert_eq!(t.host.ext.rexmit_wnd, 6992);
    }
}

mod timer {
    use super::*;

    /// A queue that was full takes longer to come through than the timeout knows.
    #[test]
    fn reports_of_what_was_sent_before_put_it_off_rfc6675_6() {
        let mut t = in_flight(8);
        recv!(t, sack: [(2001, 5001)]);
        sends!(t, seq: 1001);
        for right in [6001, 7001, 8001, 9001] {
            t.wait(RTO - 100);
            recv!(t, sack: [(2001, right)]);
            assert_eq!(t.host.flow().deadline(), t.now + Micros(RTO));
        }
        let (waited, out) = t.timer();
        assert!(waited == RTO && out.retransmit);
    }

    #[test]
    fn the_round_trip_is_measured_meanwhile() {
        let mut t = in_flight(9);
        t.write(4000);
        recv!(t, sack: [(2001, 5001)]);
        sends!(t, seq: 1001);
        recv!(t, sack: [(2001, 6001)]);
        sends!(t, seq: 10_001);
        recv!(t, sack: [(7001, 8001), (2001, 6001)]);
        sends!(t, seq: 6001);
        t.wait(300);
        recv!(t, sack: [(10_001, 11_001), (7001, 8001), (2001, 6001)]);
        // 7/8 · 100 + 1/8 · 300.
        assert_eq!(t.host.st.rtt_est, 125);
    }
}

mod timeout {
    use super::*;

    #[test]
    fn sends_again_only_what_was_not_reported_rfc6675_5_1() {
        let mut t = in_flight(6);
        recv!(t, sack: [(2001, 3001)]);
        t.timer();
        sends!(t, seq: 1001);
        let (_, out) = t.timer();
        assert!(out.retransmit);
        assert_eq!(next(&mut t), Some(1001));
        assert_eq!(next(&mut t), None);
        // Slow start, RFC 5681 §3.1.
        recv!(t, ack: 3001);
        assert_eq!(next(&mut t), Some(3001));
        assert_eq!(next(&mut t), Some(4001));
        assert_eq!(next(&mut t), None);
        recv!(t, ack: 7001);
        assert_eq!(t.host.ext.recovery, Recovery::None);
    }

    #[test]
    fn the_second_believes_nothing_rfc2018_8() {
        let mut t = in_flight(3);
        recv!(t, sack: [(2001, 4001)]);
        t.timer();
        sends!(t, seq: 1001);
        for _ in 0..2 {
            assert!(t.timer().1.retransmit);
            sends!(t, seq: 1001);
            assert!(t.is_quiet());
        }
        recv!(t, ack: 2001);
        assert_eq!(next(&mut t), Some(2001));
        assert_eq!(next(&mut t), Some(3001));
    }

    #[test]
    fn a_closed_window_is_probed() {
        let mut t = in_flight(3);
        recv!(t, sack: [(2001, 4001)], window: 0);
        t.timer();
        assert!(t.is_quiet());
        assert!(t.timer().1.retransmit);
        assert!(t.is_quiet());
        assert!(t.timer().1.send);
        sends!(t, seq: 1001, len: 1);
    }
}

#[test]
fn a_peer_that_reneges_gets_it_again_rfc2018_8() {
    let mut t = in_flight(6);
    recv!(t, sack: [(2001, 5001)]);
    sends!(t, seq: 1001);
    // It threw away what it had reported.
    recv!(t, ack: 2001);
    assert_eq!(next(&mut t), Some(2001));
    recv!(t, ack: 3001);
    assert_eq!(next(&mut t), Some(3001));
    assert_eq!(next(&mut t), Some(4001));
}

mod tail_loss_probe_rfc8985_7 {
    use super::*;

    #[test]
    fn sends_the_last_segment_again_before_a_timeout() {
        let mut t = in_flight(4);
        let (waited, out) = t.timer();
        assert_eq!(waited, RTO - RTT);
        assert!(out.signs.contains(Signs::PROBE) && out.send && !out.retransmit);
        sends!(t, seq: 4001, len: 1000, pos: 3000);
        assert!(t.is_quiet());
        // What it brings to light is lost.
        t.wait(RTT);
        recv!(t, sack: [(4001, 5001)]);
        assert_eq!(t.timer().0, WINDOW);
        assert_eq!(next(&mut t), Some(1001));
        recv!(t, ack: 2001, sack: [(4001, 5001)]);
        assert_eq!(next(&mut t), Some(2001));
        assert_eq!(next(&mut t), Some(3001));
    }

    #[test]
    fn is_followed_by_a_timeout() {
        let mut t = in_flight(1);
        t.timer();
        sends!(t, seq: 1001);
        let (waited, out) = t.timer();
        assert!(waited == RTO && out.retransmit);
        sends!(t, seq: 1001);
        assert_eq!(t.timer().0, 2 * RTO);
    }

    #[test]
    fn is_new_data_where_there_is_some() {
        let mut t = in_flight(1);
        t.write(1000);
        t.timer();
        sends!(t, seq: 2001);
        assert!(t.is_quiet());
        recv!(t, ack: 2001);
        recv!(t, ack: 3001);
        assert_eq!(t.host.ext.recovery, Recovery::None);
    }

    #[test]
    fn that_repaired_a_loss_slows_down_rfc8985_7_4() {
        for twice in [false, true] {
            let mut t = sending(Trace::with_params(with_sack(), dctcp()), 2);
            t.timer();
            sends!(t, seq: 2001);
            recv!(t, ack: 3001);
            let before = t.host.st.tx_rate;
            if twice {
                recv!(t, ack: 3001, sack: [(2001, 3001)]);
            }
            t.write(10);
            sends!(t, seq: 3001);
            t.wait(10);
            recv!(t, ack: 3011);
            assert_eq!(t.host.ext.recovery, Recovery::None);
            assert_eq!(t.host.st.tx_rate < before, !twice);
        }
    }

    #[test]
    fn helps_a_recovery_that_lost_its_tail() {
        let mut t = in_flight(6);
        recv!(t, sack: [(2001, 5001)]);
        sends!(t, seq: 1001);
        recv!(t, ack: 5001);
        assert!(t.is_quiet());
        let (_, out) = t.timer();
        assert!(!out.retransmit);
        sends!(t, seq: 6001);
        recv!(t, ack: 5001, sack: [(6001, 7001)]);
        t.timer();
        sends!(t, seq: 5001);
    }
}

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

mod congestion_control {
    use super::*;

    #[test]
    fn slows_down_at_once_and_once() {
        let mut t = sending(Trace::with_params(with_sack(), dctcp()), 9);
        recv!(t, sack: [(2001, 5001)]);
        assert_eq!(t.host.st.tx_rate, 70_000);
        sends!(t, seq: 1001);
        recv!(t, sack: [(6001, 9001), (2001, 5001)]);
        sends!(t, seq: 5001);
        t.wait(300);
        recv!(t, ack: 10_001);
        assert_eq!(t.host.st.tx_rate, 70_000);
    }

    #[test]
    fn losses_in_one_interval_count_once() {
        let mut t = sending(Trace::with_params(with_sack(), dctcp()), 4);
        recv!(t, sack: [(2001, 5001)]);
        sends!(t, seq: 1001);
        t.wait(60);
        recv!(t, ack: 5001);
        t.write(4000);
        for i in 0..4 {
            sends!(t, seq: 5001 + i * 1000);
        }
        recv!(t, ack: 5001, sack: [(6001, 9001)]);
        assert_eq!(t.host.st.tx_rate, 70_000);
        t.wait(200);
        recv!(t, ack: 6001);
        assert_eq!(t.host.st.tx_rate, 49_000);
    }
}

mod spurious {
    use super::*;

    #[test]
    fn when_every_retransmission_arrived_twice_rfc3708() {
        let mut t = sending(Trace::with_params(with_sack(), dctcp()), 9);
        recv!(t, sack: [(2001, 3001), (4001, 6001)]);
        sends!(t, seq: 1001);
        recv!(t, sack: [(4001, 7001), (2001, 3001)]);
        sends!(t, seq: 3001);
        assert_eq!(t.host.st.tx_rate, 70_000);
        recv!(t, ack: 7001);
        let out = recv!(t, ack: 7001, sack: [(1001, 2001)]);
        assert!(!out.signs.contains(Signs::SPURIOUS));
        let out = recv!(t, ack: 7001, sack: [(3001, 4001)]);
        assert!(out.signs.contains(Signs::SPURIOUS));
        assert_eq!(t.host.st.tx_rate, 100_000);
    }

    #[test]
    fn when_the_echo_is_older_than_the_retransmission_rfc3522() {
        for late in [true, false] {
            let init = FlowInit {
                sack: true,
                mss: 1012,
                ..init_timestamps()
            };
            let mut t = sending(Trace::with_params(init, dctcp()), 1);
            let first = 9_000 + 1_000;
            t.timer();
            sends!(t, seq: 1001);
            let (_, out) = t.timer();
            assert!(out.retransmit);
            let again = sends!(t, seq: 1001).timestamps.unwrap().val;
            assert!(again > first);
            t.wait(300);
            let echo = if late { first } else { again };
            let out = recv!(t, ack: 2001, ts: (501, echo));
            assert_eq!(out.signs.contains(Signs::SPURIOUS), late);
            assert_eq!(t.host.st.tx_rate < 100_000, !late);
            assert_eq!(t.host.ext.recovery, Recovery::None);
        }
    }

    /// The echo of an earlier retransmission is not that of the original.
    #[test]
    fn not_while_other_retransmissions_may_be_acknowledged() {
        let init = FlowInit {
            sack: true,
            mss: 1012,
            ..init_timestamps()
        };
        let mut t = sending(Trace::with_params(init, dctcp()), 9);
        recv!(t, sack: [(2001, 5001)], ts: (501, 10_000));
        let first = sends!(t, seq: 1001).timestamps.unwrap().val;
        let (_, out) = t.timer();
        assert!(out.retransmit);
        let again = sends!(t, seq: 1001).timestamps.unwrap().val;
        assert!(again > first);
        let out = recv!(t, ack: 2001, ts: (501, first));
        assert!(!out.signs.contains(Signs::SPURIOUS));
        assert!(t.host.ext.recovery == Recovery::Timeout);
    }

    #[test]
    fn after_it_the_rest_is_not_sent_again() {
        let init = FlowInit {
            sack: true,
            mss: 1012,
            ..init_timestamps()
        };
        let mut t = sending(Trace::new(init), 6);
        t.timer();
        sends!(t, seq: 6001);
        t.timer();
        sends!(t, seq: 1001);
        t.wait(2_000);
        recv!(t, ack: 2001, ts: (501, 10_000));
        assert!(t.is_quiet());
        recv!(t, ack: 7001, ts: (501, 10_000));
        assert!(t.is_quiet());
    }
}

mod reports_that_make_no_sense {
    use super::*;

    #[test]
    fn are_ignored_and_counted() {
        let old = 1001u32.wrapping_sub(20_000);
        for block in [
            (2001, 2001),
            (3001, 2001),
            (1001, 2001),
            (2001, 7002),
            (7001, 8001),
            (old, old + 10),
            (2001, 0x8000_0000),
            (0x9000_0000, 2001),
        ] {
            let mut t = in_flight(6);
            let out = recv!(t, sack: [block, block]);
            assert!(out.signs.contains(Signs::BAD_SACK), "{block:?}");
            assert_eq!(t.host.ext.recovery, Recovery::None);
            assert!(t.is_quiet());
        }
    }

    #[test]
    fn do_not_spoil_those_beside_them() {
        let mut t = in_flight(6);
        let out = recv!(t, sack: [(2001, 5001), (9001, 9901)]);
        assert!(out.signs.contains(Signs::BAD_SACK) && lost(out));
        sends!(t, seq: 1001);
    }

    #[test]
    fn nothing_is_taken_where_sack_was_not_agreed_on() {
        let mut t = sending(Trace::new(init()), 6);
        for _ in 0..2 {
            assert!(!lost(recv!(t, sack: [(2001, 7001)])));
        }
        assert!(
            lost(recv!(t, sack: [(2001, 7001)])),
            "a duplicate ACK is one"
        );
        sends!(t, seq: 1001);
        assert!(t.is_quiet());
    }
}

#[test]
fn the_round_trip_is_measured_by_reports_too() {
    let mut t = in_flight(1);
    t.write(1000);
    t.wait(40);
    sends!(t, seq: 2001);
    recv!(t, ack: 1001);
    t.wait(140);
    recv!(t, ack: 1001, sack: [(2001, 3001)]);
    // 280 since the first was sent: 7/8 · 100 + 1/8 · 280.
    assert_eq!(t.host.st.rtt_est, 123);
    assert_eq!(t.host.ext.board.edge(), SeqNum(3001));
}
