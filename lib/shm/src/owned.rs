//! Flow states, each owned by exactly one thread, and the table that finds them.
//!
//! Ownership is a word per flow. Whoever holds the [`OwnerToken`] of a flow's
//! owner may borrow the flow; only the owner can name another one. So there is
//! no lock, and still never two borrows of one flow.

use std::io;
use std::marker::PhantomData;
use std::mem::needs_drop;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zerocopy::{FromBytes, FromZeros};

use crate::arena::{OutOfBounds, prefetch};
use crate::region::{Mapping, PAGE};
use crate::sync::{AtomicU32, Ordering};

/// A thread that may own flows: the index of its token. 0 owns every flow at first.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OwnerId(pub u32);

/// The right to borrow the flows of one owner. There is one per owner and table.
#[derive(Debug)]
pub struct OwnerToken {
    id: OwnerId,
    /// Which table this belongs to: tokens of one must not open another.
    table: u64,
}

impl OwnerToken {
    /// Whose flows this opens.
    pub fn id(&self) -> OwnerId {
        self.id
    }
}

/// The ownership words, and the protocol on them.
pub(crate) struct Owners {
    words: NonNull<AtomicU32>,
    count: u32,
    table: u64,
}

// SAFETY: the words are atomics, valid wherever the value goes.
unsafe impl Send for Owners {}
// SAFETY: as for Send.
unsafe impl Sync for Owners {}

/// Numbers the tables of this process.
static TABLES: AtomicU64 = AtomicU64::new(0);

impl Owners {
    /// # Safety
    /// `words` must point at `count` atomics, valid for as long as this is used.
    pub(crate) unsafe fn from_raw(words: NonNull<AtomicU32>, count: u32) -> Owners {
        let table = TABLES.fetch_add(1, Ordering::Relaxed);
        Owners {
            words,
            count,
            table,
        }
    }

    pub(crate) fn token(&self, id: OwnerId) -> OwnerToken {
        OwnerToken {
            id,
            table: self.table,
        }
    }

    #[inline]
    fn word(&self, idx: u32) -> Option<&AtomicU32> {
        // SAFETY: in bounds of the array that `from_raw`'s caller vouched for.
        (idx < self.count).then(|| unsafe { &*self.words.as_ptr().add(idx as usize) })
    }

    /// Acquire: what the previous owner did to the flow happened before.
    #[inline]
    pub(crate) fn holds(&self, token: &OwnerToken, idx: u32) -> bool {
        token.table == self.table
            && self
                .word(idx)
                .is_some_and(|word| word.load(Ordering::Acquire) == token.id.0)
    }

    /// Release: what the old owner did to the flow happens before.
    #[inline]
    pub(crate) fn hand_over(&self, from: &mut OwnerToken, idx: u32, to: OwnerId) -> bool {
        let held = self.holds(from, idx);
        if let Some(word) = self.word(idx).filter(|_| held) {
            word.store(to.0, Ordering::Release);
        }
        held
    }
}

/// Two parallel arrays, public state `A` in shared memory that others at most
/// read and private state `B`; each index belongs to one owner at a time.
pub struct FlowSlots<A, B> {
    shared: Array<A>,
    private: Array<B>,
    owners: Owners,
    tokens_taken: AtomicBool,
    _public: Public,
    _private_pages: ZeroedPages,
    _owner_pages: ZeroedPages,
}

/// What keeps the public states alive.
enum Public {
    Mapped {
        _claim: Claim,
        _mapping: Arc<Mapping>,
    },
    Private {
        _pages: ZeroedPages,
    },
}

// SAFETY: an index is accessed only through the token of its owner, on one
// thread at a time, and moves between threads with Release and Acquire.
unsafe impl<A: Send, B: Send> Send for FlowSlots<A, B> {}
// SAFETY: as for Send.
unsafe impl<A: Send, B: Send> Sync for FlowSlots<A, B> {}

