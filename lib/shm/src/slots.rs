//! Queues of fixed-size entries whose last byte is a type, 0 meaning free.
//!
//! There are no shared indices: each side keeps its own position, and the type
//! alone says whose turn it is. The type is published together with the rest
//! of the entry's last word, so that one atomic access moves both and no
//! location is ever accessed at two sizes.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use tas_abi::appif::{KernelAppin, KernelAppout};
use tas_abi::memif::{Arx, Atx};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::arena::{Arena, prefetch, prefetch_write};
use crate::sync::{AtomicU64, Ordering};

const WORD: usize = size_of::<u64>();
const MAX_WORDS: usize = 8;

/// An entry of a queue: plain bytes, of which the last is the type.
pub trait Slot: FromBytes + IntoBytes + Immutable + Copy {
    /// Bytes in an entry: a whole number of 8-byte words, at most 64.
    const SIZE: usize = size_of::<Self>();
}

impl Slot for [u8; 16] {}
impl Slot for [u8; 32] {}
impl Slot for [u8; 64] {}
impl Slot for Atx {}
impl Slot for Arx {}
impl Slot for KernelAppout {}
impl Slot for KernelAppin {}

/// Why an entry was not queued.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PushError {
    /// The next entry has not been consumed yet.
    Full,
    /// The entry's type is 0, which means free.
    FreeType,
    /// The caller's position is not an entry of this queue.
    BadPosition,
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full => "queue is full",
            PushError::FreeType => "entry has no type",
            PushError::BadPosition => "position is not an entry of the queue",
        })
    }
}

impl std::error::Error for PushError {}

/// Why a queue cannot be made.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum RingError {
    /// Its length is zero or not a whole number of entries.
    BadLength,
    /// Its start is not 8-byte aligned.
    Misaligned,
    /// It does not lie inside the arena.
    OutOfBounds,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RingError::BadLength => "queue length is not a whole number of entries",
            RingError::Misaligned => "queue is not aligned",
            RingError::OutOfBounds => "queue lies outside the shared memory",
        })
    }
}

impl std::error::Error for RingError {}

/// A queue's memory, without a position of its own. Positions are in bytes.
pub struct RawSlots<S> {
    words: NonNull<AtomicU64>,
    bytes: u32,
    entry: PhantomData<fn(S) -> S>,
}

// SAFETY: all accesses to the memory are atomic, from whatever thread.
unsafe impl<S> Send for RawSlots<S> {}
// SAFETY: as for Send.
unsafe impl<S> Sync for RawSlots<S> {}

impl<S: Slot> RawSlots<S> {
    const WORDS: usize = {
        assert!(S::SIZE == size_of::<S>());
        assert!(S::SIZE > 0 && S::SIZE.is_multiple_of(WORD) && S::SIZE <= MAX_WORDS * WORD);
        S::SIZE / WORD
    };

