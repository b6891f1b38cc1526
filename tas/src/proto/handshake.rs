//! The states before a connection is synchronized: SYN-SENT and SYN-RECEIVED (RFC 9293 §3.5,
//! §3.10.7.3, §3.10.7.4).
//!
//! A [`Handshake`] is given segments and the time, and answers with what is to be done. It never
//! looks at a clock, draws random numbers or sends.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use tas_wire::{Ecn, SegmentFields, SeqNum, TcpFlags, TcpPacket, Timestamps, WindowScale};

use super::TimestampInit;
use crate::types::Micros;

/// MSS of a peer that names none (RFC 9293 §3.7.1, MUST-15).
const DEFAULT_MSS: u16 = 536;
/// No smaller MSS is honoured: with timestamps, nothing would be left for data, and a peer could
/// make us send a packet for every few bytes.
const MIN_MSS: u16 = 88;
/// IPv4 and TCP headers without options, which the MSS does not count (RFC 6691 §2).
const HEADERS: u16 = 40;
/// Retransmissions after which a SYN no longer asks for ECN: something on the path may drop it
/// for that (RFC 3168 §6.1.1.1).
const ECN_ATTEMPTS: u32 = 2;
/// The longest wait between two retransmissions.
const MAX_TIMEOUT: Micros = Micros(120_000_000);

/// What our side brings to a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Our initial sequence number.
    pub iss: SeqNum,
    /// Offset of our timestamp clock.
    pub ts_offset: u32,
    /// Largest IP packet of our port, bytes.
    pub mtu: u16,
    /// Receive buffer, bytes.
    pub rx_len: u32,
    /// Ask for ECN, or agree to it.
    pub ecn: bool,
    /// First retransmission timeout, already randomised; doubles.
    pub timeout: Micros,
    /// Retransmissions before giving up.
    pub retries: u32,
}

impl Offer {
    /// The MSS that we announce (RFC 6691 §2).
    fn mss(&self) -> u16 {
        self.mtu.saturating_sub(HEADERS).max(MIN_MSS)
    }

    /// The smallest shift that lets the window express the whole buffer (RFC 7323 §2.3).
    fn window_scale(&self) -> WindowScale {
        let bits = 32 - (self.rx_len >> 16).leading_zeros();
        WindowScale::new(bits as u8)
    }

    /// The window in SYN segments, which is never scaled (RFC 7323 §2.2).
    fn syn_window(&self) -> u16 {
        WindowScale::ZERO.field(self.rx_len)
    }

    fn timestamp(&self, now: Micros) -> u32 {
        timestamp(now, self.ts_offset)
    }
}

/// Our timestamp clock: milliseconds plus the connection's offset.
#[must_use]
pub fn timestamp(now: Micros, offset: u32) -> u32 {
    ((now.0 / 1000) as u32).wrapping_add(offset)
}

/// A random time between half and one and a half times `timeout`.
#[must_use]
pub fn jittered(timeout: Micros, random: u32) -> Micros {
    let spread = u64::from(random) % timeout.0.max(1);
    Micros(timeout.0 / 2).max(Micros(1)) + Micros(spread)
}

/// What the peer's SYN said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    irs: SeqNum,
    mss: u16,
    /// `None`: the peer does not scale, so neither side does (RFC 7323 §2.2).
    window_scale: Option<WindowScale>,
    /// The peer's timestamp to echo; `None`: no timestamps.
    ts_recent: Option<u32>,
    /// The peer takes SACK options.
    sack: bool,
    /// ECN is agreed on.
    ecn: bool,
}

impl Peer {
    fn from_syn(packet: &TcpPacket<'_>, ecn: bool) -> Peer {
        Peer {
            irs: packet.tcp.seq,
            mss: packet.options.mss.unwrap_or(DEFAULT_MSS).max(MIN_MSS),
            window_scale: packet.options.window_scale,
            ts_recent: packet.options.timestamps.map(|ts| ts.val),
            sack: packet.options.sack_permitted,
            ecn,
        }
    }
}

/// Who began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Active,
    Passive,
}

/// The state of RFC 9293 §3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SynSent,
    SynReceived(Role, Peer),
}

