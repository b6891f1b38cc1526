//! Path MTU: reports of routers (RFC 1191, RFC 5927 §7), and what happens without them (RFC 2923
//! §2.1).

use tas_wire::SeqNum;

use super::tests::{Trace, init, init_timestamps, recv, sends};
use super::{End, FlowInit, PathLimit, Signs, TimestampInit};
use crate::types::Micros;

const MINUTE: u64 = 60_000_000;

/// A peer behind Ethernet, which agreed on SACK or not.
fn ethernet(sack: bool) -> FlowInit {
    FlowInit {
        mss: 1460,
        sack,
        tx_len: 64_000,
        snd_wnd: 30_000,
        ..init()
    }
}

/// `n` full segments are under way.
fn in_flight(init: FlowInit, n: u32) -> Trace {
    let mut t = Trace::new(init);
    t.write(n as usize * 1460);
    for i in 0..n {
        sends!(t, seq: 1001 + i * 1460, len: 1460);
    }
    t.wait(100);
    t
}

impl Trace {
    fn too_big(&mut self, seq: u32, mtu: u16) -> bool {
        let (params, now) = (self.host.params.clone(), self.now);
        let limit = PathLimit {
            mtu,
            until: now + Micros(10 * MINUTE),
        };
        self.host
            .flow()
            .on_too_big(SeqNum(seq), limit, &params, now)
    }

    fn mss(&mut self) -> u16 {
        self.host.ext.mss
    }

    /// Everything written so far arrives, in as many segments as it takes.
    fn all_acknowledged(&mut self) {
        while self.host.next(self.now).is_some() {}
        let end = self.host.flow().snd_max().0;
        recv!(self, ack: end, window: 30_000);
        assert!(self.is_quiet());
    }
}

#[test]
fn what_is_outstanding_is_sent_again_in_smaller_segments_rfc1191_6_4() {
    for sack in [false, true] {
        let mut t = in_flight(ethernet(sack), 3);
        let rate = t.host.st.tx_rate;
        assert!(t.too_big(1001, 1240));
        for (seq, len) in [(1001, 1200), (2201, 1200), (3401, 1200), (4601, 780)] {
            sends!(t, seq: seq, len: len);
        }
        assert!(t.is_quiet());
        // Nothing tells of congestion.
        assert_eq!(t.host.st.tx_rate, rate);
        assert_eq!((t.host.st.cnt_tx_drops, t.host.ext.retries), (0, 0));
        recv!(t, ack: 5381);
        t.write(3000);
        sends!(t, seq: 5381, len: 1200);
    }
}

#[test]
fn options_count() {
    let mut t = Trace::new(FlowInit {
        mss: 1460,
        ..init_timestamps()
    });
    t.write(1448);
    sends!(t, len: 1448);
    assert!(t.too_big(1001, 1240));
    sends!(t, seq: 1001, len: 1188);
    sends!(t, seq: 2189, len: 260);
}

/// What the peer has reported by SACK is not sent again.
#[test]
fn what_has_arrived_is_not_sent_again() {
    let mut t = in_flight(ethernet(true), 3);
    recv!(t, sack: [(3921, 5381)]);
    assert!(t.too_big(1001, 1240));
    sends!(t, seq: 1001, len: 1200);
    sends!(t, seq: 2201, len: 1200);
    sends!(t, seq: 3401, len: 520);
    assert!(t.is_quiet());
}

#[test]
fn only_what_quotes_a_segment_in_flight_counts_rfc5927_4() {
    let mut t = in_flight(ethernet(true), 3);
    recv!(t, ack: 2461);
    for seq in [1001, 2460, 5381, 5382, 2461u32.wrapping_sub(1 << 31)] {
        assert!(!t.too_big(seq, 1240), "{seq}");
    }
    assert_eq!(t.mss(), 1460);
    assert!(t.is_quiet());
    for seq in [2461, 5380] {
        let mut t = in_flight(ethernet(true), 3);
        assert!(t.too_big(seq, 1240), "{seq}");
    }
}

#[test]
fn reports_only_lower() {
    let mut t = in_flight(ethernet(true), 3);
    assert!(!t.too_big(1001, 1500));
    assert!(t.is_quiet());
    assert!(t.too_big(1001, 1240));
    while t.host.next(t.now).is_some() {}
    // The reports of the other segments, and one that would raise it.
    for mtu in [1240, 1300, 9000] {
        assert!(!t.too_big(2461, mtu));
        assert!(t.is_quiet());
    }
    // The next narrow link.
    assert!(t.too_big(1001, 1000));
    sends!(t, seq: 1001, len: 960);
}

mod what_contradicts_progress_waits_rfc5927_7_2 {
    use super::*;

