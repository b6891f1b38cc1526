use tas_wire::{SegmentFields, SeqNum, TcpFlags, Timestamps, WindowScale};

use crate::link::ToFast;
use crate::slow::tcp::testing::*;
use crate::types::Micros;

const HALF_OPEN: u16 = 16_384;
/// The peer's port that gets a cookie.
const LATE: u16 = 40_000;
/// Nothing of a cookie is left after so long.
const EXPIRED: u64 = 3 << 26;

/// A listener with as many half-open connections as it remembers.
fn flooded() -> Net {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    for port in 1..=HALF_OPEN {
        net.peer_syn(80, port);
    }
    assert_eq!(net.tcp.counts().cookies_sent, 0);
    net
}

/// A SYN and the answer's sequence number and timestamp.
fn ask(net: &mut Net, syn: &SegmentFields<'_>) -> (SeqNum, Option<u32>) {
    let tuple = tuple(80, LATE);
    net.recv_fields(&tuple, syn, b"");
    let (_, frame) = net.sent_frame();
    let Ok(tas_wire::Packet::Tcp(packet)) = tas_wire::parse(&frame) else {
        panic!("no segment");
    };
    assert_eq!(
        (packet.tcp.flags.without(TcpFlags::ECE), packet.tcp.ack),
        (SYN_ACK, IRS + 1)
    );
    let ts = packet.options.timestamps;
    (packet.tcp.seq, ts.map(|ts| ts.val))
}

fn syn() -> SegmentFields<'static> {
    SegmentFields {
        sack_permitted: true,
        mss: Some(1450),
        ..segment(SYN, IRS, SeqNum(0))
    }
}

/// The ACK that answers a SYN-ACK.
fn ack(iss: SeqNum, ts: Option<u32>) -> SegmentFields<'static> {
    SegmentFields {
        timestamps: ts.map(|ecr| Timestamps { val: 81, ecr }),
        ..segment(ACK, IRS + 1, iss + 1)
    }
}

#[test]
fn a_flooded_listener_remembers_no_more() {
    let mut net = flooded();
    ask(&mut net, &syn());
    let counts = net.tcp.counts();
    assert_eq!((counts.opening, counts.cookies_sent), (HALF_OPEN.into(), 1));
    net.quiet();
}

#[test]
fn half_open_connections_that_end_make_room() {
    let mut net = flooded();
    net.recv(&tuple(80, 1), TcpFlags::RST, IRS + 1, SeqNum(0));
    net.peer_syn(80, LATE);
    let counts = net.tcp.counts();
    assert_eq!((counts.opening, counts.cookies_sent), (HALF_OPEN.into(), 0));
    net.quiet();
}

#[test]
fn the_ack_brings_back_what_was_offered() {
    let mut net = flooded();
    let (iss, ts) = ask(&mut net, &syn());
    net.recv_fields(&tuple(80, LATE), &ack(iss, ts), b"");
    let (_, setup) = net.installed();
    let init = &setup.init;
    assert_eq!((init.iss, init.irs), (iss, IRS));
    // The largest MSS that a cookie can name.
    assert_eq!((init.mss, init.snd_wscale), (1440, WindowScale::new(7)));
    assert_eq!((init.snd_wnd, init.sack, init.rtt), (1000 << 7, true, None));
    assert_eq!(init.timestamps.unwrap().recent, 81);
    let counts = net.tcp.counts();
    assert_eq!(
        (counts.opening, counts.cookies_accepted),
        (HALF_OPEN.into(), 1)
    );
}

#[test]
fn without_timestamps_only_the_mss_comes_back() {
    let mut net = flooded();
    let plain = SegmentFields {
        timestamps: None,
        ..syn()
    };
    let (iss, ts) = ask(&mut net, &plain);
    assert_eq!(ts, None);
    net.recv_fields(&tuple(80, LATE), &ack(iss, None), b"");
    let (_, setup) = net.installed();
    let init = &setup.init;
    assert_eq!((init.mss, init.snd_wscale), (1440, WindowScale::ZERO));
    assert!(!init.sack && !init.ecn && init.timestamps.is_none());
    assert_eq!(init.snd_wnd, 1000);
}

