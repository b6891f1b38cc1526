//! Closing, in all orders: RFC 9293 §3.6, one section for each state.

use tas_wire::TcpFlags;

use super::state::Event;
use super::tests::{Trace, acks, init, recv, sends};
use super::{End, FlowInit, Notice, State};
use crate::types::Micros;

const FIN: TcpFlags = TcpFlags::FIN;
const PSH: TcpFlags = TcpFlags::PSH;
const EMPTY: TcpFlags = TcpFlags::EMPTY;

/// The application has closed, FIN is sent.
fn fin_wait_1() -> Trace {
    let mut t = Trace::new(init());
    t.close();
    sends!(t, seq: 1001, ack: 5001, len: 0, flags: FIN);
    assert_eq!(t.state(), State::FinWait1);
    t
}

fn fin_wait_2() -> Trace {
    let mut t = fin_wait_1();
    let out = recv!(t, ack: 1002);
    assert_eq!((out.notice.tx_bump, out.end), (1, None));
    assert_eq!(t.state(), State::FinWait2);
    t
}

fn closing() -> Trace {
    let mut t = fin_wait_1();
    let out = recv!(t, flags: FIN);
    assert!(out.notice.rx_closed && out.ack && out.end.is_none());
    acks!(t, seq: 1002, ack: 5002);
    assert_eq!(t.state(), State::Closing);
    t
}

/// The peer has closed.
fn close_wait() -> Trace {
    let mut t = Trace::new(init());
    let out = recv!(t, flags: FIN);
    assert!(out.notice.rx_closed && out.ack && out.end.is_none());
    acks!(t, ack: 5002);
    assert_eq!(t.state(), State::CloseWait);
    t
}

fn last_ack() -> Trace {
    let mut t = close_wait();
    t.close();
    sends!(t, seq: 1001, ack: 5002, flags: FIN);
    assert_eq!(t.state(), State::LastAck);
    t
}

mod established {
    use super::*;

    #[test]
    fn fin_rides_on_the_last_data() {
        let mut t = Trace::new(init());
        t.write(1000);
        t.close();
        sends!(t, seq: 1001, len: 1000, flags: FIN | PSH);
        assert!(t.is_quiet());
        assert_eq!(recv!(t, ack: 2002).notice.tx_bump, 1001);
        assert_eq!(t.state(), State::FinWait2);
    }

    #[test]
    fn fin_follows_all_that_is_queued() {
        let mut t = Trace::new(init());
        t.write(1001);
        t.close();
        sends!(t, seq: 1001, len: 1000, flags: EMPTY);
        sends!(t, seq: 2001, len: 1, flags: FIN | PSH);
    }

    #[test]
    fn data_with_fin() {
        let mut t = Trace::new(init());
        let out = recv!(t, len: 100, flags: FIN);
        assert_eq!(
            out.notice,
            Notice {
                rx_bump: 100,
                rx_closed: true,
                ..Notice::default()
            }
        );
        acks!(t, ack: 5102);
        assert_eq!(t.state(), State::CloseWait);
    }

    #[test]
    fn fin_out_of_order_waits_for_what_is_missing() {
        let mut t = Trace::new(init());
        let out = recv!(t, seq: 5101, len: 100, flags: FIN);
        assert!(out.notice.is_empty());
        acks!(t, ack: 5001);
        let out = recv!(t, seq: 5001, len: 100);
        assert_eq!(
            out.notice,
            Notice {
                rx_bump: 200,
                rx_closed: true,
                ..Notice::default()
            }
        );
        acks!(t, ack: 5202);
        assert_eq!(t.state(), State::CloseWait);
    }

    #[test]
    fn fin_alone_out_of_order() {
        let mut t = Trace::new(init());
        recv!(t, seq: 5101, flags: FIN);
        let out = recv!(t, seq: 5001, len: 100);
        assert!(out.notice.rx_closed);
        acks!(t, ack: 5102);
    }

    #[test]
    fn data_beyond_a_fin_is_not_taken() {
        let mut t = Trace::new(init());
        recv!(t, seq: 5101, flags: FIN);
        assert!(recv!(t, seq: 5101, len: 50).copy.is_none());
        assert_eq!(recv!(t, seq: 5001, len: 500).notice.rx_bump, 100);
        acks!(t, ack: 5102);
    }

