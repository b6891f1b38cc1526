//! Keepalive and user timeout.

use tas_wire::{SeqNum, TcpFlags};

use super::tests::*;
use super::{End, Keepalive, LivenessOptions, TimerOutcome};
use crate::types::Micros;

const SECOND: u64 = 1_000_000;

fn keepalive(idle: u32, interval: u32, count: u8) -> LivenessOptions {
    LivenessOptions {
        keepalive: Some(Keepalive {
            idle,
            interval,
            count,
        }),
        user_timeout_ms: 0,
    }
}

fn set(t: &mut Trace, options: &LivenessOptions) {
    let now = t.now;
    t.host.flow().set_liveness(options, now);
}

/// Runs timers until a probe is due or the flow ends; returns the time that passed.
fn wait(t: &mut Trace) -> (u64, TimerOutcome) {
    let start = t.now;
    loop {
        let (_, out) = t.timer();
        if out.keepalive || out.end.is_some() {
            return (t.now.since(start).0, out);
        }
    }
}

/// The probe, which the peer finds to be below its window.
fn probe(t: &mut Trace) {
    let now = t.now;
    let plan = t.host.flow().keepalive_plan(now);
    assert_eq!((plan.seq, plan.ack), (SeqNum(1000), SeqNum(5001)));
    assert_eq!((plan.flags, plan.len), (TcpFlags::ACK, 0));
}

mod keepalive_rfc9293_3_8_4 {
    use super::*;

    #[test]
    fn off_by_default() {
        let mut t = Trace::new(init());
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn a_silent_peer_is_probed_and_given_up() {
        let mut t = Trace::new(init());
        set(&mut t, &keepalive(10, 2, 3));
        let (passed, out) = wait(&mut t);
        assert_eq!((passed, out.end), (10 * SECOND, None));
        probe(&mut t);
        for _ in 0..2 {
            let (passed, out) = wait(&mut t);
            assert_eq!((passed, out.end), (2 * SECOND, None));
            probe(&mut t);
        }
        let (passed, out) = wait(&mut t);
        assert_eq!((passed, out.end), (2 * SECOND, Some(End::TimedOut)));
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn an_answer_is_enough() {
        for timestamps in [false, true] {
            let mut t = Trace::new(if timestamps {
                init_timestamps()
            } else {
                init()
            });
            set(&mut t, &keepalive(10, 2, 3));
            for round in 0..10 {
                let (passed, out) = wait(&mut t);
                // Looks are an eighth of the idle time apart.
                let late = 10 * SECOND / 8 + 2 * SECOND;
                assert!(passed >= 10 * SECOND || round > 0, "{passed}");
                assert!(passed <= 10 * SECOND + late && out.keepalive, "{passed}");
                if timestamps {
                    recv!(t, ts: (501 + round, 9_000));
                } else {
                    recv!(t);
                }
            }
        }
    }

    #[test]
    fn data_puts_it_off() {
        let mut t = Trace::new(init());
        set(&mut t, &keepalive(10, 2, 3));
        t.now += Micros(9 * SECOND);
        recv!(t, seq: 5001, len: 100);
        let (passed, out) = wait(&mut t);
        assert!(out.keepalive);
        assert!((10 * SECOND..12 * SECOND).contains(&passed), "{passed}");
    }

    #[test]
    fn a_peers_probe_shows_that_it_is_there() {
        let mut t = Trace::new(init());
        set(&mut t, &keepalive(10, 2, 1));
        wait(&mut t);
        recv!(t, seq: 5000);
        let (_, out) = wait(&mut t);
        assert!(out.keepalive && out.end.is_none());
    }

    #[test]
    fn it_can_be_turned_off() {
        let mut t = Trace::new(init());
        set(&mut t, &keepalive(10, 2, 3));
        set(&mut t, &LivenessOptions::default());
        assert_eq!(t.host.flow().deadline(), Micros::NEVER);
    }

    #[test]
    fn a_detached_flow_has_none() {
        let mut t = Trace::new(init());
        set(&mut t, &keepalive(1, 1, 1));
        t.host.detach(t.now);
        sends!(t, flags: TcpFlags::FIN);
        recv!(t, ack: 1002);
        let (passed, out) = wait(&mut t);
        assert_eq!((passed, out.end), (60 * SECOND, Some(End::Closed)));
    }
}

mod user_timeout_rfc9293_3_8_3 {
    use super::*;

    fn timeout(ms: u32) -> LivenessOptions {
        LivenessOptions {
            keepalive: None,
            user_timeout_ms: ms,
        }
    }

    /// Time after which a flow ends on which everything that is sent is lost.
    fn ends_after(t: &mut Trace) -> u64 {
        let start = t.now;
        loop {
            while t.host.next(t.now).is_some() {}
            let (_, out) = t.timer();
            if let Some(end) = out.end {
                assert_eq!(end, End::TimedOut);
                return t.now.since(start).0;
            }
        }
    }

    #[test]
    fn what_is_not_acknowledged_in_time_ends_the_flow() {
        let mut t = Trace::new(init());
        set(&mut t, &timeout(3_000));
        t.write(10);
        let passed = ends_after(&mut t);
        assert!((2_990_000..=3_000_000).contains(&passed), "{passed}");
    }

    #[test]
    fn it_may_be_longer_than_usual() {
        let mut t = Trace::new(init());
        t.write(10);
        let usual = ends_after(&mut t);
        let mut t = Trace::new(init());
        set(&mut t, &timeout(10_000_000));
        t.write(10);
        let passed = ends_after(&mut t);
        assert!(
            usual < 9_000 * SECOND && passed > 9_900 * SECOND,
            "{passed}"
        );
    }

    #[test]
    fn a_window_that_stays_closed_counts() {
        let mut t = Trace::new(init());
        set(&mut t, &timeout(3_000));
        t.write(10);
        recv!(t, window: 0);
        let passed = ends_after(&mut t);
        assert!((2_990_000..=3_010_000).contains(&passed), "{passed}");
    }

    #[test]
    fn progress_begins_it_anew() {
        let mut t = Trace::new(init());
        set(&mut t, &timeout(3_000));
        for round in 0..5u32 {
            t.write(10);
            while t.host.next(t.now).is_some() {}
            // One timeout each time.
            let (_, out) = t.timer();
            assert!(out.retransmit && out.end.is_none());
            while t.host.next(t.now).is_some() {}
            t.now += Micros(2 * SECOND);
            recv!(t, ack: 1011 + 10 * round);
        }
        assert_eq!(t.host.end, None);
    }

    /// As on Linux: it says how long probes are answered by silence.
    #[test]
    fn it_replaces_the_count_of_probes() {
        let mut t = Trace::new(init());
        let options = LivenessOptions {
            user_timeout_ms: 15_000,
            ..keepalive(10, 1, 2)
        };
        set(&mut t, &options);
        let mut probes = 0;
        let start = t.now;
        while let (_, TimerOutcome { end: None, .. }) = wait(&mut t) {
            probes += 1;
        }
        assert_eq!(probes, 5);
        assert_eq!(t.now.since(start).0, 15 * SECOND);
    }
}
