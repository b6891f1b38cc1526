//! The Internet checksum (RFC 1071).

use core::net::Ipv4Addr;

use zerocopy::FromZeros;

use crate::ipv4::Protocol;

/// A partial ones' complement sum of 16-bit big-endian words.
///
/// Sums add up in any order, as long as every part but the last has an even
/// length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromZeros)]
pub struct Sum(u32);

impl Sum {
    /// The empty sum.
    pub const ZERO: Sum = Sum(0);

    /// Adds one 16-bit word.
    #[inline]
    #[must_use]
    pub const fn add_u16(self, word: u16) -> Sum {
        self.join(Sum(word as u32))
    }

    /// Adds two 16-bit words, high one first.
    #[inline]
    #[must_use]
    pub const fn add_u32(self, words: u32) -> Sum {
        self.join(Sum((words >> 16) + (words & 0xffff)))
    }

    /// The sum of both parts.
    #[inline]
    #[must_use]
    pub const fn join(self, other: Sum) -> Sum {
        // End-around carry, so that no number of additions overflows.
        let (sum, carry) = self.0.overflowing_add(other.0);
        Sum(sum + carry as u32)
    }

    /// The 16-bit sum: what a NIC that completes the checksum wants to find in
    /// the checksum field.
    #[inline]
    pub const fn fold(self) -> u16 {
        let sum = (self.0 >> 16) + (self.0 & 0xffff);
        ((sum >> 16) + (sum & 0xffff)) as u16
    }

    /// The complement of the sum: the value of a checksum field.
    #[inline]
    pub const fn finish(self) -> u16 {
        !self.fold()
    }

    /// Whether a sum that included the checksum field says "intact".
    #[inline]
    pub const fn is_intact(self) -> bool {
        self.fold() == 0xffff
    }
}

/// How many bytes one round of the unrolled loops takes: enough independent
/// additions for the compiler to use vector registers.
const ROUND: usize = 64;

/// Sums the 32-bit words of one round in native byte order: the byte order
/// does not matter until the end (RFC 1071 §2 (B)).
#[inline(always)]
fn sum_round(round: &[u8; ROUND], lanes: &mut [u64; ROUND / 4]) {
    let (words, _) = round.as_chunks::<4>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane += u64::from(u32::from_ne_bytes(*word));
    }
}

/// Sums what is left after the last full round.
#[inline]
fn sum_tail(tail: &[u8]) -> u64 {
    let (words, rest) = tail.as_chunks::<4>();
    let mut sum: u64 = words
        .iter()
        .map(|w| u64::from(u32::from_ne_bytes(*w)))
        .sum();
    let (halves, odd) = rest.as_chunks::<2>();
    for half in halves {
        sum += u64::from(u16::from_ne_bytes(*half));
    }
    if let [last] = odd {
        // RFC 1071 §4.1: an odd byte is padded with a zero on its right.
        sum += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    sum
}

/// Folds a native-order 64-bit sum to a big-endian word sum.
#[inline]
fn fold_native(sum: u64) -> Sum {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    Sum(u32::from(u16::from_be(sum as u16)))
}

impl Sum {
    /// The sum of data whose 64-bit words in memory's order add up to `words`, carries added
    /// again at the low end and the last word filled up with zeros.
    #[inline]
    #[must_use]
    pub fn of_words(words: u64) -> Sum {
        fold_native(words)
    }
}

/// Adds the 16-bit words of `bytes` to `init`. An odd last byte counts as the
/// high half of a word.
#[inline]
pub fn ones_complement_sum(bytes: &[u8], init: Sum) -> Sum {
    let (rounds, tail) = bytes.as_chunks::<ROUND>();
    let mut sum = sum_tail(tail);
    if !rounds.is_empty() {
        let mut lanes = [0u64; ROUND / 4];
        for round in rounds {
            sum_round(round, &mut lanes);
        }
        sum += lanes.iter().sum::<u64>();
    }
    init.join(fold_native(sum))
}

/// Copies `src` to the beginning of `dst` and returns the sum of the bytes
/// copied. Copies as much as both slices have room for.
#[inline]
pub fn copy_and_sum(src: &[u8], dst: &mut [u8]) -> Sum {
    let len = src.len().min(dst.len());
    let (Some(src), Some(dst)) = (src.get(..len), dst.get_mut(..len)) else {
        return Sum::ZERO;
    };
    // Two passes over a packet that stays in the nearest cache are measurably
    // faster than one loop that does both.
    dst.copy_from_slice(src);
    ones_complement_sum(dst, Sum::ZERO)
}

/// The checksum of an IPv4 header whose checksum field is zero; over a header
/// that carries its checksum the result is 0 if it is intact.
#[inline]
pub fn ipv4_header(header: &[u8]) -> u16 {
    ones_complement_sum(header, Sum::ZERO).finish()
}

/// The sum over the pseudo header (RFC 9293 §3.1). `len` is the length of the
/// transport header and payload in bytes.
#[inline]
pub fn pseudo_header_sum(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, len: u16) -> Sum {
    Sum::ZERO
        .add_u32(src.to_bits())
        .add_u32(dst.to_bits())
        .add_u16(u16::from(protocol.0))
        .add_u16(len)
}

/// The checksum of a TCP segment whose checksum field is zero. `segment` is at
/// most 65,515 bytes long, as IPv4 limits it.
#[inline]
pub fn tcp(src: Ipv4Addr, dst: Ipv4Addr, segment: &[u8]) -> u16 {
    tcp_sum(src, dst, segment).finish()
}

/// Whether the checksum that a TCP segment carries is right.
#[inline]
pub fn verify_tcp(src: Ipv4Addr, dst: Ipv4Addr, segment: &[u8]) -> bool {
    tcp_sum(src, dst, segment).is_intact()
}

#[inline]
fn tcp_sum(src: Ipv4Addr, dst: Ipv4Addr, segment: &[u8]) -> Sum {
    let pseudo = pseudo_header_sum(src, dst, Protocol::TCP, segment.len() as u16);
    ones_complement_sum(segment, pseudo)
}

#[cfg(test)]
mod tests;
