//! Frames from the network: Ethernet, ARP, IPv4, ICMP with what it quotes, TCP with its options.

use tas_wire::{
    ArpPacket, ChecksumMode, EchoReply, IcmpMessage, IcmpPacket, Packet, PlainSegment,
    SegmentFields, TcpPacket, TcpTemplate, Verify, parse, parse_with,
};

use crate::repair::{Repair, repair};

/// The first byte says what of the frame is made right.
///
/// # Panics
/// A parser does, or two of them do not agree.
pub fn run(data: &[u8]) {
    let Some((mode, frame)) = data.split_first() else {
        return;
    };
    let what = match mode % 3 {
        0 => Repair::Nothing,
        1 => Repair::Checksums,
        _ => Repair::All,
    };
    let mut frame = frame.to_vec();
    repair(&mut frame, what);
    check(&frame);
}

fn check(frame: &[u8]) {
    let trusted = parse_with(frame, Verify::NONE);
    for (ip, transport) in [(false, true), (true, false), (true, true)] {
        let verify = Verify { ip, transport };
        let verified = parse_with(frame, verify);
        assert!(verified.is_err() || verified == trusted, "{verify:?}");
        check_plain(frame, verify, verified.ok());
    }
    check_plain(frame, Verify::NONE, trusted.ok());
    match trusted {
        Ok(Packet::Tcp(packet)) => check_tcp(&packet),
        Ok(Packet::Arp(packet)) => check_arp(&packet),
        Ok(Packet::Icmp(packet)) => check_icmp(&packet),
        Ok(Packet::Other(_)) => {}
        Err(error) => assert!(!error.name().is_empty()),
    }
}

/// The fast way of parsing takes nothing that the general one does not take, and reads the same.
fn check_plain(frame: &[u8], verify: Verify, general: Option<Packet<'_>>) {
    let Some(plain) = PlainSegment::parse(frame, verify) else {
        return;
    };
    let Some(Packet::Tcp(packet)) = general else {
        panic!("only the fast way took it");
    };
    assert_eq!(plain.tuple, packet.tuple());
    assert_eq!(plain.seq, packet.tcp.seq);
    assert_eq!(plain.ack, packet.tcp.ack);
    assert_eq!(plain.flags, packet.tcp.flags);
    assert_eq!(plain.window, packet.tcp.window);
    assert_eq!(plain.ecn, packet.ecn);
    assert_eq!(plain.timestamps, packet.options.timestamps);
    let from = usize::from(plain.payload_at);
    let payload = frame.get(from..from + usize::from(plain.payload_len));
    assert_eq!(payload, Some(packet.payload));
}

/// A segment that says the same is read as the same.
fn check_tcp(packet: &TcpPacket<'_>) {
    let options = &packet.options;
    let fields = SegmentFields {
        seq: packet.tcp.seq,
        ack: packet.tcp.ack,
        flags: packet.tcp.flags,
        window: packet.tcp.window,
        ecn: packet.ecn,
        timestamps: options.timestamps,
        sack: options.sack.as_slice(),
        mss: options.mss,
        window_scale: options.window_scale,
        sack_permitted: options.sack_permitted,
    };
    let tuple = packet.tuple().reversed();
    let template = TcpTemplate::new(packet.eth.src, packet.eth.dst, &tuple);
    let at = fields.header_len();
    let mut frame = vec![0; at + packet.payload.len()];
    frame[at..].copy_from_slice(packet.payload);
    let mode = ChecksumMode::Full;
    if template
        .emit(&mut frame, &fields, packet.payload.len(), 1, mode)
        .is_err()
    {
        assert!(
            frame.len() > usize::from(u16::MAX),
            "refused for another reason than its length"
        );
        return;
    }
    let Ok(Packet::Tcp(again)) = parse(&frame) else {
        panic!("what was built cannot be parsed");
    };
    assert_eq!(again.tuple(), packet.tuple());
    assert_eq!(again.payload, packet.payload);
    assert_eq!(
        (again.tcp.seq, again.tcp.ack),
        (packet.tcp.seq, packet.tcp.ack)
    );
    assert_eq!(
        (again.tcp.flags, again.tcp.window),
        (packet.tcp.flags, packet.tcp.window)
    );
    crate::options::assert_kept(options, &again.options);
}

fn check_arp(packet: &ArpPacket) {
    for packet in [*packet, packet.reply(packet.target_mac)] {
        let mut frame = [0; tas_wire::arp::FRAME_LEN];
        assert_eq!(packet.emit(&mut frame), Ok(frame.len()));
        assert_eq!(parse(&frame), Ok(Packet::Arp(packet)));
    }
}

fn check_icmp(packet: &IcmpPacket<'_>) {
    let Some(reply) = packet.echo_reply() else {
        return;
    };
    check_reply(&reply, 65_536);
    // A port's buffers are shorter than what IP can carry.
    check_reply(&reply, 1514);
}

fn check_reply(reply: &EchoReply<'_>, room: usize) {
    let mut frame = vec![0; room];
    let Ok(len) = reply.emit(&mut frame, 1) else {
        assert!(reply.echo.data.len() + 42 > room.min(usize::from(u16::MAX)));
        return;
    };
    let Ok(Packet::Icmp(again)) = parse(&frame[..len]) else {
        panic!("what was built cannot be parsed");
    };
    assert_eq!(again.message, IcmpMessage::EchoReply(reply.echo));
    assert_eq!((again.ip_src, again.ip_dst), (reply.src_ip, reply.dst_ip));
}
