//! Frames of all kinds: addresses, ARP, ICMP, garbage.

use std::net::Ipv4Addr;

use tas_wire::{ArpOp, ArpPacket, ChecksumMode, IcmpMessage, MacAddr, Packet, SeqNum, TcpTemplate};

use super::testing::*;
use crate::config::LocalAddr;
use crate::link::ToFast;

const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

/// The offset of the IPv4 source address in a frame.
const IP_SRC: usize = 14 + 12;
/// The offset of the IPv4 destination address.
const IP_DST: usize = 14 + 16;

#[test]
fn segments_for_others_are_not_answered() {
    let mut net = Net::new();
    let syn = frame(&tuple(81, 40000), &segment(SYN, IRS, SeqNum(0)), &[]);
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = syn.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    // To another station, to all of them, to a group (RFC 9293 §3.9.2.3).
    net.recv_raw(CORE0, &with(0, &ROUTER.0));
    net.recv_raw(CORE0, &with(0, &[0xff; 6]));
    net.recv_raw(CORE0, &with(0, &[1, 0, 0x5e, 0, 0, 1]));
    net.recv_raw(CORE0, &with(IP_DST, &[10, 0, 0, 255]));
    net.recv_raw(CORE0, &with(IP_DST, &[10, 0, 0, 77]));
    assert_eq!(net.tcp.counts().not_ours, 5);
    // From nobody, from a group, from all, from ourselves.
    for source in [
        [0, 0, 0, 0],
        [224, 0, 0, 1],
        [255; 4],
        [127, 0, 0, 1],
        [10, 0, 0, 255],
        IP.octets(),
    ] {
        net.recv_raw(CORE0, &with(IP_SRC, &source));
    }
    assert_eq!(net.tcp.counts().bad_source, 6);
    net.quiet();
    net.recv_raw(CORE0, &syn);
    assert_eq!(net.sent().flags, RST | ACK);
}

#[test]
fn ports_zero_are_malformed() {
    let mut net = Net::new();
    net.recv(&tuple(0, 40000), SYN, IRS, SeqNum(0));
    net.recv(&tuple(80, 0), SYN, IRS, SeqNum(0));
    net.quiet();
    assert_eq!(net.tcp.counts().malformed, 2);
}

// ---- ARP, RFC 826 and RFC 5227

#[test]
fn announces_every_address() {
    let mut cfg = config();
    let second = Ipv4Addr::new(10, 1, 0, 1);
    cfg.addresses.push(LocalAddr {
        ip: second,
        prefix_len: 16,
    });
    let mut net = Net::with(cfg);
    net.tcp.start(&mut net.w);
    assert_eq!(net.sent_arp(), ArpPacket::announcement(MAC, IP));
    assert_eq!(net.sent_arp(), ArpPacket::announcement(MAC, second));
    net.quiet();
}

#[test]
fn answers_requests_and_learns_from_them() {
    let mut net = Net::new();
    let request = ArpPacket::request(PEER_MAC, PEER, IP);
    net.recv_arp(&request);
    let reply = net.sent_arp();
    assert_eq!(
        (reply.op, reply.sender_mac, reply.sender_ip),
        (ArpOp::Reply, MAC, IP)
    );
    assert_eq!((reply.target_mac, reply.target_ip), (PEER_MAC, PEER));
    // So an open needs no request.
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    assert_eq!(net.sent().mac, PEER_MAC);
}

#[test]
fn probes_are_answered_and_teach_nothing() {
    let mut net = Net::new();
    net.recv_arp(&ArpPacket::request(PEER_MAC, Ipv4Addr::UNSPECIFIED, IP));
    assert_eq!(net.sent_arp().op, ArpOp::Reply);
    // Nor do requests among others, or replies that nobody waits for.
    net.recv_arp(&ArpPacket::request(
        PEER_MAC,
        PEER,
        Ipv4Addr::new(10, 0, 0, 3),
    ));
    net.recv_arp(&ArpPacket::announcement(PEER_MAC, PEER));
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    assert_eq!(net.sent_arp().target_ip, PEER);
}

