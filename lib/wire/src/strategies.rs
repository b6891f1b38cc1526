//! Random values for the property tests.

use core::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::*;

pub fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

pub fn ip() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from_bits)
}

/// A connection; the oracle does not accept port 0.
pub fn tuple() -> impl Strategy<Value = FlowTuple> {
    (ip(), 1u16.., ip(), 1u16..).prop_map(|(local_ip, local_port, remote_ip, remote_port)| {
        FlowTuple {
            local_ip,
            local_port,
            remote_ip,
            remote_port,
        }
    })
}

pub fn ecn() -> impl Strategy<Value = Ecn> {
    (0u8..4).prop_map(Ecn::from_tos)
}

pub fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        vec(any::<u8>(), 0..200),
        vec(any::<u8>(), 1400..1600)
    ]
}

fn sack_block() -> impl Strategy<Value = SackBlock> {
    any::<(u32, u32)>().prop_map(|(left, right)| SackBlock {
        left: SeqNum(left),
        right: SeqNum(right),
    })
}

/// `SegmentFields` that own their SACK blocks.
#[derive(Debug, Clone)]
pub struct Fields {
    pub fixed: SegmentFields<'static>,
    pub sack: Vec<SackBlock>,
}

impl Fields {
    pub fn get(&self) -> SegmentFields<'_> {
        SegmentFields {
            sack: &self.sack,
            ..self.fixed
        }
    }
}

pub fn fields() -> impl Strategy<Value = Fields> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u8>(), any::<u16>(), ecn());
    let timestamps =
        proptest::option::of(any::<(u32, u32)>().prop_map(|(val, ecr)| Timestamps { val, ecr }));
    let scale = proptest::option::of((0u8..=14).prop_map(WindowScale::new));
    let options = (timestamps, any::<Option<u16>>(), scale, any::<bool>());
    (numbers, options, vec(sack_block(), 0..6)).prop_map(|(numbers, options, sack)| {
        let (seq, ack, flags, window, ecn) = numbers;
        let (timestamps, mss, window_scale, sack_permitted) = options;
        Fields {
            fixed: SegmentFields {
                seq: SeqNum(seq),
                ack: SeqNum(ack),
                flags: TcpFlags(flags),
                window,
                ecn,
                timestamps,
                sack: &[],
                mss,
                window_scale,
                sack_permitted,
            },
            sack,
        }
    })
}

/// A whole frame as [`TcpTemplate`] builds it, checksums filled in.
pub fn build(
    macs: (MacAddr, MacAddr),
    tuple: &FlowTuple,
    fields: &Fields,
    payload: &[u8],
) -> Vec<u8> {
    let seg = fields.get();
    let mut frame = vec![0xa5; seg.header_len()];
    frame.extend_from_slice(payload);
    TcpTemplate::new(macs.0, macs.1, tuple)
        .emit(&mut frame, &seg, payload.len(), 7, ChecksumMode::Full)
        .unwrap();
    frame
}

/// A valid frame of any kind that the parser knows.
pub fn frame() -> impl Strategy<Value = Vec<u8>> {
    let tcp = (mac(), mac(), tuple(), fields(), payload())
        .prop_map(|(src, dst, tuple, fields, data)| build((src, dst), &tuple, &fields, &data));
    let arp = (mac(), ip(), ip()).prop_map(|(mac, ip, target)| {
        let mut out = vec![0; arp::FRAME_LEN];
        ArpPacket::request(mac, ip, target).emit(&mut out).unwrap();
        out
    });
    prop_oneof![4 => tcp, 1 => arp, 1 => echo_reply(), 1 => unreachable()]
}

fn echo_reply() -> impl Strategy<Value = Vec<u8>> {
    (mac(), ip(), ip(), any::<(u16, u16)>(), payload()).prop_map(
        |(mac, src_ip, dst_ip, (ident, seq), data)| {
            let reply = EchoReply {
                src_mac: mac,
                dst_mac: mac,
                src_ip,
                dst_ip,
                echo: Echo {
                    ident,
                    seq,
                    data: &data,
                },
            };
            let mut out = vec![0; 42 + data.len()];
            reply.emit(&mut out, 1).unwrap();
            out
        },
    )
}

/// A destination unreachable message that quotes a segment: an echo reply
/// whose type, code and rest are overwritten.
fn unreachable() -> impl Strategy<Value = Vec<u8>> {
    (tuple(), fields(), 0u8..16, any::<u16>(), 0usize..80).prop_map(
        |(tuple, fields, code, mtu, quoted)| {
            let segment = build((MacAddr::ZERO, MacAddr::ZERO), &tuple, &fields, &[1; 40]);
            let quote = &segment[14..(14 + quoted).min(segment.len())];
            icmp_error((tuple.remote_ip, tuple.local_ip), code, mtu, quote)
        },
    )
}

/// A destination unreachable message from the first address to the second.
pub fn icmp_error(ips: (Ipv4Addr, Ipv4Addr), code: u8, mtu: u16, quote: &[u8]) -> Vec<u8> {
    let reply = EchoReply {
        src_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        dst_mac: MacAddr([2, 0, 0, 0, 0, 2]),
        src_ip: ips.0,
        dst_ip: ips.1,
        echo: Echo {
            ident: 0,
            seq: mtu,
            data: quote,
        },
    };
    let mut out = vec![0; 42 + quote.len()];
    reply.emit(&mut out, 1).unwrap();
    out[34..38].copy_from_slice(&[3, code, 0, 0]);
    let sum = checksum::ones_complement_sum(&out[34..], checksum::Sum::ZERO).finish();
    out[36..38].copy_from_slice(&sum.to_be_bytes());
    out
}
