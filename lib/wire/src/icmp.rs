//! ICMP (RFC 792): echo, and the errors that concern TCP connections.

use core::net::Ipv4Addr;

use crate::checksum::{self, Sum};
use crate::ethernet::{self, EtherType, MacAddr};
use crate::ipv4::{self, Ecn, Protocol};
use crate::{EmitError, FlowTuple, ParseError, SeqNum};

const HEADER_LEN: usize = 8;
const PREFIX_LEN: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + HEADER_LEN;
const REPLY_TTL: u8 = 64;

const TYPE_ECHO_REPLY: u8 = 0;
const TYPE_UNREACHABLE: u8 = 3;
const TYPE_ECHO_REQUEST: u8 = 8;

/// A received ICMP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpPacket<'a> {
    /// Ethernet header.
    pub eth: ethernet::Header,
    /// Who sent it.
    pub ip_src: Ipv4Addr,
    /// Where it was sent to.
    pub ip_dst: Ipv4Addr,
    /// What it says.
    pub message: IcmpMessage<'a>,
}

/// The ICMP messages that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpMessage<'a> {
    /// A ping.
    EchoRequest(Echo<'a>),
    /// The answer to a ping.
    EchoReply(Echo<'a>),
    /// A packet of ours did not arrive.
    Unreachable(Unreachable),
    /// Anything else.
    Other {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
    },
}

/// Content of an echo request or reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo<'a> {
    /// Identifier, chosen by whoever asks.
    pub ident: u16,
    /// Sequence number, chosen by whoever asks.
    pub seq: u16,
    /// Data to be sent back.
    pub data: &'a [u8],
}

/// Why a packet did not arrive (RFC 792, RFC 1122 §3.2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnreachableCode {
    /// Code 0.
    Network,
    /// Code 1.
    Host,
    /// Code 2: a hard error (RFC 1122 §4.2.3.9).
    Protocol,
    /// Code 3: a hard error.
    Port,
    /// Code 4: the packet was too big for a link and must not be fragmented.
    FragmentationNeeded {
        /// That link's MTU in bytes; `None` from routers older than RFC 1191.
        next_hop_mtu: Option<u16>,
    },
    /// Any other code.
    Other(u8),
}

/// A destination unreachable message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreachable {
    /// The reason.
    pub code: UnreachableCode,
    /// The segment that did not arrive, if it was TCP. Anybody can forge this:
    /// check it against the connection (RFC 5927 §4).
    pub quoted: Option<QuotedTcp>,
}

/// The beginning of a TCP segment that an ICMP error quotes: a segment sent by
/// the host that receives the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotedTcp {
    /// The connection, as the segment's sender sees it.
    pub tuple: FlowTuple,
    /// The segment's sequence number.
    pub seq: SeqNum,
    /// The IP total length of the quoted packet, in bytes.
    pub total_len: u16,
}

impl QuotedTcp {
    /// Parses a quotation: an IP header and at least eight bytes of TCP. Only
    /// the beginning of the packet is there, so lengths are not compared.
    fn parse(quote: &[u8]) -> Option<QuotedTcp> {
        let ip = quote.first_chunk::<{ ipv4::HEADER_LEN }>()?;
        let header_len = usize::from(ip[0] & 0x0f) * 4;
        // Only the first fragment would begin with the TCP header.
        let fragment_offset = u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff;
        if ip[0] >> 4 != 4
            || header_len < ipv4::HEADER_LEN
            || Protocol(ip[9]) != Protocol::TCP
            || fragment_offset != 0
        {
            return None;
        }
        let tcp = quote.get(header_len..)?.first_chunk::<8>()?;
        Some(QuotedTcp {
            tuple: FlowTuple {
                local_ip: Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]),
                local_port: u16::from_be_bytes([tcp[0], tcp[1]]),
                remote_ip: Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]),
                remote_port: u16::from_be_bytes([tcp[2], tcp[3]]),
            },
            seq: SeqNum(u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]])),
            total_len: u16::from_be_bytes([ip[2], ip[3]]),
        })
    }
}

