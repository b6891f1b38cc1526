//! Segments without anything unusual, which nearly all are: untagged Ethernet, an IPv4 header
//! without options, and of TCP's options the timestamps in their usual layout or none.
//!
//! What is not plain takes the general way, [`crate::parse_with`]; this one only is faster. Every
//! field is read and written as a value of its own, and no structure is moved through memory.

use core::net::Ipv4Addr;

use crate::checksum::{Sum, ones_complement_sum};
use crate::ethernet::{self, EtherType};
use crate::ipv4::{self, Ecn, Protocol};
use crate::{EmitError, FlowTuple, SeqNum, Verify};

use super::options::NOP_NOP_TIMESTAMPS;
use super::template::{IP, OPTIONS, TCP, TcpTemplate};
use super::{HEADER_LEN, TcpFlags, Timestamps};

/// Length of the timestamps option with its padding.
const TIMESTAMPS_LEN: usize = 12;
/// IPv4, five words of header; the type of service does not matter.
const VERSION_AND_LEN: u8 = 0x45;

/// A received plain segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainSegment {
    /// The connection, as the receiver sees it.
    pub tuple: FlowTuple,
    /// Sequence number of the first byte.
    pub seq: SeqNum,
    /// Next sequence number expected.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field as sent.
    pub window: u16,
    /// Congestion marking of the IP packet.
    pub ecn: Ecn,
    /// Timestamps option.
    pub timestamps: Option<Timestamps>,
    /// Where the data begins in the frame.
    pub payload_at: u16,
    /// Bytes of data.
    pub payload_len: u16,
}

#[inline(always)]
fn be16<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some([a, b]) => u16::from_be_bytes([*a, *b]),
        _ => 0,
    }
}

#[inline(always)]
fn be32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some([a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

#[inline(always)]
fn put<const N: usize, const M: usize>(bytes: &mut [u8; N], at: usize, value: [u8; M]) {
    if let Some(place) = bytes
        .get_mut(at..at + M)
        .and_then(<[u8]>::first_chunk_mut::<M>)
    {
        *place = value;
    }
}

impl PlainSegment {
    /// Parses a frame; `None` when it is no plain segment, or broken.
    #[inline(always)]
    pub fn parse(frame: &[u8], verify: Verify) -> Option<PlainSegment> {
        let (fixed, rest) = frame.split_first_chunk::<OPTIONS>()?;
        let total_len = usize::from(be16(fixed, IP + 2));
        let data_offset = usize::from(fixed[TCP + 12] >> 4) * 4;
        let plain = be16(fixed, 12) == EtherType::IPV4.0
            && fixed[IP] == VERSION_AND_LEN
            && fixed[IP + 9] == Protocol::TCP.0
            // More-fragments flag and fragment offset, without don't-fragment.
            && be16(fixed, IP + 6) & 0x3fff == 0;
        let payload_at = TCP + data_offset;
        let end = IP + total_len;
        if !plain || payload_at > end || end > frame.len() {
            return None;
        }
        let timestamps = match data_offset {
            HEADER_LEN => None,
            32 => {
                let option = rest.first_chunk::<TIMESTAMPS_LEN>()?;
                if be32(option, 0) != u32::from_be_bytes(NOP_NOP_TIMESTAMPS) {
                    return None;
                }
                Some(Timestamps {
                    val: be32(option, 4),
                    ecr: be32(option, 8),
                })
            }
            _ => return None,
        };
        if verify.ip && !ip_header_sum(fixed).is_intact() {
            return None;
        }
        let tuple = FlowTuple {
            remote_ip: Ipv4Addr::from_bits(be32(fixed, IP + 12)),
            local_ip: Ipv4Addr::from_bits(be32(fixed, IP + 16)),
            remote_port: be16(fixed, TCP),
            local_port: be16(fixed, TCP + 2),
        };
        if verify.transport && !PlainSegment::is_intact(frame, end) {
            return None;
        }
        Some(PlainSegment {
            tuple,
            seq: SeqNum(be32(fixed, TCP + 4)),
            ack: SeqNum(be32(fixed, TCP + 8)),
            flags: TcpFlags(fixed[TCP + 13]),
            window: be16(fixed, TCP + 14),
            ecn: Ecn::from_tos(fixed[IP + 1]),
            timestamps,
            payload_at: payload_at as u16,
            payload_len: (end - payload_at) as u16,
        })
    }

    /// Whether the TCP checksum is right of a plain segment that ends at `end` in its frame.
    #[inline(always)]
    pub fn is_intact(frame: &[u8], end: usize) -> bool {
        match (frame.first_chunk::<OPTIONS>(), frame.get(TCP..end)) {
            (Some(fixed), Some(segment)) => {
                let pseudo = pseudo_sum(fixed, segment.len());
                ones_complement_sum(segment, pseudo).is_intact()
            }
            _ => false,
        }
    }
}

#[inline(always)]
fn ip_header_sum(fixed: &[u8; OPTIONS]) -> Sum {
    (IP..TCP)
        .step_by(4)
        .fold(Sum::ZERO, |sum, at| sum.add_u32(be32(fixed, at)))
}

#[inline(always)]
fn pseudo_sum(fixed: &[u8; OPTIONS], tcp_len: usize) -> Sum {
    Sum::ZERO
        .add_u32(be32(fixed, IP + 12))
        .add_u32(be32(fixed, IP + 16))
        .add_u32(u32::from(Protocol::TCP.0) << 16 | tcp_len as u32)
}

/// What differs from one plain segment of a connection to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlainFields {
    /// Sequence number of the first byte.
    pub seq: SeqNum,
    /// Next sequence number expected.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field: already scaled.
    pub window: u16,
    /// Congestion marking of the IP packet.
    pub ecn: Ecn,
    /// Timestamps option.
    pub timestamps: Option<Timestamps>,
}

impl PlainFields {
    /// Length of the Ethernet, IP and TCP headers in bytes: where the data begins in the frame.
    #[inline(always)]
    pub const fn header_len(&self) -> usize {
        match self.timestamps {
            Some(_) => OPTIONS + TIMESTAMPS_LEN,
            None => OPTIONS,
        }
    }
}

/// Where the TCP checksum of a plain segment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainChecksum {
    /// The NIC completes it: only the sum of the pseudo header is filled in.
    Offload,
    /// The headers and this sum of the data.
    Data(Sum),
}

