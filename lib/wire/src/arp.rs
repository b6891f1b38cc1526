//! ARP for Ethernet and IPv4 (RFC 826, RFC 5227).

use core::net::Ipv4Addr;

use crate::ethernet::{self, EtherType, MacAddr};
use crate::{EmitError, ParseError};

/// Length of the packet behind the Ethernet header in bytes.
const PACKET_LEN: usize = 28;

/// Length of an emitted frame in bytes.
pub const FRAME_LEN: usize = ethernet::HEADER_LEN + PACKET_LEN;

/// Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
const FIXED: [u8; 6] = [0, 1, 0x08, 0, 6, 4];

/// What an ARP packet does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArpOp {
    /// Asks who has the target address.
    Request,
    /// Tells where the sender address is.
    Reply,
}

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpPacket {
    /// Request or reply.
    pub op: ArpOp,
    /// The sender's MAC address.
    pub sender_mac: MacAddr,
    /// The sender's IP address; unspecified in a probe.
    pub sender_ip: Ipv4Addr,
    /// The target's MAC address; zero in a request.
    pub target_mac: MacAddr,
    /// The target's IP address.
    pub target_ip: Ipv4Addr,
}

impl ArpPacket {
    /// Asks for the MAC address of `target_ip`.
    pub const fn request(mac: MacAddr, ip: Ipv4Addr, target_ip: Ipv4Addr) -> ArpPacket {
        ArpPacket {
            op: ArpOp::Request,
            sender_mac: mac,
            sender_ip: ip,
            target_mac: MacAddr::ZERO,
            target_ip,
        }
    }

    /// Announces our own address (gratuitous ARP, RFC 5227 §2.3).
    pub const fn announcement(mac: MacAddr, ip: Ipv4Addr) -> ArpPacket {
        ArpPacket::request(mac, ip, ip)
    }

    /// The answer to this request from the station `mac` that has its target
    /// address.
    #[must_use]
    pub const fn reply(&self, mac: MacAddr) -> ArpPacket {
        ArpPacket {
            op: ArpOp::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Parses what follows the Ethernet header.
    pub fn parse(packet: &[u8]) -> Result<ArpPacket, ParseError> {
        let p = packet
            .first_chunk::<PACKET_LEN>()
            .ok_or(ParseError::TooShort)?;
        if p[..6] != FIXED {
            return Err(ParseError::BadArp);
        }
        let op = match u16::from_be_bytes([p[6], p[7]]) {
            1 => ArpOp::Request,
            2 => ArpOp::Reply,
            _ => return Err(ParseError::BadArp),
        };
        Ok(ArpPacket {
            op,
            sender_mac: MacAddr([p[8], p[9], p[10], p[11], p[12], p[13]]),
            sender_ip: Ipv4Addr::new(p[14], p[15], p[16], p[17]),
            target_mac: MacAddr([p[18], p[19], p[20], p[21], p[22], p[23]]),
            target_ip: Ipv4Addr::new(p[24], p[25], p[26], p[27]),
        })
    }

    /// Writes the frame, [`FRAME_LEN`] bytes, and returns its length. A request
    /// is broadcast, a reply goes to its target.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let frame = out
            .first_chunk_mut::<FRAME_LEN>()
            .ok_or(EmitError::TooSmall)?;
        let (op, dst) = match self.op {
            ArpOp::Request => (1u16, MacAddr::BROADCAST),
            ArpOp::Reply => (2u16, self.target_mac),
        };
        let eth = ethernet::Header {
            dst,
            src: self.sender_mac,
            ethertype: EtherType::ARP,
            vlan: None,
        };
        frame[..14].copy_from_slice(&eth.to_bytes());
        frame[14..20].copy_from_slice(&FIXED);
        frame[20..22].copy_from_slice(&op.to_be_bytes());
        frame[22..28].copy_from_slice(&self.sender_mac.0);
        frame[28..32].copy_from_slice(&self.sender_ip.octets());
        frame[32..38].copy_from_slice(&self.target_mac.0);
        frame[38..42].copy_from_slice(&self.target_ip.octets());
        Ok(FRAME_LEN)
    }
}

#[cfg(test)]
mod tests;
