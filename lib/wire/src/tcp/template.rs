//! Building segments from a per-connection template.

use zerocopy::FromZeros;

use crate::checksum::{self, Sum};
use crate::ethernet::{self, EtherType, MacAddr};
use crate::ipv4::{self, Ecn, Protocol};
use crate::{EmitError, FlowTuple, SeqNum};

use super::options::{
    KIND_MSS, KIND_NOP, KIND_SACK, KIND_SACK_PERMITTED, KIND_TIMESTAMPS, KIND_WINDOW_SCALE,
    NOP_NOP_TIMESTAMPS,
};
use super::{HEADER_LEN, MAX_OPTIONS_LEN, SackBlock, TcpFlags, Timestamps, WindowScale};

/// Where the IP header begins.
pub(super) const IP: usize = ethernet::HEADER_LEN;
/// Where the TCP header begins.
pub(super) const TCP: usize = IP + ipv4::HEADER_LEN;
/// Where the TCP options begin.
pub(super) const OPTIONS: usize = TCP + HEADER_LEN;

const TTL: u8 = 64;

/// What differs from one segment of a connection to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SegmentFields<'a> {
    /// Sequence number of the first byte, or of the SYN.
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
    /// SACK option, most important block first: of more than fit (four, or
    /// three beside timestamps) the last are left out.
    pub sack: &'a [SackBlock],
    /// Maximum segment size option, in bytes; for SYN.
    pub mss: Option<u16>,
    /// Window scale option; for SYN.
    pub window_scale: Option<WindowScale>,
    /// SACK-permitted option; for SYN.
    pub sack_permitted: bool,
}

impl SegmentFields<'_> {
    /// Length of the TCP options in bytes, a multiple of four.
    #[inline]
    pub fn options_len(&self) -> usize {
        self.options_len_before_sack() + self.sack_len()
    }

    /// Length of the Ethernet, IP and TCP headers in bytes: where the data
    /// begins in the frame.
    #[inline]
    pub fn header_len(&self) -> usize {
        OPTIONS + self.options_len()
    }

    #[inline]
    fn options_len_before_sack(&self) -> usize {
        let mut len = 0;
        if self.timestamps.is_some() {
            len += 12;
        } else if self.sack_permitted {
            len += 4;
        }
        if self.mss.is_some() {
            len += 4;
        }
        if self.window_scale.is_some() {
            len += 4;
        }
        len
    }

    /// The blocks that fit behind the other options.
    #[inline]
    fn sack_that_fits(&self) -> &[SackBlock] {
        let room = (MAX_OPTIONS_LEN - self.options_len_before_sack()).saturating_sub(4) / 8;
        self.sack.get(..room).unwrap_or(self.sack)
    }

    #[inline]
    fn sack_len(&self) -> usize {
        match self.sack_that_fits() {
            [] => 0,
            blocks => 4 + 8 * blocks.len(),
        }
    }

    /// Writes the options; `out` is [`Self::options_len`] bytes long.
    #[inline]
    fn write_options(&self, out: &mut [u8]) {
        let mut out = Cursor(out);
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            out.put([KIND_MSS, 4, a, b]);
        }
        if let Some(timestamps) = self.timestamps {
            // The two bytes of padding are just what SACK-permitted takes.
            out.put(if self.sack_permitted {
                [KIND_SACK_PERMITTED, 2, KIND_TIMESTAMPS, 10]
            } else {
                NOP_NOP_TIMESTAMPS
            });
            out.put(timestamps.val.to_be_bytes());
            out.put(timestamps.ecr.to_be_bytes());
        } else if self.sack_permitted {
            out.put([KIND_NOP, KIND_NOP, KIND_SACK_PERMITTED, 2]);
        }
        if let Some(scale) = self.window_scale {
            out.put([KIND_NOP, KIND_WINDOW_SCALE, 3, scale.bits()]);
        }
        let blocks = self.sack_that_fits();
        if !blocks.is_empty() {
            out.put([KIND_NOP, KIND_NOP, KIND_SACK, 2 + 8 * blocks.len() as u8]);
            for block in blocks {
                out.put(block.left.0.to_be_bytes());
                out.put(block.right.0.to_be_bytes());
            }
        }
    }
}

/// Writes options word by word.
struct Cursor<'a>(&'a mut [u8]);

impl Cursor<'_> {
    #[inline]
    fn put(&mut self, word: [u8; 4]) {
        if let Some((slot, rest)) = core::mem::take(&mut self.0).split_first_chunk_mut::<4>() {
            *slot = word;
            self.0 = rest;
        }
    }
}

/// How the TCP checksum of an emitted segment comes about. The IP header
/// checksum is always filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumMode {
    /// The NIC completes it: only the sum of the pseudo header is filled in.
    Offload,
    /// Computed over headers and data; the data is already in place behind the
    /// headers, at [`SegmentFields::header_len`].
    Full,
}

/// The headers of a connection's segments with everything filled in that does
/// not change, and the checksums' constant parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromZeros)]
#[repr(C)]
pub struct TcpTemplate {
    pub(super) bytes: [u8; OPTIONS],
    /// Sum over the IP header without type of service, total length and
    /// identification.
    ip_sum: Sum,
    /// Sum over the pseudo header without the length.
    pub(super) pseudo_sum: Sum,
}

