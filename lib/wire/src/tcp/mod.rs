//! TCP headers (RFC 9293 §3.1), options and a builder.

use core::fmt;
use core::net::Ipv4Addr;
use core::ops::{BitOr, BitOrAssign};

use crate::{Ecn, FlowTuple, ParseError, SeqNum, checksum, ethernet, ipv4};

mod options;
mod plain;
mod template;

pub use options::{SackBlock, SackBlocks, TcpOptions, Timestamps, WindowScale};
pub use plain::{PlainChecksum, PlainFields, PlainSegment};
pub use template::{ChecksumMode, SegmentFields, TcpTemplate};

/// Length of a header without options in bytes.
pub const HEADER_LEN: usize = 20;

/// Most option bytes that a header can hold.
pub const MAX_OPTIONS_LEN: usize = 40;

/// The control bits of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No bit set.
    pub const EMPTY: TcpFlags = TcpFlags(0);
    /// No more data from the sender.
    pub const FIN: TcpFlags = TcpFlags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: TcpFlags = TcpFlags(0x02);
    /// Reset the connection.
    pub const RST: TcpFlags = TcpFlags(0x04);
    /// Push function.
    pub const PSH: TcpFlags = TcpFlags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: TcpFlags = TcpFlags(0x10);
    /// The urgent pointer is significant.
    pub const URG: TcpFlags = TcpFlags(0x20);
    /// ECN echo (RFC 3168 §6.1).
    pub const ECE: TcpFlags = TcpFlags(0x40);
    /// Congestion window reduced (RFC 3168 §6.1).
    pub const CWR: TcpFlags = TcpFlags(0x80);

    /// Every bit of `other` is set.
    #[inline]
    pub const fn contains(self, other: TcpFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Some bit of `other` is set.
    #[inline]
    pub const fn intersects(self, other: TcpFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both; usable in constants.
    #[inline]
    #[must_use]
    pub const fn union(self, other: TcpFlags) -> TcpFlags {
        TcpFlags(self.0 | other.0)
    }

    /// The bits of `self` that are not in `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: TcpFlags) -> TcpFlags {
        TcpFlags(self.0 & !other.0)
    }
}

impl BitOr for TcpFlags {
    type Output = TcpFlags;
    #[inline]
    fn bitor(self, other: TcpFlags) -> TcpFlags {
        self.union(other)
    }
}

impl BitOrAssign for TcpFlags {
    #[inline]
    fn bitor_assign(&mut self, other: TcpFlags) {
        *self = self.union(other);
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(TcpFlags, &str); 8] = [
            (TcpFlags::FIN, "FIN"),
            (TcpFlags::SYN, "SYN"),
            (TcpFlags::RST, "RST"),
            (TcpFlags::PSH, "PSH"),
            (TcpFlags::ACK, "ACK"),
            (TcpFlags::URG, "URG"),
            (TcpFlags::ECE, "ECE"),
            (TcpFlags::CWR, "CWR"),
        ];
        let mut separator = "";
        for (flag, name) in NAMES {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if separator.is_empty() {
            f.write_str("-")?;
        }
        Ok(())
    }
}

/// The fixed part of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first byte, or of the SYN.
    pub seq: SeqNum,
    /// Next sequence number expected; significant with ACK.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field as sent: not yet scaled.
    pub window: u16,
    /// Urgent pointer; significant with URG.
    pub urgent: u16,
}

/// A received TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpPacket<'a> {
    /// Ethernet header.
    pub eth: ethernet::Header,
    /// Source address.
    pub ip_src: Ipv4Addr,
    /// Destination address.
    pub ip_dst: Ipv4Addr,
    /// Congestion marking of the IP packet.
    pub ecn: Ecn,
    /// Fixed header.
    pub tcp: TcpHeader,
    /// Options.
    pub options: TcpOptions,
    /// Data.
    pub payload: &'a [u8],
}

/// A segment cut into its parts, before anything is decoded.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    header: &'a [u8; HEADER_LEN],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Cuts an IP packet's payload; verifies the checksum if asked.
    #[inline(always)]
    pub(crate) fn parse(
        ip: &ipv4::Header,
        segment: &'a [u8],
        verify_checksum: bool,
    ) -> Result<Parts<'a>, ParseError> {
        let (header, rest) = segment
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::TooShort)?;
        let options_len = (usize::from(header[12] >> 4) * 4)
            .checked_sub(HEADER_LEN)
            .ok_or(ParseError::BadTcpHeader)?;
        let (options, payload) = rest
            .split_at_checked(options_len)
            .ok_or(ParseError::BadTcpHeader)?;
        if verify_checksum && !checksum::verify_tcp(ip.src, ip.dst, segment) {
            return Err(ParseError::BadTcpChecksum);
        }
        Ok(Parts {
            header,
            options,
            payload,
        })
    }
}

impl<'a> TcpPacket<'a> {
    /// Decodes a segment. Infallible, so that the packet is built in place:
    /// moving one through a `Result` costs as much as the rest of parsing.
    #[inline(always)]
    pub(crate) fn new(eth: ethernet::Header, ip: &ipv4::Header, parts: Parts<'a>) -> TcpPacket<'a> {
        let h = parts.header;
        TcpPacket {
            eth,
            ip_src: ip.src,
            ip_dst: ip.dst,
            ecn: ip.ecn,
            tcp: TcpHeader {
                src_port: u16::from_be_bytes([h[0], h[1]]),
                dst_port: u16::from_be_bytes([h[2], h[3]]),
                seq: SeqNum(u32::from_be_bytes([h[4], h[5], h[6], h[7]])),
                ack: SeqNum(u32::from_be_bytes([h[8], h[9], h[10], h[11]])),
                flags: TcpFlags(h[13]),
                window: u16::from_be_bytes([h[14], h[15]]),
                urgent: u16::from_be_bytes([h[18], h[19]]),
            },
            options: TcpOptions::parse(parts.options),
            payload: parts.payload,
        }
    }

    /// The connection this segment belongs to, as its receiver sees it.
    #[inline]
    pub const fn tuple(&self) -> FlowTuple {
        FlowTuple {
            local_ip: self.ip_dst,
            local_port: self.tcp.dst_port,
            remote_ip: self.ip_src,
            remote_port: self.tcp.src_port,
        }
    }

    /// The sequence space that the segment occupies: data, SYN and FIN
    /// (SEG.LEN of RFC 9293 §3.4).
    #[inline]
    pub const fn seq_len(&self) -> u32 {
        let flags = self.tcp.flags;
        self.payload.len() as u32
            + flags.contains(TcpFlags::SYN) as u32
            + flags.contains(TcpFlags::FIN) as u32
    }
}
