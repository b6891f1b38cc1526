//! Which segments are taken, and what resets: RFC 9293 §3.10.7.4, RFC 5961, RFC 7323 §5.

use proptest::prelude::*;
use tas_wire::{SeqNum, TcpFlags};

use super::segment::acceptable;
use super::tests::{Trace, acks, init, init_timestamps, recv};
use super::{CopyIn, End, FlowInit, Received, State, TimestampInit};
use crate::types::Micros;

const FIN: TcpFlags = TcpFlags::FIN;
const SYN: TcpFlags = TcpFlags::SYN;
const RST: TcpFlags = TcpFlags::RST;

mod acceptance_rfc9293_3_10_7_4 {
    use super::*;

    proptest! {
        /// The four cases of table 6 on numbers that do not wrap around.
        #[test]
        fn same_as_on_plain_integers(
            nxt in any::<u32>(),
            wnd in prop_oneof![Just(0u32), 1u32..100, 1u32..1 << 30],
            offset in prop_oneof![-200i64..200, -(1i64 << 30)..1 << 30],
            len in prop_oneof![Just(0u32), 1u32..200, 1u32..1 << 16],
        ) {
            let base = 1i64 << 40;
            let (n, w, s, l) = (base, i64::from(wnd), base + offset, i64::from(len));
            let inside = |x: i64| n <= x && x < n + w;
            let expected = match (len, wnd) {
                (0, 0) => s == n,
                (0, _) => inside(s),
                (_, 0) => false,
                _ => inside(s) || inside(s + l - 1),
            };
            let seq = SeqNum(nxt.wrapping_add(offset as u32));
            prop_assert_eq!(acceptable(seq, len, SeqNum(nxt), wnd), expected);
        }
    }

    /// At the edges, where table 6 is easily got wrong by one.
    #[test]
    fn a_segment_needs_one_byte_in_the_window() {
        let (nxt, wnd) = (SeqNum(10), 100);
        for (seq, len, expected) in [
            (5, 5, false),
            (5, 6, true),
            (109, 1, true),
            (110, 1, false),
            (109, 0, true),
            (110, 0, false),
            (9, 0, false),
            (10, 0, true),
        ] {
            assert_eq!(
                acceptable(SeqNum(seq), len, nxt, wnd),
                expected,
                "{seq} {len}"
            );
        }
    }

    #[test]
    fn a_closed_window_takes_no_data() {
        for (seq, len, expected) in [(10, 0, true), (11, 0, false), (10, 1, false)] {
            assert_eq!(
                acceptable(SeqNum(seq), len, SeqNum(10), 0),
                expected,
                "{seq} {len}"
            );
        }
    }

    #[test]
    fn old_data_is_acknowledged_again() {
        let mut t = Trace::new(init());
        recv!(t, len: 100);
        let out = recv!(t, len: 100);
        assert!(out.ack && out.copy.is_none() && out.notice.is_empty());
        acks!(t, seq: 1001, ack: 5101);
    }

    #[test]
    fn data_beyond_the_window_is_acknowledged_and_dropped() {
        let mut t = Trace::new(init());
        let out = recv!(t, seq: 13_001, len: 10);
        assert!(out.ack && out.copy.is_none());
        acks!(t, ack: 5001, window: 8000);
    }

    #[test]
    fn what_overlaps_either_end_is_trimmed() {
        let mut t = Trace::new(init());
        recv!(t, len: 100);
        let out = recv!(t, seq: 5051, len: 100);
        assert_eq!(
            out.copy,
            Some(CopyIn {
                from: 50,
                to: 100,
                len: 50
            })
        );
        assert_eq!(out.notice.rx_bump, 50);
        let out = recv!(t, seq: 12_901, len: 200);
        assert_eq!(
            out.copy,
            Some(CopyIn {
                from: 0,
                to: 7900,
                len: 100
            })
        );
        assert!(out.ack_first.is_some());
    }

    #[test]
    fn a_closed_window_admits_acks() {
        let mut t = Trace::new(init());
        t.write(500);
        t.host.next(t.now).unwrap();
        recv!(t, len: 8000);
        let out = recv!(t, seq: 13_001, ack: 1501, len: 1);
        assert_eq!(out.notice.tx_bump, 500);
        assert!(out.ack && out.copy.is_none());
        acks!(t, ack: 13_001, window: 0);
    }