    #[test]
    fn a_fin_before_data_that_came_is_bogus() {
        let mut t = Trace::new(init());
        recv!(t, seq: 5201, len: 100);
        recv!(t, seq: 5101, flags: FIN);
        let out = recv!(t, seq: 5001, len: 200);
        assert_eq!(
            out.notice,
            Notice {
                rx_bump: 300,
                ..Notice::default()
            }
        );
    }
}

mod fin_wait_1 {
    use super::*;

    #[test]
    fn data_still_arrives() {
        let mut t = super::fin_wait_1();
        assert_eq!(recv!(t, len: 100).notice.rx_bump, 100);
    }

    #[test]
    fn fin_that_acknowledges_ours() {
        let mut t = super::fin_wait_1();
        let out = recv!(t, ack: 1002, flags: FIN);
        assert_eq!(out.end, Some(End::TimeWait));
        assert_eq!(
            out.notice,
            Notice {
                tx_bump: 1,
                rx_closed: true,
                ..Notice::default()
            }
        );
        assert!(out.ack);
        acks!(t, seq: 1002, ack: 5002);
        assert_eq!(t.state(), State::TimeWait);
    }

    #[test]
    fn fin_is_sent_again() {
        let mut t = super::fin_wait_1();
        let (_, out) = t.timer();
        assert!(out.retransmit && out.send);
        sends!(t, seq: 1001, len: 0, flags: FIN);
    }

    #[test]
    fn window_updates_come_while_the_application_reads() {
        let mut t = super::fin_wait_1();
        recv!(t, len: 8000);
        t.timer();
        acks!(t, window: 0);
        assert!(t.host.read(8000, t.now));
        acks!(t, ack: 13_001, window: 8000);
    }
}

mod fin_wait_2 {
    use super::*;

    #[test]
    fn half_closed_data_flows() {
        let mut t = super::fin_wait_2();
        assert_eq!(recv!(t, ack: 1002, len: 1000).notice.rx_bump, 1000);
        t.timer();
        acks!(t, seq: 1002, ack: 6001);
    }

    #[test]
    fn fin_ends_it() {
        let mut t = super::fin_wait_2();
        let out = recv!(t, ack: 1002, len: 10, flags: FIN);
        assert_eq!(out.end, Some(End::TimeWait));
        assert_eq!(
            out.notice,
            Notice {
                rx_bump: 10,
                rx_closed: true,
                ..Notice::default()
            }
        );
        acks!(t, seq: 1002, ack: 5012);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn no_timer_while_the_application_is_there() {
        let mut t = super::fin_wait_2();
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }
}

mod closing {
    use super::*;

    #[test]
    fn ack_of_fin_ends_it() {
        let mut t = super::closing();
        let out = recv!(t, seq: 5002, ack: 1002);
        assert_eq!((out.end, out.notice.tx_bump), (Some(End::TimeWait), 1));
    }

    #[test]
    fn the_peers_fin_again_is_acknowledged_again() {
        let mut t = super::closing();
        assert!(recv!(t, flags: FIN).ack);
        acks!(t, seq: 1002, ack: 5002);
    }
}

mod close_wait {
    use super::*;

    #[test]
    fn half_closed_data_flows() {
        let mut t = super::close_wait();
        t.write(500);
        sends!(t, seq: 1001, len: 500, ack: 5002);
        assert_eq!(recv!(t, seq: 5002, ack: 1501).notice.tx_bump, 500);
    }

    #[test]
    fn text_beyond_fin_is_ignored() {
        let mut t = super::close_wait();
        let out = recv!(t, seq: 5002, len: 10);
        assert!(out.copy.is_none() && out.notice.is_empty());
    }

    #[test]
    fn no_window_updates() {
        let mut t = Trace::new(init());
        recv!(t, len: 7000, flags: FIN);
        acks!(t);
        assert!(!t.host.read(7000, t.now));
    }
}

mod last_ack {
    use super::*;

    #[test]
    fn ack_of_fin_closes() {
        let mut t = super::last_ack();
        let out = recv!(t, seq: 5002, ack: 1002);
        assert_eq!((out.end, out.notice.tx_bump), (Some(End::Closed), 1));
        assert_eq!(t.state(), State::Closed);
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
        assert!(t.is_quiet());
    }