#[test]
fn flows_follow_a_neighbour_that_changes_its_address() {
    let mut net = Net::resolved();
    let (_, flow) = net.established(APP, 5);
    // Not at once: two stations may fight over the address.
    net.recv_arp(&ArpPacket::announcement(ROUTER, PEER));
    net.quiet();
    net.pass(1_000_000);
    net.recv_arp(&ArpPacket::announcement(ROUTER, PEER));
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::RemoteMac(f, ROUTER))) if f == flow
    ));
    net.recv_arp(&ArpPacket::announcement(ROUTER, PEER));
    net.quiet();
}

#[test]
fn accepted_connections_follow_too() {
    let mut net = Net::resolved();
    net.listen(APP, 1, 80, 8);
    net.peer_connects(80, 40000);
    net.installed();
    net.answered(APP);
    net.pass(1_000_000);
    net.recv_arp(&ArpPacket::announcement(ROUTER, PEER));
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::RemoteMac(_, ROUTER)))
    ));
}

#[test]
fn stale_entries_serve_while_they_are_asked_for() {
    let mut net = Net::resolved();
    net.pass(61_000_000);
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    assert_eq!(net.sent_arp().target_ip, PEER);
    assert_eq!(net.sent().mac, PEER_MAC);
    net.recv_arp(&ArpPacket::request(MAC, IP, PEER).reply(PEER_MAC));
    net.tcp.open(&mut net.w, APP, &Open::to(6, (PEER, 80)));
    assert_eq!(net.sent().flags, SYN);
    net.quiet();
}

#[test]
fn stale_entries_without_an_answer_are_forgotten() {
    let mut net = Net::resolved();
    net.pass(61_000_000);
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    for _ in 0..4 {
        net.pass_to_deadline();
    }
    while net.next_message().is_some() {}
    net.tcp.open(&mut net.w, APP, &Open::to(6, (PEER, 80)));
    assert_eq!(net.sent_arp().target_ip, PEER);
    net.quiet();
}

#[test]
fn address_conflicts_are_counted_and_defended_now_and_then() {
    let mut net = Net::new();
    net.recv_arp(&ArpPacket::announcement(ROUTER, IP));
    assert_eq!(net.sent_arp(), ArpPacket::announcement(MAC, IP));
    net.recv_arp(&ArpPacket::announcement(ROUTER, IP));
    net.quiet();
    net.pass(10_000_000);
    net.recv_arp(&ArpPacket::announcement(ROUTER, IP));
    net.sent_arp();
    assert_eq!(net.tcp.counts().arp_conflicts, 3);
    // Our own announcement coming back is none.
    net.recv_arp(&ArpPacket::announcement(MAC, IP));
    net.quiet();
}

#[test]
fn the_cache_is_bounded() {
    let mut net = Net::resolved();
    for n in 0..10_000u32 {
        let ip = Ipv4Addr::from_bits(0x0b00_0001 + n);
        net.pass(1);
        net.recv_arp(&ArpPacket::request(PEER_MAC, ip, IP));
        net.next_message();
    }
    // The oldest is gone.
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    assert_eq!(net.sent_arp().target_ip, PEER);
}

// ---- ICMP echo, RFC 792

fn ping(data: &[u8]) -> Vec<u8> {
    // The reply that the peer would send us, made a request.
    let reply = tas_wire::EchoReply {
        src_mac: PEER_MAC,
        dst_mac: MAC,
        src_ip: PEER,
        dst_ip: IP,
        echo: tas_wire::Echo {
            ident: 7,
            seq: 9,
            data,
        },
    };
    let mut frame = vec![0; 42 + data.len()];
    reply.emit(&mut frame, 0).unwrap();
    frame[34] = 8;
    frame
}

#[test]
fn echo_requests_are_answered() {
    for len in [0, 56, 1472] {
        let mut net = Net::new();
        let data = vec![0xa5; len];
        net.recv_raw(CORE1, &ping(&data));
        let (core, reply) = net.sent_frame();
        assert_eq!(core, CORE1);
        let Packet::Icmp(packet) = tas_wire::parse(&reply).unwrap() else {
            panic!("not ICMP");
        };
        assert_eq!(
            (packet.ip_src, packet.ip_dst, packet.eth.dst),
            (IP, PEER, PEER_MAC)
        );
        let IcmpMessage::EchoReply(echo) = packet.message else {
            panic!("{packet:?}");
        };
        assert_eq!((echo.ident, echo.seq, echo.data), (7, 9, &data[..]));
    }
}