    /// The queue of `bytes` bytes at `base`.
    ///
    /// # Safety
    /// The bytes must stay mapped, readable and writable, for as long as the
    /// result is used, and nobody in this process may access them other than
    /// atomically or through opaque copies.
    pub unsafe fn from_raw(base: NonNull<u8>, bytes: u32) -> Result<RawSlots<S>, RingError> {
        if bytes == 0 || !(bytes as usize).is_multiple_of(Self::WORDS * WORD) {
            return Err(RingError::BadLength);
        }
        if !base.cast::<AtomicU64>().is_aligned() {
            return Err(RingError::Misaligned);
        }
        Ok(RawSlots {
            words: base.cast(),
            bytes,
            entry: PhantomData,
        })
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Length in entries.
    pub fn capacity(&self) -> u32 {
        self.bytes / S::SIZE as u32
    }

    /// The words of the entry at `pos`, or `None` if no entry starts there.
    #[inline]
    fn slot(&self, pos: u32) -> Option<&[AtomicU64]> {
        if pos >= self.bytes || !(pos as usize).is_multiple_of(S::SIZE) {
            return None;
        }
        // SAFETY: `bytes` is a whole number of entries and `pos` starts one, so
        // the words lie in the memory that `from_raw`'s caller vouched for.
        // They are atomics: peers may write them at any time.
        Some(unsafe {
            let first = self.words.as_ptr().add(pos as usize / WORD);
            std::slice::from_raw_parts(first, Self::WORDS)
        })
    }

    #[inline]
    fn last(&self, pos: u32) -> Option<&AtomicU64> {
        self.slot(pos)?.last()
    }

    #[inline]
    fn next(&self, pos: u32) -> u32 {
        let next = pos + S::SIZE as u32;
        if next >= self.bytes { 0 } else { next }
    }

    /// Queues `entry` at `pos` and advances `pos`.
    #[inline]
    pub fn push(&self, pos: &mut u32, entry: &S) -> Result<(), PushError> {
        let slot = self.slot(*pos).ok_or(PushError::BadPosition)?;
        let (last, body) = slot.split_last().ok_or(PushError::BadPosition)?;
        // Acquire pairs with the consumer's Release of the free slot: its
        // reads of the previous entry happened before our writes.
        if type_of(last.load(Ordering::Acquire)) != FREE {
            return Err(PushError::Full);
        }
        let mut words = [0u64; MAX_WORDS];
        if let Some(room) = words.as_mut_bytes().get_mut(..S::SIZE) {
            room.copy_from_slice(entry.as_bytes());
        }
        let (body_words, last_word) = words.split_at(Self::WORDS - 1);
        let Some(&last_word) = last_word.first().filter(|&&word| type_of(word) != FREE) else {
            return Err(PushError::FreeType);
        };
        for (place, &word) in body.iter().zip(body_words) {
            place.store(word, Ordering::Relaxed);
        }
        // Release publishes the body together with the type.
        last.store(last_word, Ordering::Release);
        *pos = self.next(*pos);
        Ok(())
    }

    /// Whether the entry at `pos` may be filled.
    #[inline]
    pub fn is_free(&self, pos: u32) -> bool {
        self.last(pos)
            .is_some_and(|last| type_of(last.load(Ordering::Acquire)) == FREE)
    }

    /// Whether an entry waits at `pos`.
    #[inline]
    pub fn ready(&self, pos: u32) -> bool {
        // Relaxed: whoever takes the entry loads the type again with Acquire.
        self.last(pos)
            .is_some_and(|last| type_of(last.load(Ordering::Relaxed)) != FREE)
    }

    /// A copy of the entry at `pos`, which stays in the queue.
    #[inline]
    pub fn peek(&self, pos: u32) -> Option<S> {
        let (last, body) = self.slot(pos)?.split_last()?;
        let last_word = last.load(Ordering::Acquire);
        if type_of(last_word) == FREE {
            return None;
        }
        let mut words = [0u64; MAX_WORDS];
        let (body_words, rest) = words.split_at_mut(Self::WORDS - 1);
        for (word, place) in body_words.iter_mut().zip(body) {
            *word = place.load(Ordering::Relaxed);
        }
        *rest.first_mut()? = last_word;
        S::read_from_bytes(words.as_bytes().get(..S::SIZE)?).ok()
    }

    /// Takes the entry at `pos` and advances `pos`.
    #[inline]
    pub fn pop(&self, pos: &mut u32) -> Option<S> {
        let entry = self.peek(*pos)?;
        // Release: our reads of the entry come before the producer's reuse.
        self.last(*pos)?.store(0, Ordering::Release);
        *pos = self.next(*pos);
        Some(entry)
    }

    /// Starts fetching, for writing, what lies `ahead` bytes after `pos`.
    #[inline]
    pub fn prefetch_write(&self, pos: u32, ahead: u32) {
        let at = pos.wrapping_add(ahead);
        let at = if at >= self.bytes { ahead } else { at };
        prefetch_write(self.words.as_ptr().cast::<u8>().wrapping_add(at as usize));
    }

    /// Starts fetching the entry at `pos`.
    #[inline]
    pub fn prefetch(&self, pos: u32) {
        prefetch(self.words.as_ptr().cast::<u8>().wrapping_add(pos as usize));
    }
}

const FREE: u8 = 0;
/// Bytes ahead of a producer that are fetched.
const PUSH_AHEAD: u32 = 512;

/// The type: the last byte in memory of an entry's last word.
#[inline]
fn type_of(word: u64) -> u8 {
    let [.., kind] = word.to_ne_bytes();
    kind
}

/// A queue in an arena that it keeps alive; positions are the caller's.
pub struct SharedSlots<S> {
    raw: RawSlots<S>,
    _arena: Arc<Arena>,
}

impl<S: Slot> SharedSlots<S> {
    #[cfg_attr(loom, allow(dead_code))]
    pub(crate) fn new(raw: RawSlots<S>, arena: Arc<Arena>) -> SharedSlots<S> {
        SharedSlots { raw, _arena: arena }
    }
}

impl<S> std::ops::Deref for SharedSlots<S> {
    type Target = RawSlots<S>;

