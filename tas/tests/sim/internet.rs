//! ICMP messages, and the ways to other networks.

use std::net::Ipv4Addr;

use tas::sim::Event;
use tas_wire::{
    ArpOp, Echo, EchoReply, IcmpMessage, MacAddr, Packet, TcpFlags, Verify, arp, checksum,
    parse_with,
};

use crate::attack::NOBODY;
use crate::station::{STATION, Station, Talk};
use crate::{PORT, SERVER};

const ECHO_REQUEST: u8 = 8;
const UNREACHABLE: u8 = 3;

/// An ICMP message of the station, with `rest` behind its first eight bytes.
fn icmp(station: &Station, to: Ipv4Addr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    // Nothing emits other messages than these; they have the same form.
    let message = EchoReply {
        src_mac: NOBODY,
        dst_mac: station.service_mac(),
        src_ip: STATION,
        dst_ip: to,
        echo: Echo {
            ident: 0,
            seq: 0,
            data: rest,
        },
    };
    let mut frame = vec![0; 42 + rest.len()];
    message.emit(&mut frame, 1).unwrap();
    frame[34..38].copy_from_slice(&[kind, code, 0, 0]);
    let sum = checksum::ones_complement_sum(&frame[34..], checksum::Sum::ZERO).finish();
    frame[36..38].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// RFC 1122 §3.2.2.6.
#[test]
fn echo_is_answered_with_the_same_data() {
    let mut station = Station::new(|conf| conf);
    station.frames();
    let data: Vec<u8> = (0..=255).cycle().take(1400).collect();
    let request = icmp(&station, SERVER.into(), ECHO_REQUEST, 0, &data);
    station.inject(&request);
    station.run(100);
    let frames = station.frames();
    assert_eq!(frames.len(), 1, "{frames:?}");
    let Ok(Packet::Icmp(reply)) = parse_with(&frames[0].1, Verify::ALL) else {
        panic!("{frames:?}");
    };
    let IcmpMessage::EchoReply(echo) = reply.message else {
        panic!("{reply:?}");
    };
    assert_eq!((reply.eth.dst, reply.ip_dst), (NOBODY, STATION));
    assert_eq!(reply.ip_src, Ipv4Addr::from(SERVER));
    assert_eq!(echo.data, data);
    // Not for others, nor with a wrong checksum.
    let elsewhere = icmp(&station, [10, 0, 0, 7].into(), ECHO_REQUEST, 0, &data);
    station.inject(&elsewhere);
    let mut damaged = request;
    damaged[100] ^= 1;
    station.inject(&damaged);
    station.run(100);
    assert_eq!(station.frames(), []);
}

/// RFC 1122 §4.2.3.9, RFC 5927 §4.
#[test]
fn unreachable_ends_an_open() {
    for (code, errno) in [(0, -101), (1, -113), (3, -111)] {
        let mut station = Station::new(|conf| conf);
        station.frames();
        let conn = station.app.open(0, STATION, PORT);
        station.run(100);
        let (_, mut syn) = station.frames().pop().expect("a SYN");
        // Another number: somebody guesses.
        syn[14 + 20 + 7] ^= 1;
        let report = icmp(&station, SERVER.into(), UNREACHABLE, code, &syn[14..42]);
        station.inject(&report);
        station.run(100);
        assert_eq!(station.events, []);
        syn[14 + 20 + 7] ^= 1;
        let report = icmp(&station, SERVER.into(), UNREACHABLE, code, &syn[14..42]);
        station.inject(&report);
        station.run(100);
        assert_eq!(station.events, [Event::OpenFailed(conn, errno)]);
    }
}

/// RFC 5927 §5.2: what is established does not end, though the report is right.
#[test]
fn unreachable_ends_no_connection() {
    let mut talk = Talk::new(true);
    talk.station.frames();
    talk.write(1);
    let (_, data) = talk.station.frames().pop().expect("data");
    for code in [0, 1, 2, 3, 13] {
        let report = icmp(
            &talk.station,
            SERVER.into(),
            UNREACHABLE,
            code,
            &data[14..42],
        );
        talk.station.inject(&report);
        talk.station.run(50);
    }
    talk.acknowledge(1, &[]);
    let conn = talk.station.app.conn(talk.conn).unwrap();
    assert!(conn.open && !conn.reset && conn.all_acknowledged());
}

/// Where the service asks who has an address, the station answers with a MAC address of its own
/// for each.
fn answer_arp(station: &mut Station) -> Vec<Ipv4Addr> {
    let mut asked = Vec::new();
    for (_, frame) in station.frames() {
        let Ok(Packet::Arp(request)) = parse_with(&frame, Verify::ALL) else {
            continue;
        };
        assert_eq!(request.op, ArpOp::Request);
        let mut reply = vec![0; arp::FRAME_LEN];
        request
            .reply(station_of(request.target_ip))
            .emit(&mut reply)
            .unwrap();
        station.inject(&reply);
        asked.push(request.target_ip);
    }
    asked
}

fn station_of(ip: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = ip.octets();
    MacAddr([6, 0, a, b, c, d])
}

/// RFC 1122 §3.3.1.2: the gateway with the longest prefix; neighbours are reached without.
#[test]
fn the_longest_prefix_names_the_gateway() {
    let mut station = Station::new(|conf| {
        conf.with("--ip-route=192.168.0.0/16,10.0.0.71")
            .with("--ip-route=192.168.7.0/24,10.0.0.72")
            .with("--ip-route=192.168.7.128/25,10.0.0.73")
            .with("--ip-route=0.0.0.0/0,10.0.0.74")
    });
    station.frames();
    let ways: [([u8; 4], [u8; 4]); 6] = [
        ([192, 168, 1, 1], [10, 0, 0, 71]),
        ([192, 168, 7, 1], [10, 0, 0, 72]),
        ([192, 168, 7, 129], [10, 0, 0, 73]),
        ([192, 169, 7, 129], [10, 0, 0, 74]),
        ([8, 8, 8, 8], [10, 0, 0, 74]),
        ([10, 0, 0, 75], [10, 0, 0, 75]),
    ];
    let mut known: Vec<Ipv4Addr> = Vec::new();
    for (dest, gateway) in ways {
        let (dest, gateway) = (Ipv4Addr::from(dest), Ipv4Addr::from(gateway));
        station.app.open(0, dest, PORT);
        station.run(100);
        if !known.contains(&gateway) {
            assert_eq!(answer_arp(&mut station), [gateway], "towards {dest}");
            known.push(gateway);
            station.run(100);
        }
        let syn = station.heard_one();
        assert!(syn.flags.contains(TcpFlags::SYN));
        assert_eq!((syn.tuple.remote_ip, syn.to), (dest, station_of(gateway)));
    }
}
