use proptest::prelude::*;
use smoltcp::wire as oracle;

use super::*;
use crate::strategies::{ip, mac};
use crate::{Packet, parse};

fn arp() -> impl Strategy<Value = ArpPacket> {
    (any::<bool>(), mac(), ip(), mac(), ip()).prop_map(
        |(reply, sender_mac, sender_ip, target_mac, target_ip)| ArpPacket {
            op: if reply { ArpOp::Reply } else { ArpOp::Request },
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        },
    )
}

fn to_oracle(p: &ArpPacket) -> oracle::ArpRepr {
    oracle::ArpRepr::EthernetIpv4 {
        operation: match p.op {
            ArpOp::Request => oracle::ArpOperation::Request,
            ArpOp::Reply => oracle::ArpOperation::Reply,
        },
        source_hardware_addr: oracle::EthernetAddress(p.sender_mac.0),
        source_protocol_addr: p.sender_ip,
        target_hardware_addr: oracle::EthernetAddress(p.target_mac.0),
        target_protocol_addr: p.target_ip,
    }
}

proptest! {
    #[test]
    fn oracle_reads_ours(p in arp()) {
        let mut out = [0; FRAME_LEN];
        prop_assert_eq!(p.emit(&mut out), Ok(FRAME_LEN));
        let eth = oracle::EthernetFrame::new_checked(&out[..]).unwrap();
        prop_assert_eq!(eth.src_addr().0, p.sender_mac.0);
        let dst = match p.op {
            ArpOp::Request => MacAddr::BROADCAST,
            ArpOp::Reply => p.target_mac,
        };
        prop_assert_eq!(eth.dst_addr().0, dst.0);
        prop_assert_eq!(eth.ethertype(), oracle::EthernetProtocol::Arp);
        let packet = oracle::ArpPacket::new_checked(eth.payload()).unwrap();
        prop_assert_eq!(oracle::ArpRepr::parse(&packet).unwrap(), to_oracle(&p));
    }

    #[test]
    fn we_read_the_oracles(p in arp(), padding in 0usize..20) {
        let mut out = vec![0; FRAME_LEN + padding];
        let mut eth = oracle::EthernetFrame::new_unchecked(&mut out[..]);
        eth.set_ethertype(oracle::EthernetProtocol::Arp);
        to_oracle(&p).emit(&mut oracle::ArpPacket::new_unchecked(eth.payload_mut()));
        prop_assert_eq!(parse(&out), Ok(Packet::Arp(p)));
    }
}

#[test]
fn request_and_reply() {
    let (a, b) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    let (ip_a, ip_b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let reply = ArpPacket::request(a, ip_a, ip_b).reply(b);
    assert_eq!(reply.op, ArpOp::Reply);
    assert_eq!((reply.sender_mac, reply.sender_ip), (b, ip_b));
    assert_eq!((reply.target_mac, reply.target_ip), (a, ip_a));
    let gratuitous = ArpPacket::announcement(a, ip_a);
    assert_eq!(gratuitous.sender_ip, gratuitous.target_ip);
}

#[test]
fn other_protocols_and_operations_are_refused() {
    let mut out = [0; FRAME_LEN];
    ArpPacket::announcement(MacAddr::ZERO, Ipv4Addr::LOCALHOST)
        .emit(&mut out)
        .unwrap();
    for (at, value) in [(15, 6), (16, 9), (18, 8), (19, 16), (21, 3)] {
        let mut bad = out;
        bad[at] = value;
        assert_eq!(parse(&bad), Err(ParseError::BadArp), "byte {at}");
    }
    assert_eq!(parse(&out[..41]), Err(ParseError::TooShort));
    assert_eq!(
        ArpPacket::announcement(MacAddr::ZERO, Ipv4Addr::LOCALHOST).emit(&mut out[..41]),
        Err(EmitError::TooSmall)
    );
}
