//! Sending: segments, the peer's window, updates from the application.

use tas_wire::{SeqNum, TcpFlags, WindowScale};

use super::tests::{Trace, init, init_timestamps, params, recv, sends};
use super::{AppBump, BadBump, Bumped, End, FlowInit, State};
use crate::types::Micros;

const PSH: TcpFlags = TcpFlags::PSH;
const EMPTY: TcpFlags = TcpFlags::EMPTY;

mod segments {
    use super::*;

    #[test]
    fn full_ones_first_and_push_on_the_last() {
        let mut t = Trace::new(init());
        t.write(2500);
        sends!(t, seq: 1001, len: 1000, pos: 0, ack: 5001, flags: EMPTY, window: 8000);
        sends!(t, seq: 2001, len: 1000, pos: 1000, flags: EMPTY);
        sends!(t, seq: 3001, len: 500, pos: 2000, flags: PSH);
        assert!(t.is_quiet());
        let st = &t.host.st;
        assert_eq!((st.tx_avail, st.tx_sent, st.tx_next_seq), (0, 2500, 3501));
        let out = recv!(t, ack: 3501);
        assert_eq!(out.notice.tx_bump, 2500);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn options_count_towards_the_mss_rfc6691() {
        let mut t = Trace::new(init_timestamps());
        t.write(1500);
        sends!(t, len: 988, ts: (9_000 + 1_000, 500));
    }

    #[test]
    fn small_ones_go_at_once_without_nagle() {
        let mut t = Trace::new(init());
        t.write(1);
        sends!(t, seq: 1001, len: 1, flags: PSH);
        t.write(1);
        sends!(t, seq: 1002, len: 1, flags: PSH);
    }

    #[test]
    fn positions_and_sequence_numbers_wrap_around() {
        let iss = SeqNum(u32::MAX - 500);
        let mut t = Trace::new(FlowInit {
            iss,
            tx_len: 1500,
            ..init()
        });
        t.write(1000);
        sends!(t, seq: iss.0 + 1, pos: 0, len: 1000);
        assert_eq!(recv!(t, ack: 500).notice.tx_bump, 1000);
        t.write(1000);
        sends!(t, seq: 500, pos: 1000, len: 1000);
        assert_eq!(t.host.st.tx_next_pos, 500);
    }

    #[test]
    fn old_acks_do_nothing() {
        let mut t = Trace::new(init());
        t.write(1000);
        sends!(t);
        recv!(t, ack: 2001);
        let out = recv!(t, ack: 1501);
        assert!(out.notice.is_empty() && !out.ack);
    }
}

mod window_rfc9293_3_8_6 {
    use super::*;

    #[test]
    fn is_respected() {
        let mut t = Trace::new(FlowInit {
            snd_wnd: 2500,
            ..init()
        });
        t.write(4000);
        sends!(t, seq: 1001, len: 1000);
        sends!(t, seq: 2001, len: 1000);
        // Silly-window avoidance keeps back the 500 that would fit.
        assert!(t.is_quiet());
        recv!(t, ack: 3001, window: 2500);
        sends!(t, seq: 3001, len: 1000);
        sends!(t, seq: 4001, len: 1000, flags: PSH);
    }

    #[test]
    fn half_of_the_largest_window_is_worth_sending() {
        let mut t = Trace::new(FlowInit {
            snd_wnd: 600,
            ..init()
        });
        t.write(2000);
        sends!(t, seq: 1001, len: 600, flags: EMPTY);
        recv!(t, ack: 1601, window: 299);
        assert!(t.is_quiet());
        recv!(t, ack: 1601, window: 300);
        sends!(t, seq: 1601, len: 300);
    }

    #[test]
    fn is_scaled_rfc7323_2() {
        let mut t = Trace::new(FlowInit {
            snd_wscale: WindowScale::new(3),
            ..init()
        });
        recv!(t, window: 500);
        assert_eq!(t.host.st.rx_remote_avail, 4000);
    }

    #[test]
    fn older_segments_do_not_change_it() {
        let mut t = Trace::new(init());
        recv!(t, seq: 5001, len: 10, window: 4000);
        recv!(t, seq: 5011, len: 10, window: 3000);
        // The first one's sender had less to say. It is old, but its ACK field is looked at.
        recv!(t, seq: 5001, len: 10, window: 9000);
        assert_eq!(t.host.st.rx_remote_avail, 3000);
    }

    #[test]
    fn its_right_edge_stays_when_an_older_segment_acknowledges() {
        let mut t = Trace::new(init());
        t.write(2000);
        sends!(t);
        sends!(t);
        recv!(t, seq: 5001, len: 10, window: 3000);
        recv!(t, seq: 5011, len: 10, window: 3000);
        assert_eq!(
            recv!(t, seq: 5001, len: 10, ack: 2001, window: 9000)
                .notice
                .tx_bump,
            1000
        );
        assert_eq!(t.host.st.rx_remote_avail, 2000);
    }

