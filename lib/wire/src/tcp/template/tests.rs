use std::net::Ipv4Addr;

use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as oracle;

use super::*;
use crate::strategies::{build, fields, mac, payload, tuple};
use crate::{Packet, parse};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn oracle_reads_ours(macs in (mac(), mac()), t in tuple(), mut f in fields(), data in payload()) {
        // The oracle refuses combinations such as SYN with FIN.
        let control = match f.fixed.flags.0 & 7 {
            1 => (TcpFlags::FIN, oracle::TcpControl::Fin),
            2 => (TcpFlags::SYN, oracle::TcpControl::Syn),
            4 => (TcpFlags::RST, oracle::TcpControl::Rst),
            _ => (TcpFlags::EMPTY, oracle::TcpControl::None),
        };
        f.fixed.flags = control.0 | TcpFlags(f.fixed.flags.0 & 0xf0);
        let frame = build(macs, &t, &f, &data);
        let caps = ChecksumCapabilities::default();

        let eth = oracle::EthernetFrame::new_checked(&frame[..]).unwrap();
        prop_assert_eq!((eth.src_addr().0, eth.dst_addr().0), (macs.0.0, macs.1.0));
        let ip = oracle::Ipv4Packet::new_checked(eth.payload()).unwrap();
        prop_assert!(oracle::Ipv4Repr::parse(&ip, &caps).is_ok());
        prop_assert_eq!((ip.src_addr(), ip.dst_addr()), (t.local_ip, t.remote_ip));
        prop_assert_eq!(ip.ecn(), f.fixed.ecn as u8);
        prop_assert_eq!((ip.ident(), ip.dont_frag(), ip.hop_limit()), (7, true, 64));
        prop_assert_eq!(usize::from(ip.total_len()), frame.len() - 14);

        let (src, dst) = (t.local_ip.into(), t.remote_ip.into());
        let tcp = oracle::TcpPacket::new_checked(ip.payload()).unwrap();
        prop_assert_eq!((tcp.ece(), tcp.cwr()), (f.fixed.flags.contains(TcpFlags::ECE), f.fixed.flags.contains(TcpFlags::CWR)));
        let repr = oracle::TcpRepr::parse(&tcp, &src, &dst, &caps).unwrap();
        let seg = f.get();
        let mut sack_ranges = [None; 3];
        for (range, block) in sack_ranges.iter_mut().zip(seg.sack_that_fits()) {
            *range = Some((block.left.0, block.right.0));
        }
        prop_assert_eq!(repr, oracle::TcpRepr {
            src_port: t.local_port,
            dst_port: t.remote_port,
            control: control.1,
            seq_number: oracle::TcpSeqNumber(seg.seq.0 as i32),
            ack_number: seg.flags.contains(TcpFlags::ACK).then_some(oracle::TcpSeqNumber(seg.ack.0 as i32)),
            window_len: seg.window,
            window_scale: seg.window_scale.map(WindowScale::bits),
            max_seg_size: seg.mss,
            sack_permitted: seg.sack_permitted,
            sack_ranges,
            timestamp: seg.timestamps.map(|t| oracle::TcpTimestampRepr::new(t.val, t.ecr)),
            payload: &data,
        });
    }

    #[test]
    fn we_read_ours(macs in (mac(), mac()), t in tuple(), f in fields(), data in payload()) {
        let frame = build(macs, &t, &f, &data);
        let Ok(Packet::Tcp(packet)) = parse(&frame) else {
            return Err(TestCaseError::fail("not TCP"));
        };
        let seg = f.get();
        prop_assert_eq!((packet.eth.src, packet.eth.dst), macs);
        prop_assert_eq!(packet.tuple(), t.reversed());
        prop_assert_eq!(packet.ecn, seg.ecn);
        prop_assert_eq!((packet.tcp.seq, packet.tcp.ack), (seg.seq, seg.ack));
        prop_assert_eq!((packet.tcp.flags, packet.tcp.window), (seg.flags, seg.window));
        prop_assert_eq!(packet.options.timestamps, seg.timestamps);
        prop_assert_eq!(packet.options.mss, seg.mss);
        prop_assert_eq!(packet.options.window_scale, seg.window_scale);
        prop_assert_eq!(packet.options.sack_permitted, seg.sack_permitted);
        prop_assert_eq!(packet.options.sack.as_slice(), seg.sack_that_fits());
        prop_assert_eq!(packet.payload, &data[..]);
    }

    #[test]
    fn checksum_modes_agree(t in tuple(), f in fields(), data in payload()) {
        let template = TcpTemplate::new(MacAddr::ZERO, MacAddr::ZERO, &t);
        let full = build((MacAddr::ZERO, MacAddr::ZERO), &t, &f, &data);
        let seg = f.get();
        // What a NIC does: sum everything, the pseudo header's sum included.
        let mut offloaded = full.clone();
        template.emit(&mut offloaded, &seg, data.len(), 7, ChecksumMode::Offload).unwrap();
        let done = checksum::ones_complement_sum(&offloaded[TCP..], Sum::ZERO).finish();
        offloaded[TCP + 16..TCP + 18].copy_from_slice(&done.to_be_bytes());
        prop_assert_eq!(&offloaded, &full);
    }

    #[test]
    fn options_never_exceed_the_header(f in fields()) {
        let seg = f.get();
        prop_assert!(seg.options_len() <= MAX_OPTIONS_LEN);
        prop_assert_eq!(seg.options_len() % 4, 0);
    }
}