/// A connection that is not yet synchronized.
#[derive(Clone, Debug)]
pub struct Handshake {
    state: State,
    offer: Offer,
    /// When the first of our SYNs was sent.
    sent: Micros,
    /// Retransmissions so far.
    retries: u32,
    /// A SYN of ours was sent more than once, so that nobody knows which one an ACK is for
    /// (Karn's algorithm).
    repeated: bool,
    timeout: Micros,
    deadline: Micros,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Largest segment, options included (RFC 6691 §3).
    pub mss: u16,
    /// Shift of windows that the peer sends.
    pub snd_wscale: WindowScale,
    /// Shift of windows that we send.
    pub rcv_wscale: WindowScale,
    /// The peer's latest timestamp and the offset of ours, when both sides use them.
    pub timestamps: Option<TimestampInit>,
    /// Both sides take SACK options (RFC 2018 §2).
    pub sack: bool,
    /// ECN is in use.
    pub ecn: bool,
    /// Our initial sequence number.
    pub iss: SeqNum,
    /// The peer's.
    pub irs: SeqNum,
    /// The window that the peer grants, bytes.
    pub snd_wnd: u32,
    /// The window that we granted, bytes.
    pub rcv_wnd: u32,
    /// The time from our SYN to its acknowledgment, unless the SYN was sent more than once.
    pub rtt: Option<Micros>,
}

/// What a segment asks of the caller.
#[derive(Clone, Debug, PartialEq)]
// An outcome is taken apart where it is returned.
#[allow(clippy::large_enum_variant)]
pub enum Outcome {
    /// Nothing.
    Ignore,
    /// Send this segment; the handshake goes on.
    Reply(SegmentFields<'static>),
    /// The connection is synchronized. The handshake itself is unchanged, so a caller without
    /// room for the connection can drop the segment and keep waiting.
    Established {
        /// What was agreed on.
        agreed: Agreed,
        /// The acknowledgment to send first.
        ack: Option<SegmentFields<'static>>,
        /// The segment carries data or a FIN, which the flow must see.
        reinject: bool,
    },
    /// The peer refused our SYN, or reset a simultaneous open: ECONNREFUSED.
    Refused,
    /// The peer took its SYN back: forget it (RFC 9293 §3.10.7.4, "return to LISTEN").
    Abandoned,
}

/// What a timer asks of the caller.
#[derive(Clone, Debug, PartialEq)]
// As for [`Outcome`].
#[allow(clippy::large_enum_variant)]
pub enum Expiry {
    /// It is not time yet.
    Early,
    /// Send this segment again.
    Retransmit(SegmentFields<'static>),
    /// No answer after all retries: ETIMEDOUT.
    GiveUp,
}

/// Whether a segment can begin a passive open: a SYN, and nothing that contradicts it.
#[must_use]
pub fn is_opening(flags: TcpFlags) -> bool {
    flags.contains(TcpFlags::SYN)
        && !flags.intersects(TcpFlags::ACK.union(TcpFlags::RST).union(TcpFlags::FIN))
}

impl Handshake {
    /// Begins an active open; returns the SYN to send.
    #[must_use]
    pub fn connect(offer: Offer, now: Micros) -> (Handshake, SegmentFields<'static>) {
        let handshake = Handshake::new(State::SynSent, offer, now);
        let syn = handshake.syn(now);
        (handshake, syn)
    }

    /// Answers a SYN (see [`is_opening`]); returns the SYN-ACK to send.
    #[must_use]
    pub fn accept(
        offer: Offer,
        syn: &TcpPacket<'_>,
        now: Micros,
    ) -> (Handshake, SegmentFields<'static>) {
        let ecn = offer.ecn && asks_for_ecn(syn.tcp.flags);
        let peer = Peer::from_syn(syn, ecn);
        let handshake = Handshake::new(State::SynReceived(Role::Passive, peer), offer, now);
        let reply = handshake.syn_ack(&peer, now);
        (handshake, reply)
    }

    /// Goes on where [`Handshake::accept`] was some time ago, of which only the SYN is known.
    #[must_use]
    pub fn resume(offer: Offer, syn: &TcpPacket<'_>, now: Micros) -> Handshake {
        let (handshake, _) = Handshake::accept(offer, syn, now);
        Handshake {
            // Nobody knows when the SYN-ACK was sent.
            repeated: true,
            ..handshake
        }
    }