    #[test]
    fn an_ack_at_the_edge_of_a_full_window_counts() {
        let mut t = Trace::new(init());
        t.write(500);
        t.host.next(t.now).unwrap();
        assert_eq!(recv!(t, seq: 13_001, ack: 1501).notice.tx_bump, 500);
    }

    /// Both sides probe at once, and both take the byte.
    #[test]
    fn simultaneous_probes_do_not_lock_up() {
        let mut t = Trace::new(init());
        recv!(t, window: 0);
        t.write(500);
        t.timer();
        t.host.next(t.now).unwrap();
        recv!(t, len: 1, window: 0);
        assert_eq!(recv!(t, ack: 1002, window: 100).notice.tx_bump, 1);
    }

    #[test]
    fn a_segment_without_ack_is_dropped() {
        let mut t = Trace::new(init());
        assert_eq!(recv!(t, len: 100, only: TcpFlags::PSH), Received::default());
    }

    #[test]
    fn a_keepalive_is_answered() {
        let mut t = Trace::new(init());
        assert!(recv!(t, seq: 5000).ack);
        acks!(t, seq: 1001, ack: 5001);
    }
}

mod reset_rfc5961_3 {
    use super::*;

    #[test]
    fn exact_sequence_number_resets() {
        let mut t = Trace::new(init());
        let out = recv!(t, seq: 5001, flags: RST);
        assert_eq!(out.end, Some(End::Reset));
        assert!(out.notice.reset && out.notice.rx_closed && !out.ack);
        assert_eq!(t.state(), State::Closed);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn without_ack_too() {
        let mut t = Trace::new(init());
        assert_eq!(recv!(t, only: RST).end, Some(End::Reset));
    }

    #[test]
    fn elsewhere_in_the_window_is_challenged() {
        let mut t = Trace::new(init());
        assert_eq!(recv!(t, seq: 5002, flags: RST).end, None);
        acks!(t, seq: 1001, ack: 5001);
        assert_eq!(t.state(), State::Established);
    }

    #[test]
    fn outside_of_the_window_is_ignored() {
        let mut t = Trace::new(init());
        assert_eq!(recv!(t, seq: 5000, flags: RST), Received::default());
        assert_eq!(recv!(t, seq: 13_002, flags: RST), Received::default());
    }

    /// A whole window was lost, and what follows is at its edge: ACKs, however many, and the
    /// reset, which is asked for again.
    #[test]
    fn at_the_edge_of_the_window_is_challenged() {
        let mut t = Trace::new(init());
        for _ in 0..20 {
            assert_eq!(recv!(t, seq: 13_001), Received::default());
        }
        assert!(recv!(t, seq: 13_001, flags: RST).ack);
        acks!(t, seq: 1001, ack: 5001);
        assert_eq!(recv!(t, seq: 5001, flags: RST).end, Some(End::Reset));
    }

    #[test]
    fn a_closed_window_admits_the_exact_reset() {
        let mut t = Trace::new(init());
        recv!(t, len: 8000);
        assert_eq!(recv!(t, seq: 13_001, flags: RST).end, Some(End::Reset));
    }

    #[test]
    fn after_the_end_nothing_is_answered() {
        let mut t = Trace::new(init());
        t.write(100);
        recv!(t, flags: RST);
        assert_eq!(recv!(t, len: 10), Received::default());
        assert!(t.is_quiet());
    }
}

mod challenges_rfc5961 {
    use super::*;

    #[test]
    fn syn_is_challenged_wherever_it_stands_rfc5961_4() {
        for seq in [5001, 5000, 6000, 13_001, 99] {
            let mut t = Trace::new(init());
            let out = recv!(t, seq: seq, only: SYN);
            assert_eq!(out.end, None);
            acks!(t, seq: 1001, ack: 5001);
        }
    }

    #[test]
    fn ack_of_what_was_never_sent_rfc5961_5() {
        let mut t = Trace::new(init());
        let out = recv!(t, ack: 1002, len: 10);
        assert!(out.ack && out.copy.is_none());
        acks!(t, ack: 5001);
    }

    #[test]
    fn ack_older_than_any_window_rfc5961_5() {
        let mut t = Trace::new(init());
        let una = 1001u32;
        assert!(
            recv!(t, ack: una.wrapping_sub(10_001), len: 10)
                .copy
                .is_none()
        );
        assert!(
            recv!(t, ack: una.wrapping_sub(10_000), len: 10)
                .copy
                .is_some()
        );
    }

