//! Ethernet II headers, with an optional IEEE 802.1Q tag.

use core::fmt;

use crate::ParseError;

/// Length of an untagged Ethernet header in bytes.
pub const HEADER_LEN: usize = 14;

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All stations on the link.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    /// All zeros: "unknown", as in the target of an ARP request.
    pub const ZERO: MacAddr = MacAddr([0; 6]);

    /// A group address; broadcast is one.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// The broadcast address.
    pub const fn is_broadcast(self) -> bool {
        matches!(self.0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    }

    /// The address of one station: neither a group nor all zeros.
    pub const fn is_unicast(self) -> bool {
        !self.is_multicast() && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The protocol that an Ethernet frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// Internet Protocol version 4.
    pub const IPV4: EtherType = EtherType(0x0800);
    /// Address Resolution Protocol.
    pub const ARP: EtherType = EtherType(0x0806);
    /// An IEEE 802.1Q tag follows.
    pub const VLAN: EtherType = EtherType(0x8100);
}

/// An Ethernet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Destination station.
    pub dst: MacAddr,
    /// Source station.
    pub src: MacAddr,
    /// What the frame carries, behind the tag if there is one.
    pub ethertype: EtherType,
    /// The VLAN identifier (12 bits) of an 802.1Q tag; 0 in a priority tag.
    pub vlan: Option<u16>,
}

impl Header {
    /// Parses the header and returns it with the bytes behind it. One 802.1Q
    /// tag is skipped.
    #[inline(always)]
    pub fn parse(frame: &[u8]) -> Result<(Header, &[u8]), ParseError> {
        let (h, rest) = frame
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::TooShort)?;
        // Whole addresses, because byte by byte they would be spread over
        // twelve registers.
        let ([dst, src], _) = h.as_chunks::<6>() else {
            return Err(ParseError::TooShort);
        };
        let mut header = Header {
            dst: MacAddr(*dst),
            src: MacAddr(*src),
            ethertype: EtherType(u16::from_be_bytes([h[12], h[13]])),
            vlan: None,
        };
        if header.ethertype != EtherType::VLAN {
            return Ok((header, rest));
        }
        let (tag, rest) = rest.split_first_chunk::<4>().ok_or(ParseError::TooShort)?;
        header.vlan = Some(u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff);
        header.ethertype = EtherType(u16::from_be_bytes([tag[2], tag[3]]));
        Ok((header, rest))
    }

    /// The bytes of an untagged header; `vlan` is left out.
    pub(crate) const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let (d, s) = (self.dst.0, self.src.0);
        let [t0, t1] = self.ethertype.0.to_be_bytes();
        [
            d[0], d[1], d[2], d[3], d[4], d[5], s[0], s[1], s[2], s[3], s[4], s[5], t0, t1,
        ]
    }
}
