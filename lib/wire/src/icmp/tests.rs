use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as oracle;

use super::*;
use crate::strategies::{build, fields, icmp_error, ip, mac, payload, tuple};
use crate::{Packet, parse};

fn unreachable_in(frame: &[u8]) -> Unreachable {
    match parse(frame) {
        Ok(Packet::Icmp(IcmpPacket {
            message: IcmpMessage::Unreachable(u),
            ..
        })) => u,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn oracle_pings_and_reads_our_reply(
        macs in (mac(), mac()),
        ips in (ip(), ip()),
        ident: u16,
        seq: u16,
        data in payload(),
    ) {
        let caps = ChecksumCapabilities::default();
        let request = oracle::Icmpv4Repr::EchoRequest { ident, seq_no: seq, data: &data };
        let ip = oracle::Ipv4Repr {
            src_addr: ips.0,
            dst_addr: ips.1,
            next_header: oracle::IpProtocol::Icmp,
            payload_len: request.buffer_len(),
            hop_limit: 64,
        };
        let mut frame = vec![0; 34 + request.buffer_len()];
        oracle::EthernetRepr {
            src_addr: oracle::EthernetAddress(macs.0.0),
            dst_addr: oracle::EthernetAddress(macs.1.0),
            ethertype: oracle::EthernetProtocol::Ipv4,
        }
        .emit(&mut oracle::EthernetFrame::new_unchecked(&mut frame[..]));
        ip.emit(&mut oracle::Ipv4Packet::new_unchecked(&mut frame[14..]), &caps);
        request.emit(&mut oracle::Icmpv4Packet::new_unchecked(&mut frame[34..]), &caps);

        let Ok(Packet::Icmp(packet)) = parse(&frame) else {
            return Err(TestCaseError::fail("not ICMP"));
        };
        let mut out = vec![0; frame.len() + 3];
        let len = packet.echo_reply().unwrap().emit(&mut out, 5).unwrap();
        prop_assert_eq!(len, frame.len());

        let eth = oracle::EthernetFrame::new_checked(&out[..len]).unwrap();
        prop_assert_eq!((eth.src_addr().0, eth.dst_addr().0), (macs.1.0, macs.0.0));
        let ip = oracle::Ipv4Packet::new_checked(eth.payload()).unwrap();
        let repr = oracle::Ipv4Repr::parse(&ip, &caps).unwrap();
        prop_assert_eq!((repr.src_addr, repr.dst_addr), (ips.1, ips.0));
        let icmp = oracle::Icmpv4Packet::new_checked(ip.payload()).unwrap();
        let reply = oracle::Icmpv4Repr::EchoReply { ident, seq_no: seq, data: &data };
        prop_assert_eq!(oracle::Icmpv4Repr::parse(&icmp, &caps).unwrap(), reply);
    }

    #[test]
    fn quoted_segment_is_found(
        t in tuple(),
        f in fields(),
        code in 0u8..16,
        mtu: u16,
        quoted in 0usize..60,
    ) {
        let segment = build((MacAddr::ZERO, MacAddr::ZERO), &t, &f, b"payload, quoted or not");
        let quote = &segment[14..][..quoted.min(segment.len() - 14)];
        let u = unreachable_in(&icmp_error((t.remote_ip, t.local_ip), code, mtu, quote));
        let expected = QuotedTcp {
            tuple: t,
            seq: f.fixed.seq,
            total_len: (segment.len() - 14) as u16,
        };
        // RFC 792: the IP header and 64 bits are all one can count on.
        prop_assert_eq!(u.quoted, (quoted >= 28).then_some(expected));
    }
}

#[test]
fn unreachable_codes() {
    let ips = (Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1));
    let needed = |next_hop_mtu| UnreachableCode::FragmentationNeeded { next_hop_mtu };
    for (code, mtu, expected) in [
        (0, 0, UnreachableCode::Network),
        (1, 0, UnreachableCode::Host),
        (2, 0, UnreachableCode::Protocol),
        (3, 0, UnreachableCode::Port),
        (4, 1400, needed(Some(1400))),
        (4, 0, needed(None)),
        (13, 0, UnreachableCode::Other(13)),
    ] {
        let u = unreachable_in(&icmp_error(ips, code, mtu, &[]));
        assert_eq!((u.code, u.quoted), (expected, None));
    }
}

#[test]
fn quotes_that_are_not_tcp_headers() {
    let mut quote = [0u8; 28];
    quote[0] = 0x45;
    quote[9] = 6;
    assert!(QuotedTcp::parse(&quote).is_some());
    for (at, value) in [(0, 0x55), (0, 0x44), (0, 0x46), (9, 17), (7, 1)] {
        let mut bad = quote;
        bad[at] = value;
        assert_eq!(QuotedTcp::parse(&bad), None, "byte {at} = {value}");
    }
}

#[test]
fn corrupted_message_is_refused() {
    let ips = (Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1));
    let mut frame = icmp_error(ips, 3, 0, &[1; 28]);
    frame[50] ^= 1;
    assert_eq!(parse(&frame), Err(ParseError::BadIcmpChecksum));
}

#[test]
fn emit_reports_lengths_it_cannot_write() {
    let data = vec![0; 65_508];
    let reply = |len| EchoReply {
        src_mac: MacAddr::ZERO,
        dst_mac: MacAddr::ZERO,
        src_ip: Ipv4Addr::LOCALHOST,
        dst_ip: Ipv4Addr::LOCALHOST,
        echo: Echo {
            ident: 0,
            seq: 0,
            data: &data[..len],
        },
    };
    let mut out = vec![0; 70_000];
    assert_eq!(reply(65_507).emit(&mut out, 0), Ok(65_549));
    assert_eq!(reply(65_508).emit(&mut out, 0), Err(EmitError::TooLong));
    assert_eq!(reply(1).emit(&mut out[..42], 0), Err(EmitError::TooSmall));
}