    fn new(state: State, offer: Offer, now: Micros) -> Handshake {
        Handshake {
            state,
            offer,
            sent: now,
            retries: 0,
            repeated: false,
            timeout: offer.timeout,
            deadline: now + offer.timeout,
        }
    }

    /// When [`Handshake::on_timer`] is due.
    #[must_use]
    pub fn deadline(&self) -> Micros {
        self.deadline
    }

    /// Our initial sequence number.
    #[must_use]
    pub fn iss(&self) -> SeqNum {
        self.offer.iss
    }

    /// Retransmits, or gives up (RFC 9293 §3.8.3).
    pub fn on_timer(&mut self, now: Micros) -> Expiry {
        if now < self.deadline {
            return Expiry::Early;
        }
        if self.retries >= self.offer.retries {
            return Expiry::GiveUp;
        }
        self.retries += 1;
        self.repeated = true;
        self.timeout = (self.timeout + self.timeout).min(MAX_TIMEOUT);
        self.deadline = now + self.timeout;
        Expiry::Retransmit(match &self.state {
            State::SynSent => self.syn(now),
            State::SynReceived(_, peer) => self.syn_ack(peer, now),
        })
    }

    /// Takes a segment of this connection.
    pub fn on_segment(&mut self, packet: &TcpPacket<'_>, now: Micros) -> Outcome {
        match self.state {
            State::SynSent => self.in_syn_sent(packet, now),
            State::SynReceived(role, peer) => self.in_syn_received(role, peer, packet, now),
        }
    }

    /// A RST that our peer accepts, for giving the handshake up once it has been answered.
    #[must_use]
    pub fn reset(&self) -> Option<SegmentFields<'static>> {
        match &self.state {
            State::SynSent => None,
            State::SynReceived(_, peer) => Some(SegmentFields {
                seq: self.offer.iss + 1,
                ack: peer.irs + 1,
                flags: TcpFlags::RST | TcpFlags::ACK,
                ..SegmentFields::default()
            }),
        }
    }

    /// RFC 9293 §3.10.7.3.
    fn in_syn_sent(&mut self, packet: &TcpPacket<'_>, now: Micros) -> Outcome {
        let (flags, has_ack) = (packet.tcp.flags, packet.tcp.flags.contains(TcpFlags::ACK));
        if has_ack && packet.tcp.ack != self.offer.iss + 1 {
            return refuse(packet);
        }
        if flags.contains(TcpFlags::RST) {
            return if has_ack {
                Outcome::Refused
            } else {
                Outcome::Ignore
            };
        }
        if !flags.contains(TcpFlags::SYN) {
            return Outcome::Ignore;
        }
        if !has_ack {
            return self.simultaneous_open(packet, now);
        }
        let peer = Peer::from_syn(packet, self.offers_ecn() && agrees_to_ecn(flags));
        self.complete_with_ack(&peer, packet, now)
    }

    /// Both sides sent a SYN (RFC 9293 §3.5, figure 7). Without a SYN-ACK of the peer there is
    /// no agreement on ECN.
    fn simultaneous_open(&mut self, packet: &TcpPacket<'_>, now: Micros) -> Outcome {
        let peer = Peer::from_syn(packet, false);
        self.state = State::SynReceived(Role::Active, peer);
        Outcome::Reply(self.syn_ack(&peer, now))
    }

    /// RFC 9293 §3.10.7.4 with the checks of RFC 5961.
    fn in_syn_received(
        &mut self,
        role: Role,
        peer: Peer,
        packet: &TcpPacket<'_>,
        now: Micros,
    ) -> Outcome {
        let flags = packet.tcp.flags;
        let rcv_nxt = peer.irs + 1;
        let syn = flags.contains(TcpFlags::SYN);
        if syn && packet.tcp.seq == peer.irs && !flags.contains(TcpFlags::RST) {
            return self.repeated_syn(role, peer, packet, now);
        }
        if !self.acceptable(&peer, packet) {
            return if flags.contains(TcpFlags::RST) {
                Outcome::Ignore
            } else {
                Outcome::Reply(self.challenge(&peer, now))
            };
        }
        if flags.contains(TcpFlags::RST) {
            // RFC 5961 §3.2: only the exact number resets.
            return match (packet.tcp.seq == rcv_nxt, role) {
                (false, _) => Outcome::Reply(self.challenge(&peer, now)),
                (true, Role::Active) => Outcome::Refused,
                (true, Role::Passive) => Outcome::Abandoned,
            };
        }
        if syn {
            // RFC 5961 §4.2.
            return Outcome::Reply(self.challenge(&peer, now));
        }
        if !flags.contains(TcpFlags::ACK) {
            return Outcome::Ignore;
        }
        if packet.tcp.ack != self.offer.iss + 1 {
            return refuse(packet);
        }
        self.complete(&peer, packet, now)
    }

