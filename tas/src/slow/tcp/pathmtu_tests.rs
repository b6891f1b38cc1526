//! Path MTU: whom reports of routers concern, and what is remembered (RFC 1191, RFC 5927).

use tas_wire::{FlowTuple, SeqNum};

use super::testing::*;
use super::{Listen, Open};
use crate::link::ToFast;
use crate::proto::PathLimit;
use crate::types::{FlowId, Micros};

const APP: super::Client = client(1, 1);
const TEN_MINUTES: Micros = Micros(600_000_000);

/// A report about a packet of `len` bytes with `seq`.
fn report(tuple: &FlowTuple, seq: u32, len: usize, mtu: u16) -> Vec<u8> {
    let payload = vec![0; len - 40];
    let fields = segment(ACK, SeqNum(seq), SeqNum(1));
    let mut quoted = frame(&tuple.reversed(), &fields, &payload);
    // Whatever options the helper's segments have.
    quoted[16..18].copy_from_slice(&(len as u16).to_be_bytes());
    let [high, low] = mtu.to_be_bytes();
    icmp_error(3, 4, [0, 0, high, low], &quoted)
}

fn passed_on(net: &mut Net) -> Option<(FlowId, SeqNum, PathLimit)> {
    match net.next_message()?.1 {
        ToFast::TooBig(flow, seq, limit) => Some((flow, seq, limit)),
        _ => panic!("no report"),
    }
}

fn limited(net: &mut Net) -> Option<(FlowId, PathLimit)> {
    match net.next_message()?.1 {
        ToFast::LimitPath(flow, limit) => Some((flow, limit)),
        _ => panic!("no limit"),
    }
}

#[test]
fn the_flow_that_is_quoted_is_asked() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.recv_raw(CORE1, &report(&tuple, 7777, 1500, 1200));
    let (concerned, seq, limit) = passed_on(&mut net).unwrap();
    assert_eq!((concerned, seq, limit.mtu), (flow, SeqNum(7777), 1200));
    net.quiet();
    assert_eq!(net.tcp.counts().bad_path_mtus, 0);
}

/// RFC 1191 §5, §7: a router that does not know of path MTU discovery.
#[test]
fn without_a_number_the_next_usual_one_is_taken() {
    for (len, mtu) in [(1500, 1492), (1492, 1006), (1006, 552)] {
        let mut net = Net::resolved();
        let (tuple, _) = net.established(APP, 5);
        net.recv_raw(CORE0, &report(&tuple, 1, len, 0));
        assert_eq!(passed_on(&mut net).unwrap().2.mtu, mtu);
    }
}

#[test]
fn tiny_mtus_are_not_believed() {
    let mut net = Net::resolved();
    let (tuple, _) = net.established(APP, 5);
    net.recv_raw(CORE0, &report(&tuple, 1, 1500, 68));
    assert_eq!(passed_on(&mut net).unwrap().2.mtu, 552);
    net.recv_raw(CORE0, &report(&tuple, 1, 1500, 67));
    net.quiet();
    assert_eq!(net.tcp.counts().bad_path_mtus, 1);
}

#[test]
fn nonsense_is_ignored_rfc5927_7() {
    let mut net = Net::resolved();
    let (tuple, _) = net.established(APP, 5);
    // The packet would have fitted; it is larger than we send; no such connection.
    net.recv_raw(CORE0, &report(&tuple, 1, 1200, 1200));
    net.recv_raw(CORE0, &report(&tuple, 1, 1501, 1200));
    let other = FlowTuple {
        local_port: tuple.local_port ^ 1,
        ..tuple
    };
    net.recv_raw(CORE0, &report(&other, 1, 1500, 1200));
    net.quiet();
    assert_eq!(net.tcp.counts().bad_path_mtus, 3);
}

/// Segments of handshakes are too small for that: nobody sent what is quoted.
#[test]
fn handshakes_take_no_reports() {
    let mut net = Net::resolved();
    net.listen(APP, 1, 80, 8);
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    let opening = net.sent();
    let (half_open, _) = net.peer_syn(80, 40000);
    for tuple in [opening.tuple, half_open] {
        net.recv_raw(CORE0, &report(&tuple, opening.seq.0, 1500, 1200));
    }
    net.quiet();
    assert_eq!(net.tcp.counts().bad_path_mtus, 2);
}

#[test]
fn new_connections_begin_with_what_a_flow_confirmed() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.recv_raw(CORE0, &report(&tuple, 1, 1500, 1200));
    let (_, _, limit) = passed_on(&mut net).unwrap();
    // Anybody can send a report.
    let (_, other) = net.established(APP, 6);
    net.quiet();
    net.tcp.on_path_limited(&mut net.w, flow, limit);
    assert_eq!(net.tcp.counts().path_mtus, 1);
    assert_eq!(limited(&mut net), Some((other, limit)));
    let (_, active) = net.established(APP, 7);
    assert_eq!(limited(&mut net), Some((active, limit)));
    // The same for connections of the peer.
    net.tcp.listen_open(&mut net.w, APP, &Listen::on(1, 80, 8));
    net.w.forget_answers();
    net.peer_connects(80, 40000);
    let (_, setup) = net.installed();
    assert_eq!(limited(&mut net), Some((setup.flow, limit)));
}

/// RFC 1191 §6.2, RFC 8201 §5.2.
#[test]
fn other_connections_to_the_host_are_told_once() {
    let mut net = Net::resolved();
    let (_, first) = net.established(APP, 5);
    let (_, second) = net.established(APP, 6);
    let until = net.w.now + TEN_MINUTES;
    let limit = PathLimit { mtu: 1200, until };
    net.tcp.on_path_limited(&mut net.w, first, limit);
    assert_eq!(limited(&mut net), Some((second, limit)));
    net.quiet();
    // That one has had a report of its own meanwhile.
    net.tcp.on_path_limited(&mut net.w, second, limit);
    net.quiet();
}

#[test]
fn it_is_forgotten_after_ten_minutes_rfc1191_6_3() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    let begin = net.w.now;
    net.recv_raw(CORE0, &report(&tuple, 1, 1500, 1200));
    let (_, _, limit) = passed_on(&mut net).unwrap();
    assert_eq!(limit.until, begin + TEN_MINUTES);
    net.tcp.on_path_limited(&mut net.w, flow, limit);
    net.w.now = limit.until;
    net.recv_arp(&tas_wire::ArpPacket::announcement(PEER_MAC, PEER));
    net.established(APP, 6);
    net.quiet();
    assert_eq!(net.tcp.counts().path_mtus, 0);
}

#[test]
fn what_is_remembered_only_falls_and_is_bounded() {
    let mut net = Net::resolved();
    let (_, flow) = net.established(APP, 5);
    let until = net.w.now + TEN_MINUTES;
    for mtu in [1200, 1000, 1300] {
        let limit = PathLimit { mtu, until };
        net.tcp.on_path_limited(&mut net.w, flow, limit);
    }
    net.established(APP, 6);
    assert_eq!(limited(&mut net).unwrap().1.mtu, 1000);

    let mut known = super::pathmtu::PathMtus::default();
    for host in 0..10_000u32 {
        let until = Micros(1_000_000 + u64::from(host));
        known.note((host + 1).into(), PathLimit { mtu: 1200, until }, Micros(0));
    }
    assert_eq!(known.len(), 4096);
    assert!(known.get(1.into(), Micros(0)).is_none());
    assert!(known.get(10_000.into(), Micros(0)).is_some());
}
