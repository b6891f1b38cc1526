//! Handshakes as packet traces: `seg` is what arrives, the answer is what goes out.

use super::*;
use tas_wire::{ChecksumMode, FlowTuple, Ipv4Addr, MacAddr, Packet, TcpTemplate};

const TUPLE: FlowTuple = FlowTuple {
    local_ip: Ipv4Addr::new(10, 0, 0, 1),
    local_port: 80,
    remote_ip: Ipv4Addr::new(10, 0, 0, 2),
    remote_port: 40000,
};
const ISS: SeqNum = SeqNum(1000);
const IRS: SeqNum = SeqNum(u32::MAX);
const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const RST: TcpFlags = TcpFlags::RST;
const ECN_SETUP: TcpFlags = TcpFlags::ECE.union(TcpFlags::CWR);
const SYN_ACK: TcpFlags = SYN.union(ACK);

fn offer() -> Offer {
    Offer {
        iss: ISS,
        ts_offset: 5000,
        mtu: 1500,
        rx_len: 8192,
        ecn: true,
        timeout: Micros(10_000),
        retries: 3,
    }
}

/// A segment of the peer with its defaults: an Ethernet MSS, window scale 7, timestamps.
fn seg(flags: TcpFlags, seq: SeqNum, ack: SeqNum) -> SegmentFields<'static> {
    SegmentFields {
        seq,
        ack,
        flags,
        window: 1000,
        timestamps: Some(Timestamps { val: 77, ecr: 0 }),
        mss: flags.contains(SYN).then_some(1460),
        window_scale: flags.contains(SYN).then(|| WindowScale::new(7)),
        sack_permitted: flags.contains(SYN),
        ..SegmentFields::default()
    }
}

/// Gives `f` the segment as it would be parsed.
fn parsed<T>(fields: &SegmentFields<'_>, payload: &[u8], f: impl FnOnce(&TcpPacket<'_>) -> T) -> T {
    let template = TcpTemplate::new(MacAddr([2; 6]), MacAddr([4; 6]), &TUPLE.reversed());
    let mut frame = [0; 256];
    let header = fields.header_len();
    frame[header..header + payload.len()].copy_from_slice(payload);
    template
        .emit(&mut frame, fields, payload.len(), 0, ChecksumMode::Full)
        .unwrap();
    match tas_wire::parse(&frame[..header + payload.len()]).unwrap() {
        Packet::Tcp(packet) => f(&packet),
        other => panic!("{other:?}"),
    }
}

fn recv(handshake: &mut Handshake, fields: &SegmentFields<'_>, now: u64) -> Outcome {
    parsed(fields, &[], |packet| {
        handshake.on_segment(packet, Micros(now))
    })
}

fn reply(outcome: Outcome) -> SegmentFields<'static> {
    match outcome {
        Outcome::Reply(segment) => segment,
        other => panic!("{other:?}"),
    }
}

fn agreed(outcome: &Outcome) -> Agreed {
    match outcome {
        Outcome::Established { agreed, .. } => *agreed,
        other => panic!("{other:?}"),
    }
}

fn connect(offer: Offer) -> (Handshake, SegmentFields<'static>) {
    Handshake::connect(offer, Micros(0))
}

fn accept(offer: Offer, syn: &SegmentFields<'_>) -> (Handshake, SegmentFields<'static>) {
    parsed(syn, &[], |packet| {
        Handshake::accept(offer, packet, Micros(0))
    })
}

fn is_reset(segment: &SegmentFields<'_>, seq: SeqNum) -> bool {
    segment.flags == RST && segment.seq == seq
}

// ---- Active open, RFC 9293 §3.5 figure 6

