//! Active opens.

use std::net::Ipv4Addr;

use tas_wire::{ArpPacket, MacAddr, SeqNum};

use super::Errno;
use super::testing::*;

use crate::config::Route;
use crate::link::{CloseHow, ToFast};

#[test]
fn connects_after_resolving_the_neighbour() {
    let mut net = Net::new();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    let request = net.sent_arp();
    assert_eq!(request, ArpPacket::request(MAC, IP, PEER));
    net.quiet();

    net.recv_arp(&request.reply(PEER_MAC));
    let syn = net.sent();
    assert_eq!((syn.flags, syn.mac), (SYN, PEER_MAC));
    assert_eq!((syn.tuple.local_ip, syn.tuple.remote_port), (IP, 80));
    assert!(syn.tuple.local_port >= 32768);

    net.recv(&syn.tuple, SYN_ACK, IRS, syn.seq + 1);
    let ack = net.sent();
    assert_eq!((ack.flags, ack.seq, ack.ack), (ACK, syn.seq + 1, IRS + 1));
    // The core that received the SYN-ACK owns the flow.
    let (core, setup) = net.installed();
    assert_eq!((core, ack.core), (CORE1, CORE1));
    assert_eq!(setup.init.remote_mac, PEER_MAC);
    assert_eq!((setup.init.iss, setup.init.irs), (syn.seq, IRS));
    assert_eq!(setup.init.snd_wnd, 1000);
    let app = setup.app.unwrap();
    assert_eq!((app.context, app.opaque), (APP.context, 5));
    assert_eq!(net.w.table.get(&syn.tuple), Some(&setup.flow));

    let opened = net.opened(APP);
    assert_eq!({ opened.opaque }, 5);
    assert_eq!({ opened.status }, 0);
    assert_eq!(({ opened.rx_len }, { opened.tx_len }), (8192, 4096));
    // Relative to the tenant's memory; behind the receive buffer lies its tail.
    assert_eq!(({ opened.rx_off }, { opened.tx_off }), (0, 8256));
    assert_eq!({ opened.seq_rx }, (IRS + 1).0);
    assert_eq!({ opened.seq_tx }, (syn.seq + 1).0);
    assert_eq!({ opened.fn_core }, 1);
    assert_eq!({ opened.local_port }, syn.tuple.local_port);
    net.quiet();
    let counts = net.tcp.counts();
    assert_eq!(
        (counts.connections, counts.opened, counts.opening),
        (1, 1, 0)
    );
}

#[test]
fn refused() {
    let mut net = Net::resolved();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    let syn = net.sent();
    net.recv(&syn.tuple, RST | ACK, SeqNum(0), syn.seq + 1);
    assert_eq!({ net.opened(APP).status }, Errno::CONNREFUSED.status());
    net.quiet();
    net.empty();
}

#[test]
fn a_silent_peer_times_out() {
    let mut net = Net::resolved();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    let syn = net.sent();
    let first = net.pass_to_deadline();
    assert!((5_000..15_000).contains(&first));
    for double in [2, 4, 8] {
        assert_eq!(net.sent().seq, syn.seq);
        net.quiet();
        assert_eq!(net.pass_to_deadline(), first * double);
    }
    assert_eq!({ net.opened(APP).status }, Errno::TIMEDOUT.status());
    net.quiet();
    net.empty();
    assert_eq!(net.tcp.counts().syn_retransmits, 3);
}

#[test]
fn a_silent_neighbour_is_unreachable() {
    let mut net = Net::new();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    net.tcp.open(&mut net.w, APP, &Open::to(6, (PEER, 81)));
    // One request for both; then after 500, 1000, 2000 and 4000 µs, no more than the maximum.
    for timeout in [500, 1000, 2000, 4000] {
        assert_eq!(net.sent_arp().target_ip, PEER);
        net.quiet();
        assert_eq!(net.pass_to_deadline(), timeout);
    }
    assert_eq!({ net.opened(APP).status }, Errno::HOSTUNREACH.status());
    assert_eq!({ net.opened(APP).status }, Errno::HOSTUNREACH.status());
    net.quiet();
    net.empty();
    assert_eq!(net.tcp.counts().arp_failures, 1);
}