    fn deref(&self) -> &RawSlots<S> {
        &self.raw
    }
}

/// How many entries a producer had queued at some moment.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position(u64);

/// The producing end of a queue, with its position.
pub struct Producer<S> {
    slots: SharedSlots<S>,
    pos: u32,
    pushed: u64,
}

impl<S: Slot> Producer<S> {
    #[cfg_attr(loom, allow(dead_code))]
    pub(crate) fn new(slots: SharedSlots<S>) -> Producer<S> {
        Producer {
            slots,
            pos: 0,
            pushed: 0,
        }
    }

    /// Queues an entry. The consumer may need waking afterwards; see
    /// [`Doorbell`](crate::Doorbell).
    #[inline]
    pub fn push(&mut self, entry: &S) -> Result<(), PushError> {
        self.slots.push(&mut self.pos, entry)?;
        self.pushed += 1;
        Ok(())
    }

    /// Whether one more entry fits.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.slots.is_free(self.pos)
    }

    /// The mark after everything queued so far.
    pub fn position(&self) -> Position {
        Position(self.pushed)
    }

    /// Whether the consumer took everything queued before `mark`.
    pub fn consumed_up_to(&self, mark: Position) -> bool {
        let capacity = u64::from(self.slots.capacity());
        let since = self.pushed.saturating_sub(mark.0);
        // Entries are taken in order, so the one just before the mark decides.
        // Once its slot was filled again it must have been taken.
        if mark.0 == 0 || since >= capacity {
            return true;
        }
        let last = (mark.0 - 1) % capacity * S::SIZE as u64;
        u32::try_from(last).is_ok_and(|pos| self.slots.is_free(pos))
    }

    /// Starts fetching, for writing, a slot that a later push fills: early enough to be there
    /// then, and few enough that the consumer is not yet waiting for it.
    #[inline]
    pub fn prefetch_ahead(&self) {
        self.slots.prefetch_write(self.pos, PUSH_AHEAD);
    }
}

/// The consuming end of a queue, with its position.
pub struct Consumer<S> {
    slots: SharedSlots<S>,
    pos: u32,
}

impl<S: Slot> Consumer<S> {
    #[cfg_attr(loom, allow(dead_code))]
    pub(crate) fn new(slots: SharedSlots<S>) -> Consumer<S> {
        Consumer { slots, pos: 0 }
    }

    /// Takes the next entry.
    #[inline]
    pub fn pop(&mut self) -> Option<S> {
        self.slots.pop(&mut self.pos)
    }

    /// A copy of the next entry, which stays in the queue.
    #[inline]
    pub fn peek(&self) -> Option<S> {
        self.slots.peek(self.pos)
    }

    /// Whether an entry waits.
    #[inline]
    pub fn ready(&self) -> bool {
        self.slots.ready(self.pos)
    }

    /// Starts fetching the next entry.
    #[inline]
    pub fn prefetch(&self) {
        self.slots.prefetch(self.pos);
    }
}

#[cfg(all(test, not(loom)))]
#[path = "slots_tests.rs"]
mod tests;
