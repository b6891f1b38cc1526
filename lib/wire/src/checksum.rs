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

/// How many bytes one round of the unrolled loop takes: enough independent additions for the
/// compiler to use vector registers.
const ROUND: usize = 64;
/// From here on vector registers are faster than a chain of carries.
const VECTOR_SUM: usize = 4 * ROUND;
/// Rounds after which the sums of a lane's halves could overflow.
const MAX_ROUNDS: usize = 1 << 16;

/// Sums up to [`MAX_ROUNDS`] rounds in native byte order: the byte order does not matter until the
/// end (RFC 1071 §2 (B)).
#[inline]
fn sum_rounds(rounds: &[[u8; ROUND]]) -> u64 {
    let mut whole = [0u32; ROUND / 4];
    let mut high = [0u32; ROUND / 4];
    for round in rounds {
        let (words, _) = round.as_chunks::<4>();
        for ((whole, high), word) in whole.iter_mut().zip(&mut high).zip(words) {
            let word = u32::from_ne_bytes(*word);
            *whole = whole.wrapping_add(word);
            *high += word >> 16;
        }
    }
    // The sum of the low halves is what the sum of the high ones leaves, modulo 2³², which it
    // does not reach: one addition and one shift less for each word than taking both out.
    whole
        .iter()
        .zip(&high)
        .map(|(whole, high)| {
            let low = whole.wrapping_sub(high << 16);
            u64::from(low) + (u64::from(*high) << 16)
        })
        .sum()
}

/// Sums 64-bit words, and what is left after the last one.
#[inline]
fn sum_words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = words
        .iter()
        .fold(0, |sum, word| add_around(sum, u64::from_ne_bytes(*word)));
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        sum = add_around(sum, u32::from_ne_bytes(*word).into());
    }
    let (halves, odd) = rest.as_chunks::<2>();
    for half in halves {
        sum = add_around(sum, u16::from_ne_bytes(*half).into());
    }
    if let [last] = odd {
        // RFC 1071 §4.1: an odd byte is padded with a zero on its right.
        sum = add_around(sum, u16::from_ne_bytes([*last, 0]).into());
    }
    sum
}

/// The sum of two words with the carry added again.
#[inline]
fn add_around(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    // Cannot overflow: a sum that carried is at most 2⁶⁴ − 2.
    sum.wrapping_add(carry.into())
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
    if bytes.len() < VECTOR_SUM {
        return init.join(fold_native(sum_words(bytes)));
    }
    let (rounds, tail) = bytes.as_chunks::<ROUND>();
    let sum = rounds
        .chunks(MAX_ROUNDS)
        .fold(sum_words(tail), |sum, rounds| {
            add_around(sum, sum_rounds(rounds))
        });
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
