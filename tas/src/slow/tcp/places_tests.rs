//! Local addresses and ports, and buffers, that applications choose.

use std::net::Ipv4Addr;

use tas_wire::{ArpPacket, FlowTuple, SeqNum};

use super::Errno;
use super::testing::*;
use crate::config::LocalAddr;
use crate::proto::End;

/// Our second address.
const IP2: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

/// A service with two addresses that knows the peer.
fn net() -> Net {
    let mut cfg = config();
    cfg.addresses.push(LocalAddr {
        ip: IP2,
        prefix_len: 24,
    });
    let mut net = Net::with(cfg);
    net.recv_arp(&ArpPacket::request(PEER_MAC, PEER, IP));
    net.next_message();
    net
}

fn from(opaque: u64, ip: Option<Ipv4Addr>, port: Option<u16>) -> Open {
    Open {
        local_ip: ip,
        local_port: port,
        ..Open::to(opaque, (PEER, 80))
    }
}

fn at(opaque: u64, ip: Option<Ipv4Addr>) -> Listen {
    Listen {
        ip,
        ..Listen::on(opaque, 80, 8)
    }
}

/// A peer's port connects to port 80 of an address; returns our initial sequence number.
fn syn_to(net: &mut Net, ip: Ipv4Addr, port: u16) -> (FlowTuple, SeqNum) {
    let tuple = FlowTuple {
        local_ip: ip,
        ..tuple(80, port)
    };
    net.recv(&tuple, SYN, IRS, SeqNum(0));
    let reply = net.sent();
    assert_eq!(reply.flags, SYN_ACK);
    (tuple, reply.seq)
}

// ---- Active opens

#[test]
fn a_connection_comes_from_where_the_application_says() {
    let mut net = net();
    net.tcp
        .open(&mut net.w, APP, &from(5, Some(IP2), Some(7777)));
    let syn = net.sent();
    assert_eq!(
        (syn.tuple.local_ip, syn.tuple.local_port, syn.flags),
        (IP2, 7777, SYN)
    );
    net.recv(&syn.tuple, SYN_ACK, IRS, syn.seq + 1);
    net.sent();
    net.installed();
    let opened = net.opened(APP);
    assert_eq!(
        ({ opened.status }, { opened.local_ip }, {
            opened.local_port
        }),
        (0, IP2.to_bits(), 7777)
    );
    // Only the address, or only the port.
    net.tcp.open(&mut net.w, APP, &from(6, Some(IP2), None));
    assert_eq!(net.sent().tuple.local_ip, IP2);
    net.tcp.open(&mut net.w, APP, &from(7, None, Some(7777)));
    let syn = net.sent();
    assert_eq!((syn.tuple.local_ip, syn.tuple.local_port), (IP, 7777));
}

#[test]
fn an_address_of_others_or_a_tuple_in_use_is_not_available() {
    let mut net = net();
    for ip in [PEER, Ipv4Addr::new(127, 0, 0, 1)] {
        net.tcp.open(&mut net.w, APP, &from(5, Some(ip), None));
        assert_eq!({ net.opened(APP).status }, Errno::ADDRNOTAVAIL.status());
    }
    net.tcp.open(&mut net.w, APP, &from(5, None, Some(7777)));
    let syn = net.sent();
    for client in [APP, STRANGER] {
        net.tcp.open(&mut net.w, client, &from(6, None, Some(7777)));
        assert_eq!({ net.opened(client).status }, Errno::ADDRNOTAVAIL.status());
    }
    // In TIME-WAIT too.
    net.recv(&syn.tuple, SYN_ACK, IRS, syn.seq + 1);
    net.sent();
    let flow = net.installed().1.flow;
    net.opened(APP);
    net.ended(flow, End::TimeWait);
    net.tcp.open(&mut net.w, APP, &from(6, None, Some(7777)));
    assert_eq!({ net.opened(APP).status }, Errno::ADDRNOTAVAIL.status());
    net.pass(config().time_wait.0);
    net.tcp.open(&mut net.w, APP, &from(6, None, Some(7777)));
    assert_eq!(net.sent().flags, SYN);
}

#[test]
fn a_listeners_port_may_be_a_connections_local_port() {
    let mut net = net();
    net.listen(APP, 1, 7777, 8);
    net.tcp.open(&mut net.w, APP, &from(5, None, Some(7777)));
    let syn = net.sent();
    assert_eq!(syn.tuple.local_port, 7777);
    // The listener still gets others.
    net.peer_syn(7777, 40000);
}

#[test]
fn buffers_are_as_long_as_asked_within_bounds() {
    let mut net = net();
    for (asked, given) in [
        ((0, 0), (8192, 4096)),
        ((1, 2049), (2048, 2112)),
        ((100_000, u32::MAX), (100_032, 64 << 20)),
    ] {
        let open = Open {
            buffers: BufferLens {
                rx: asked.0,
                tx: asked.1,
            },
            ..Open::to(5, (PEER, 80))
        };
        net.tcp.open(&mut net.w, APP, &open);
        let syn = net.sent();
        net.recv(&syn.tuple, SYN_ACK, IRS, syn.seq + 1);
        net.sent();
        let (_, setup) = net.installed();
        assert_eq!((setup.init.rx_len, setup.init.tx_len), given);
        let opened = net.opened(APP);
        assert_eq!(({ opened.rx_len }, { opened.tx_len }), given);
    }
}