#[test]
fn no_way_to_connect() {
    let mut net = Net::new();
    for (ip, port, errno) in [
        (Ipv4Addr::new(192, 168, 0, 1), 80, Errno::NETUNREACH),
        (Ipv4Addr::new(224, 0, 0, 1), 80, Errno::NETUNREACH),
        (Ipv4Addr::BROADCAST, 80, Errno::NETUNREACH),
        (Ipv4Addr::new(10, 0, 0, 255), 80, Errno::NETUNREACH),
        (PEER, 0, Errno::INVAL),
    ] {
        net.tcp.open(&mut net.w, APP, &Open::to(5, (ip, port)));
        assert_eq!({ net.opened(APP).status }, errno.status(), "{ip}");
    }
    net.quiet();
    net.empty();
}

#[test]
fn routes_lead_to_their_next_hop() {
    let mut cfg = config();
    let router = Ipv4Addr::new(10, 0, 0, 254);
    cfg.routes = vec![Route {
        dest: Ipv4Addr::new(192, 168, 0, 0),
        prefix_len: 16,
        next_hop: router,
    }];
    let mut net = Net::with(cfg);
    net.tcp.open(
        &mut net.w,
        APP,
        &Open::to(5, (Ipv4Addr::new(192, 168, 3, 4), 80)),
    );
    assert_eq!(net.sent_arp().target_ip, router);
}

#[test]
fn our_own_address_needs_no_arp() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    net.tcp.open(&mut net.w, APP, &Open::to(5, (IP, 80)));
    let (core, syn) = net.sent_frame();
    // The port hands back what is addressed to itself.
    net.recv_raw(core, &syn);
    let (core, syn_ack) = net.sent_frame();
    net.recv_raw(core, &syn_ack);
    let (core, ack) = net.sent_frame();
    net.installed();
    net.recv_raw(core, &ack);
    net.installed();
    assert_eq!({ net.opened(APP).status }, 0);
    assert_eq!(net.tcp.counts().connections, 2);
}

#[test]
fn runs_out_of_memory_flows_and_ports() {
    let mut net = Net::resolved();
    for limit in [0, 1] {
        net.w.memory_limit = Some(limit);
        net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
        assert_eq!({ net.opened(APP).status }, Errno::NOBUFS.status());
        net.empty();
    }
    net.w.memory_limit = None;
    for opaque in 0..64 {
        net.tcp.open(&mut net.w, APP, &Open::to(opaque, (PEER, 80)));
        net.sent();
    }
    net.tcp.open(&mut net.w, APP, &Open::to(99, (PEER, 80)));
    assert_eq!({ net.opened(APP).status }, Errno::NOBUFS.status());
    net.tcp.tenant_gone(&mut net.w, APP.tenant);
    net.empty();
}

#[test]
fn every_connection_has_a_port_of_its_own() {
    let mut cfg = config();
    cfg.flows = 40_000;
    let mut net = Net::with(cfg);
    let request = ArpPacket::request(PEER_MAC, PEER, IP);
    net.recv_arp(&request);
    net.next_message();
    let ports = 60999 - 32768 + 1;
    let mut seen = std::collections::HashSet::new();
    for opaque in 0..ports {
        net.tcp.open(&mut net.w, APP, &Open::to(opaque, (PEER, 80)));
        assert!(seen.insert(net.sent().tuple.local_port));
    }
    net.tcp.open(&mut net.w, APP, &Open::to(ports, (PEER, 80)));
    assert_eq!({ net.opened(APP).status }, Errno::ADDRNOTAVAIL.status());
    // Towards another port of the peer, all are free.
    net.tcp.open(&mut net.w, APP, &Open::to(ports, (PEER, 81)));
    net.sent();
}