    /// Segments of full size were acknowledged, and three more are in flight.
    fn proven(sack: bool) -> Trace {
        let mut t = in_flight(ethernet(sack), 3);
        recv!(t, ack: 5381);
        t.write(3 * 1460);
        for i in 0..3 {
            sends!(t, seq: 5381 + i * 1460, len: 1460);
        }
        t
    }

    #[test]
    fn until_the_segment_is_acknowledged() {
        let mut t = proven(true);
        assert!(!t.too_big(5381, 1240));
        assert_eq!(t.mss(), 1460);
        assert!(t.is_quiet());
        recv!(t, ack: 6841);
        // What is lost now was never said to be too large.
        let (_, out) = t.timer();
        assert!(!out.signs.contains(Signs::PATH));
        assert_eq!(t.mss(), 1460);
    }

    #[test]
    fn or_its_time_has_run_out() {
        for sack in [false, true] {
            let mut t = proven(sack);
            let rate = t.host.st.tx_rate;
            assert!(!t.too_big(5381, 1240));
            let (_, out) = t.timer();
            assert!(out.signs.contains(Signs::PATH) && out.send && !out.retransmit);
            assert_eq!(t.host.flow().path_limit().mtu, 1240);
            for (seq, len) in [(5381, 1200), (6581, 1200), (7781, 1200), (8981, 780)] {
                sends!(t, seq: seq, len: len);
            }
            assert!(t.is_quiet());
            assert_eq!(t.host.st.tx_rate, rate);
            assert_eq!((t.host.st.cnt_tx_drops, t.host.ext.retries), (0, 0));
            // The next narrow link is behind this one: of this size nothing got through yet.
            assert!(t.too_big(5381, 1000));
            t.all_acknowledged();
        }
    }

    #[test]
    fn larger_ones_tried_again_prove_nothing() {
        let mut t = in_flight(ethernet(true), 3);
        assert!(t.too_big(1001, 1240));
        t.all_acknowledged();
        t.wait(10 * MINUTE);
        t.write(1460);
        t.all_acknowledged();
        assert_eq!(t.mss(), 1460);
        t.write(3000);
        let seq = sends!(t, len: 1460).seq.0;
        assert!(t.too_big(seq, 1240));
        assert_eq!(t.mss(), 1200);
    }
}

mod what_another_flow_has_learned_rfc8201_5_2 {
    use super::*;

    fn told(t: &mut Trace, mtu: u16) {
        let until = t.now + Micros(10 * MINUTE);
        t.host.flow().limit_path(PathLimit { mtu, until });
    }

    #[test]
    fn concerns_what_is_sent_from_now_on() {
        let mut t = in_flight(ethernet(true), 3);
        told(&mut t, 1240);
        assert!(t.is_quiet());
        t.write(3000);
        sends!(t, seq: 5381, len: 1200);
        // All may have gone another way.
        recv!(t, ack: 5381);
        t.all_acknowledged();
    }

    /// And the routers' reports about those in flight are still heard, once.
    #[test]
    fn and_what_was_too_large_in_flight() {
        let mut t = in_flight(ethernet(true), 3);
        told(&mut t, 1240);
        assert!(t.too_big(1001, 1240));
        for (seq, len) in [(1001, 1200), (2201, 1200), (3401, 1200), (4601, 780)] {
            sends!(t, seq: seq, len: len);
        }
        assert!(!t.too_big(2461, 1240));
        assert!(t.is_quiet());
        let mut t = in_flight(ethernet(true), 3);
        told(&mut t, 1240);
        t.write(3000);
        sends!(t, seq: 5381, len: 1200);
        assert!(!t.too_big(5381, 1240), "that was small enough");
    }

    /// The next timeout, and the size that segments have then.
    fn next_size(t: &mut Trace) -> u16 {
        loop {
            let (_, out) = t.timer();
            assert_eq!(out.end, None);
            while t.host.next(t.now).is_some() {}
            if out.retransmit {
                return t.mss();
            }
        }
    }

    /// The search for a size that gets through goes on below it, and leaves none out.
    #[test]
    fn and_a_black_hole_is_searched_for_below_it() {
        for (reached, attempts, at_once, then) in [
            (1024, 1, 771, [536, 536, 771]),
            (1024, 2, 771, [536, 536, 771]),
            (536, 1, 536, [536, 771, 771]),
            (536, 2, 536, [771, 771, 771]),
        ] {
            let mut t = in_flight(ethernet(true), 3);
            while next_size(&mut t) != reached {}
            for _ in 1..attempts {
                assert_eq!(next_size(&mut t), reached);
            }
            told(&mut t, 811);
            assert_eq!(t.mss(), at_once);
            assert_eq!(then.map(|_| next_size(&mut t)), then);
        }
    }