    #[test]
    fn an_update_alone_releases_data() {
        let mut t = Trace::new(FlowInit {
            snd_wnd: 0,
            ..init()
        });
        t.write(100);
        assert!(t.is_quiet());
        assert!(recv!(t, window: 100).send);
        sends!(t, seq: 1001, len: 100);
    }

    #[test]
    fn fin_takes_one_number_of_it() {
        let mut t = Trace::new(FlowInit {
            snd_wnd: 100,
            ..init()
        });
        t.write(100);
        t.close();
        sends!(t, seq: 1001, len: 100, flags: EMPTY);
        assert!(t.is_quiet());
        recv!(t, ack: 1101, window: 1);
        sends!(t, seq: 1101, len: 0, flags: TcpFlags::FIN);
    }
}

mod persist_rfc9293_3_8_6_1 {
    use super::*;

    #[test]
    fn probes_one_byte_with_back_off_for_ever() {
        let mut t = Trace::new(init());
        recv!(t, window: 0);
        t.write(500);
        assert!(t.is_quiet());
        let mut waits = Vec::new();
        for _ in 0..100 {
            let (waited, out) = t.timer();
            assert!(out.send && !out.retransmit && out.end.is_none());
            waits.push(waited);
            sends!(t, seq: 1001, len: 1, flags: EMPTY);
            assert!(t.is_quiet());
            recv!(t, window: 0);
        }
        assert_eq!(waits[..4], [5_000, 10_000, 20_000, 40_000]);
        assert_eq!(waits[99], params().rto_max.0);
    }

    #[test]
    fn a_probe_that_was_taken_is_not_sent_again() {
        let mut t = Trace::new(init());
        recv!(t, window: 0);
        t.write(500);
        t.timer();
        sends!(t, seq: 1001, len: 1);
        let out = recv!(t, ack: 1002, window: 1000);
        assert_eq!(out.notice.tx_bump, 1);
        sends!(t, seq: 1002, len: 499, pos: 1, flags: PSH);
    }

    #[test]
    fn one_that_was_refused_is() {
        let mut t = Trace::new(init());
        recv!(t, window: 0);
        t.write(500);
        t.timer();
        sends!(t, seq: 1001, len: 1);
        assert!(recv!(t, ack: 1001, window: 1000).send);
        sends!(t, seq: 1001, len: 500);
    }

    /// Whether it was taken decides what number the peer takes a reset for (RFC 5961 §3.2).
    #[test]
    fn a_reset_after_one_has_either_number() {
        let mut t = Trace::new(init());
        recv!(t, window: 0);
        t.write(500);
        let now = t.now;
        assert_eq!(t.host.flow().reset_plan(now).seq, SeqNum(1001));
        assert!(t.host.flow().second_reset_plan(now).is_none());
        t.timer();
        sends!(t, seq: 1001, len: 1);
        let flow = t.host.flow();
        let second = flow.second_reset_plan(now).unwrap();
        assert_eq!(flow.reset_plan(now).seq, SeqNum(1001));
        assert_eq!((second.seq, second.ack), (SeqNum(1002), SeqNum(5001)));
        assert!(second.flags.contains(TcpFlags::RST));
        // Its answer leaves one.
        recv!(t, ack: 1002, window: 0);
        assert!(t.host.flow().second_reset_plan(now).is_none());
    }

    #[test]
    fn fin_is_a_probe_too() {
        let mut t = Trace::new(init());
        recv!(t, window: 0);
        t.close();
        t.timer();
        sends!(t, seq: 1001, len: 0, flags: TcpFlags::FIN);
        recv!(t, ack: 1002, window: 0);
        assert_eq!(t.state(), State::FinWait2);
    }

    #[test]
    fn a_small_window_is_used_after_a_while_rfc1122_4_2_3_4() {
        let mut t = Trace::new(init());
        recv!(t, window: 10);
        t.write(5000);
        assert!(t.is_quiet());
        t.timer();
        sends!(t, seq: 1001, len: 10);
        recv!(t, ack: 1011, window: 5000);
        sends!(t, seq: 1011, len: 1000);
    }

    /// Attempts count whether a timeout or the persist timer makes them.
    #[test]
    fn a_peer_that_falls_silent_behind_a_small_window_is_given_up() {
        let mut t = Trace::new(init());
        recv!(t, window: 10);
        t.write(5000);
        for _ in 0..=params().max_retries {
            t.timer();
            while t.host.next(t.now).is_some() {}
            if t.host.end.is_some() {
                break;
            }
        }
        assert_eq!(t.host.end, Some(End::TimedOut));
    }

    #[test]
    fn the_window_closing_on_data_under_way() {
        let mut t = Trace::new(init());
        t.write(2000);
        sends!(t, seq: 1001, len: 1000);
        sends!(t, seq: 2001, len: 1000);
        recv!(t, ack: 2001, window: 0);
        let (_, out) = t.timer();
        assert!(out.retransmit && !out.send);
        let (waited, out) = t.timer();
        assert!(waited >= 5_000 && out.send);
        sends!(t, seq: 2001, len: 1);
        recv!(t, ack: 3001, window: 0);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn no_timer_while_there_is_nothing_to_send() {
        let mut t = Trace::new(init());
        recv!(t, window: 0);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }
}

mod updates_from_the_application {
    use super::*;