#[test]
fn a_full_lookup_table_fails_the_open() {
    let mut net = Net::resolved();
    net.w.table_full = true;
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    let syn = net.sent();
    net.recv(&syn.tuple, SYN_ACK, IRS, syn.seq + 1);
    net.sent();
    let rst = net.sent();
    assert_eq!((rst.flags, rst.seq), (RST | ACK, syn.seq + 1));
    assert_eq!({ net.opened(APP).status }, Errno::NOBUFS.status());
    net.quiet();
    net.empty();
}

// ---- RFC 9293 §3.10.7.3

#[test]
fn wrong_ack_is_reset_and_the_open_goes_on() {
    let mut net = Net::resolved();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    let syn = net.sent();
    net.recv(&syn.tuple, ACK, SeqNum(3), SeqNum(4));
    let rst = net.sent();
    assert_eq!((rst.flags, rst.seq), (RST, SeqNum(4)));
    net.quiet();
    net.recv(&syn.tuple, SYN_ACK, IRS, syn.seq + 1);
    net.sent();
    net.installed();
}

#[test]
fn simultaneous_open() {
    let mut net = Net::resolved();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    let syn = net.sent();
    net.recv(&syn.tuple, SYN, IRS, SeqNum(0));
    let syn_ack = net.sent();
    assert_eq!(
        (syn_ack.flags, syn_ack.seq, syn_ack.ack),
        (SYN_ACK, syn.seq, IRS + 1)
    );
    // The completing ACK brings data, which goes to the flow.
    net.recv_fields(&syn.tuple, &segment(ACK, IRS + 1, syn.seq + 1), b"hello");
    net.installed();
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::Reinject(_)))
    ));
    assert_eq!({ net.opened(APP).status }, 0);
}

// ---- Closing before it is open

#[test]
fn close_while_resolving_and_while_connecting() {
    let mut net = Net::new();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    net.sent_arp();
    net.tcp.close(&mut net.w, APP, unopened(5), CloseHow::Reset);
    assert_eq!(net.status(APP), (5, 0));
    net.empty();
    // The answer to the request finds nobody waiting.
    net.recv_arp(&ArpPacket::request(MAC, IP, PEER).reply(PEER_MAC));
    net.quiet();

    net.tcp.open(&mut net.w, APP, &Open::to(6, (PEER, 80)));
    let syn = net.sent();
    net.tcp
        .close(&mut net.w, APP, unopened(6), CloseHow::Graceful);
    assert_eq!(net.status(APP), (6, 0));
    net.empty();
    // The peer's answer meets a closed port.
    net.recv(&syn.tuple, SYN_ACK, IRS, syn.seq + 1);
    assert_eq!(net.sent().flags, RST);
    net.pass(10_000_000);
    net.quiet();
}

#[test]
fn closing_a_simultaneous_open_resets_the_peer() {
    let mut net = Net::resolved();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    let syn = net.sent();
    net.recv(&syn.tuple, SYN, IRS, SeqNum(0));
    net.sent();
    net.tcp.close(&mut net.w, APP, unopened(5), CloseHow::Reset);
    assert_eq!(net.sent().flags, RST | ACK);
    assert_eq!(net.status(APP), (5, 0));
    net.empty();
}

#[test]
fn a_port_reused_while_the_neighbour_is_asked_for_is_not_confused() {
    let mut net = Net::new();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    net.sent_arp();
    net.tcp.close(&mut net.w, APP, unopened(5), CloseHow::Reset);
    net.status(APP);
    net.tcp.open(&mut net.w, APP, &Open::to(6, (PEER, 80)));
    net.recv_arp(&ArpPacket::request(MAC, IP, PEER).reply(PEER_MAC));
    assert_eq!(net.sent().flags, SYN);
    net.quiet();
}