    /// However often lower limits come, it reaches the smallest size.
    #[test]
    fn and_does_not_hold_up_the_search() {
        let mut t = in_flight(ethernet(true), 3);
        let sizes = [1400, 1390, 1380, 1370, 1360, 1350, 1340, 1330].map(|mtu| {
            told(&mut t, mtu);
            next_size(&mut t)
        });
        let full = [1360, 1350, 1340, 1290];
        assert_eq!(sizes[..3], full[..3]);
        assert_eq!(sizes[3..7], [1024, 1024, 536, 536]);
        assert_eq!(sizes[7], full[3]);
    }

    /// A search that found nothing begins anew: the path is another one now.
    #[test]
    fn and_a_search_that_is_over_begins_anew() {
        let mut t = in_flight(ethernet(true), 3);
        while next_size(&mut t) != 536 {}
        while next_size(&mut t) != 1460 {}
        told(&mut t, 811);
        assert_eq!([(); 3].map(|()| next_size(&mut t)), [536, 536, 771]);
    }

    /// It stands even after smaller segments were tried in vain.
    #[test]
    fn and_what_is_tried_later() {
        let mut t = in_flight(ethernet(false), 1);
        while t.mss() == 1460 {
            t.timer();
            while t.host.next(t.now).is_some() {}
        }
        told(&mut t, 1240);
        // A closed window: that nothing got through has another reason.
        recv!(t, ack: 1001, window: 0);
        t.timer();
        t.timer();
        sends!(t, seq: 1001, len: 1);
        recv!(t, ack: 1001, window: 500);
        t.timer();
        sends!(t, seq: 1001, len: 500);
        t.all_acknowledged();
        t.wait(1_000_000);
        t.write(10);
        t.all_acknowledged();
        assert!(t.mss() <= 1200);
    }
}

#[test]
fn an_idle_or_ended_flow_takes_no_report() {
    let mut t = in_flight(ethernet(true), 1);
    recv!(t, ack: 2461);
    assert!(!t.too_big(2461, 1240));
    let mut t = in_flight(ethernet(true), 1);
    recv!(t, only: tas_wire::TcpFlags::RST);
    assert!(!t.too_big(1001, 1240));
    assert!(t.is_quiet());
}

/// The FIN is sent again too.
#[test]
fn the_fin_is_sent_again() {
    for sack in [false, true] {
        let mut t = in_flight(ethernet(sack), 1);
        t.close();
        sends!(t, seq: 2461, len: 0, flags: tas_wire::TcpFlags::FIN);
        assert!(t.too_big(1001, 1240));
        sends!(t, seq: 1001, len: 1200);
        sends!(t, seq: 2201, len: 260, flags: if sack { tas_wire::TcpFlags::FIN } else {
            tas_wire::TcpFlags::FIN | tas_wire::TcpFlags::PSH
        });
        assert!(t.is_quiet());
        recv!(t, ack: 2462);
        assert_eq!(t.state(), super::State::FinWait2);
    }
}

#[test]
fn larger_segments_are_tried_after_ten_minutes_rfc1191_6_3() {
    let mut t = in_flight(ethernet(true), 3);
    assert!(t.too_big(1001, 1240));
    t.all_acknowledged();
    t.wait(10 * MINUTE - 200);
    t.write(3000);
    sends!(t, len: 1200);
    t.all_acknowledged();
    assert_eq!(t.mss(), 1200);
    t.wait(1_000_000);
    t.write(1460);
    t.all_acknowledged();
    assert_eq!(t.mss(), 1460);
    t.write(3000);
    sends!(t, len: 1460);
}

#[test]
fn a_limit_known_before_holds_from_the_beginning() {
    let mut t = Trace::new(ethernet(true));
    let until = t.now + Micros(1000);
    let limit = PathLimit { mtu: 1240, until };
    t.host.flow().limit_path(limit);
    t.write(3000);
    sends!(t, len: 1200);
    // One that admits more than the peer's MSS changes nothing.
    let limit = PathLimit { mtu: 9000, until };
    t.host.flow().limit_path(limit);
    sends!(t, len: 1200);
}

mod black_holes_rfc2923_2_1 {
    use super::*;

    /// Timeouts; what is sent at each, and whether the flow ended.
    fn timeouts(t: &mut Trace, n: usize) -> Vec<u32> {
        let mut sizes = Vec::new();
        while sizes.len() < n {
            let (_, out) = t.timer();
            assert_eq!(out.end, None);
            if out.retransmit {
                sizes.push(sends!(t, seq: 1001).len);
            } else {
                // The probe of the tail.
                while t.host.next(t.now).is_some() {}
            }
        }
        sizes
    }