impl TcpTemplate {
    /// The template for segments sent on `tuple`.
    pub fn new(src_mac: MacAddr, dst_mac: MacAddr, tuple: &FlowTuple) -> TcpTemplate {
        let eth = ethernet::Header {
            dst: dst_mac,
            src: src_mac,
            ethertype: EtherType::IPV4,
            vlan: None,
        };
        let ip = ipv4::Header {
            src: tuple.local_ip,
            dst: tuple.remote_ip,
            protocol: Protocol::TCP,
            ecn: Ecn::NotEct,
            ttl: TTL,
        };
        let ip_bytes = ipv4::header_bytes(&ip, 0, 0);
        let mut bytes = [0; OPTIONS];
        bytes[..IP].copy_from_slice(&eth.to_bytes());
        bytes[IP..TCP].copy_from_slice(&ip_bytes);
        bytes[TCP..TCP + 2].copy_from_slice(&tuple.local_port.to_be_bytes());
        bytes[TCP + 2..TCP + 4].copy_from_slice(&tuple.remote_port.to_be_bytes());
        bytes[IP + 10..IP + 12].copy_from_slice(&[0, 0]);
        TcpTemplate {
            ip_sum: checksum::ones_complement_sum(&bytes[IP..TCP], Sum::ZERO),
            pseudo_sum: checksum::pseudo_header_sum(ip.src, ip.dst, ip.protocol, 0),
            bytes,
        }
    }

    /// Sends to another next hop from now on.
    pub fn set_dst_mac(&mut self, mac: MacAddr) {
        self.bytes[..6].copy_from_slice(&mac.0);
    }

    /// Where segments are sent to.
    pub fn dst_mac(&self) -> MacAddr {
        let [a, b, c, d, e, f, ..] = self.bytes;
        MacAddr([a, b, c, d, e, f])
    }

    /// Writes the headers of a segment with `payload_len` bytes of data, and
    /// returns their length. `out` must have room for headers and data, whose
    /// bytes the caller provides (see [`ChecksumMode`]).
    #[inline]
    pub fn emit(
        &self,
        out: &mut [u8],
        seg: &SegmentFields<'_>,
        payload_len: usize,
        ip_id: u16,
        mode: ChecksumMode,
    ) -> Result<usize, EmitError> {
        let header_len = seg.header_len();
        let total_len = payload_len
            .checked_add(header_len - IP)
            .and_then(|len| u16::try_from(len).ok())
            .ok_or(EmitError::TooLong)?;
        let frame = out
            .get_mut(..header_len + payload_len)
            .ok_or(EmitError::TooSmall)?;
        let (fixed, rest) = frame
            .split_first_chunk_mut::<OPTIONS>()
            .ok_or(EmitError::TooSmall)?;
        let (options, payload) = rest
            .split_at_mut_checked(header_len - OPTIONS)
            .ok_or(EmitError::TooSmall)?;

        *fixed = self.bytes;
        self.patch_ip(fixed, seg.ecn, total_len, ip_id);
        patch_tcp(fixed, seg, header_len);
        seg.write_options(options);

        let pseudo = self.pseudo_sum.add_u16(total_len - ipv4::HEADER_LEN as u16);
        let field = match mode {
            ChecksumMode::Offload => pseudo.fold(),
            ChecksumMode::Full => {
                let options_sum = checksum::ones_complement_sum(options, pseudo);
                let headers = checksum::ones_complement_sum(&fixed[TCP..], options_sum);
                checksum::ones_complement_sum(payload, headers).finish()
            }
        };
        fixed[TCP + 16..TCP + 18].copy_from_slice(&field.to_be_bytes());
        Ok(header_len)
    }

    #[inline]
    pub(super) fn patch_ip(&self, fixed: &mut [u8; OPTIONS], ecn: Ecn, total_len: u16, ip_id: u16) {
        let sum = self
            .ip_sum
            .add_u16(ecn as u16)
            .add_u16(total_len)
            .add_u16(ip_id)
            .finish();
        fixed[IP + 1] = ecn as u8;
        fixed[IP + 2..IP + 4].copy_from_slice(&total_len.to_be_bytes());
        fixed[IP + 4..IP + 6].copy_from_slice(&ip_id.to_be_bytes());
        fixed[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
    }
}

#[inline]
fn patch_tcp(fixed: &mut [u8; OPTIONS], seg: &SegmentFields<'_>, header_len: usize) {
    let data_offset = ((header_len - TCP) / 4) as u8;
    fixed[TCP + 4..TCP + 8].copy_from_slice(&seg.seq.0.to_be_bytes());
    fixed[TCP + 8..TCP + 12].copy_from_slice(&seg.ack.0.to_be_bytes());
    fixed[TCP + 12] = data_offset << 4;
    fixed[TCP + 13] = seg.flags.0;
    fixed[TCP + 14..TCP + 16].copy_from_slice(&seg.window.to_be_bytes());
}

#[cfg(test)]
mod tests;