impl Unreachable {
    fn parse(code: u8, mtu: u16, quote: &[u8]) -> Unreachable {
        let code = match code {
            0 => UnreachableCode::Network,
            1 => UnreachableCode::Host,
            2 => UnreachableCode::Protocol,
            3 => UnreachableCode::Port,
            // RFC 1191 §4: older routers leave the field zero.
            4 => UnreachableCode::FragmentationNeeded {
                next_hop_mtu: (mtu != 0).then_some(mtu),
            },
            other => UnreachableCode::Other(other),
        };
        Unreachable {
            code,
            quoted: QuotedTcp::parse(quote),
        }
    }
}

impl<'a> IcmpMessage<'a> {
    /// Parses an IP packet's payload.
    pub fn parse(packet: &'a [u8], verify_checksum: bool) -> Result<IcmpMessage<'a>, ParseError> {
        let (h, data) = packet
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::TooShort)?;
        if verify_checksum && !checksum::ones_complement_sum(packet, Sum::ZERO).is_intact() {
            return Err(ParseError::BadIcmpChecksum);
        }
        let echo = Echo {
            ident: u16::from_be_bytes([h[4], h[5]]),
            seq: u16::from_be_bytes([h[6], h[7]]),
            data,
        };
        Ok(match (h[0], h[1]) {
            (TYPE_ECHO_REQUEST, 0) => IcmpMessage::EchoRequest(echo),
            (TYPE_ECHO_REPLY, 0) => IcmpMessage::EchoReply(echo),
            (TYPE_UNREACHABLE, code) => {
                let mtu = u16::from_be_bytes([h[6], h[7]]);
                IcmpMessage::Unreachable(Unreachable::parse(code, mtu, data))
            }
            (kind, code) => IcmpMessage::Other { kind, code },
        })
    }
}

impl<'a> IcmpPacket<'a> {
    /// The answer to an echo request, sent from the addresses that the request
    /// went to; the caller has checked that these are its own.
    pub fn echo_reply(&self) -> Option<EchoReply<'a>> {
        let IcmpMessage::EchoRequest(echo) = self.message else {
            return None;
        };
        Some(EchoReply {
            src_mac: self.eth.dst,
            dst_mac: self.eth.src,
            src_ip: self.ip_dst,
            dst_ip: self.ip_src,
            echo,
        })
    }
}

/// An echo reply to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoReply<'a> {
    /// Our MAC address.
    pub src_mac: MacAddr,
    /// MAC address of the next hop.
    pub dst_mac: MacAddr,
    /// Our address.
    pub src_ip: Ipv4Addr,
    /// Who asked.
    pub dst_ip: Ipv4Addr,
    /// The request's content.
    pub echo: Echo<'a>,
}

impl EchoReply<'_> {
    /// Writes the frame and returns its length.
    pub fn emit(&self, out: &mut [u8], ip_id: u16) -> Result<usize, EmitError> {
        let data = self.echo.data;
        let len = PREFIX_LEN + data.len();
        let total_len =
            u16::try_from(len - ethernet::HEADER_LEN).map_err(|_| EmitError::TooLong)?;
        let (prefix, body) = out
            .get_mut(..len)
            .and_then(|frame| frame.split_first_chunk_mut::<PREFIX_LEN>())
            .ok_or(EmitError::TooSmall)?;
        let eth = ethernet::Header {
            dst: self.dst_mac,
            src: self.src_mac,
            ethertype: EtherType::IPV4,
            vlan: None,
        };
        let ip = ipv4::Header {
            src: self.src_ip,
            dst: self.dst_ip,
            protocol: Protocol::ICMP,
            ecn: Ecn::NotEct,
            ttl: REPLY_TTL,
        };
        prefix[..14].copy_from_slice(&eth.to_bytes());
        prefix[14..34].copy_from_slice(&ipv4::header_bytes(&ip, total_len, ip_id));
        prefix[34..38].copy_from_slice(&[TYPE_ECHO_REPLY, 0, 0, 0]);
        prefix[38..40].copy_from_slice(&self.echo.ident.to_be_bytes());
        prefix[40..42].copy_from_slice(&self.echo.seq.to_be_bytes());
        let data_sum = checksum::copy_and_sum(data, body);
        let sum = checksum::ones_complement_sum(&prefix[34..42], data_sum).finish();
        prefix[36..38].copy_from_slice(&sum.to_be_bytes());
        Ok(len)
    }
}

#[cfg(test)]
mod tests;
