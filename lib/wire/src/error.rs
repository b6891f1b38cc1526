//! Why a frame could not be parsed or built.

use core::fmt;

/// Why a received frame was refused. One variant per counter worth having.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// The frame ends before a fixed header does.
    TooShort,
    /// Neither IPv4 nor ARP.
    UnknownEtherType,
    /// IP version is not 4, or the header length is impossible.
    BadIpHeader,
    /// The total length is shorter than the header or longer than the frame.
    BadIpLength,
    /// The IP header checksum is wrong.
    BadIpChecksum,
    /// A fragment: reassembly is not supported.
    Fragment,
    /// The data offset is impossible.
    BadTcpHeader,
    /// The TCP checksum is wrong.
    BadTcpChecksum,
    /// Not Ethernet/IPv4 ARP, or an operation other than request and reply.
    BadArp,
    /// The ICMP checksum is wrong.
    BadIcmpChecksum,
}

impl ParseError {
    /// Every variant, in the order of [`ParseError::index`].
    pub const ALL: [ParseError; 10] = [
        ParseError::TooShort,
        ParseError::UnknownEtherType,
        ParseError::BadIpHeader,
        ParseError::BadIpLength,
        ParseError::BadIpChecksum,
        ParseError::Fragment,
        ParseError::BadTcpHeader,
        ParseError::BadTcpChecksum,
        ParseError::BadArp,
        ParseError::BadIcmpChecksum,
    ];

    /// A dense index, for an array of counters of length `ALL.len()`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// A short name, for counters and logs.
    pub const fn name(self) -> &'static str {
        match self {
            ParseError::TooShort => "too_short",
            ParseError::UnknownEtherType => "unknown_ethertype",
            ParseError::BadIpHeader => "bad_ip_header",
            ParseError::BadIpLength => "bad_ip_length",
            ParseError::BadIpChecksum => "bad_ip_checksum",
            ParseError::Fragment => "ip_fragment",
            ParseError::BadTcpHeader => "bad_tcp_header",
            ParseError::BadTcpChecksum => "bad_tcp_checksum",
            ParseError::BadArp => "bad_arp",
            ParseError::BadIcmpChecksum => "bad_icmp_checksum",
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for ParseError {}

/// Why a frame could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmitError {
    /// The output buffer is shorter than the frame.
    TooSmall,
    /// The packet would exceed the 65,535 bytes that IPv4 can express.
    TooLong,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EmitError::TooSmall => "output buffer too small",
            EmitError::TooLong => "packet longer than IPv4 allows",
        })
    }
}

impl core::error::Error for EmitError {}