#[test]
fn active_open() {
    let (mut h, syn) = connect(offer());
    assert_eq!((syn.flags, syn.seq), (SYN | ECN_SETUP, ISS));
    assert_eq!((syn.mss, syn.window), (Some(1460), 8192));
    assert_eq!(syn.window_scale, Some(WindowScale::ZERO));
    assert_eq!(syn.timestamps, Some(Timestamps { val: 5000, ecr: 0 }));
    assert!(syn.sack_permitted);

    let outcome = recv(&mut h, &seg(SYN_ACK | TcpFlags::ECE, IRS, ISS + 1), 250);
    let Outcome::Established {
        agreed,
        ack: Some(ack),
        reinject: false,
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!((ack.flags, ack.seq, ack.ack), (ACK, ISS + 1, IRS + 1));
    assert_eq!(ack.timestamps, Some(Timestamps { val: 5000, ecr: 77 }));
    assert_eq!((agreed.iss, agreed.irs), (ISS, IRS));
    assert_eq!(
        agreed.timestamps,
        Some(TimestampInit {
            recent: 77,
            offset: 5000
        })
    );
    assert_eq!((agreed.snd_wscale.bits(), agreed.rcv_wscale.bits()), (7, 0));
    // RFC 7323 §2.2: the window of a SYN is not scaled.
    assert_eq!((agreed.snd_wnd, agreed.rcv_wnd), (1000, 8192));
    assert_eq!((agreed.ecn, agreed.mss), (true, 1460));
    assert_eq!(agreed.rtt, Some(Micros(250)));
}

#[test]
fn active_open_with_a_plain_peer() {
    // No options at all: MSS 536 (RFC 9293 §3.7.1), no scaling, no timestamps, no ECN.
    let big = Offer {
        rx_len: 1 << 20,
        ..offer()
    };
    let (mut h, syn) = connect(big);
    assert_eq!(
        (syn.window, syn.window_scale),
        (65535, Some(WindowScale::new(5)))
    );
    let plain = SegmentFields {
        seq: IRS,
        ack: ISS + 1,
        flags: SYN_ACK,
        window: 500,
        ..SegmentFields::default()
    };
    let agreed = agreed(&recv(&mut h, &plain, 10));
    assert_eq!(
        (agreed.mss, agreed.timestamps, agreed.ecn),
        (536, None, false)
    );
    assert_eq!((agreed.snd_wscale.bits(), agreed.rcv_wscale.bits()), (0, 0));
    assert_eq!(agreed.rcv_wnd, 65535);
}

#[test]
fn window_scale_covers_the_buffer() {
    for (rx_len, shift) in [
        (8192, 0),
        (65535, 0),
        (65536, 1),
        (1 << 20, 5),
        (64 << 20, 11),
        (u32::MAX, 14),
    ] {
        let scale = Offer { rx_len, ..offer() }.window_scale();
        assert_eq!(scale.bits(), shift.min(14), "{rx_len}");
        assert!(
            scale.bits() == 14 || rx_len >> scale.bits() <= 65535,
            "{rx_len}"
        );
    }
}

#[test]
fn mss_is_the_smaller_of_both_and_never_tiny() {
    let mut syn_ack = seg(SYN_ACK, IRS, ISS + 1);
    for (theirs, mtu, mss) in [
        (8960, 1500, 1460),
        (1400, 9000, 1400),
        (1, 1500, 88),
        (0, 1500, 88),
    ] {
        syn_ack.mss = Some(theirs);
        let (mut h, _) = connect(Offer { mtu, ..offer() });
        assert_eq!(agreed(&recv(&mut h, &syn_ack, 0)).mss, mss);
    }
}

// ---- SYN-SENT, RFC 9293 §3.10.7.3

#[test]
fn syn_sent_unacceptable_ack_is_reset() {
    let (mut h, _) = connect(offer());
    for ack in [ISS, ISS + 2, ISS - 1] {
        let rst = reply(recv(&mut h, &seg(SYN_ACK, IRS, ack), 0));
        assert!(is_reset(&rst, ack));
        // ... unless it is itself a reset.
        assert_eq!(recv(&mut h, &seg(RST | ACK, IRS, ack), 0), Outcome::Ignore);
    }
    // Still willing.
    agreed(&recv(&mut h, &seg(SYN_ACK, IRS, ISS + 1), 0));
}

#[test]
fn syn_sent_reset() {
    let (mut h, _) = connect(offer());
    // A reset that acknowledges nothing may be anybody's.
    assert_eq!(recv(&mut h, &seg(RST, IRS, SeqNum(0)), 0), Outcome::Ignore);
    assert_eq!(
        recv(&mut h, &seg(RST | ACK, SeqNum(0), ISS + 1), 0),
        Outcome::Refused
    );
}

#[test]
fn syn_sent_ignores_segments_without_syn() {
    let (mut h, _) = connect(offer());
    assert_eq!(recv(&mut h, &seg(ACK, IRS, ISS + 1), 0), Outcome::Ignore);
    assert_eq!(
        recv(&mut h, &seg(TcpFlags::FIN, IRS, SeqNum(0)), 0),
        Outcome::Ignore
    );
}

#[test]
fn half_open_peer_is_reset_and_then_answers() {
    // RFC 9293 §3.5.1 figure 9: the peer still has the old connection.
    let (mut h, _) = connect(offer());
    let rst = reply(recv(&mut h, &seg(ACK, SeqNum(300), SeqNum(100)), 0));
    assert!(is_reset(&rst, SeqNum(100)));
    agreed(&recv(&mut h, &seg(SYN_ACK, IRS, ISS + 1), 0));
}

// ---- Simultaneous open, RFC 9293 §3.5 figure 7

#[test]
fn simultaneous_open() {
    let (mut h, _) = connect(offer());
    let syn_ack = reply(recv(&mut h, &seg(SYN | ECN_SETUP, IRS, SeqNum(0)), 100));
    assert_eq!(
        (syn_ack.flags, syn_ack.seq, syn_ack.ack),
        (SYN_ACK, ISS, IRS + 1)
    );
    // The peer's SYN-ACK repeats its SYN.
    let outcome = recv(&mut h, &seg(SYN_ACK, IRS, ISS + 1), 200);
    let agreed = agreed(&outcome);
    assert_eq!((agreed.irs, agreed.ecn), (IRS, false));
    assert!(matches!(outcome, Outcome::Established { ack: Some(_), .. }));
}

#[test]
fn simultaneous_open_completed_by_a_bare_ack() {
    let (mut h, _) = connect(offer());
    reply(recv(&mut h, &seg(SYN, IRS, SeqNum(0)), 100));
    let outcome = recv(&mut h, &seg(ACK, IRS + 1, ISS + 1), 200);
    assert!(matches!(
        outcome,
        Outcome::Established {
            ack: None,
            reinject: false,
            ..
        }
    ));
}

#[test]
fn simultaneous_open_can_be_refused() {
    let (mut h, _) = connect(offer());
    reply(recv(&mut h, &seg(SYN, IRS, SeqNum(0)), 100));
    assert_eq!(
        recv(&mut h, &seg(RST, IRS + 1, SeqNum(0)), 200),
        Outcome::Refused
    );
}

// ---- Passive open, RFC 9293 §3.10.7.2 and §3.10.7.4

#[test]
fn passive_open() {
    let (mut h, syn_ack) = accept(offer(), &seg(SYN | ECN_SETUP, IRS, SeqNum(0)));
    assert_eq!(syn_ack.flags, SYN_ACK | TcpFlags::ECE);
    assert_eq!((syn_ack.seq, syn_ack.ack), (ISS, IRS + 1));
    assert_eq!(syn_ack.timestamps, Some(Timestamps { val: 5000, ecr: 77 }));
    let mut ack = seg(ACK, IRS + 1, ISS + 1);
    ack.timestamps = Some(Timestamps { val: 80, ecr: 5000 });
    let outcome = recv(&mut h, &ack, 300);
    assert!(matches!(
        outcome,
        Outcome::Established {
            ack: None,
            reinject: false,
            ..
        }
    ));
    let agreed = agreed(&outcome);
    // From here on the window is scaled.
    assert_eq!((agreed.snd_wnd, agreed.ecn), (1000 << 7, true));
    assert_eq!(agreed.timestamps.unwrap().recent, 80);
    assert_eq!(agreed.rtt, Some(Micros(300)));
}

#[test]
fn options_are_answered_only_where_offered() {
    let plain = SegmentFields {
        seq: IRS,
        flags: SYN,
        window: 9,
        ..SegmentFields::default()
    };
    let (mut h, syn_ack) = accept(offer(), &plain);
    assert_eq!((syn_ack.window_scale, syn_ack.timestamps), (None, None));
    assert!(!syn_ack.sack_permitted);
    assert_eq!(syn_ack.mss, Some(1460));
    let ack = SegmentFields {
        seq: IRS + 1,
        ack: ISS + 1,
        flags: ACK,
        window: 9,
        ..SegmentFields::default()
    };
    let agreed = agreed(&recv(&mut h, &ack, 0));
    assert_eq!(
        (agreed.mss, agreed.snd_wnd, agreed.timestamps),
        (536, 9, None)
    );
}

#[test]
fn data_and_fin_on_the_completing_ack_are_for_the_flow() {
    let (h, _) = accept(offer(), &seg(SYN, IRS, SeqNum(0)));
    let data = parsed(&seg(ACK, IRS + 1, ISS + 1), b"hi", |packet| {
        h.clone().on_segment(packet, Micros(0))
    });
    assert!(matches!(data, Outcome::Established { reinject: true, .. }));
    let fin = recv(
        &mut h.clone(),
        &seg(ACK | TcpFlags::FIN, IRS + 1, ISS + 1),
        0,
    );
    assert!(matches!(fin, Outcome::Established { reinject: true, .. }));
}

#[test]
fn later_data_completes_when_the_ack_was_lost() {
    let (mut h, _) = accept(offer(), &seg(SYN, IRS, SeqNum(0)));
    let outcome = parsed(&seg(ACK, IRS + 101, ISS + 1), b"second", |packet| {
        h.on_segment(packet, Micros(0))
    });
    assert!(matches!(
        outcome,
        Outcome::Established { reinject: true, .. }
    ));
}

#[test]
fn established_does_not_change_the_handshake() {
    // A caller without room for the connection ignores the outcome.
    let (mut h, _) = accept(offer(), &seg(SYN, IRS, SeqNum(0)));
    for _ in 0..2 {
        agreed(&recv(&mut h, &seg(ACK, IRS + 1, ISS + 1), 0));
    }
}

#[test]
fn repeated_syn_gets_the_syn_ack_again_and_spoils_the_rtt() {
    let (mut h, first) = accept(offer(), &seg(SYN | ECN_SETUP, IRS, SeqNum(0)));
    let again = reply(recv(&mut h, &seg(SYN | ECN_SETUP, IRS, SeqNum(0)), 0));
    assert_eq!(again, first);
    // RFC 3168 §6.1.1.1: without ECN this time.
    let again = reply(recv(&mut h, &seg(SYN, IRS, SeqNum(0)), 0));
    assert_eq!(again.flags, SYN_ACK);
    let agreed = agreed(&recv(&mut h, &seg(ACK, IRS + 1, ISS + 1), 9));
    assert_eq!((agreed.ecn, agreed.rtt), (false, None));
}

#[test]
fn syn_received_reset() {
    let (mut h, _) = accept(offer(), &seg(SYN, IRS, SeqNum(0)));
    // RFC 5961 §3.2: in the window but not exact gets a challenge, outside of it nothing.
    let challenge = reply(recv(&mut h, &seg(RST, IRS + 2, SeqNum(0)), 0));
    assert_eq!(
        (challenge.flags, challenge.seq, challenge.ack),
        (ACK, ISS + 1, IRS + 1)
    );
    assert_eq!(
        recv(&mut h, &seg(RST, IRS - 5, SeqNum(0)), 0),
        Outcome::Ignore
    );
    assert_eq!(
        recv(&mut h, &seg(RST, IRS + 1, SeqNum(0)), 0),
        Outcome::Abandoned
    );
}

#[test]
fn syn_received_unacceptable_segments() {
    let (mut h, _) = accept(offer(), &seg(SYN, IRS, SeqNum(0)));
    // Outside of the window: an ACK says what is expected.
    let answer = reply(recv(&mut h, &seg(ACK, IRS + 20_000, ISS + 1), 0));
    assert_eq!((answer.flags, answer.ack), (ACK, IRS + 1));
    // Acknowledges what was never sent.
    assert!(is_reset(
        &reply(recv(&mut h, &seg(ACK, IRS + 1, ISS + 9), 0)),
        ISS + 9
    ));
    // Another SYN in the window (RFC 5961 §4.2).
    assert_eq!(
        reply(recv(&mut h, &seg(SYN, IRS + 10, SeqNum(0)), 0)).flags,
        ACK
    );
    // No ACK at all.
    assert_eq!(
        recv(&mut h, &seg(TcpFlags::PSH, IRS + 1, SeqNum(0)), 0),
        Outcome::Ignore
    );
}

#[test]
fn old_timestamps_are_not_acceptable() {
    // PAWS, RFC 7323 §5.3.
    let (mut h, _) = accept(offer(), &seg(SYN, IRS, SeqNum(0)));
    let mut old = seg(ACK, IRS + 1, ISS + 1);
    old.timestamps = Some(Timestamps { val: 76, ecr: 0 });
    assert_eq!(reply(recv(&mut h, &old, 0)).flags, ACK);
}

// ---- ECN, RFC 3168 §6.1.1

#[test]
fn ecn_needs_both_sides() {
    for (ours, syn_flags, ecn) in [
        (true, ECN_SETUP, true),
        (true, TcpFlags::ECE, false),
        (true, TcpFlags::EMPTY, false),
        (false, ECN_SETUP, false),
    ] {
        let (_, reply) = accept(
            Offer {
                ecn: ours,
                ..offer()
            },
            &seg(SYN | syn_flags, IRS, SeqNum(0)),
        );
        assert_eq!(reply.flags.contains(TcpFlags::ECE), ecn);
    }
    for (reply_flags, ecn) in [
        (TcpFlags::ECE, true),
        (ECN_SETUP, false),
        (TcpFlags::EMPTY, false),
    ] {
        let (mut h, _) = connect(offer());
        let outcome = recv(&mut h, &seg(SYN_ACK | reply_flags, IRS, ISS + 1), 0);
        assert_eq!(agreed(&outcome).ecn, ecn);
    }
    let (_, syn) = connect(Offer {
        ecn: false,
        ..offer()
    });
    assert_eq!(syn.flags, SYN);
}

// ---- Timers

#[test]
fn retransmission_backs_off_and_gives_up() {
    let (mut h, syn) = connect(offer());
    assert_eq!(h.deadline(), Micros(10_000));
    assert_eq!(h.on_timer(Micros(9_999)), Expiry::Early);
    let mut sent = Vec::new();
    let mut now = h.deadline();
    loop {
        match h.on_timer(now) {
            Expiry::Retransmit(again) => {
                assert_eq!(again.seq, syn.seq);
                sent.push((now.0, again.flags.contains(ECN_SETUP)));
                now = h.deadline();
            }
            Expiry::GiveUp => break,
            Expiry::Early => panic!("the deadline is due"),
        }
    }
    // The last one no longer asks for ECN: something may drop it for that.
    assert_eq!(sent, [(10_000, true), (30_000, true), (70_000, false)]);
    assert_eq!(now, Micros(150_000));
}

#[test]
fn syn_ack_is_retransmitted_and_its_rtt_not_taken() {
    let (mut h, syn_ack) = accept(offer(), &seg(SYN, IRS, SeqNum(0)));
    let Expiry::Retransmit(again) = h.on_timer(Micros(10_000)) else {
        panic!("due");
    };
    assert_eq!(again.flags, syn_ack.flags);
    // Our timestamp clock goes on, in milliseconds.
    assert_eq!(again.timestamps.unwrap().val, 5010);
    assert_eq!(
        agreed(&recv(&mut h, &seg(ACK, IRS + 1, ISS + 1), 11_000)).rtt,
        None
    );
}

#[test]
fn jitter_stays_within_half() {
    for random in [0, 1, 12345, u32::MAX] {
        let timeout = jittered(Micros(10_000), random).0;
        assert!((5_000..15_000).contains(&timeout));
    }
    assert!(jittered(Micros(0), 3).0 > 0);
}

#[test]
fn only_a_clean_syn_opens() {
    assert!(is_opening(SYN));
    assert!(is_opening(SYN | ECN_SETUP));
    for bad in [
        SYN | ACK,
        SYN | RST,
        SYN | TcpFlags::FIN,
        ACK,
        TcpFlags::EMPTY,
    ] {
        assert!(!is_opening(bad));
    }
}

proptest::proptest! {
    /// No segment whatsoever makes a handshake panic or answer a reset with a reset.
    #[test]
    fn survives_any_segments(
        passive: bool,
        segments in proptest::collection::vec(
            (0u8..=255, -3i32..4, -3i32..4, proptest::option::of(0u32..200), 0usize..20), 0..12),
    ) {
        let mut h = if passive {
            accept(offer(), &seg(SYN, IRS, SeqNum(0))).0
        } else {
            connect(offer()).0
        };
        for (flags, seq, ack, ts, len) in segments {
            let mut fields = seg(
                TcpFlags(flags),
                SeqNum(IRS.0.wrapping_add_signed(seq)),
                SeqNum(ISS.0.wrapping_add_signed(ack)),
            );
            fields.timestamps = ts.map(|val| Timestamps { val, ecr: 0 });
            let outcome = parsed(&fields, &[0; 20][..len], |p| h.on_segment(p, Micros(1)));
            if let Outcome::Reply(reply) = outcome {
                let answers_reset = TcpFlags(flags).contains(RST) && reply.flags.contains(RST);
                proptest::prop_assert!(!answers_reset);
            }
        }
    }
}