// ---- Listeners

#[test]
fn listeners_on_different_addresses_share_a_port() {
    let mut net = net();
    for (opaque, ip) in [(1, IP), (2, IP2)] {
        net.tcp.listen_open(&mut net.w, APP, &at(opaque, Some(ip)));
        assert_eq!(net.status(APP), (opaque, 0));
    }
    for (ip, errno) in [
        (Some(IP), Errno::ADDRINUSE),
        (None, Errno::ADDRINUSE),
        (Some(PEER), Errno::ADDRNOTAVAIL),
    ] {
        net.tcp.listen_open(&mut net.w, STRANGER, &at(3, ip));
        assert_eq!(net.status(STRANGER), (3, errno.status()));
    }
    for (ip, opaque) in [(IP, 1), (IP2, 2)] {
        let (tuple, iss) = syn_to(&mut net, ip, 40000);
        net.tcp.accept(&mut net.w, APP, opaque, 10 + opaque, 80);
        net.recv(&tuple, ACK, IRS + 1, iss + 1);
        net.installed();
        let accepted = net.accepted(APP);
        assert_eq!(
            ({ accepted.opaque }, { accepted.local_ip }),
            (10 + opaque, ip.to_bits())
        );
    }
}

#[test]
fn the_very_address_comes_before_all_addresses() {
    let mut net = net();
    for (opaque, ip) in [(1, None), (2, Some(IP2))] {
        let listen = Listen {
            reuseport: true,
            ..at(opaque, ip)
        };
        net.tcp.listen_open(&mut net.w, APP, &listen);
        assert_eq!(net.status(APP), (opaque, 0));
        for conn in 0..8 {
            net.tcp
                .accept(&mut net.w, APP, opaque, 10 * opaque + conn, 80);
        }
    }
    for port in 40000..40004 {
        for (ip, opaque) in [(IP, 1), (IP2, 2)] {
            let (tuple, iss) = syn_to(&mut net, ip, port);
            net.recv(&tuple, ACK, IRS + 1, iss + 1);
            net.installed();
            assert_eq!({ net.accepted(APP).opaque } / 10, opaque);
        }
    }
}

#[test]
fn a_listeners_connections_have_its_buffers() {
    let mut net = net();
    let listen = Listen {
        buffers: BufferLens { rx: 4096, tx: 2048 },
        ..at(1, None)
    };
    net.tcp.listen_open(&mut net.w, APP, &listen);
    assert_eq!(net.status(APP), (1, 0));
    net.peer_connects(80, 40000);
    let (_, setup) = net.installed();
    assert_eq!((setup.init.rx_len, setup.init.tx_len), (4096, 2048));
    assert!(setup.init.rcv_wnd <= 4096);
    net.w_answer();
    // Others from then on.
    let listen = Listen {
        buffers: BufferLens { rx: 2048, tx: 8192 },
        ..listen
    };
    net.tcp.listen_again(&mut net.w, APP, &listen);
    assert_eq!(net.status(APP), (1, 0));
    net.peer_connects(80, 40001);
    let (_, setup) = net.installed();
    assert_eq!((setup.init.rx_len, setup.init.tx_len), (2048, 8192));
}

#[test]
fn listening_again_changes_the_backlog() {
    let mut net = net();
    net.tcp.listen_again(&mut net.w, APP, &at(1, None));
    assert_eq!(net.status(APP), (1, 0));
    for (port, backlog) in [(40000, 1), (40001, 2)] {
        let listen = Listen {
            backlog,
            ..at(1, None)
        };
        net.tcp.listen_again(&mut net.w, APP, &listen);
        assert_eq!(net.status(APP), (1, 0));
        net.peer_connects(80, port);
        net.installed();
        net.w_answer();
        // Now it is full.
        net.recv(&tuple(80, 50000), SYN, IRS, SeqNum(0));
        net.quiet();
    }
    assert_eq!(net.tcp.counts().listeners, 1);
    // Another name is another listener.
    net.tcp.listen_again(&mut net.w, APP, &at(2, None));
    assert_eq!(net.status(APP), (2, Errno::ADDRINUSE.status()));
}

#[test]
fn any_number_is_a_backlog() {
    for backlog in [0, i32::MAX as u32, u32::MAX] {
        let mut net = net();
        let listen = Listen {
            backlog,
            ..at(1, None)
        };
        net.tcp.listen_again(&mut net.w, APP, &listen);
        assert_eq!(net.status(APP), (1, 0));
        net.peer_connects(80, 40000);
        net.installed();
        net.w_answer();
    }
}
