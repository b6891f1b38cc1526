//! From a received frame to a typed packet.

use crate::ethernet::{self, EtherType};
use crate::icmp::{IcmpMessage, IcmpPacket};
use crate::ipv4::{self, Protocol};
use crate::{ArpPacket, ParseError, TcpPacket, tcp};

/// Which checksums to verify: those that the NIC did not vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verify {
    /// The IP header checksum.
    pub ip: bool,
    /// The TCP or ICMP checksum.
    pub transport: bool,
}

impl Verify {
    /// Verify everything.
    pub const ALL: Verify = Verify {
        ip: true,
        transport: true,
    };
    /// Trust everything.
    pub const NONE: Verify = Verify {
        ip: false,
        transport: false,
    };
}

/// A received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// A packet lives on the stack for the time of one call: boxing the large
// variant would cost more than it saves.
#[allow(clippy::large_enum_variant)]
pub enum Packet<'a> {
    /// A TCP segment.
    Tcp(TcpPacket<'a>),
    /// An ARP request or reply.
    Arp(ArpPacket),
    /// An ICMP message.
    Icmp(IcmpPacket<'a>),
    /// IPv4 with another protocol inside.
    Other(ipv4::Header),
}

/// Parses a frame and verifies every checksum.
pub fn parse(frame: &[u8]) -> Result<Packet<'_>, ParseError> {
    parse_with(frame, Verify::ALL)
}

/// Parses a frame and verifies the checksums that `verify` names.
#[inline]
pub fn parse_with(frame: &[u8], verify: Verify) -> Result<Packet<'_>, ParseError> {
    let (eth, packet) = ethernet::Header::parse(frame)?;
    match eth.ethertype {
        EtherType::IPV4 => parse_ipv4(eth, packet, verify),
        EtherType::ARP => ArpPacket::parse(packet).map(Packet::Arp),
        _ => Err(ParseError::UnknownEtherType),
    }
}

#[inline(always)]
fn parse_ipv4(
    eth: ethernet::Header,
    packet: &[u8],
    verify: Verify,
) -> Result<Packet<'_>, ParseError> {
    let (ip, payload) = ipv4::Header::parse(packet, verify.ip)?;
    match ip.protocol {
        Protocol::TCP => {
            let parts = tcp::Parts::parse(&ip, payload, verify.transport)?;
            Ok(Packet::Tcp(TcpPacket::new(eth, &ip, parts)))
        }
        Protocol::ICMP => {
            let message = IcmpMessage::parse(payload, verify.transport)?;
            Ok(Packet::Icmp(IcmpPacket {
                eth,
                ip_src: ip.src,
                ip_dst: ip.dst,
                message,
            }))
        }
        _ => Ok(Packet::Other(ip)),
    }
}

#[cfg(test)]
mod tests;