impl<A: FromBytes, B: FromZeros> FlowSlots<A, B> {
    /// Lays `count` states `A` over `mapping` from byte `at` on, beside as many
    /// private `B` that start as zeros and take memory on first touch. All
    /// belong to owner 0.
    ///
    /// No other process may write the mapped file; see that its permissions
    /// say so.
    ///
    /// # Errors
    /// `InvalidInput` if the mapping is read-only, too short or misaligned for
    /// `A`; `AddrInUse` if this process claimed part of it already.
    pub fn map_array(mapping: &Arc<Mapping>, at: u64, count: u32) -> io::Result<FlowSlots<A, B>> {
        let (array, claim) = claim_array(mapping, at, count)?;
        let public = Public::Mapped {
            _claim: claim,
            _mapping: Arc::clone(mapping),
        };
        Self::build(array, public, count)
    }

    /// As [`FlowSlots::map_array`], with public states that no other process
    /// sees and that start as zeros.
    pub fn private(count: u32) -> io::Result<FlowSlots<A, B>> {
        let pages = ZeroedPages::new::<A>(count)?;
        let array = Array {
            base: pages.base.cast(),
            item: PhantomData,
        };
        Self::build(array, Public::Private { _pages: pages }, count)
    }

    fn build(shared: Array<A>, public: Public, count: u32) -> io::Result<FlowSlots<A, B>> {
        const { assert!(!needs_drop::<A>() && !needs_drop::<B>()) };
        const { assert!(align_of::<A>() <= PAGE as usize && align_of::<B>() <= PAGE as usize) };
        let private_pages = ZeroedPages::new::<B>(count)?;
        let owner_pages = ZeroedPages::new::<u32>(count)?;
        // SAFETY: zeroed pages for `count` words, kept in the result. (Under
        // loom no table is built: its atomics are no plain words.)
        let owners = unsafe { Owners::from_raw(owner_pages.base.cast(), count) };
        Ok(FlowSlots {
            shared,
            private: Array {
                base: private_pages.base.cast(),
                item: PhantomData,
            },
            owners,
            tokens_taken: AtomicBool::new(false),
            _public: public,
            _private_pages: private_pages,
            _owner_pages: owner_pages,
        })
    }
}

impl<A, B> FlowSlots<A, B> {
    /// The tokens of owners 0 to `owners - 1`; empty at every further call.
    pub fn tokens(&self, owners: u32) -> Vec<OwnerToken> {
        if self.tokens_taken.swap(true, Ordering::AcqRel) {
            return Vec::new();
        }
        (0..owners)
            .map(|id| self.owners.token(OwnerId(id)))
            .collect()
    }

    /// How many flows there are.
    pub fn count(&self) -> u32 {
        self.owners.count
    }

    /// Takes memory for some flows, so that who touches them first does not wait until the kernel
    /// has cleared it, of huge pages as a whole. Only a hint.
    pub fn take_memory(&self, flows: Range<u32>) {
        let [from, to] = [flows.start, flows.end].map(|idx| idx.min(self.count()));
        let owner = |idx: u32| self.owners.words.as_ptr().wrapping_add(idx as usize).cast();
        populate(self.shared.address(from)..self.shared.address(to));
        populate(self.private.address(from)..self.private.address(to));
        populate(owner(from)..owner(to));
    }

    /// Borrows a flow; `None` if there is no such flow or it belongs to
    /// another owner.
    #[inline]
    pub fn get<'a>(
        &'a self,
        token: &'a mut OwnerToken,
        idx: u32,
    ) -> Option<(&'a mut A, &'a mut B)> {
        if !self.owners.holds(token, idx) {
            return None;
        }
        // SAFETY: `idx` is in bounds (`holds` says so). There is one token per
        // owner, borrowed mutably for `'a`, and only through it can the flow be
        // borrowed again or get another owner: the references are unique. `A`
        // is valid for any bytes and `B` began as zeros, which it allows.
        unsafe { Some((self.shared.item_mut(idx), self.private.item_mut(idx))) }
    }

    /// Gives a flow to another owner; false if it was not the token's. An
    /// owner without a token keeps the flow for ever.
    pub fn transfer(&self, from: &mut OwnerToken, idx: u32, to: OwnerId) -> bool {
        self.owners.hand_over(from, idx, to)
    }

    /// Who owns a flow right now; true for long only if it is the caller.
    pub fn owner(&self, idx: u32) -> Option<OwnerId> {
        self.owners
            .word(idx)
            .map(|word| OwnerId(word.load(Ordering::Relaxed)))
    }

    /// Starts fetching some cache lines of a flow's `B`, and its owner.
    #[inline(always)]
    pub fn prefetch_private(&self, idx: u32, lines: Range<usize>) {
        if let Some(owner) = self.owners.word(idx) {
            prefetch(ptr::from_ref(owner).cast());
            let private = self.private.address(idx);
            for line in lines.start..lines.end.min(size_of::<B>().div_ceil(LINE)) {
                prefetch(private.wrapping_add(line * LINE));
            }
        }
    }

    /// Starts fetching a flow: two cache lines of `A`, some of `B`, and its owner.
    #[inline(always)]
    pub fn prefetch(&self, idx: u32, lines: Range<usize>) {
        if idx < self.count() {
            let shared = self.shared.address(idx);
            for line in 0..size_of::<A>().div_ceil(LINE).min(2) {
                prefetch(shared.wrapping_add(line * LINE));
            }
            self.prefetch_private(idx, lines);
        }
    }
}