    fn bump(t: &mut Trace, bump: AppBump) -> Result<Bumped, BadBump> {
        let params = params();
        t.host.flow().on_app_bump(&bump, &params, t.now)
    }

    #[test]
    fn count_from_zero_and_wrap_around() {
        let mut t = Trace::new(init());
        for i in 0..=65_536u32 {
            let bump_seq = i as u16;
            assert!(
                bump(
                    &mut t,
                    AppBump {
                        bump_seq,
                        ..AppBump::default()
                    }
                )
                .is_ok()
            );
        }
    }

    #[test]
    fn out_of_order_they_are_stale() {
        let mut t = Trace::new(init());
        for bump_seq in [1, 65_535] {
            let stale = AppBump {
                bump_seq,
                tx_bump: 10,
                ..AppBump::default()
            };
            assert_eq!(bump(&mut t, stale), Err(BadBump::Stale));
        }
        let good = AppBump {
            tx_bump: 10,
            ..AppBump::default()
        };
        assert_eq!(
            bump(&mut t, good),
            Ok(Bumped {
                send: true,
                ack: false
            })
        );
        assert_eq!(bump(&mut t, good), Err(BadBump::Stale));
        assert_eq!(t.host.st.tx_avail, 10);
    }

    #[test]
    fn cannot_hand_back_more_than_was_delivered() {
        let mut t = Trace::new(init());
        recv!(t, len: 100);
        recv!(t, seq: 5201, len: 100);
        for rx_bump in [101, 200, u32::MAX] {
            let bad = AppBump {
                rx_bump,
                ..AppBump::default()
            };
            assert_eq!(bump(&mut t, bad), Err(BadBump::RxTooLarge));
        }
        assert!(
            bump(
                &mut t,
                AppBump {
                    rx_bump: 100,
                    ..AppBump::default()
                }
            )
            .is_ok()
        );
    }

    #[test]
    fn cannot_add_more_than_there_is_room_for() {
        let mut t = Trace::new(init());
        for tx_bump in [16_001, u32::MAX] {
            let bad = AppBump {
                tx_bump,
                ..AppBump::default()
            };
            assert_eq!(bump(&mut t, bad), Err(BadBump::TxTooLarge));
        }
        assert!(
            bump(
                &mut t,
                AppBump {
                    tx_bump: 16_000,
                    ..AppBump::default()
                }
            )
            .is_ok()
        );
        sends!(t, seq: 1001);
        let bad = AppBump {
            tx_bump: 1,
            bump_seq: 1,
            ..AppBump::default()
        };
        assert_eq!(bump(&mut t, bad), Err(BadBump::TxTooLarge));
        recv!(t, ack: 2001);
        assert!(
            bump(
                &mut t,
                AppBump {
                    tx_bump: 1000,
                    bump_seq: 1,
                    ..AppBump::default()
                }
            )
            .is_ok()
        );
    }

    /// A program that closes its direction may never call again: the end must not wait for room.
    #[test]
    fn the_end_needs_no_room() {
        let mut t = Trace::new(FlowInit {
            tx_len: 1_500,
            ..init()
        });
        t.write(1_500);
        t.close();
        sends!(t, seq: 1001, len: 1_000);
        sends!(t, seq: 2001, len: 500, flags: TcpFlags::PSH | TcpFlags::FIN);
        // Lost: once more from the beginning.
        t.timer();
        sends!(t, seq: 1001, len: 1_000);
        let out = recv!(t, ack: 2502);
        assert_eq!(out.notice.tx_bump, 1_501);
        assert!(t.is_quiet());
    }

    #[test]
    fn nothing_after_closing() {
        let mut t = Trace::new(init());
        let done = AppBump {
            tx_done: true,
            ..AppBump::default()
        };
        assert_eq!(
            bump(&mut t, done),
            Err(BadBump::AfterClose),
            "no byte for FIN"
        );
        assert!(bump(&mut t, AppBump { tx_bump: 1, ..done }).is_ok());
        let more = AppBump {
            tx_bump: 1,
            bump_seq: 1,
            ..AppBump::default()
        };
        assert_eq!(bump(&mut t, more), Err(BadBump::AfterClose));
        assert_eq!(
            bump(
                &mut t,
                AppBump {
                    tx_done: true,
                    ..more
                }
            ),
            Err(BadBump::AfterClose)
        );
    }

    #[test]
    fn after_a_reset_they_are_taken_without_effect() {
        let mut t = Trace::new(init());
        recv!(t, len: 100);
        recv!(t, seq: 5101, flags: TcpFlags::RST);
        let both = AppBump {
            tx_bump: 10,
            rx_bump: 100,
            ..AppBump::default()
        };
        assert_eq!(bump(&mut t, both), Ok(Bumped::default()));
        assert!(t.is_quiet());
    }
}
