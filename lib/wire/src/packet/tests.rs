use proptest::collection::vec;
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as oracle;

use super::*;
use crate::strategies::{ecn, frame, mac, payload, tuple};
use crate::{IcmpMessage, MacAddr, SeqNum, TcpFlags, Timestamps, WindowScale};

/// What parsing must keep for every frame that it accepts.
fn check_accepted(bytes: &[u8], verify: Verify) {
    match parse_with(bytes, verify) {
        Ok(Packet::Tcp(packet)) => {
            assert!(packet.payload.len() + 54 <= bytes.len());
            assert!(packet.options.sack.as_slice().len() <= 4);
            assert!(packet.options.window_scale.is_none_or(|s| s.bits() <= 14));
            let _ = (packet.tuple().hash(), packet.seq_len());
        }
        Ok(Packet::Icmp(packet)) => {
            let mut out = [0; 2048];
            if let Some(reply) = packet.echo_reply() {
                let _ = reply.emit(&mut out, 0);
            }
        }
        Ok(Packet::Arp(packet)) => {
            let mut out = [0; 64];
            let _ = packet.reply(MacAddr::ZERO).emit(&mut out);
        }
        Ok(Packet::Other(_)) | Err(_) => {}
    }
}

fn flags() -> impl Strategy<Value = (oracle::TcpControl, TcpFlags)> {
    prop_oneof![
        Just((oracle::TcpControl::None, TcpFlags::EMPTY)),
        Just((oracle::TcpControl::Psh, TcpFlags::PSH)),
        Just((oracle::TcpControl::Syn, TcpFlags::SYN)),
        Just((oracle::TcpControl::Fin, TcpFlags::FIN)),
        Just((oracle::TcpControl::Rst, TcpFlags::RST)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn we_read_the_oracles_segments(
        macs in (mac(), mac()),
        t in tuple(),
        (control, flags) in flags(),
        (seq, ack, window) in any::<(u32, Option<u32>, u16)>(),
        (mss, scale, sack_permitted) in any::<(Option<u16>, Option<u8>, bool)>(),
        timestamps: Option<(u32, u32)>,
        ranges: [Option<(u32, u32)>; 2],
        ecn in ecn(),
        data in payload(),
        padding in 0usize..20,
    ) {
        let caps = ChecksumCapabilities::default();
        let (src, dst) = (t.local_ip.into(), t.remote_ip.into());
        // The oracle writes ranges only with ACK and without SACK-permitted.
        let ranges = if sack_permitted || ack.is_none() { [None; 2] } else { ranges };
        // The oracle miscounts what it cannot fit: keep to 40 bytes of options.
        let mss = if ranges == [None; 2] { mss } else { None };
        let scale = if ranges == [None; 2] { scale } else { None };
        let repr = oracle::TcpRepr {
            src_port: t.local_port,
            dst_port: t.remote_port,
            control,
            seq_number: oracle::TcpSeqNumber(seq as i32),
            ack_number: ack.map(|n| oracle::TcpSeqNumber(n as i32)),
            window_len: window,
            window_scale: scale,
            max_seg_size: mss,
            sack_permitted,
            sack_ranges: [ranges[0], ranges[1], None],
            timestamp: timestamps.map(|(val, ecr)| oracle::TcpTimestampRepr::new(val, ecr)),
            payload: &data,
        };
        let ip = oracle::Ipv4Repr {
            src_addr: t.local_ip,
            dst_addr: t.remote_ip,
            next_header: oracle::IpProtocol::Tcp,
            payload_len: repr.buffer_len(),
            hop_limit: 3,
        };
        let mut frame = vec![0; 34 + repr.buffer_len()];
        let mut eth = oracle::EthernetFrame::new_unchecked(&mut frame[..]);
        oracle::EthernetRepr {
            src_addr: oracle::EthernetAddress(macs.0.0),
            dst_addr: oracle::EthernetAddress(macs.1.0),
            ethertype: oracle::EthernetProtocol::Ipv4,
        }
        .emit(&mut eth);
        let mut packet = oracle::Ipv4Packet::new_unchecked(eth.payload_mut());
        ip.emit(&mut packet, &caps);
        packet.set_ecn(ecn as u8);
        packet.fill_checksum();
        repr.emit(
            &mut oracle::TcpPacket::new_unchecked(packet.payload_mut()),
            &src,
            &dst,
            &caps,
        );
        frame.extend(vec![0; padding]);

        let Ok(Packet::Tcp(ours)) = parse(&frame) else {
            return Err(TestCaseError::fail(format!("{:?}", parse(&frame))));
        };
        let ack_flag = if ack.is_some() { TcpFlags::ACK } else { TcpFlags::EMPTY };
        let sent: Vec<_> = ranges.iter().flatten().copied().collect();
        let seen: Vec<_> = ours.options.sack.into_iter().map(|b| (b.left.0, b.right.0)).collect();
        prop_assert_eq!((ours.eth.src, ours.eth.dst), macs);
        prop_assert_eq!(ours.tuple(), t.reversed());
        prop_assert_eq!(ours.ecn, ecn);
        prop_assert_eq!((ours.tcp.seq, ours.tcp.ack), (SeqNum(seq), SeqNum(ack.unwrap_or(0))));
        prop_assert_eq!((ours.tcp.flags, ours.tcp.window), (flags | ack_flag, window));
        prop_assert_eq!(ours.options.mss, mss);
        prop_assert_eq!(ours.options.window_scale, scale.map(WindowScale::new));
        prop_assert_eq!(ours.options.sack_permitted, sack_permitted);
        prop_assert_eq!(ours.options.timestamps, timestamps.map(|(val, ecr)| Timestamps { val, ecr }));
        prop_assert_eq!(seen, sent);
        prop_assert_eq!(ours.payload, &data[..]);
        prop_assert_eq!(ours.seq_len() as usize, repr.segment_len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..200), ip: bool, transport: bool) {
        check_accepted(&bytes, Verify { ip, transport });
    }

    #[test]
    fn any_bytes_behind_a_known_ethertype_are_survived(
        tail in vec(any::<u8>(), 0..120),
        kind in 0usize..5,
    ) {
        let mut bytes = vec![0; 12];
        bytes.extend_from_slice(match kind {
            0 => &[0x08, 0x00, 0x45][..],
            1 => &[0x08, 0x06],
            2 => &[0x81, 0x00],
            3 => &[0x81, 0x00, 0, 5, 0x08, 0x00, 0x46],
            _ => &[0x08, 0x00],
        });
        bytes.extend_from_slice(&tail);
        check_accepted(&bytes, Verify::NONE);
    }

    #[test]
    fn mutated_and_cut_frames_are_survived(
        mut bytes in frame(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        header_changes in vec((0usize..80, any::<u8>()), 0..4),
        cut: prop::sample::Index,
        keep_length: bool,
    ) {
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for (at, value) in header_changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if !keep_length {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        check_accepted(&bytes, Verify::NONE);
        check_accepted(&bytes, Verify::ALL);
    }
}

proptest! {
    #[test]
    fn tag_and_padding_change_nothing_else(bytes in frame(), tci: u16, padding in 0usize..40) {
        let mut tagged = bytes[..12].to_vec();
        tagged.extend_from_slice(&[0x81, 0]);
        tagged.extend_from_slice(&tci.to_be_bytes());
        tagged.extend_from_slice(&bytes[12..]);
        tagged.extend(vec![0xee; padding]);
        let vlan = Some(tci & 0xfff);
        match (parse(&bytes), parse(&tagged)) {
            (Ok(Packet::Tcp(a)), Ok(Packet::Tcp(mut b))) => {
                prop_assert_eq!((a.eth.vlan, b.eth.vlan), (None, vlan));
                b.eth.vlan = None;
                prop_assert_eq!(a, b);
            }
            (Ok(Packet::Icmp(a)), Ok(Packet::Icmp(mut b))) => {
                prop_assert_eq!((a.eth.vlan, b.eth.vlan), (None, vlan));
                b.eth.vlan = None;
                prop_assert_eq!(a, b);
            }
            (a, b) => {
                prop_assert!(a.is_ok());
                prop_assert_eq!(a, b);
            }
        }
    }

    /// One flipped bit behind the Ethernet header never goes unnoticed.
    #[test]
    fn corruption_is_found(bytes in frame(), bit: prop::sample::Index) {
        // ARP has no checksum.
        if let Ok(Packet::Arp(_)) = parse(&bytes) {
            return Ok(());
        }
        let mut bad = bytes.clone();
        let bit = 14 * 8 + bit.index((bytes.len() - 14) * 8);
        bad[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(parse(&bad).is_err());
    }
}

fn tcp_frame() -> Vec<u8> {
    use crate::strategies::build;
    let fields = crate::strategies::Fields {
        fixed: crate::SegmentFields::default(),
        sack: Vec::new(),
    };
    let tuple = crate::FlowTuple {
        local_ip: crate::Ipv4Addr::new(10, 0, 0, 1),
        local_port: 1,
        remote_ip: crate::Ipv4Addr::new(10, 0, 0, 2),
        remote_port: 2,
    };
    build((MacAddr::ZERO, MacAddr::ZERO), &tuple, &fields, b"abc")
}

#[test]
fn each_defect_has_its_error() {
    let verdict = |at: usize, value: u8| {
        let mut frame = tcp_frame();
        frame[at] = value;
        parse_with(&frame, Verify::NONE).map(|_| ())
    };
    assert_eq!(verdict(13, 0xdd), Err(ParseError::UnknownEtherType));
    assert_eq!(verdict(14, 0x65), Err(ParseError::BadIpHeader));
    assert_eq!(verdict(16, 0xff), Err(ParseError::BadIpLength));
    assert_eq!(verdict(20, 0x20), Err(ParseError::Fragment));
    assert_eq!(verdict(46, 0x40), Err(ParseError::BadTcpHeader));
    assert_eq!(verdict(46, 0xf0), Err(ParseError::BadTcpHeader));
    assert_eq!(verdict(17, 39), Err(ParseError::TooShort));
    assert_eq!(parse(&tcp_frame()[..13]), Err(ParseError::TooShort));
}

#[test]
fn checksums_are_verified_only_if_asked() {
    for (at, error, trusting) in [
        (
            22,
            ParseError::BadIpChecksum,
            Verify {
                ip: false,
                transport: true,
            },
        ),
        (
            54,
            ParseError::BadTcpChecksum,
            Verify {
                ip: true,
                transport: false,
            },
        ),
    ] {
        let mut frame = tcp_frame();
        frame[at] ^= 1;
        assert_eq!(parse(&frame), Err(error));
        assert!(parse_with(&frame, trusting).is_ok());
    }
}

#[test]
fn other_protocols_and_messages_are_told_apart() {
    let mut frame = tcp_frame();
    frame[23] = 17;
    assert!(matches!(
        parse_with(&frame, Verify::NONE),
        Ok(Packet::Other(ip)) if ip.protocol == Protocol(17)
    ));
    frame[23] = 1;
    frame[34..36].copy_from_slice(&[11, 1]);
    assert!(matches!(
        parse_with(&frame, Verify::NONE),
        Ok(Packet::Icmp(IcmpPacket {
            message: IcmpMessage::Other { kind: 11, code: 1 },
            ..
        }))
    ));
}

#[test]
fn error_indices_are_dense_and_names_distinct() {
    let mut names = std::collections::HashSet::new();
    for (i, error) in ParseError::ALL.into_iter().enumerate() {
        assert_eq!(error.index(), i);
        assert!(names.insert(error.to_string()));
    }
}

#[test]
fn flags_print_their_names() {
    assert_eq!((TcpFlags::SYN | TcpFlags::ACK).to_string(), "SYN|ACK");
    assert_eq!(TcpFlags::EMPTY.to_string(), "-");
}

#[test]
fn mac_addresses_have_kinds() {
    assert!(MacAddr::BROADCAST.is_multicast() && MacAddr::BROADCAST.is_broadcast());
    assert!(!MacAddr::ZERO.is_unicast());
    assert!(MacAddr([2, 0, 0, 0, 0, 1]).is_unicast());
    assert_eq!(
        MacAddr([2, 0, 0, 0xab, 0, 1]).to_string(),
        "02:00:00:ab:00:01"
    );
}