/// Bytes in a cache line.
const LINE: usize = 64;

/// Makes the kernel give memory for the pages of these bytes, which are mapped and writable.
fn populate(bytes: Range<*const u8>) {
    let from = bytes.start.map_addr(|at| at & !(PAGE as usize - 1));
    let len = bytes.end.addr().saturating_sub(from.addr());
    if len > 0 {
        // SAFETY: whole pages of a mapping, whose content stays what it is.
        unsafe { libc::madvise(from.cast_mut().cast(), len, libc::MADV_POPULATE_WRITE) };
    }
}

struct Array<T> {
    base: NonNull<T>,
    item: PhantomData<T>,
}

impl<T> Array<T> {
    fn address(&self, idx: u32) -> *const u8 {
        self.base.as_ptr().wrapping_add(idx as usize).cast()
    }

    /// # Safety
    /// `idx` must be in bounds, the item valid, and no other reference to it alive.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    unsafe fn item_mut(&self, idx: u32) -> &mut T {
        // SAFETY: passed on to the caller.
        unsafe { &mut *self.base.as_ptr().add(idx as usize) }
    }
}

/// Private memory that is zero and costs nothing until touched.
struct ZeroedPages {
    base: NonNull<u8>,
    len: usize,
}

impl ZeroedPages {
    fn new<T>(count: u32) -> io::Result<ZeroedPages> {
        let len = size_of::<T>()
            .checked_mul(count as usize)
            .ok_or(io::ErrorKind::InvalidInput)?
            .max(1);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let place = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        if place == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Fewer TLB misses over a large table; only a hint.
        // SAFETY: the mapping just made.
        unsafe { libc::madvise(place, len, libc::MADV_HUGEPAGE) };
        let base = NonNull::new(place.cast()).ok_or(io::ErrorKind::Other)?;
        Ok(ZeroedPages { base, len })
    }
}

