//! Receiving: order, windows, and when to acknowledge.

use tas_wire::{SeqNum, TcpFlags, WindowScale};

use super::tests::{Trace, acks, init, params, recv, sends};
use super::{CopyIn, FlowInit};
use crate::types::Micros;

mod in_order {
    use super::*;

    #[test]
    fn data_goes_where_it_belongs() {
        let mut t = Trace::new(init());
        let out = recv!(t, len: 300);
        assert_eq!(
            out.copy,
            Some(CopyIn {
                from: 0,
                to: 0,
                len: 300
            })
        );
        assert_eq!(out.notice.rx_bump, 300);
        assert_eq!((t.host.st.rx_next_seq, t.host.st.rx_next_pos), (5301, 300));
        let out = recv!(t, seq: 5301, len: 300);
        assert_eq!(
            out.copy,
            Some(CopyIn {
                from: 0,
                to: 300,
                len: 300
            })
        );
    }

    #[test]
    fn positions_and_sequence_numbers_wrap_around() {
        let irs = SeqNum(u32::MAX - 99);
        let mut t = Trace::new(FlowInit {
            irs,
            rx_len: 150,
            rcv_wnd: 150,
            ..init()
        });
        recv!(t, seq: irs.0 + 1, len: 90);
        t.host.read(90, t.now);
        let out = recv!(t, seq: irs.0 + 91, len: 100);
        assert_eq!(
            out.copy,
            Some(CopyIn {
                from: 0,
                to: 90,
                len: 100
            })
        );
        assert_eq!((t.host.st.rx_next_seq, t.host.st.rx_next_pos), (91, 40));
    }
}

mod acknowledging_rfc1122_4_2_3_2 {
    use super::*;