#[test]
fn broadcast_pings_are_not() {
    let mut net = Net::new();
    let mut frame = ping(b"x");
    frame[..6].fill(0xff);
    net.recv_raw(CORE1, &frame);
    net.quiet();
}

// ---- Garbage

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, ..Default::default() })]

    #[test]
    fn no_frame_panics(frames in proptest::collection::vec(
        proptest::collection::vec(0u8..=255, 0..120), 0..8)
    ) {
        let mut net = Net::new();
        for frame in frames {
            net.recv_raw(CORE0, &frame);
        }
    }

    /// Any sequence of nearly right segments, requests and reports: no panic, nothing leaks.
    #[test]
    fn nothing_leaks(steps in proptest::collection::vec((0u8..12, 0u8..=255, 0u8..4, 0u8..4), 0..80)) {
        let mut net = Net::resolved();
        let mut flows = std::collections::BTreeSet::new();
        net.listen(APP, 1, 80, 2);
        for (step, flags, a, b) in steps {
            let t = match net.tcp.conns.keys().nth(b.into()) {
                Some(known) if a & 1 == 0 => *known,
                _ => tuple(80, 40000 + u16::from(a)),
            };
            let opaque = u64::from(b);
            let client = [APP, APP_OTHER, STRANGER, APP][usize::from(a)];
            let flow = flows.iter().nth(b.into()).copied();
            match step {
                0 => net.recv(&t, SYN, IRS, SeqNum(0)),
                1 => {
                    // An ACK of whatever was sent last.
                    let ack = net.last_seq + 1;
                    net.recv(&t, ACK, IRS + 1, ack);
                }
                2 => {
                    let ack = net.last_seq + 1;
                    net.recv(&t, SYN_ACK, IRS, ack);
                }
                3 => net.recv(&t, tas_wire::TcpFlags(flags), IRS + u32::from(a), SeqNum(b.into())),
                4 => net.tcp.open(&mut net.w, client, &Open::to(opaque, (PEER, 80))),
                5 => net.tcp.accept(&mut net.w, client, 1, opaque, 80),
                6 => net.tcp.close(&mut net.w, client, name(opaque, &t), crate::link::CloseHow::Reset),
                7 => net.tcp.move_conn(&mut net.w, client, name(opaque, &t), APP_OTHER.context),
                8 => if let Some(flow) = flow {
                    let end = if a == 0 { crate::proto::End::TimeWait } else { crate::proto::End::Reset };
                    net.ended(flow, end);
                },
                9 => if let Some(flow) = flow.filter(|f| net.is_closing(*f)) {
                    flows.remove(&flow);
                    net.released(flow);
                },
                10 => net.pass(u64::from(flags) * 1000),
                _ => net.tcp.context_gone(&mut net.w, client.context),
            }
            net.drain(&mut flows);
        }
        net.tcp.tenant_gone(&mut net.w, APP.tenant);
        net.tcp.tenant_gone(&mut net.w, STRANGER.tenant);
        net.drain(&mut flows);
        for flow in std::mem::take(&mut flows) {
            proptest::prop_assert!(net.is_closing(flow));
            net.released(flow);
        }
        net.pass(600_000_000);
        net.empty();
    }
}

#[test]
fn replies_go_to_the_station_that_asked() {
    // Without an ARP entry, a SYN is answered to where it came from.
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let fields = segment(SYN, IRS, SeqNum(0));
    let t = tuple(80, 40000);
    let mut from_router = vec![0; fields.header_len()];
    TcpTemplate::new(ROUTER, MAC, &t.reversed())
        .emit(&mut from_router, &fields, 0, 0, ChecksumMode::Full)
        .unwrap();
    net.recv_raw(CORE1, &from_router);
    assert_eq!(net.sent().mac, ROUTER);
}
