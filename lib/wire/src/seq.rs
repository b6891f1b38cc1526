//! Sequence number arithmetic modulo 2³² (RFC 9293 §3.4).

use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};

/// A TCP sequence number.
///
/// Comparison looks at the sign of the difference modulo 2³², so it means
/// something only for numbers less than 2³¹ apart, and is not transitive: hence
/// named methods instead of `Ord`. At exactly 2³¹ apart each of the two is
/// less than the other (RFC 1982 §3.2 leaves that case undefined).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Bytes from `earlier` up to `self`, modulo 2³².
    #[inline]
    pub const fn since(self, earlier: SeqNum) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The signed distance `self - other`.
    #[inline]
    pub const fn distance(self, other: SeqNum) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// `self` comes before `other`.
    #[inline]
    pub const fn lt(self, other: SeqNum) -> bool {
        self.distance(other) < 0
    }

    /// `self` comes before `other` or equals it.
    #[inline]
    pub const fn le(self, other: SeqNum) -> bool {
        self.distance(other) <= 0
    }

    /// `self` comes after `other`.
    #[inline]
    pub const fn gt(self, other: SeqNum) -> bool {
        self.distance(other) > 0
    }

    /// `self` comes after `other` or equals it.
    #[inline]
    pub const fn ge(self, other: SeqNum) -> bool {
        self.distance(other) >= 0
    }

    /// `self` lies in the `len` numbers that begin at `start`. Holds for any
    /// window length, also beyond 2³¹; an empty window contains nothing.
    #[inline]
    pub const fn in_window(self, start: SeqNum, len: u32) -> bool {
        self.since(start) < len
    }

    /// The later of the two.
    #[inline]
    #[must_use]
    pub const fn max(self, other: SeqNum) -> SeqNum {
        if self.lt(other) { other } else { self }
    }

    /// The earlier of the two.
    #[inline]
    #[must_use]
    pub const fn min(self, other: SeqNum) -> SeqNum {
        if self.gt(other) { other } else { self }
    }
}

impl Add<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn add(self, n: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl Sub<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn sub(self, n: u32) -> SeqNum {
        SeqNum(self.0.wrapping_sub(n))
    }
}

impl SubAssign<u32> for SeqNum {
    #[inline]
    fn sub_assign(&mut self, n: u32) {
        *self = *self - n;
    }
}

impl Sub for SeqNum {
    type Output = i32;
    #[inline]
    fn sub(self, other: SeqNum) -> i32 {
        self.distance(other)
    }
}

impl From<u32> for SeqNum {
    fn from(n: u32) -> SeqNum {
        SeqNum(n)
    }
}

impl From<SeqNum> for u32 {
    fn from(n: SeqNum) -> u32 {
        n.0
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeqNum({})", self.0)
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
