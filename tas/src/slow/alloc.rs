//! Hands out the bytes of a region: best fit, with neighbours joined when they come back.

use std::collections::{BTreeMap, BTreeSet};

/// Places and sizes are multiples of this, a cache line: queues and flow states count on it.
pub const ALIGN: u64 = 64;

/// What was handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Offset from the region's begin.
    pub offset: u64,
    /// Some of it was in use before and may hold old bytes; otherwise it is all zeros.
    pub used_before: bool,
}

/// The free bytes of a region.
#[derive(Debug)]
pub struct Allocator {
    /// Length of each free stretch by its offset.
    by_offset: BTreeMap<u64, u64>,
    /// The same stretches, the smallest first.
    by_len: BTreeSet<(u64, u64)>,
    /// Everything from here on has never been handed out.
    fresh: u64,
    free: u64,
}

impl Allocator {
    /// All of a region of `len` bytes is free, from `begin` on.
    pub fn new(begin: u64, len: u64) -> Allocator {
        let begin = begin.next_multiple_of(ALIGN);
        let mut allocator = Allocator {
            by_offset: BTreeMap::new(),
            by_len: BTreeSet::new(),
            fresh: begin,
            free: 0,
        };
        let usable = (len / ALIGN * ALIGN).saturating_sub(begin);
        if usable > 0 {
            allocator.insert(begin, usable);
        }
        allocator
    }

    /// Takes `len` bytes; `None` when there is no stretch so long.
    pub fn alloc(&mut self, len: u64) -> Option<Block> {
        let len = len.max(1).checked_next_multiple_of(ALIGN)?;
        let (stretch, offset) = *self.by_len.range((len, 0)..).next()?;
        self.remove(offset, stretch);
        if stretch > len {
            self.insert(offset + len, stretch - len);
        }
        let used_before = offset < self.fresh;
        self.fresh = self.fresh.max(offset + len);
        Some(Block {
            offset,
            used_before,
        })
    }

    /// Gives back what [`Allocator::alloc`] handed out for `len` bytes.
    pub fn free(&mut self, offset: u64, len: u64) {
        let (mut offset, mut len) = (offset, len.max(1).next_multiple_of(ALIGN));
        if let Some((&before, &before_len)) = self.by_offset.range(..offset).next_back()
            && before + before_len == offset
        {
            self.remove(before, before_len);
            offset = before;
            len += before_len;
        }
        if let Some(&after_len) = self.by_offset.get(&(offset + len)) {
            self.remove(offset + len, after_len);
            len += after_len;
        }
        self.insert(offset, len);
    }

    /// Bytes that are free.
    pub fn available(&self) -> u64 {
        self.free
    }

    fn insert(&mut self, offset: u64, len: u64) {
        self.by_offset.insert(offset, len);
        self.by_len.insert((len, offset));
        self.free += len;
    }

    fn remove(&mut self, offset: u64, len: u64) {
        self.by_offset.remove(&offset);
        self.by_len.remove(&(len, offset));
        self.free -= len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn everything_comes_back() {
        let mut allocator = Allocator::new(0, 4096);
        let blocks: Vec<Block> = (0..4).map(|_| allocator.alloc(1000).unwrap()).collect();
        assert_eq!(allocator.alloc(64), None);
        assert_eq!(allocator.available(), 0);
        for index in [2, 0, 3, 1] {
            allocator.free(blocks[index].offset, 1000);
        }
        assert_eq!(
            allocator.alloc(4096),
            Some(Block {
                offset: 0,
                used_before: true
            })
        );
    }

    #[test]
    fn fresh_memory_is_told_from_used() {
        let mut allocator = Allocator::new(0, 4096);
        let first = allocator.alloc(64).unwrap();
        assert!(!first.used_before);
        allocator.free(first.offset, 64);
        assert!(allocator.alloc(128).unwrap().used_before);
        assert!(!allocator.alloc(128).unwrap().used_before);
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let mut allocator = Allocator::new(0, 4096);
        assert_eq!(allocator.alloc(u64::MAX), None);
        assert_eq!(allocator.alloc(4097), None);
        assert_eq!(Allocator::new(4096, 64).alloc(1), None);
    }

    proptest! {
        #[test]
        fn blocks_never_overlap(steps in prop::collection::vec((any::<bool>(), 0u64..5000), 1..200)) {
            let mut allocator = Allocator::new(128, 1 << 16);
            let whole = allocator.available();
            let mut held: Vec<(u64, u64)> = Vec::new();
            for (take, n) in steps {
                if take {
                    if let Some(block) = allocator.alloc(n) {
                        let len = n.max(1).next_multiple_of(ALIGN);
                        prop_assert!(block.offset >= 128 && block.offset + len <= 1 << 16);
                        prop_assert!(held.iter().all(|(o, l)| block.offset + len <= *o || o + l <= block.offset));
                        held.push((block.offset, len));
                    }
                } else if !held.is_empty() {
                    let (offset, len) = held.swap_remove(n as usize % held.len());
                    allocator.free(offset, len);
                }
                prop_assert_eq!(allocator.available() + held.iter().map(|(_, l)| l).sum::<u64>(), whole);
            }
            for (offset, len) in held {
                allocator.free(offset, len);
            }
            prop_assert_eq!(allocator.by_offset.len(), 1);
        }
    }
}
