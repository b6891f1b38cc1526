//! What the receiver reports: data held (RFC 2018) and data that came twice (RFC 2883).

use super::tests::{Trace, acks, init, init_timestamps, recv, sends};
use super::{FlowInit, SegmentPlan};
use tas_wire::{SeqNum, TcpFlags};

fn with_sack() -> Trace {
    Trace::new(FlowInit {
        sack: true,
        ..init()
    })
}

fn blocks(plan: &SegmentPlan) -> Vec<(u32, u32)> {
    let blocks = plan.sack.as_slice().iter();
    blocks.map(|b| (b.left.0, b.right.0)).collect()
}

mod held_rfc2018_4 {
    use super::*;

    #[test]
    fn the_block_that_grew_last_comes_first() {
        let mut t = with_sack();
        recv!(t, seq: 5101, len: 100);
        assert_eq!(blocks(&acks!(t, ack: 5001)), [(5101, 5201)]);
        recv!(t, seq: 5301, len: 100);
        assert_eq!(blocks(&acks!(t, ack: 5001)), [(5301, 5401), (5101, 5201)]);
        recv!(t, seq: 5201, len: 50);
        assert_eq!(blocks(&acks!(t, ack: 5001)), [(5101, 5251), (5301, 5401)]);
    }

    #[test]
    fn every_new_block_is_told_at_once() {
        let mut t = with_sack();
        for i in 0..10 {
            let out = recv!(t, seq: 5101 + 200 * i, len: 100);
            let start = 5101 + 200 * i;
            assert_eq!(blocks(&out.ack_first.unwrap())[0], (start, start + 100));
            assert!(!out.ack);
            // Of what only makes it longer the ACK at the end of the batch tells.
            let out = recv!(t, seq: start + 100, len: 50);
            assert!(out.ack && out.ack_first.is_none());
        }
    }

    #[test]
    fn without_sack_every_segment_is_a_duplicate_ack_rfc5681_4_2() {
        let mut t = Trace::new(init());
        for i in 0..4 {
            let out = recv!(t, seq: 5101 + 100 * i, len: 100);
            let ack = out.ack_first.unwrap();
            assert_eq!(ack.ack, SeqNum(5001));
            assert!(ack.sack.is_empty());
        }
    }

    #[test]
    fn timestamps_leave_room_for_three() {
        let mut t = Trace::new(FlowInit {
            sack: true,
            ..init_timestamps()
        });
        for i in 0..4 {
            recv!(t, seq: 5101 + 200 * i, len: 100, ts: (600, 0));
        }
        assert_eq!(
            blocks(&acks!(t)),
            [(5701, 5801), (5501, 5601), (5301, 5401)]
        );
    }

    #[test]
    fn data_segments_do_not_swallow_it() {
        let mut t = with_sack();
        t.write(2000);
        recv!(t, seq: 5101, len: 100);
        recv!(t, seq: 5201, len: 100);
        assert!(sends!(t, seq: 1001, ack: 5001).sack.is_empty());
        assert_eq!(blocks(&acks!(t, ack: 5001)), [(5101, 5301)]);
        // Once it is told, segments with data tell nothing new, and none is due.
        sends!(t, seq: 2001, ack: 5001);
        assert!(t.is_quiet());
    }

    #[test]
    fn nothing_is_left_to_tell_once_the_hole_is_filled() {
        let mut t = with_sack();
        recv!(t, seq: 5101, len: 100);
        acks!(t);
        recv!(t, seq: 5001, len: 100);
        assert!(acks!(t, ack: 5201).sack.is_empty());
        t.write(10);
        sends!(t, ack: 5201, flags: TcpFlags::PSH);
        assert!(t.is_quiet());
    }
}

mod twice_rfc2883_4 {
    use super::*;

    #[test]
    fn what_was_acknowledged_before() {
        let mut t = with_sack();
        recv!(t, len: 500);
        t.timer();
        acks!(t);
        recv!(t, len: 500);
        assert_eq!(blocks(&acks!(t, ack: 5501)), [(5001, 5501)]);
        // Once.
        recv!(t, seq: 5501, len: 10);
        assert!(acks!(t, ack: 5511).sack.is_empty());
    }

    #[test]
    fn its_part_that_was_acknowledged_before() {
        let mut t = with_sack();
        recv!(t, len: 500);
        let out = recv!(t, seq: 5401, len: 300);
        assert_eq!(out.notice.rx_bump, 200);
        assert_eq!(blocks(&acks!(t, ack: 5701)), [(5401, 5501)]);
    }

    #[test]
    fn what_is_held_before_the_block_that_it_lies_in() {
        let mut t = with_sack();
        recv!(t, seq: 5101, len: 500);
        acks!(t);
        recv!(t, seq: 5201, len: 100);
        assert_eq!(blocks(&acks!(t, ack: 5001)), [(5201, 5301), (5101, 5601)]);
        recv!(t, seq: 5501, len: 200);
        assert_eq!(blocks(&acks!(t, ack: 5001)), [(5501, 5601), (5101, 5701)]);
    }

    #[test]
    fn what_is_held_before_the_block_that_it_lies_in_though_another_grew_later() {
        let mut t = with_sack();
        recv!(t, seq: 5101, len: 500);
        recv!(t, seq: 5201, len: 100);
        recv!(t, seq: 5701, len: 100);
        assert_eq!(
            blocks(&acks!(t, ack: 5001)),
            [(5201, 5301), (5101, 5601), (5701, 5801)]
        );
    }

    #[test]
    fn with_timestamps_one_block_is_left_for_the_rest() {
        let mut t = Trace::new(FlowInit {
            sack: true,
            ..init_timestamps()
        });
        for i in 0..4 {
            recv!(t, seq: 5101 + 200 * i, len: 100, ts: (600, 0));
        }
        recv!(t, seq: 5101, len: 100, ts: (600, 0));
        assert_eq!(
            blocks(&acks!(t)),
            [(5101, 5201), (5101, 5201), (5701, 5801)]
        );
    }

    #[test]
    fn not_without_sack_nor_of_what_no_window_held() {
        let mut t = Trace::new(init());
        recv!(t, len: 500);
        recv!(t, len: 500);
        assert!(acks!(t).sack.is_empty());
        let mut t = with_sack();
        recv!(t, seq: 5001u32.wrapping_sub(100_000), len: 500);
        assert!(acks!(t).sack.is_empty());
    }
}