    #[test]
    fn they_are_limited_rfc5961_7() {
        let mut t = Trace::new(init());
        let mut sent = 0;
        for _ in 0..100 {
            recv!(t, seq: 5002, flags: RST);
            sent += usize::from(t.host.take_ack(t.now).is_some());
        }
        assert_eq!(sent, 10);
        t.wait(10_000_000);
        assert!(recv!(t, seq: 5002, flags: RST).ack);
    }

    /// Two sides that find each other's ACKs wrong do not go on for ever.
    #[test]
    fn so_are_answers_to_acks_out_of_window() {
        let mut t = Trace::new(init());
        let answered = (0..100).filter(|_| {
            recv!(t, seq: 4000);
            t.host.take_ack(t.now).is_some()
        });
        assert_eq!(answered.count(), 10);
    }
}

mod paws_rfc7323_5 {
    use super::*;

    #[test]
    fn older_timestamps_are_acknowledged_and_dropped() {
        let mut t = Trace::new(init_timestamps());
        assert!(recv!(t, len: 100, ts: (600, 0)).copy.is_some());
        acks_after_delay(&mut t);
        let out = recv!(t, seq: 5101, len: 100, ts: (599, 0));
        assert!(out.ack && out.copy.is_none());
        assert!(recv!(t, seq: 5101, len: 100, ts: (600, 0)).copy.is_some());
    }

    fn acks_after_delay(t: &mut Trace) {
        t.timer();
        t.host.take_ack(t.now).unwrap();
    }

    #[test]
    fn comparison_wraps_around() {
        let recent = u32::MAX - 5;
        let timestamps = Some(TimestampInit { recent, offset: 0 });
        let mut t = Trace::new(FlowInit {
            timestamps,
            ..init()
        });
        assert!(recv!(t, len: 100, ts: (3, 0)).copy.is_some());
        assert!(
            recv!(t, seq: 5101, len: 100, ts: (recent, 0))
                .copy
                .is_none()
        );
    }

    #[test]
    fn reset_needs_no_timestamp_and_is_not_checked() {
        let mut t = Trace::new(init_timestamps());
        assert_eq!(recv!(t, flags: RST).end, Some(End::Reset));
        let mut t = Trace::new(init_timestamps());
        assert_eq!(recv!(t, flags: RST, ts: (1, 0)).end, Some(End::Reset));
    }

    #[test]
    fn segments_without_timestamps_are_dropped_silently_rfc7323_3_2() {
        let mut t = Trace::new(init_timestamps());
        assert_eq!(recv!(t, len: 100), Received::default());
    }

    #[test]
    fn timestamps_that_were_not_agreed_on_are_ignored() {
        let mut t = Trace::new(init());
        assert!(recv!(t, len: 100, ts: (1, 0)).copy.is_some());
        assert!(recv!(t, seq: 5101, len: 100, ts: (0, 0)).copy.is_some());
        t.timer();
        assert_eq!(acks!(t).timestamps, None);
    }

    /// RFC 7323 §4.3: the echo is of the segment that the last ACK was waiting for.
    #[test]
    fn ts_recent_follows_the_left_edge() {
        let mut t = Trace::new(init_timestamps());
        recv!(t, seq: 5101, len: 100, ts: (700, 0));
        acks!(t, ts: (9_000 + 1_000, 500));
        recv!(t, seq: 5001, len: 100, ts: (650, 0));
        acks!(t, ts: (9_000 + 1_000, 650));
        // A delayed ACK echoes the first segment that it acknowledges.
        recv!(t, seq: 5201, len: 10, ts: (701, 0));
        recv!(t, seq: 5211, len: 10, ts: (702, 0));
        t.timer();
        assert_eq!(acks!(t, ack: 5221).timestamps.unwrap().ecr, 701);
    }

    #[test]
    fn after_24_days_any_timestamp_is_taken_rfc7323_5_5() {
        let mut t = Trace::new(init_timestamps());
        t.wait(25 * 24 * 3600 * 1_000_000);
        assert!(recv!(t, len: 100, ts: (1, 0)).copy.is_some());
    }
}

mod fin {
    use super::*;

    #[test]
    fn rfc9293_3_10_7_4_fin_beyond_the_window_is_trimmed() {
        let mut t = Trace::new(init());
        let out = recv!(t, len: 8000, flags: FIN);
        assert!(!out.notice.rx_closed);
        assert_eq!(out.notice.rx_bump, 8000);
        t.host.read(8000, t.now);
        assert!(recv!(t, seq: 13_001, flags: FIN).notice.rx_closed);
    }
}