    #[test]
    fn ack_of_less_does_not() {
        let mut t = super::close_wait();
        t.write(100);
        t.close();
        sends!(t, seq: 1001, len: 100, flags: FIN | PSH);
        assert_eq!(recv!(t, seq: 5002, ack: 1101).end, None);
        assert_eq!(t.state(), State::LastAck);
    }
}

mod detached_rfc1122_4_2_2_13 {
    use super::*;

    #[test]
    fn closes_by_itself_after_what_is_queued() {
        let mut t = Trace::new(init());
        t.write(1500);
        t.host.detach(t.now);
        assert_eq!(t.state(), State::FinWait1);
        sends!(t, seq: 1001, len: 1000, flags: EMPTY);
        sends!(t, seq: 2001, len: 500, flags: FIN | PSH);
        assert_eq!(recv!(t, ack: 2502).notice.tx_bump, 1501);
    }

    #[test]
    fn even_when_the_ring_is_full() {
        let mut t = Trace::new(FlowInit {
            tx_len: 900,
            ..init()
        });
        t.write(900);
        t.host.detach(t.now);
        sends!(t, seq: 1001, len: 900, flags: FIN | PSH);
    }

    #[test]
    fn data_is_answered_by_reset() {
        let mut t = Trace::new(init());
        t.write(10);
        t.host.detach(t.now);
        sends!(t, seq: 1001, len: 10, flags: FIN | PSH);
        let out = recv!(t, len: 100, ack: 1012);
        assert_eq!(out.end, Some(End::DataAfterClose));
        assert!(out.copy.is_none() && out.notice.rx_bump == 0);
        let reset = t.host.flow().reset_plan(t.now);
        assert_eq!(
            (reset.seq.0, reset.flags),
            (1012, TcpFlags::RST | TcpFlags::ACK)
        );
    }

    #[test]
    fn fin_without_data_is_taken() {
        let mut t = Trace::new(init());
        t.host.detach(t.now);
        sends!(t, flags: FIN);
        assert_eq!(recv!(t, ack: 1002, flags: FIN).end, Some(End::TimeWait));
    }

    #[test]
    fn does_not_stay_in_fin_wait_2_for_ever() {
        let mut t = fin_wait_2();
        t.host.detach(t.now);
        let (waited, out) = t.timer();
        assert_eq!((waited, out.end), (60_000_000, Some(End::Closed)));
        let mut t = Trace::new(init());
        t.host.detach(t.now);
        sends!(t, flags: FIN);
        recv!(t, ack: 1002);
        assert_eq!(t.timer().1.end, Some(End::Closed));
    }

    #[test]
    fn does_not_probe_for_ever() {
        let mut t = Trace::new(init());
        t.write(10);
        recv!(t, window: 0);
        t.host.detach(t.now);
        let mut probes = 0;
        loop {
            let (_, out) = t.timer();
            if out.end.is_some() {
                assert_eq!(out.end, Some(End::TimedOut));
                break;
            }
            sends!(t, seq: 1001, len: 1);
            recv!(t, window: 0);
            probes += 1;
        }
        assert_eq!(probes, 8);
    }

    #[test]
    fn twice_is_once() {
        let mut t = Trace::new(init());
        t.host.detach(t.now);
        t.host.detach(t.now);
        sends!(t, flags: FIN);
        assert!(t.is_quiet());
    }
}

#[test]
fn every_event_in_every_state() {
    use State::*;
    let all = [
        Closed,
        Established,
        FinWait1,
        FinWait2,
        Closing,
        CloseWait,
        LastAck,
        TimeWait,
    ];
    let expected = [
        (
            Event::Close,
            [
                Closed, FinWait1, FinWait1, FinWait2, Closing, LastAck, LastAck, TimeWait,
            ],
        ),
        (
            Event::FinReceived,
            [
                Closed, CloseWait, Closing, TimeWait, Closing, CloseWait, LastAck, TimeWait,
            ],
        ),
        (
            Event::FinAcked,
            [
                Closed,
                Established,
                FinWait2,
                FinWait2,
                TimeWait,
                CloseWait,
                Closed,
                TimeWait,
            ],
        ),
        (Event::Abort, [Closed; 8]),
    ];
    for (event, after) in expected {
        assert_eq!(all.map(|state| state.next(event)), after, "{event:?}");
    }
}
