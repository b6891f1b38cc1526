//! Circular byte buffers: a connection's receive and transmit data.

use crate::arena::{Arena, OutOfBounds, ShmOffset, prefetch, prefetch_write};
use crate::copy;

/// Bytes in a cache line.
const CACHE_LINE: u32 = 64;

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
        if first == src.len() {
            return arena.write(self.place(pos)?, src);
        }
        self.write_around(arena, pos, src, first)
    }

    #[cold]
    fn write_around(
        &self,
        arena: &Arena,
        pos: u32,
        src: &[u8],
        first: usize,
    ) -> Result<(), OutOfBounds> {
        let (head, tail) = src.split_at_checked(first).ok_or(OutOfBounds)?;
        arena.write(self.place(pos)?, head)?;
        arena.write(self.base, tail)
    }

    /// Copies from `pos` into `dst`, going round at the end.
    #[inline]
    pub fn read(&self, arena: &Arena, pos: u32, dst: &mut [u8]) -> Result<(), OutOfBounds> {
        let first = self.split(pos, dst.len()).ok_or(OutOfBounds)?;
        if first == dst.len() {
            return arena.read(self.place(pos)?, dst);
        }
        self.read_around(arena, pos, dst, first)
    }

    #[cold]
    fn read_around(
        &self,
        arena: &Arena,
        pos: u32,
        dst: &mut [u8],
        first: usize,
    ) -> Result<(), OutOfBounds> {
        let (head, tail) = dst.split_at_mut_checked(first).ok_or(OutOfBounds)?;
        arena.read(self.place(pos)?, head)?;
        arena.read(self.base, tail)
    }

    /// Like [`ByteRing::read`], with the sum that [`Arena::read_ring_sum`] tells of.
    #[inline]
    pub fn read_sum(&self, arena: &Arena, pos: u32, dst: &mut [u8]) -> Result<u64, OutOfBounds> {
        let first = self.split(pos, dst.len()).ok_or(OutOfBounds)?;
        if first == dst.len() {
            return arena.read_sum(self.place(pos)?, dst);
        }
        self.read_sum_around(arena, pos, dst, first)
    }

    #[cold]
    fn read_sum_around(
        &self,
        arena: &Arena,
        pos: u32,
        dst: &mut [u8],
        first: usize,
    ) -> Result<u64, OutOfBounds> {
        let (head, tail) = dst.split_at_mut_checked(first).ok_or(OutOfBounds)?;
        let sum = arena.read_sum(self.place(pos)?, head)?;
        let rest = arena.read_sum(self.base, tail)?;
        // The second piece may begin in the middle of a word: modulo 2⁶⁴ − 1, its sum as if it did
        // is its sum turned by as many bytes (RFC 1071 §2 (B)).
        let turn = (first % 8) as u32 * 8;
        let rest = if cfg!(target_endian = "little") {
            rest.rotate_left(turn)
        } else {
            rest.rotate_right(turn)
        };
        Ok(copy::add_around(sum, rest))
    }

    /// Starts fetching `count` bytes from `pos`; of at most a line's worth only the first line.
    #[inline]
    pub fn prefetch(&self, arena: &Arena, pos: u32, count: u32) {
        self.fetch(arena, pos, count, prefetch);
    }

    /// Like [`ByteRing::prefetch`], for writing.
    #[inline]
    pub fn prefetch_write(&self, arena: &Arena, pos: u32, count: u32) {
        self.fetch(arena, pos, count, prefetch_write);
    }

    #[inline]
    fn fetch(&self, arena: &Arena, pos: u32, count: u32, fetch: impl Fn(*const u8)) {
        if count > CACHE_LINE {
            self.fetch_lines(arena, pos, count, fetch);
        } else if count > 0
            && let Ok(place) = arena.as_ptr(self.base + u64::from(pos), 0)
        {
            fetch(place.as_ptr());
        }
    }

    fn fetch_lines(&self, arena: &Arena, pos: u32, count: u32, fetch: impl Fn(*const u8)) {
        let first = count.min(self.len.saturating_sub(pos));
        fetch_piece(arena, self.base + u64::from(pos), first, &fetch);
        if first < count {
            fetch_piece(arena, self.base, (count - first).min(self.len), &fetch);
        }
    }

    fn place(&self, pos: u32) -> Result<ShmOffset, OutOfBounds> {
        self.base.checked_add(pos.into()).ok_or(OutOfBounds)
    }
}

/// Starts fetching the lines in which `count` bytes from `at` lie.
#[inline]
fn fetch_piece(arena: &Arena, at: ShmOffset, count: u32, fetch: &impl Fn(*const u8)) {
    let within = (at.0 % u64::from(CACHE_LINE)) as usize;
    if let Ok(place) = arena.as_ptr(at, count.into()) {
        let line = place.as_ptr().wrapping_sub(within);
        for distance in (0..within + count as usize).step_by(CACHE_LINE as usize) {
            fetch(line.wrapping_add(distance));
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "bytes_tests.rs"]
mod tests;