    /// The SYN again: our SYN-ACK was lost, or it is still under way. In a simultaneous open it
    /// may be the peer's SYN-ACK.
    fn repeated_syn(
        &mut self,
        role: Role,
        peer: Peer,
        packet: &TcpPacket<'_>,
        now: Micros,
    ) -> Outcome {
        let flags = packet.tcp.flags;
        if flags.contains(TcpFlags::ACK) {
            if packet.tcp.ack != self.offer.iss + 1 {
                return refuse(packet);
            }
            return self.complete_with_ack(&peer, packet, now);
        }
        // RFC 3168 §6.1.1.1: the peer may have given up on ECN meanwhile.
        let peer = Peer {
            ecn: peer.ecn && asks_for_ecn(flags),
            ..peer
        };
        self.state = State::SynReceived(role, peer);
        self.repeated = true;
        Outcome::Reply(self.syn_ack(&peer, now))
    }

    /// A SYN-ACK of the peer, whose window is not scaled.
    fn complete_with_ack(&self, peer: &Peer, packet: &TcpPacket<'_>, now: Micros) -> Outcome {
        let mut agreed = self.agree(peer, packet.tcp.window.into(), timestamp_of(packet), now);
        let ack = self.first_ack(&agreed, now);
        agreed.rcv_wnd = agreed.rcv_wscale.bytes(ack.window);
        Outcome::Established {
            agreed,
            ack: Some(ack),
            reinject: false,
        }
    }

    fn complete(&self, peer: &Peer, packet: &TcpPacket<'_>, now: Micros) -> Outcome {
        let scale = self.snd_wscale(peer);
        let agreed = self.agree(
            peer,
            scale.bytes(packet.tcp.window),
            timestamp_of(packet),
            now,
        );
        let reinject = packet.seq_len() > 0;
        Outcome::Established {
            agreed,
            ack: None,
            reinject,
        }
    }

    /// RFC 9293 §3.10.7.4, first check, with PAWS (RFC 7323 §5.3).
    fn acceptable(&self, peer: &Peer, packet: &TcpPacket<'_>) -> bool {
        let (start, window) = (peer.irs + 1, u32::from(self.offer.syn_window()));
        let (seq, len) = (packet.tcp.seq, packet.seq_len());
        let in_window = match (len, window) {
            (0, 0) => seq == start,
            (0, _) => seq.in_window(start, window),
            (_, 0) => false,
            _ => seq.in_window(start, window) || (seq + (len - 1)).in_window(start, window),
        };
        let old = match (peer.ts_recent, packet.options.timestamps) {
            (Some(recent), Some(ts)) => SeqNum(ts.val).lt(SeqNum(recent)),
            _ => false,
        };
        in_window && (!old || packet.tcp.flags.contains(TcpFlags::RST))
    }

    fn snd_wscale(&self, peer: &Peer) -> WindowScale {
        peer.window_scale.unwrap_or(WindowScale::ZERO)
    }

    fn agree(&self, peer: &Peer, snd_wnd: u32, ts: Option<u32>, now: Micros) -> Agreed {
        let rcv_wscale = match peer.window_scale {
            Some(_) => self.offer.window_scale(),
            None => WindowScale::ZERO,
        };
        Agreed {
            mss: peer.mss.min(self.offer.mss()),
            snd_wscale: self.snd_wscale(peer),
            rcv_wscale,
            timestamps: peer.ts_recent.map(|recent| TimestampInit {
                recent: ts.unwrap_or(recent),
                offset: self.offer.ts_offset,
            }),
            sack: peer.sack,
            ecn: peer.ecn,
            iss: self.offer.iss,
            irs: peer.irs,
            snd_wnd,
            rcv_wnd: self.offer.syn_window().into(),
            rtt: (!self.repeated).then(|| now.since(self.sent)),
        }
    }