// ---- ICMP errors, RFC 5927

/// A destination unreachable message that quotes our segment.
fn unreachable(code: u8, quoted: &[u8]) -> Vec<u8> {
    icmp_error(3, code, [0; 4], quoted)
}

#[test]
fn icmp_errors_end_an_open() {
    for (code, errno) in [
        (0, Errno::NETUNREACH),
        (1, Errno::HOSTUNREACH),
        (3, Errno::CONNREFUSED),
        (13, Errno::HOSTUNREACH),
    ] {
        let mut net = Net::resolved();
        net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
        let (_, syn) = net.sent_frame();
        net.recv_raw(CORE0, &unreachable(code, &syn));
        assert_eq!({ net.opened(APP).status }, errno.status());
        net.empty();
    }
}

#[test]
fn icmp_errors_about_other_segments_do_nothing() {
    let mut net = Net::resolved();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    let (_, mut syn) = net.sent_frame();
    // Wrong sequence number: somebody guesses.
    syn[14 + 20 + 4] ^= 1;
    net.recv_raw(CORE0, &unreachable(3, &syn));
    // "Fragmentation needed" makes no sense for a SYN.
    syn[14 + 20 + 4] ^= 1;
    net.recv_raw(CORE0, &unreachable(4, &syn));
    net.quiet();
    assert_eq!(net.tcp.counts().opening, 1);
}

/// RFC 1122 §4.2.3.9: time exceeded, parameter problem and source quench (RFC 6633) end nothing.
#[test]
fn soft_errors_end_nothing() {
    let mut net = Net::resolved();
    let (tuple, _) = net.established(APP, 5);
    let quoted = frame(&tuple.reversed(), &segment(ACK, SeqNum(1), SeqNum(1)), &[]);
    net.tcp.open(&mut net.w, APP, &Open::to(6, (PEER, 81)));
    let (_, syn) = net.sent_frame();
    for (kind, code) in [(4, 0), (11, 0), (11, 1), (12, 0)] {
        for quoted in [&quoted[..], &syn] {
            net.recv_raw(CORE0, &icmp_error(kind, code, [0; 4], quoted));
        }
    }
    net.quiet();
    let counts = net.tcp.counts();
    assert_eq!((counts.connections, counts.opening), (1, 1));
}

#[test]
fn icmp_errors_do_not_touch_established_connections() {
    let mut net = Net::resolved();
    let (tuple, _) = net.established(APP, 5);
    let mut quoted = frame(&tuple.reversed(), &segment(ACK, SeqNum(1), SeqNum(1)), &[]);
    quoted.truncate(60);
    net.recv_raw(CORE0, &unreachable(3, &quoted));
    net.quiet();
    assert_eq!(net.tcp.counts().connections, 1);
}

#[test]
fn a_syn_is_repeated_to_where_the_neighbour_is_now() {
    let mut net = Net::resolved();
    net.pass(2_000_000);
    net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
    assert_eq!(net.sent().mac, PEER_MAC);
    let moved = MacAddr([2, 0, 0, 0, 0, 9]);
    net.recv_arp(&ArpPacket::announcement(moved, PEER));
    net.pass_to_deadline();
    assert_eq!(net.sent().mac, moved);
}

/// A looped-back port gives back what it sends, and need not have an Ethernet address.
#[test]
fn connects_to_itself_over_a_looped_port() {
    let cfg = super::TcpControlConfig {
        mac: MacAddr::ZERO,
        ..config()
    };
    let mut net = Net::with(cfg);
    net.tcp.listen_open(&mut net.w, APP, &Listen::on(1, 80, 8));
    net.w.forget_answers();
    net.tcp.open(&mut net.w, APP, &Open::to(5, (IP, 80)));
    for _ in 0..3 {
        let (core, frame) = net.sent_frame();
        net.recv_raw(core, &frame);
    }
    assert_eq!(net.tcp.counts().connections, 2);
}
