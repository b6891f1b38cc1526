//! Circular byte buffers: a connection's receive and transmit data.

use crate::arena::{Arena, OutOfBounds, ShmOffset};

/// A ring of `len` bytes at a place in an [`Arena`]. Positions and fill levels
/// belong to the connection, not to the ring.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ByteRing {
    base: ShmOffset,
    len: u32,
}

impl ByteRing {
    /// The ring of `len` bytes that starts at `base`.
    #[inline]
    pub fn new(base: ShmOffset, len: u32) -> ByteRing {
        ByteRing { base, len }
    }

    /// Bytes the ring holds.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the ring has no room at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The position `by` bytes after `pos`, for both at most `len`.
    #[inline]
    pub fn advance(&self, pos: u32, by: u32) -> u32 {
        let next = u64::from(pos) + u64::from(by);
        let len = u64::from(self.len);
        // Smaller than `len`, or than `pos + by - len`, which fits when both
        // arguments are positions of this ring.
        (if next >= len { next - len } else { next }) as u32
    }

    /// How many of `count` bytes from `pos` lie before the ring's end; the
    /// rest continue at its start. `None` if they do not fit the ring.
    #[inline]
    pub fn split(&self, pos: u32, count: usize) -> Option<usize> {
        if pos >= self.len || count > self.len as usize {
            return if count == 0 && pos <= self.len {
                Some(0)
            } else {
                None
            };
        }
        Some(count.min((self.len - pos) as usize))
    }

    /// Copies `src` in at `pos`, going round at the end.
    #[inline]
    pub fn write(&self, arena: &Arena, pos: u32, src: &[u8]) -> Result<(), OutOfBounds> {
        let first = self.split(pos, src.len()).ok_or(OutOfBounds)?;
        let (head, tail) = src.split_at_checked(first).ok_or(OutOfBounds)?;
        arena.write(self.place(pos)?, head)?;
        if tail.is_empty() {
            Ok(())
        } else {
            arena.write(self.base, tail)
        }
    }

    /// Copies from `pos` into `dst`, going round at the end.
    #[inline]
    pub fn read(&self, arena: &Arena, pos: u32, dst: &mut [u8]) -> Result<(), OutOfBounds> {
        let first = self.split(pos, dst.len()).ok_or(OutOfBounds)?;
        let (head, tail) = dst.split_at_mut_checked(first).ok_or(OutOfBounds)?;
        arena.read(self.place(pos)?, head)?;
        if tail.is_empty() {
            Ok(())
        } else {
            arena.read(self.base, tail)
        }
    }

    /// Like [`ByteRing::read`], with the sum that [`Arena::read_ring_sum`] tells of.
    #[inline]
    pub fn read_sum(&self, arena: &Arena, pos: u32, dst: &mut [u8]) -> Result<u64, OutOfBounds> {
        let first = self.split(pos, dst.len()).ok_or(OutOfBounds)?;
        if first == dst.len() {
            return arena.read_sum(self.place(pos)?, dst);
        }
        self.read(arena, pos, dst)?;
        // Nearly never: the second piece may begin in the middle of a word.
        let mut sum = 0u128;
        for chunk in dst.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            sum += u128::from(u64::from_ne_bytes(word));
        }
        let folded = (sum & u128::from(u64::MAX)) + (sum >> 64);
        Ok((folded as u64).wrapping_add((folded >> 64) as u64))
    }

    fn place(&self, pos: u32) -> Result<ShmOffset, OutOfBounds> {
        self.base.checked_add(pos.into()).ok_or(OutOfBounds)
    }
}

#[cfg(all(test, not(loom)))]
#[path = "bytes_tests.rs"]
mod tests;