fn sample_template() -> TcpTemplate {
    let tuple = FlowTuple {
        local_ip: Ipv4Addr::new(10, 0, 0, 1),
        local_port: 80,
        remote_ip: Ipv4Addr::new(10, 0, 0, 2),
        remote_port: 4000,
    };
    TcpTemplate::new(MacAddr::ZERO, MacAddr::BROADCAST, &tuple)
}

fn blocks(n: u32) -> Vec<SackBlock> {
    (0..n)
        .map(|i| SackBlock {
            left: SeqNum(i),
            right: SeqNum(i + 1),
        })
        .collect()
}

/// RFC 2018 §3: four blocks, three beside timestamps.
#[test]
fn sack_blocks_that_do_not_fit_are_left_out() {
    let sack = blocks(5);
    let mut seg = SegmentFields {
        sack: &sack,
        ..SegmentFields::default()
    };
    assert_eq!(seg.sack_that_fits(), &sack[..4]);
    assert_eq!(seg.options_len(), 36);
    seg.timestamps = Some(Timestamps::default());
    assert_eq!(seg.sack_that_fits(), &sack[..3]);
    assert_eq!(seg.options_len(), 40);
}

#[test]
fn bytes_behind_the_packet_stay_untouched() {
    let mut out = [0x5a; 100];
    let seg = SegmentFields::default();
    assert_eq!(
        sample_template().emit(&mut out, &seg, 10, 0, ChecksumMode::Full),
        Ok(54)
    );
    assert!(out[54..].iter().all(|b| *b == 0x5a));
}

#[test]
fn emit_reports_lengths_it_cannot_write() {
    let template = sample_template();
    let seg = SegmentFields::default();
    let emit = |out: &mut [u8], len| template.emit(out, &seg, len, 0, ChecksumMode::Offload);
    let mut out = vec![0; 70_000];
    assert_eq!(emit(&mut out[..53], 0), Err(EmitError::TooSmall));
    assert_eq!(emit(&mut out[..63], 10), Err(EmitError::TooSmall));
    assert_eq!(emit(&mut out, 65_495), Ok(54));
    assert_eq!(emit(&mut out, 65_496), Err(EmitError::TooLong));
    assert_eq!(emit(&mut out, usize::MAX), Err(EmitError::TooLong));
}

#[test]
fn next_hop_can_change() {
    let mut template = sample_template();
    let mac = MacAddr([2, 3, 4, 5, 6, 7]);
    template.set_dst_mac(mac);
    assert_eq!(template.dst_mac(), mac);
    let mut out = [0; 54];
    template
        .emit(
            &mut out,
            &SegmentFields::default(),
            0,
            0,
            ChecksumMode::Full,
        )
        .unwrap();
    assert_eq!(&out[..6], &mac.0);
    assert!(parse(&out).is_ok());
}

#[test]
fn template_fills_one_cache_line() {
    assert_eq!(size_of::<TcpTemplate>(), 64);
}