    fn offers_ecn(&self) -> bool {
        self.offer.ecn && self.retries <= ECN_ATTEMPTS
    }

    fn syn(&self, now: Micros) -> SegmentFields<'static> {
        let ecn = if self.offers_ecn() {
            TcpFlags::ECE | TcpFlags::CWR
        } else {
            TcpFlags::EMPTY
        };
        SegmentFields {
            seq: self.offer.iss,
            flags: TcpFlags::SYN | ecn,
            window: self.offer.syn_window(),
            ecn: Ecn::NotEct,
            timestamps: Some(Timestamps {
                val: self.offer.timestamp(now),
                ecr: 0,
            }),
            mss: Some(self.offer.mss()),
            window_scale: Some(self.offer.window_scale()),
            sack_permitted: true,
            ..SegmentFields::default()
        }
    }

    /// Options only where the peer offered them (RFC 7323 §2.2, §3.2; RFC 2018 §2).
    fn syn_ack(&self, peer: &Peer, now: Micros) -> SegmentFields<'static> {
        let ecn = if peer.ecn {
            TcpFlags::ECE
        } else {
            TcpFlags::EMPTY
        };
        SegmentFields {
            seq: self.offer.iss,
            ack: peer.irs + 1,
            flags: TcpFlags::SYN | TcpFlags::ACK | ecn,
            window: self.offer.syn_window(),
            timestamps: self.echo(peer.ts_recent, now),
            mss: Some(self.offer.mss()),
            window_scale: peer.window_scale.map(|_| self.offer.window_scale()),
            sack_permitted: peer.sack,
            ..SegmentFields::default()
        }
    }

    /// The ACK that ends an active open.
    fn first_ack(&self, agreed: &Agreed, now: Micros) -> SegmentFields<'static> {
        SegmentFields {
            seq: agreed.iss + 1,
            ack: agreed.irs + 1,
            flags: TcpFlags::ACK,
            window: agreed.rcv_wscale.field(self.offer.rx_len),
            timestamps: self.echo(agreed.timestamps.map(|ts| ts.recent), now),
            ..SegmentFields::default()
        }
    }

    /// RFC 9293 §3.10.7.4: `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`.
    fn challenge(&self, peer: &Peer, now: Micros) -> SegmentFields<'static> {
        SegmentFields {
            seq: self.offer.iss + 1,
            ack: peer.irs + 1,
            flags: TcpFlags::ACK,
            window: self.offer.syn_window(),
            timestamps: self.echo(peer.ts_recent, now),
            ..SegmentFields::default()
        }
    }

    fn echo(&self, recent: Option<u32>, now: Micros) -> Option<Timestamps> {
        recent.map(|ecr| Timestamps {
            val: self.offer.timestamp(now),
            ecr,
        })
    }
}

/// An ACK of something that was never sent: `<SEQ=SEG.ACK><CTL=RST>` (RFC 9293 §3.5.2).
fn refuse(packet: &TcpPacket<'_>) -> Outcome {
    if packet.tcp.flags.contains(TcpFlags::RST) {
        return Outcome::Ignore;
    }
    Outcome::Reply(SegmentFields {
        seq: packet.tcp.ack,
        flags: TcpFlags::RST,
        ..SegmentFields::default()
    })
}

fn timestamp_of(packet: &TcpPacket<'_>) -> Option<u32> {
    packet.options.timestamps.map(|ts| ts.val)
}

/// An ECN-setup SYN (RFC 3168 §6.1.1).
fn asks_for_ecn(flags: TcpFlags) -> bool {
    flags.contains(TcpFlags::ECE.union(TcpFlags::CWR))
}

/// An ECN-setup SYN-ACK (RFC 3168 §6.1.1).
fn agrees_to_ecn(flags: TcpFlags) -> bool {
    flags.contains(TcpFlags::ECE) && !flags.contains(TcpFlags::CWR)
}