impl TcpTemplate {
    /// Writes the headers of a plain segment with `payload_len` bytes of data at the beginning of
    /// `out`, and returns their length.
    ///
    /// # Errors
    /// [`EmitError`] when `out` is shorter than the headers, or the packet too long for IP.
    #[inline(always)]
    pub fn emit_plain(
        &self,
        out: &mut [u8],
        seg: &PlainFields,
        payload_len: usize,
        ip_id: u16,
        checksum: PlainChecksum,
    ) -> Result<usize, EmitError> {
        let header_len = seg.header_len();
        let total_len =
            u16::try_from(header_len - IP + payload_len).map_err(|_| EmitError::TooLong)?;
        let (fixed, rest) = out
            .split_first_chunk_mut::<OPTIONS>()
            .ok_or(EmitError::TooSmall)?;
        *fixed = self.bytes;
        self.patch_ip(fixed, seg.ecn, total_len, ip_id);

        let offset_and_flags = ((header_len - TCP) as u16) << 10 | u16::from(seg.flags.0);
        put(fixed, TCP + 4, seg.seq.0.to_be_bytes());
        put(fixed, TCP + 8, seg.ack.0.to_be_bytes());
        put(fixed, TCP + 12, offset_and_flags.to_be_bytes());
        put(fixed, TCP + 14, seg.window.to_be_bytes());
        let mut options_sum = Sum::ZERO;
        if let Some(ts) = seg.timestamps {
            let option = rest
                .first_chunk_mut::<TIMESTAMPS_LEN>()
                .ok_or(EmitError::TooSmall)?;
            put(option, 0, NOP_NOP_TIMESTAMPS);
            put(option, 4, ts.val.to_be_bytes());
            put(option, 8, ts.ecr.to_be_bytes());
            options_sum = Sum::ZERO
                .add_u32(u32::from_be_bytes(NOP_NOP_TIMESTAMPS))
                .add_u32(ts.val)
                .add_u32(ts.ecr);
        }
        let pseudo = self.pseudo_sum.add_u16(total_len - ipv4::HEADER_LEN as u16);
        let field = match checksum {
            PlainChecksum::Offload => pseudo.fold(),
            PlainChecksum::Data(sum) => pseudo
                .add_u32(be32(&self.bytes, TCP)) // the ports
                .add_u32(seg.seq.0)
                .add_u32(seg.ack.0)
                .add_u32(u32::from(offset_and_flags) << 16 | u32::from(seg.window))
                .join(options_sum)
                .join(sum)
                .finish(),
        };
        put(fixed, TCP + 16, field.to_be_bytes());
        Ok(header_len)
    }
}

const _: () = assert!(IP == ethernet::HEADER_LEN);

#[cfg(test)]
mod tests;