#[test]
fn data_on_the_ack_reaches_the_flow() {
    let mut net = flooded();
    let (iss, ts) = ask(&mut net, &syn());
    let fields = ack(iss, ts);
    net.recv_fields(&tuple(80, LATE), &fields, b"request");
    net.installed();
    let Some((_, ToFast::Reinject(got))) = net.next_message() else {
        panic!("not reinjected");
    };
    assert_eq!(*got, *frame(&tuple(80, LATE), &fields, b"request"));
}

#[test]
fn timestamps_do_not_run_ahead() {
    let mut net = flooded();
    for wait in [0, 1_000, 7_000, 31_000, 63_000] {
        net.w.now += Micros(wait);
        let (_, first) = ask(&mut net, &syn());
        // One that is remembered shows our clock.
        let mut other = Net::new();
        other.listen(APP, 1, 80, 8);
        other.w.now = net.w.now;
        let (_, now) = ask(&mut other, &syn());
        let behind = now.unwrap().wrapping_sub(first.unwrap());
        assert!(behind < 64, "{behind}");
    }
}

#[test]
fn forged_and_old_cookies_are_refused() {
    let mut net = flooded();
    let (iss, ts) = ask(&mut net, &syn());
    for wrong in [
        iss + 1,
        iss - 1,
        SeqNum(iss.0 ^ 1 << 24),
        SeqNum(iss.0 ^ 1 << 27),
    ] {
        net.recv_fields(&tuple(80, LATE), &ack(wrong, ts), b"");
        assert_eq!(net.sent().flags, RST);
    }
    // It is of this connection only.
    net.recv_fields(&tuple(80, LATE + 1), &ack(iss, ts), b"");
    assert_eq!(net.sent().flags, RST);
    assert_eq!(net.tcp.counts().cookies_bad, 5);
    net.w.now += Micros(EXPIRED);
    net.recv_fields(&tuple(80, LATE), &ack(iss, ts), b"");
    assert_eq!(net.sent().flags, RST);
    assert_eq!(net.tcp.counts().cookies_accepted, 0);
}

#[test]
fn a_cookie_outlasts_the_minute_in_which_it_was_made() {
    let mut net = flooded();
    net.w.now = Micros((net.w.now.0 | ((1 << super::EPOCH_BITS) - 1)) - 10);
    let (iss, ts) = ask(&mut net, &syn());
    net.w.now += Micros(20);
    net.recv_fields(&tuple(80, LATE), &ack(iss, ts), b"");
    net.installed();
    assert_eq!(net.tcp.counts().cookies_accepted, 1);
}

#[test]
fn a_full_backlog_lets_the_ack_count_as_lost() {
    let mut net = flooded();
    let (iss, ts) = ask(&mut net, &syn());
    for port in 1..=8 {
        let (tuple, iss) = {
            let tuple = tuple(80, port);
            net.recv(&tuple, SYN, IRS, SeqNum(0));
            (tuple, net.sent().seq)
        };
        net.recv(&tuple, ACK, IRS + 1, iss + 1);
        net.installed();
        net.answered(APP);
    }
    net.recv_fields(&tuple(80, LATE), &ack(iss, ts), b"");
    net.quiet();
    assert_eq!(net.tcp.counts().backlog_full, 1);
    // Once there is room, data makes up for it.
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    net.next_message();
    net.accepted(APP);
    net.recv_fields(&tuple(80, LATE), &ack(iss, ts), b"request");
    net.installed();
}

#[test]
fn without_a_flood_acks_of_nothing_are_reset() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    net.recv(&tuple(80, LATE), ACK, IRS + 1, SeqNum(7));
    assert_eq!(net.sent().flags, RST);
    assert_eq!(net.tcp.counts().cookies_bad, 0);
}
