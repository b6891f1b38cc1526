//! Frames that no core has a flow for.

use tas_wire::{
    IcmpMessage, IcmpPacket, Packet, SegmentFields, TcpFlags, TcpPacket, Unreachable,
    UnreachableCode, Verify, ethernet, parse_with,
};

use super::TcpControl;
use super::conn::{Conn, Step};
use super::world::{Errno, World};
use crate::link::ToFast;
use crate::proto::handshake::is_opening;
use crate::types::CoreId;

/// Ethernet, IPv4 and ICMP headers of an echo reply.
const ECHO_HEADERS: usize = ethernet::HEADER_LEN + 20 + 8;

/// Whether a frame asks for a connection (RFC 9293 §3.10.7.2). Its checksums are right.
#[must_use]
pub fn is_knock(frame: &[u8]) -> bool {
    let Ok(Packet::Tcp(packet)) = parse_with(frame, Verify::NONE) else {
        return false;
    };
    is_opening(packet.tcp.flags) && !packet.tcp.flags.contains(TcpFlags::ACK)
}

impl TcpControl {
    /// Takes a frame that a core has no flow for. Its checksums are right.
    pub fn on_frame(&mut self, w: &mut impl World, core: CoreId, frame: &[u8]) {
        match parse_with(frame, Verify::NONE) {
            Ok(Packet::Tcp(packet)) => self.on_tcp(w, core, &packet, frame),
            Ok(Packet::Arp(packet)) => self.on_arp(w, core, &packet),
            Ok(Packet::Icmp(packet)) => self.on_icmp(w, core, &packet),
            Ok(Packet::Other(_)) => self.counts.unknown_protocol += 1,
            Err(_) => self.counts.malformed += 1,
        }
    }

    /// Whether an IPv4 packet is for us alone, from a station that can be answered (RFC 1122
    /// §3.2.1.3, RFC 9293 §3.9.2.3). Broadcasts and multicasts are never answered.
    fn is_for_us(
        &mut self,
        eth: &ethernet::Header,
        src: tas_wire::Ipv4Addr,
        dst: tas_wire::Ipv4Addr,
    ) -> bool {
        if eth.dst != self.cfg.mac || !self.cfg.is_local(dst) {
            self.counts.not_ours += 1;
            return false;
        }
        // What we send to ourselves comes back over a looped port, whose address may be all zeros.
        let looped = eth.src == self.cfg.mac && self.cfg.is_local(src);
        let believable = self.cfg.is_host(src) && !self.cfg.is_local(src) && eth.src.is_unicast();
        if !looped && !believable {
            self.counts.bad_source += 1;
            return false;
        }
        true
    }

    fn on_tcp(&mut self, w: &mut impl World, core: CoreId, packet: &TcpPacket<'_>, frame: &[u8]) {
        if !self.is_for_us(&packet.eth, packet.ip_src, packet.ip_dst) {
            return;
        }
        if packet.tcp.src_port == 0 || packet.tcp.dst_port == 0 {
            self.counts.malformed += 1;
            return;
        }
        match self.conns.get(&packet.tuple()) {
            None => {
                if !self.on_cookie(w, core, packet, frame) {
                    self.on_new_segment(w, core, packet, None);
                }
            }
            Some(Conn::Opening(_)) => self.on_opening_segment(w, core, packet, frame),
            Some(Conn::HalfOpen(_)) => self.on_half_open_segment(w, core, packet, frame),
            Some(Conn::TimeWait(_)) => self.on_time_wait_segment(w, core, packet),
            Some(Conn::Flow(flow)) => {
                // The core did not know the flow yet, or another core received the frame.
                if let Some(record) = self.flows.get(flow) {
                    w.send(w.core(record.group), ToFast::Reinject(frame.into()));
                }
            }
        }
    }

    /// The RST that a segment without a connection gets (RFC 9293 §3.10.7.1).
    pub(super) fn answer_with_reset(
        &mut self,
        w: &mut impl World,
        core: CoreId,
        packet: &TcpPacket<'_>,
    ) {
        let flags = packet.tcp.flags;
        if flags.contains(TcpFlags::RST) {
            return;
        }
        let reset = if flags.contains(TcpFlags::ACK) {
            SegmentFields {
                seq: packet.tcp.ack,
                flags: TcpFlags::RST,
                ..SegmentFields::default()
            }
        } else {
            SegmentFields {
                ack: packet.tcp.seq + packet.seq_len(),
                flags: TcpFlags::RST | TcpFlags::ACK,
                ..SegmentFields::default()
            }
        };
        self.counts.resets_sent += 1;
        self.transmit(w, core, packet.eth.src, &packet.tuple(), &reset);
    }

    fn on_icmp(&mut self, w: &mut impl World, core: CoreId, packet: &IcmpPacket<'_>) {
        if !self.is_for_us(&packet.eth, packet.ip_src, packet.ip_dst) {
            return;
        }
        match &packet.message {
            IcmpMessage::EchoRequest(echo) => {
                let mut frame = vec![0; ECHO_HEADERS + echo.data.len()];
                if let Some(reply) = packet.echo_reply()
                    && let Ok(len) = reply.emit(&mut frame, 0)
                {
                    frame.truncate(len);
                    self.counts.echoes += 1;
                    w.send(core, ToFast::Transmit(frame.into()));
                }
            }
            IcmpMessage::Unreachable(unreachable) => self.on_unreachable(w, unreachable),
            IcmpMessage::EchoReply(_) | IcmpMessage::Other { .. } => {}
        }
    }

    /// An error message ends an attempt to connect if it quotes our SYN; what is synchronized
    /// does not end by errors that anybody can send (RFC 5927 §4, §5.2).
    fn on_unreachable(&mut self, w: &mut impl World, unreachable: &Unreachable) {
        if let UnreachableCode::FragmentationNeeded { next_hop_mtu } = unreachable.code {
            return self.on_too_big(w, unreachable, next_hop_mtu);
        }
        let Some(quoted) = unreachable.quoted else {
            return;
        };
        let Some(Conn::Opening(opening)) = self.conns.get(&quoted.tuple) else {
            return;
        };
        let Step::Shaking { handshake, .. } = &opening.step else {
            return;
        };
        if quoted.seq != handshake.iss() {
            return;
        }
        let errno = match unreachable.code {
            UnreachableCode::Network => Errno::NETUNREACH,
            UnreachableCode::Host | UnreachableCode::Other(_) => Errno::HOSTUNREACH,
            UnreachableCode::Protocol | UnreachableCode::Port => Errno::CONNREFUSED,
            UnreachableCode::FragmentationNeeded { .. } => return,
        };
        self.fail_open(w, &quoted.tuple, errno);
    }
}
