use proptest::prelude::*;

use super::*;
use crate::checksum::ones_complement_sum;
use crate::strategies;
use crate::{ChecksumMode, MacAddr, Packet, SegmentFields, parse_with};

fn arb_fields() -> impl Strategy<Value = PlainFields> {
    (
        any::<(u32, u32, u8, u16)>(),
        any::<bool>(),
        prop::option::of(any::<(u32, u32)>()),
    )
        .prop_map(|((seq, ack, flags, window), ect, ts)| PlainFields {
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            flags: TcpFlags(flags),
            window,
            ecn: if ect { Ecn::Ect0 } else { Ecn::NotEct },
            timestamps: ts.map(|(val, ecr)| Timestamps { val, ecr }),
        })
}

fn general(fields: &PlainFields) -> SegmentFields<'static> {
    SegmentFields {
        seq: fields.seq,
        ack: fields.ack,
        flags: fields.flags,
        window: fields.window,
        ecn: fields.ecn,
        timestamps: fields.timestamps,
        ..SegmentFields::default()
    }
}

fn frame(fields: &PlainFields, payload: &[u8], template: &TcpTemplate, id: u16) -> Vec<u8> {
    let mut frame = vec![0; fields.header_len() + payload.len()];
    frame[fields.header_len()..].copy_from_slice(payload);
    let sum = ones_complement_sum(payload, Sum::ZERO);
    let len = template.emit_plain(
        &mut frame,
        fields,
        payload.len(),
        id,
        PlainChecksum::Data(sum),
    );
    assert_eq!(len, Ok(fields.header_len()));
    frame
}

proptest! {
    #[test]
    fn emits_what_the_general_way_emits(
        (src, dst) in (strategies::mac(), strategies::mac()),
        tuple in strategies::tuple(),
        fields in arb_fields(),
        payload in prop::collection::vec(any::<u8>(), 0..1500),
        id in any::<u16>(),
    ) {
        let template = TcpTemplate::new(src, dst, &tuple);
        let plain = frame(&fields, &payload, &template, id);
        let mut expected = plain.clone();
        expected[..fields.header_len()].fill(0xee);
        let general = general(&fields);
        template.emit(&mut expected, &general, payload.len(), id, ChecksumMode::Full).unwrap();
        // The same sum may be written in two ways, 0 and 0xffff.
        prop_assert!(matches!(parse_with(&plain, Verify::ALL), Ok(Packet::Tcp(_))));
        let checksum = TCP + 16..TCP + 18;
        for (at, (got, want)) in plain.iter().zip(&expected).enumerate() {
            prop_assert!(got == want || checksum.contains(&at), "byte {}", at);
        }

        template.emit(&mut expected, &general, payload.len(), id, ChecksumMode::Offload).unwrap();
        let mut offload = expected.clone();
        offload[..fields.header_len()].fill(0xee);
        template
            .emit_plain(&mut offload, &fields, payload.len(), id, PlainChecksum::Offload)
            .unwrap();
        prop_assert_eq!(offload, expected);
    }

    #[test]
    fn parses_what_the_general_way_parses(
        (src, dst) in (strategies::mac(), strategies::mac()),
        tuple in strategies::tuple(),
        fields in arb_fields(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        padding in 0usize..20,
        spoil in prop::option::of((0usize..100, 0u8..8)),
    ) {
        let template = TcpTemplate::new(src, dst, &tuple);
        let mut bytes = frame(&fields, &payload, &template, 7);
        bytes.extend(vec![0; padding]);
        if let Some((at, bit)) = spoil {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        for verify in [Verify::ALL, Verify::NONE] {
            let general = parse_with(&bytes, verify);
            match PlainSegment::parse(&bytes, verify) {
                Some(plain) => {
                    let Ok(Packet::Tcp(packet)) = general else {
                        return Err(TestCaseError::fail("only the plain way took it"));
                    };
                    prop_assert_eq!(plain.tuple, packet.tuple());
                    prop_assert_eq!(plain.seq, packet.tcp.seq);
                    prop_assert_eq!(plain.ack, packet.tcp.ack);
                    prop_assert_eq!(plain.flags, packet.tcp.flags);
                    prop_assert_eq!(plain.window, packet.tcp.window);
                    prop_assert_eq!(plain.ecn, packet.ecn);
                    prop_assert_eq!(plain.timestamps, packet.options.timestamps);
                    let from = usize::from(plain.payload_at);
                    let data = &bytes[from..from + usize::from(plain.payload_len)];
                    prop_assert_eq!(data, packet.payload);
                }
                None => prop_assert!(spoil.is_some(), "a plain segment was not taken"),
            }
        }
    }

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = PlainSegment::parse(&bytes, Verify::ALL);
        let _ = PlainSegment::parse(&bytes, Verify::NONE);
    }
}

fn any_template() -> TcpTemplate {
    let tuple = FlowTuple {
        local_ip: Ipv4Addr::new(10, 0, 0, 1),
        local_port: 1,
        remote_ip: Ipv4Addr::new(10, 0, 0, 2),
        remote_port: 2,
    };
    TcpTemplate::new(MacAddr([2; 6]), MacAddr([4; 6]), &tuple)
}

#[test]
fn fragments_are_not_plain() {
    let whole = frame(&PlainFields::default(), b"data", &any_template(), 7);
    assert!(PlainSegment::parse(&whole, Verify::NONE).is_some());
    // More fragments; the highest and lowest bit of the offset.
    for (at, bits) in [(6, 0x20), (6, 0x10), (7, 1)] {
        let mut part = whole.clone();
        part[IP + at] |= bits;
        assert_eq!(PlainSegment::parse(&part, Verify::NONE), None);
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let template = any_template();
    let fields = PlainFields {
        timestamps: Some(Timestamps::default()),
        ..PlainFields::default()
    };
    let none = PlainChecksum::Data(Sum::ZERO);
    let emit =
        |len: usize, payload| template.emit_plain(&mut vec![0; len], &fields, payload, 0, none);
    assert_eq!(emit(53, 0), Err(EmitError::TooSmall));
    assert_eq!(emit(65, 0), Err(EmitError::TooSmall));
    assert_eq!(emit(66, 0), Ok(66));
    assert_eq!(emit(66, 65535), Err(EmitError::TooLong));
}
