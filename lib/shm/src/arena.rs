//! One reserved stretch of addresses in which every tenant's region has a place.

use std::fmt;
use std::io;
use std::ops::Add;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bytes::ByteRing;
use crate::copy;
use crate::region::{Backing, HUGE_PAGE, PAGE};
#[cfg(not(loom))]
use crate::slots::{Consumer, Producer, RawSlots, RingError, SharedSlots, Slot};

/// A place in an [`Arena`], in bytes from its start.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ShmOffset(pub u64);

impl ShmOffset {
    /// The place `bytes` further on, or `None` past the end of the numbers.
    pub fn checked_add(self, bytes: u64) -> Option<ShmOffset> {
        self.0.checked_add(bytes).map(ShmOffset)
    }
}

impl Add<u64> for ShmOffset {
    type Output = ShmOffset;

    /// Saturates: a place past every arena stays past every arena.
    fn add(self, bytes: u64) -> ShmOffset {
        ShmOffset(self.0.saturating_add(bytes))
    }
}

impl fmt::Display for ShmOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A place, or the bytes after it, lies outside the memory named.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct OutOfBounds;

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("place lies outside the shared memory")
    }
}

impl std::error::Error for OutOfBounds {}

impl From<OutOfBounds> for io::Error {
    fn from(error: OutOfBounds) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

/// A stretch of address space, reserved and at first inaccessible, into which
/// regions are mapped.
///
/// Accesses are checked against the arena's length. Touching a place where
/// nothing is mapped ends the process with a segmentation fault, so callers
/// check offsets against the tenant's region when they enter.
pub struct Arena {
    base: NonNull<u8>,
    len: u64,
}

// SAFETY: the arena hands out no references; every access goes through copies
// and atomics that tolerate concurrent writers, and mmap is thread-safe.
unsafe impl Send for Arena {}
// SAFETY: as for Send.
unsafe impl Sync for Arena {}

impl Arena {
    /// Reserves `len` bytes of addresses (rounded up to 2 MiB, and aligned so).
    pub fn reserve(len: u64) -> io::Result<Arc<Arena>> {
        let too_long = || io::Error::from(io::ErrorKind::InvalidInput);
        let len = len
            .max(1)
            .checked_next_multiple_of(HUGE_PAGE)
            .ok_or_else(too_long)?;
        let wanted = len.checked_add(HUGE_PAGE).ok_or_else(too_long)?;
        let wanted = usize::try_from(wanted).map_err(|_| too_long())?;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), wanted, libc::PROT_NONE, RESERVATION, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = start.cast::<u8>();
        let lead = start.align_offset(HUGE_PAGE as usize);
        let tail = HUGE_PAGE as usize - lead;
        // SAFETY: `lead + len + tail == wanted`, so both ends lie inside the
        // mapping just made, and nothing uses them.
        let base = unsafe {
            let base = start.add(lead);
            if lead > 0 {
                libc::munmap(start.cast(), lead);
            }
            if tail > 0 {
                libc::munmap(base.add(len as usize).cast(), tail);
            }
            NonNull::new_unchecked(base)
        };
        Ok(Arc::new(Arena { base, len }))
    }

