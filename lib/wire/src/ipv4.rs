//! IPv4 headers (RFC 791).

use core::net::Ipv4Addr;

use crate::{ParseError, checksum};

/// Length of a header without options in bytes.
pub const HEADER_LEN: usize = 20;

/// The protocol that an IPv4 packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet Control Message Protocol.
    pub const ICMP: Protocol = Protocol(1);
    /// Transmission Control Protocol.
    pub const TCP: Protocol = Protocol(6);
}

/// The ECN field of an IP header (RFC 3168 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Ecn {
    /// The sender does not understand ECN.
    #[default]
    NotEct = 0,
    /// ECN-capable transport, codepoint 1.
    Ect1 = 1,
    /// ECN-capable transport, codepoint 0: what a sender normally uses.
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl Ecn {
    /// The ECN field of a type-of-service byte.
    #[inline]
    pub const fn from_tos(tos: u8) -> Ecn {
        match tos & 3 {
            0 => Ecn::NotEct,
            1 => Ecn::Ect1,
            2 => Ecn::Ect0,
            _ => Ecn::Ce,
        }
    }
}

/// An IPv4 header; options are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// What the packet carries.
    pub protocol: Protocol,
    /// Congestion marking.
    pub ecn: Ecn,
    /// Remaining hops.
    pub ttl: u8,
}

impl Header {
    /// Parses the header and returns it with the packet's payload: padding
    /// behind the total length is cut off. Fragments are refused.
    #[inline(always)]
    pub fn parse(packet: &[u8], verify_checksum: bool) -> Result<(Header, &[u8]), ParseError> {
        let h = packet
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::TooShort)?;
        let header_len = usize::from(h[0] & 0x0f) * 4;
        if h[0] >> 4 != 4 || header_len < HEADER_LEN {
            return Err(ParseError::BadIpHeader);
        }
        let total_len = usize::from(u16::from_be_bytes([h[2], h[3]]));
        let payload = packet
            .get(header_len..total_len)
            .ok_or(ParseError::BadIpLength)?;
        if verify_checksum {
            let header = packet.get(..header_len).ok_or(ParseError::BadIpLength)?;
            if checksum::ipv4_header(header) != 0 {
                return Err(ParseError::BadIpChecksum);
            }
        }
        // More-fragments flag and fragment offset, without don't-fragment.
        if u16::from_be_bytes([h[6], h[7]]) & 0x3fff != 0 {
            return Err(ParseError::Fragment);
        }
        let header = Header {
            src: Ipv4Addr::new(h[12], h[13], h[14], h[15]),
            dst: Ipv4Addr::new(h[16], h[17], h[18], h[19]),
            protocol: Protocol(h[9]),
            ecn: Ecn::from_tos(h[1]),
            ttl: h[8],
        };
        Ok((header, payload))
    }
}

/// The bytes of a header without options, don't-fragment set, checksum filled
/// in. `total_len` includes the header.
pub(crate) fn header_bytes(header: &Header, total_len: u16, ip_id: u16) -> [u8; HEADER_LEN] {
    let mut h = [0u8; HEADER_LEN];
    h[0] = 0x45;
    h[1] = header.ecn as u8;
    h[2..4].copy_from_slice(&total_len.to_be_bytes());
    h[4..6].copy_from_slice(&ip_id.to_be_bytes());
    h[6] = 0x40;
    h[8] = header.ttl;
    h[9] = header.protocol.0;
    h[12..16].copy_from_slice(&header.src.octets());
    h[16..20].copy_from_slice(&header.dst.octets());
    let sum = checksum::ipv4_header(&h);
    h[10..12].copy_from_slice(&sum.to_be_bytes());
    h
}

/// Whether `addr` can be the source of a packet, or a peer: not unspecified,
/// broadcast, multicast, loopback or reserved (RFC 1122 §3.2.1.3).
pub const fn is_unicast(addr: Ipv4Addr) -> bool {
    let [first, ..] = addr.octets();
    first != 0 && first != 127 && first < 224
}

#[cfg(test)]
mod tests;