impl Drop for ZeroedPages {
    fn drop(&mut self) {
        // SAFETY: the value's own pages.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A table of 8-byte words in shared memory, each read and written at once.
pub struct SharedTable {
    words: NonNull<AtomicU64>,
    count: u32,
    _memory: Memory,
}

// SAFETY: all accesses are atomic.
unsafe impl Send for SharedTable {}
// SAFETY: all accesses are atomic.
unsafe impl Sync for SharedTable {}

impl SharedTable {
    /// Lays `count` words over `mapping` from byte `at` on.
    ///
    /// # Errors
    /// As for [`FlowSlots::map_array`].
    pub fn map_table(mapping: &Arc<Mapping>, at: u64, count: u32) -> io::Result<SharedTable> {
        let (array, claim) = claim_array(mapping, at, count)?;
        let memory = Memory::Shared {
            _claim: claim,
            _mapping: Arc::clone(mapping),
        };
        Ok(SharedTable {
            words: array.base,
            count,
            _memory: memory,
        })
    }

    /// A table of `count` words that no other process sees.
    pub fn private(count: u32) -> SharedTable {
        let words: Box<[AtomicU64]> = (0..count).map(|_| AtomicU64::new(0)).collect();
        // The words are shared from here on, and never accessed but through
        // the pointer, so the memory keeps no owner that could claim them.
        let words = NonNull::from(Box::leak(words));
        SharedTable {
            words: words.cast(),
            count,
            _memory: Memory::Private { words },
        }
    }

    /// How many words there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes memory for all words, as [`FlowSlots::take_memory`].
    pub fn take_memory(&self) {
        let words = self.words.as_ptr().cast_const();
        populate(words.cast()..words.wrapping_add(self.count as usize).cast());
    }

    #[inline]
    fn word(&self, idx: u32) -> Option<&AtomicU64> {
        // SAFETY: in bounds of the array, which `_memory` keeps alive.
        (idx < self.count).then(|| unsafe { &*self.words.as_ptr().add(idx as usize) })
    }

    /// Reads a word (Acquire); 0 past the end.
    #[inline]
    pub fn load(&self, idx: u32) -> u64 {
        self.word(idx)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Writes a word (Release); does nothing past the end.
    #[inline]
    pub fn store(&self, idx: u32, value: u64) {
        if let Some(word) = self.word(idx) {
            word.store(value, Ordering::Release);
        }
    }

    /// Starts fetching the cache line of a word.
    #[inline]
    pub fn prefetch(&self, idx: u32) {
        if let Some(word) = self.word(idx) {
            prefetch(ptr::from_ref(word).cast());
        }
    }
}

/// What keeps a table's words alive.
enum Memory {
    Shared {
        _claim: Claim,
        _mapping: Arc<Mapping>,
    },
    Private {
        words: NonNull<[AtomicU64]>,
    },
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Private { words } = self {
            // SAFETY: from Box::leak in `private`; the table is going.
            drop(unsafe { Box::from_raw(words.as_ptr()) });
        }
    }
}

/// A stretch of a file that one array of this process has to itself.
#[derive(Debug)]
pub(crate) struct Claim(Stretch);

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Stretch {
    file: (u64, u64),
    start: u64,
    end: u64,
}

static CLAIMS: Mutex<Vec<Stretch>> = Mutex::new(Vec::new());

fn claims() -> MutexGuard<'static, Vec<Stretch>> {
    // The list is consistent between any two statements that change it.
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Claim {
    fn drop(&mut self) {
        claims().retain(|other| *other != self.0);
    }
}

/// Proof that nobody has a claim on a stretch, for as long as it lives.
pub(crate) struct Unclaimed(#[allow(dead_code)] MutexGuard<'static, Vec<Stretch>>);

/// Refuses a stretch that overlaps what some array has to itself.
pub(crate) fn unclaimed(file: (u64, u64), at: u64, len: u64) -> Result<Unclaimed, OutOfBounds> {
    let claims = claims();
    let end = at.saturating_add(len);
    let overlaps = |c: &Stretch| c.file == file && c.start < end && at < c.end;
    if claims.iter().any(overlaps) {
        Err(OutOfBounds)
    } else {
        Ok(Unclaimed(claims))
    }
}

impl Claim {
    /// Takes a stretch that is in the mapping's bounds.
    ///
    /// # Errors
    /// `AddrInUse` if part of it is taken.
    pub(crate) fn new(mapping: &Mapping, at: u64, len: u64) -> io::Result<Claim> {
        let Unclaimed(mut claims) = unclaimed(mapping.identity(), at, len)
            .map_err(|_| io::Error::from(io::ErrorKind::AddrInUse))?;
        let stretch = Stretch {
            file: mapping.identity(),
            start: at,
            end: at.saturating_add(len),
        };
        claims.push(stretch);
        Ok(Claim(stretch))
    }
}

fn claim_array<T>(mapping: &Arc<Mapping>, at: u64, count: u32) -> io::Result<(Array<T>, Claim)> {
    let len = (size_of::<T>() as u64) * u64::from(count);
    let base = mapping.place(at, len)?.cast::<T>();
    if !base.is_aligned() || !mapping.is_writable() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let claim = Claim::new(mapping, at, len)?;
    Ok((
        Array {
            base,
            item: PhantomData,
        },
        claim,
    ))
}

#[cfg(all(test, not(loom)))]
#[path = "owned_tests.rs"]
mod tests;