    /// Bytes of address space.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: an arena has at least one huge page of addresses.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether `len` bytes from `at` lie inside the arena.
    pub fn contains(&self, at: ShmOffset, len: u64) -> bool {
        at.0.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// Maps the first `len` bytes of `backing` at `at`, readable and writable.
    ///
    /// Huge pages are not set aside by this; see [`Backing::reserve`].
    ///
    /// # Errors
    /// `InvalidInput` if the stretch leaves the arena or the backing or is not
    /// a whole number of its pages; else what mmap reports.
    pub fn map(&self, at: ShmOffset, backing: &Backing, len: u64) -> io::Result<()> {
        if len > backing.len() {
            return Err(OutOfBounds.into());
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        self.remap(
            at,
            len,
            backing.page_size(),
            protection,
            flags,
            backing.fd().as_raw_fd(),
        )
    }

    /// Turns the stretch back into an inaccessible reservation.
    ///
    /// # Errors
    /// As for [`Arena::map`].
    pub fn unmap(&self, at: ShmOffset, len: u64) -> io::Result<()> {
        self.remap(at, len, PAGE, libc::PROT_NONE, RESERVATION, -1)
    }

    fn remap(
        &self,
        at: ShmOffset,
        len: u64,
        page: u64,
        protection: libc::c_int,
        flags: libc::c_int,
        fd: libc::c_int,
    ) -> io::Result<()> {
        if !self.contains(at, len) || len == 0 || !(at.0 | len).is_multiple_of(page) {
            return Err(OutOfBounds.into());
        }
        // SAFETY: MAP_FIXED replaces only pages of this arena's own reservation
        // (checked above), into which no references exist.
        let got = unsafe {
            let place = self.base.as_ptr().add(at.0 as usize);
            libc::mmap(
                place.cast(),
                len as usize,
                protection,
                flags | libc::MAP_FIXED,
                fd,
                0,
            )
        };
        if got == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// The address of `at`, good for `len` bytes while the arena lives. The
    /// pointer is for handing on (to an application, or to a device); making
    /// a reference of it is unsound while a peer can write.
    pub fn as_ptr(&self, at: ShmOffset, len: u64) -> Result<NonNull<u8>, OutOfBounds> {
        if !self.contains(at, len) {
            return Err(OutOfBounds);
        }
        // SAFETY: at most one past the end of the reservation.
        Ok(unsafe { self.base.add(at.0 as usize) })
    }

    /// The place of an address, if it lies in the arena.
    pub fn offset_of(&self, address: *const u8) -> Option<ShmOffset> {
        let distance = address.addr().checked_sub(self.base.as_ptr().addr())? as u64;
        (distance < self.len).then_some(ShmOffset(distance))
    }

    /// Copies `src` to `at`.
    #[inline]
    pub fn write(&self, at: ShmOffset, src: &[u8]) -> Result<(), OutOfBounds> {
        let dst = self.as_ptr(at, src.len() as u64)?;
        // SAFETY: the bounds were checked; `src` is private memory, which
        // cannot overlap the arena.
        unsafe { copy::copy(dst.as_ptr(), src.as_ptr(), src.len()) };
        Ok(())
    }

    /// Copies from `at` to `dst`.
    #[inline]
    pub fn read(&self, at: ShmOffset, dst: &mut [u8]) -> Result<(), OutOfBounds> {
        let src = self.as_ptr(at, dst.len() as u64)?;
        // SAFETY: as in `write`.
        unsafe { copy::copy(dst.as_mut_ptr(), src.as_ptr(), dst.len()) };
        Ok(())
    }

    /// Copies from `at` to `dst`, and returns the bytes' sum: see [`Arena::read_ring_sum`].
    #[inline]
    pub(crate) fn read_sum(&self, at: ShmOffset, dst: &mut [u8]) -> Result<u64, OutOfBounds> {
        let src = self.as_ptr(at, dst.len() as u64)?;
        // SAFETY: as in `write`.
        Ok(unsafe { copy::copy_sum(dst.as_mut_ptr(), src.as_ptr(), dst.len()) })
    }

    /// Zeroes `len` bytes from `at`.
    pub fn zero(&self, at: ShmOffset, len: u64) -> Result<(), OutOfBounds> {
        let dst = self.as_ptr(at, len)?;
        // SAFETY: the bounds were checked.
        unsafe { copy::zero(dst.as_ptr(), len as usize) };
        Ok(())
    }

    /// Stores `new` in the word at `at`, a multiple of 4, if `judge` says so of what is there.
    pub fn replace_word(
        &self,
        at: ShmOffset,
        new: u32,
        judge: impl FnOnce(u32) -> bool,
    ) -> Result<(), OutOfBounds> {
        if !at.0.is_multiple_of(size_of::<u32>() as u64) {
            return Err(OutOfBounds);
        }
        let place = self.as_ptr(at, size_of::<u32>() as u64)?;
        // SAFETY: the bounds were checked, the arena is aligned, and peers' accesses to words that
        // both sides change are atomic.
        let word = unsafe { AtomicU32::from_ptr(place.as_ptr().cast()) };
        let there = word.load(Ordering::Acquire);
        if judge(there) {
            // Whoever has changed it since needs no change.
            let _ = word.compare_exchange(there, new, Ordering::AcqRel, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copies `src` into the ring of `len` bytes at `base`, from position
    /// `pos` on, going round at the end. Refused if `src` is longer than the
    /// ring or `pos` lies outside it.
    #[inline]
    pub fn write_ring(
        &self,
        base: ShmOffset,
        len: u32,
        pos: u32,
        src: &[u8],
    ) -> Result<(), OutOfBounds> {
        ByteRing::new(base, len).write(self, pos, src)
    }

    /// Copies out of the ring of `len` bytes at `base`; see [`Arena::write_ring`].
    #[inline]
    pub fn read_ring(
        &self,
        base: ShmOffset,
        len: u32,
        pos: u32,
        dst: &mut [u8],
    ) -> Result<(), OutOfBounds> {
        ByteRing::new(base, len).read(self, pos, dst)
    }

    /// Like [`Arena::read_ring`], and returns the sum of the bytes read as 64-bit words in
    /// memory's order, carries added again at the low end, the last word filled up with zeros:
    /// what the Internet checksum (RFC 1071) is made of.
    #[inline]
    pub fn read_ring_sum(
        &self,
        base: ShmOffset,
        len: u32,
        pos: u32,
        dst: &mut [u8],
    ) -> Result<u64, OutOfBounds> {
        ByteRing::new(base, len).read_sum(self, pos, dst)
    }

    /// Starts fetching `count` bytes from position `pos` of the ring of `len` bytes at `base`; of at
    /// most a cache line's worth only the first line.
    #[inline]
    pub fn prefetch_ring(&self, base: ShmOffset, len: u32, pos: u32, count: u32) {
        ByteRing::new(base, len).prefetch(self, pos, count);
    }

    /// Like [`Arena::prefetch_ring`], for writing.
    #[inline]
    pub fn prefetch_ring_write(&self, base: ShmOffset, len: u32, pos: u32, count: u32) {
        ByteRing::new(base, len).prefetch_write(self, pos, count);
    }

    /// Starts fetching the cache line at `at`; does nothing outside the arena.
    #[inline]
    pub fn prefetch(&self, at: ShmOffset) {
        if let Ok(place) = self.as_ptr(at, 0) {
            prefetch(place.as_ptr());
        }
    }

    /// Like [`Arena::prefetch`], for writing.
    #[inline]
    pub fn prefetch_write(&self, at: ShmOffset) {
        if let Ok(place) = self.as_ptr(at, 0) {
            prefetch_write(place.as_ptr());
        }
    }
}

#[cfg(not(loom))]
impl Arena {
    /// The slot ring of `bytes` bytes at `base`, positions kept by the caller.
    pub fn slots<S: Slot>(
        self: &Arc<Self>,
        base: ShmOffset,
        bytes: u32,
    ) -> Result<SharedSlots<S>, RingError> {
        let place = self
            .as_ptr(base, bytes.into())
            .map_err(|_| RingError::OutOfBounds)?;
        // SAFETY: the bytes lie in the arena, which the result keeps alive;
        // everybody who accesses them does so through atomics or copies.
        let raw = unsafe { RawSlots::from_raw(place, bytes)? };
        Ok(SharedSlots::new(raw, Arc::clone(self)))
    }

    /// The producing end of the slot ring of `bytes` bytes at `base`.
    pub fn producer<S: Slot>(
        self: &Arc<Self>,
        base: ShmOffset,
        bytes: u32,
    ) -> Result<Producer<S>, RingError> {
        self.slots(base, bytes).map(Producer::new)
    }

    /// The consuming end of the slot ring of `bytes` bytes at `base`.
    pub fn consumer<S: Slot>(
        self: &Arc<Self>,
        base: ShmOffset,
        bytes: u32,
    ) -> Result<Consumer<S>, RingError> {
        self.slots(base, bytes).map(Consumer::new)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the arena's own mapping; whoever uses it holds an Arc.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len as usize) };
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("base", &self.base)
            .field("len", &self.len)
            .finish()
    }
}

const RESERVATION: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// Starts fetching the cache line at `place`. Any address is allowed: a
/// prefetch never faults.
#[inline]
pub fn prefetch(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching has no architectural effect, whatever the address.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Like [`prefetch`], for writing: takes the cache line away from other processors.
#[inline]
pub fn prefetch_write(place: *const u8) {
    // By name: where the compiler may not assume the instruction it would fetch for reading.
    // Processors that do not know it ignore it.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: as for `prefetch`.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}

#[cfg(all(test, not(loom)))]
#[path = "arena_tests.rs"]
mod tests;