    #[test]
    fn smaller_segments_are_tried_after_four_timeouts() {
        for sack in [false, true] {
            let mut t = in_flight(ethernet(sack), 3);
            assert_eq!(
                timeouts(&mut t, 9),
                [1460, 1460, 1460, 1024, 1024, 536, 536, 1460, 1460]
            );
        }
    }

    #[test]
    fn not_where_segments_are_small_already() {
        let mut t = Trace::new(ethernet(true));
        t.write(500);
        sends!(t, len: 500);
        assert_eq!(timeouts(&mut t, 9), [500; 9]);
        assert_eq!(t.mss(), 1460);
    }

    /// A segment that is no larger than the smallest size without options is, with them.
    #[test]
    fn options_count() {
        let mut t = Trace::new(FlowInit {
            timestamps: Some(TimestampInit {
                recent: 500,
                offset: 0,
            }),
            ..ethernet(true)
        });
        t.write(1448);
        sends!(t, len: 1448);
        assert!(t.too_big(1001, 588));
        while t.host.next(t.now).is_some() {}
        assert_eq!(timeouts(&mut t, 7), [536, 536, 536, 524, 524, 536, 536]);
    }

    /// Lower reports do not keep the search from sizes that it has not tried.
    #[test]
    fn reports_do_not_hold_up_the_search() {
        let mut t = in_flight(ethernet(true), 3);
        assert_eq!(timeouts(&mut t, 4), [1460, 1460, 1460, 1024]);
        assert!(t.too_big(1001, 1040));
        sends!(t, seq: 1001, len: 1000);
        while t.host.next(t.now).is_some() {}
        assert_eq!(timeouts(&mut t, 3), [536, 536, 1000]);
    }

    #[test]
    fn what_got_through_is_kept_for_a_while_each_time_longer() {
        let mut t = in_flight(ethernet(true), 3);
        timeouts(&mut t, 6);
        let out = recv!(t, ack: 1537);
        assert!(out.signs.contains(Signs::BLACK_HOLE));
        t.all_acknowledged();
        t.write(3000);
        sends!(t, len: 536);
        t.all_acknowledged();
        assert_eq!(t.mss(), 536);
        t.wait(1_000_000);
        t.write(10);
        t.all_acknowledged();
        assert_eq!(t.mss(), 1460);
    }

    #[test]
    fn an_outage_is_none() {
        let mut t = in_flight(ethernet(true), 3);
        timeouts(&mut t, 8);
        let out = recv!(t, ack: 2461);
        assert!(!out.signs.contains(Signs::BLACK_HOLE));
        assert_eq!(t.mss(), 1460);
    }

    /// Each time that it comes back, for twice as long.
    #[test]
    fn one_that_is_there_costs_ever_less() {
        let mut t = Trace::new(ethernet(true));
        let mut stays = Vec::new();
        for _ in 0..12 {
            t.write(1460);
            let seq = sends!(t, len: 1460).seq.0;
            while t.mss() == 1460 {
                t.timer();
                while t.host.next(t.now).is_some() {}
            }
            recv!(t, ack: seq + 1024);
            t.all_acknowledged();
            let stay = t.host.ext.path.stay(t.now);
            stays.push(stay.0 / 1_000_000);
            t.wait(stay.0);
            t.write(1);
            t.all_acknowledged();
        }
        assert_eq!(stays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    }

    /// The peer closed its window while small segments were tried: they prove nothing.
    #[test]
    fn a_closed_window_is_none() {
        let mut t = in_flight(ethernet(false), 1);
        timeouts(&mut t, 4);
        recv!(t, ack: 1001, window: 0);
        t.timer();
        t.timer();
        sends!(t, seq: 1001, len: 1);
        recv!(t, ack: 1001, window: 500);
        t.timer();
        sends!(t, seq: 1001, len: 500);
        t.all_acknowledged();
        t.wait(1_000_000);
        t.write(10);
        t.all_acknowledged();
        assert_eq!(t.mss(), 1460);
    }

    #[test]
    fn a_peer_that_is_gone_is_given_up_as_ever() {
        let mut t = in_flight(ethernet(true), 3);
        let mut retransmits = 0;
        let end = loop {
            let (_, out) = t.timer();
            retransmits += u32::from(out.retransmit);
            if let Some(end) = out.end {
                break end;
            }
            while t.host.next(t.now).is_some() {}
        };
        assert_eq!((end, retransmits), (End::TimedOut, 15));
    }
}

#[test]
fn timestamps_go_with_the_smaller_segments() {
    let mut t = Trace::new(FlowInit {
        timestamps: Some(TimestampInit {
            recent: 500,
            offset: 0,
        }),
        ..ethernet(true)
    });
    t.write(1448);
    for _ in 0..5 {
        while t.host.next(t.now).is_some() {}
        t.timer();
    }
    assert_eq!(t.mss(), 1012);
}