    #[test]
    fn one_segment_waits() {
        let mut t = Trace::new(init());
        assert!(!recv!(t, len: 1000).ack);
        let (waited, out) = t.timer();
        assert!(out.ack);
        assert_eq!(waited, params().delayed_ack.0);
        acks!(t, ack: 6001, window: 7000, flags: TcpFlags::EMPTY);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn the_second_full_segment_does_not() {
        let mut t = Trace::new(init());
        assert!(!recv!(t, len: 1000).ack);
        assert!(recv!(t, seq: 6001, len: 1000).ack);
        acks!(t, ack: 7001, window: 6000);
        assert!(!recv!(t, seq: 7001, len: 1000).ack);
    }

    #[test]
    fn small_segments_wait_together() {
        let mut t = Trace::new(init());
        for i in 0..8 {
            assert!(!recv!(t, seq: 5001 + i * 64, len: 64).ack);
        }
        assert!(recv!(t, seq: 5513, len: 64).ack);
    }

    #[test]
    fn an_answer_carries_it() {
        let mut t = Trace::new(init());
        recv!(t, len: 64);
        t.write(64);
        sends!(t, seq: 1001, ack: 5065, len: 64, flags: TcpFlags::PSH);
        assert!(t.is_quiet());
        recv!(t, seq: 5065, ack: 1065);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn after_one_waited_for_nothing_they_go_at_once() {
        let mut t = Trace::new(init());
        recv!(t, len: 10);
        t.timer();
        acks!(t, ack: 5011, window: 7990, flags: TcpFlags::EMPTY);
        assert!(recv!(t, seq: 5011, len: 10).ack);
        acks!(t, ack: 5021, window: 7980, flags: TcpFlags::EMPTY);
        // Until an answer carries one.
        recv!(t, seq: 5021, len: 10);
        t.write(64);
        sends!(t, seq: 1001, ack: 5031, len: 64, flags: TcpFlags::PSH);
        assert!(!recv!(t, seq: 5031, ack: 1065, len: 10).ack);
    }

    #[test]
    fn an_answer_that_comes_late_is_waited_for_longer() {
        let mut t = Trace::new(init());
        let (mut seq, mut sent) = (5001, 1001);
        let mut waited = Vec::new();
        for _ in 0..4 {
            assert!(!recv!(t, seq: seq, ack: sent, len: 10).ack);
            seq += 10;
            let (us, out) = t.timer();
            assert!(out.ack);
            acks!(t, ack: seq, flags: TcpFlags::EMPTY);
            waited.push(us);
            t.write(64);
            sends!(t, seq: sent, ack: seq, len: 64, flags: TcpFlags::PSH);
            sent += 64;
        }
        let step = params().delayed_ack.0;
        assert_eq!(waited, [step, 2 * step, 3 * step, 4 * step]);

        // Once nothing answers, the next is not held, and the delay is short again.
        recv!(t, seq: seq, ack: sent, len: 10);
        assert_eq!(t.timer().0, 5 * step);
        acks!(t, ack: seq + 10, flags: TcpFlags::EMPTY);
        assert!(recv!(t, seq: seq + 10, ack: sent, len: 10).ack);
        acks!(t, ack: seq + 20, flags: TcpFlags::EMPTY);
        t.write(64);
        sends!(t, seq: sent, ack: seq + 20, len: 64, flags: TcpFlags::PSH);
        recv!(t, seq: seq + 20, ack: sent + 64, len: 10);
        assert_eq!(t.timer().0, step);
    }

    #[test]
    fn the_timer_counts_from_the_first_segment() {
        let mut t = Trace::new(init());
        recv!(t, len: 10);
        t.wait(300);
        recv!(t, seq: 5011, len: 10);
        assert_eq!(t.timer().0, 200);
        acks!(t, ack: 5021);
    }

    #[test]
    fn nothing_is_due_after_an_ack_alone() {
        let mut t = Trace::new(init());
        assert!(!recv!(t).ack);
        assert!(t.is_quiet());
    }
}

mod out_of_order {
    use super::*;

    #[test]
    fn held_acknowledged_and_delivered_when_the_hole_is_filled() {
        let mut t = Trace::new(init());
        let out = recv!(t, seq: 6001, len: 1000);
        assert_eq!(
            out.copy,
            Some(CopyIn {
                from: 0,
                to: 1000,
                len: 1000
            })
        );
        assert!(out.notice.is_empty() && out.ack_first.is_some());
        acks!(t, ack: 5001);
        assert_eq!((t.host.st.rx_ooo_start, t.host.st.rx_ooo_len), (6001, 1000));
        let out = recv!(t, seq: 5001, len: 1000);
        assert_eq!(out.notice.rx_bump, 2000);
        assert!(out.ack);
        acks!(t, ack: 7001, window: 6000);
        assert_eq!(t.host.st.rx_ooo_len, 0);
    }

    #[test]
    fn part_of_a_hole_filled_is_acknowledged_at_once_rfc5681_4_2() {
        let mut t = Trace::new(init());
        recv!(t, seq: 5201, len: 100);
        acks!(t, ack: 5001);
        let out = recv!(t, seq: 5001, len: 100);
        assert_eq!(out.notice.rx_bump, 100);
        acks!(t, ack: 5101);
    }

    #[test]
    fn the_filling_segment_may_overlap_what_is_held() {
        let mut t = Trace::new(init());
        recv!(t, seq: 5101, len: 100);
        let out = recv!(t, seq: 5001, len: 150);
        assert_eq!(out.notice.rx_bump, 200);
    }

    #[test]
    fn at_least_32_ranges_are_held() {
        let mut t = Trace::new(init());
        for i in 0..32 {
            assert!(recv!(t, seq: 5011 + i * 20, len: 10).copy.is_some());
        }
        let out = recv!(t, seq: 5011 + 32 * 20, len: 10);
        assert!(out.copy.is_none() && out.ack);
        for i in 0..32 {
            assert_eq!(recv!(t, seq: 5001 + i * 20, len: 10).notice.rx_bump, 20);
        }
        acks!(t, ack: 5001 + 32 * 20);
    }

    #[test]
    fn what_is_held_already_is_not_copied_again() {
        let mut t = Trace::new(init());
        recv!(t, seq: 5101, len: 100);
        let out = recv!(t, seq: 5101, len: 100);
        assert!(out.copy.is_none() && out.ack_first.is_some());
    }
}

mod window_rfc9293_3_8_6 {
    use super::*;

    #[test]
    fn shrinks_only_as_data_comes() {
        let mut t = Trace::new(init());
        recv!(t, len: 1000);
        recv!(t, seq: 6001, len: 1000);
        acks!(t, ack: 7001, window: 6000);
    }

    /// RFC 1122 §4.2.3.3: the right edge stays until it can move by a segment.
    #[test]
    fn small_growth_is_not_told() {
        let mut t = Trace::new(init());
        recv!(t, len: 2000);
        t.host.read(999, t.now);
        t.timer();
        acks!(t, ack: 7001, window: 6000);
        t.host.read(1, t.now);
        assert!(recv!(t, seq: 7001, len: 10).ack);
        acks!(t, ack: 7011, window: 6990);
    }

    #[test]
    fn opening_from_zero_is_told_at_once() {
        let mut t = Trace::new(init());
        recv!(t, len: 8000);
        t.timer();
        acks!(t, window: 0);
        assert!(!t.host.read(999, t.now));
        assert!(t.host.read(1, t.now));
        acks!(t, seq: 1001, ack: 13_001, window: 1000);
        assert!(t.host.take_ack(t.now).is_none());
    }

    #[test]
    fn a_sender_that_is_not_held_up_hears_with_the_next_ack() {
        let mut t = Trace::new(init());
        recv!(t, len: 2000);
        t.timer();
        acks!(t, window: 6000);
        assert!(!t.host.read(2000, t.now));
    }

    #[test]
    fn tiny_buffers_open_by_half() {
        let mut t = Trace::new(FlowInit {
            rx_len: 64,
            rcv_wnd: 64,
            ..init()
        });
        recv!(t, len: 64);
        t.timer();
        acks!(t, window: 0);
        assert!(!t.host.read(31, t.now));
        assert!(t.host.read(1, t.now));
        acks!(t, window: 32);
    }

    #[test]
    fn is_scaled_rfc7323_2() {
        let scaled = FlowInit {
            rx_len: 1 << 26,
            rcv_wnd: 65_535,
            rcv_wscale: WindowScale::new(11),
            ..init()
        };
        let mut t = Trace::new(scaled);
        recv!(t, len: 1500);
        t.timer();
        let field = (((1u32 << 26) - 1500) >> 11) as u16;
        acks!(t, window: field);
        // Rounded up: the right edge does not move back.
        assert!(recv!(t, seq: 6501, len: 10).ack);
        acks!(t, ack: 6511, window: field);
    }

    #[test]
    fn without_scaling_it_is_at_most_65535() {
        let mut t = Trace::new(FlowInit {
            rx_len: 1 << 20,
            rcv_wnd: 65_535,
            ..init()
        });
        recv!(t, len: 1000);
        t.timer();
        acks!(t, window: 65_535);
    }
}

mod ecn_echo_rfc8257_3_2 {
    use super::*;

    const ECE: TcpFlags = TcpFlags::ECE;

    #[test]
    fn a_change_is_told_at_once() {
        let mut t = Trace::new(FlowInit {
            ecn: true,
            ..init()
        });
        let out = recv!(t, len: 100, ce: true);
        assert!(out.ack && out.ack_first.is_none());
        acks!(t, ack: 5101, flags: ECE);
        assert!(!recv!(t, seq: 5101, len: 100, ce: true).ack);
        // What came before the change is acknowledged separately, with the old mark.
        let out = recv!(t, seq: 5201, len: 100);
        let first = out.ack_first.unwrap();
        assert_eq!((first.ack.0, first.flags), (5201, TcpFlags::ACK | ECE));
        acks!(t, ack: 5301, flags: TcpFlags::EMPTY);
    }

    /// Figure 1 with an ACK for every second segment: no ACK tells of segments with different marks.
    #[test]
    fn delayed_acks_tell_of_segments_marked_alike() {
        let mut t = Trace::new(FlowInit {
            ecn: true,
            rx_len: 20_000,
            ..init()
        });
        let (plain, marked) = (TcpFlags::EMPTY, ECE);
        let mut next = 5001;
        let mut expect =
            |t: &mut Trace, ce: bool, first: Option<TcpFlags>, due: Option<TcpFlags>| {
                let before = next;
                next += 1000;
                let out = recv!(t, seq: before, len: 1000, ce: ce);
                let first_is = out.ack_first.map(|ack| (ack.ack.0, ack.flags));
                assert_eq!(first_is, first.map(|ece| (before, TcpFlags::ACK | ece)));
                assert_eq!(out.ack, due.is_some());
                if let Some(ece) = due {
                    acks!(t, ack: next, flags: ece);
                }
            };
        expect(&mut t, false, None, None);
        expect(&mut t, false, None, Some(plain));
        expect(&mut t, false, None, None);
        expect(&mut t, true, Some(plain), Some(marked));
        expect(&mut t, true, None, None);
        expect(&mut t, true, None, Some(marked));
        expect(&mut t, false, None, Some(plain));
        expect(&mut t, true, None, Some(marked));
        expect(&mut t, true, None, None);
        expect(&mut t, false, Some(marked), Some(plain));
    }

    #[test]
    fn data_segments_echo_too() {
        let mut t = Trace::new(FlowInit {
            ecn: true,
            ..init()
        });
        recv!(t, len: 100, ce: true);
        t.write(10);
        sends!(t, ack: 5101, flags: ECE | TcpFlags::PSH);
    }

    #[test]
    fn acks_do_not_change_it_and_only_if_agreed() {
        let mut t = Trace::new(FlowInit {
            ecn: true,
            ..init()
        });
        assert!(!recv!(t, ce: true).ack);
        let mut t = Trace::new(init());
        assert!(!recv!(t, len: 100, ce: true).ack);
        t.timer();
        acks!(t, flags: TcpFlags::EMPTY);
    }
}

mod what_is_left {
    use super::*;
    use crate::proto::Flow;

    fn left(t: &mut Trace, read: Option<u32>) -> u32 {
        let (st, ext) = (&mut t.host.st, &mut t.host.ext);
        Flow { st, ext }.rx_left(read)
    }

    #[test]
    fn counts_from_where_the_application_has_read() {
        let mut t = Trace::new(FlowInit {
            rx_len: 150,
            rcv_wnd: 150,
            ..init()
        });
        recv!(t, len: 90);
        t.host.read(80, t.now);
        recv!(t, seq: 5091, len: 100);
        // From 80 over the end to 40.
        for (read, expected) in [(80, 110), (90, 100), (149, 41), (0, 40), (39, 1), (40, 0)] {
            assert_eq!(left(&mut t, Some(read)), expected, "{read}");
        }
    }

    #[test]
    fn nonsense_counts_for_nothing() {
        let mut t = Trace::new(init());
        recv!(t, len: 300);
        t.host.read(100, t.now);
        for read in [Some(99), Some(301), Some(8_000), Some(u32::MAX), None] {
            assert_eq!(left(&mut t, read), 200, "{read:?}");
        }
    }

    #[test]
    fn a_full_ring_was_not_read() {
        let mut t = Trace::new(FlowInit {
            rx_len: 150,
            rcv_wnd: 150,
            ..init()
        });
        recv!(t, len: 150);
        assert_eq!(left(&mut t, Some(0)), 150);
        assert_eq!(left(&mut t, Some(149)), 1);
    }
}
