//! Surviving pages that vanish.
//!
//! A tenant can make pages of its own memory disappear, for example by giving
//! huge pages back that the pool then lacks. Touching such a page raises
//! SIGBUS. Inside a guarded arena the handler puts an anonymous page of zeros
//! there and counts it for the place, so that the service can detach the
//! tenant; anywhere else the signal does what it always does.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::arena::{Arena, ShmOffset};
use crate::region::{HUGE_PAGE, PAGE};

const MAX_ARENAS: usize = 8;

/// One guarded arena, as the handler sees it. `base` is written last and
/// cleared first; 0 means unused.
struct Guarded {
    taken: AtomicBool,
    base: AtomicUsize,
    len: AtomicUsize,
    stride: AtomicU64,
    counts: AtomicPtr<AtomicU32>,
    total: AtomicU64,
}

static GUARDED: [Guarded; MAX_ARENAS] = [const {
    Guarded {
        taken: AtomicBool::new(false),
        base: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        stride: AtomicU64::new(0),
        counts: AtomicPtr::new(ptr::null_mut()),
        total: AtomicU64::new(0),
    }
}; MAX_ARENAS];

/// An arena whose vanished pages are replaced, until this is dropped.
pub struct SigbusGuard {
    slot: &'static Guarded,
    counts: &'static [AtomicU32],
    seen: u64,
    stride: u64,
    _arena: Arc<Arena>,
}

/// Guards `arena`, counting replaced pages per `stride` bytes of it (which is
/// how tenants are told apart), and installs the process's SIGBUS handler.
///
/// The counters of a guard are never freed, since a handler on another thread
/// could be using them; guards are made once, not again and again.
///
/// # Errors
/// `InvalidInput` for a stride of 0; `OutOfMemory` for a ninth arena; else what
/// sigaction reports.
pub fn install(arena: &Arc<Arena>, stride: u64) -> io::Result<SigbusGuard> {
    if stride == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let places =
        usize::try_from(arena.len().div_ceil(stride)).map_err(|_| io::ErrorKind::InvalidInput)?;
    let base = arena.as_ptr(ShmOffset(0), arena.len())?;
    set_handler()?;
    let slot = GUARDED
        .iter()
        .find(|slot| !slot.taken.swap(true, Ordering::AcqRel))
        .ok_or(io::ErrorKind::OutOfMemory)?;
    let counts: &'static [AtomicU32] =
        Box::leak((0..places).map(|_| AtomicU32::new(0)).collect::<Box<[_]>>());
    slot.counts
        .store(counts.as_ptr().cast_mut(), Ordering::Relaxed);
    slot.len.store(arena.len() as usize, Ordering::Relaxed);
    slot.stride.store(stride, Ordering::Relaxed);
    slot.total.store(0, Ordering::Relaxed);
    slot.base.store(base.as_ptr().addr(), Ordering::Release);
    Ok(SigbusGuard {
        slot,
        counts,
        seen: 0,
        stride,
        _arena: Arc::clone(arena),
    })
}

impl SigbusGuard {
    /// The places (multiples of the stride) where pages were replaced since
    /// the last call, with how many times. Cheap when there are none.
    pub fn drain(&mut self) -> impl Iterator<Item = (ShmOffset, u32)> {
        let total = self.slot.total.load(Ordering::Acquire);
        let counts = if total == self.seen { &[] } else { self.counts };
        self.seen = total;
        let stride = self.stride;
        counts.iter().zip(0u64..).filter_map(move |(count, place)| {
            let count = count.swap(0, Ordering::Relaxed);
            (count > 0).then(|| (ShmOffset(place * stride), count))
        })
    }
}

impl Drop for SigbusGuard {
    fn drop(&mut self) {
        self.slot.base.store(0, Ordering::Release);
        self.slot.taken.store(false, Ordering::Release);
    }
}

fn set_handler() -> io::Result<()> {
    // SAFETY: zeros are a valid sigaction; the handler has the signature that
    // SA_SIGINFO asks for and does only what signal handlers may.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            on_sigbus;
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, ptr::null_mut())
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a SA_SIGINFO handler, and
    // for a fault (positive code) its address field is set.
    let fault = unsafe { ((*info).si_code > 0).then(|| (*info).si_addr().addr()) };
    // SAFETY: the calling thread's errno, restored before the handler ends.
    let errno = unsafe { *libc::__errno_location() };
    let replaced = fault.is_some_and(replace_page);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    if replaced {
        return;
    }
    // SAFETY: both calls may be made in a handler. A fault recurs when the
    // handler returns and then ends the process; a sent signal is sent again.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        if fault.is_none() {
            libc::raise(signal);
        }
    }
}

/// Puts zeros at `address` if a guarded arena has it.
fn replace_page(address: usize) -> bool {
    for slot in &GUARDED {
        let base = slot.base.load(Ordering::Acquire);
        let len = slot.len.load(Ordering::Relaxed);
        let Some(offset) = address.checked_sub(base).filter(|&o| base != 0 && o < len) else {
            continue;
        };
        // Part of a huge page cannot be replaced, so there the second attempt
        // counts; also where the process has too many mappings already.
        let done = map_zeros(address, PAGE as usize) || map_zeros(address, HUGE_PAGE as usize);
        if done {
            count(slot, offset as u64);
        }
        return done;
    }
    false
}

/// Arenas consist of whole, aligned 2 MiB blocks, so both sizes stay inside.
fn map_zeros(address: usize, page: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    let start = ptr::without_provenance_mut(address & !(page - 1));
    // SAFETY: replaces pages of a guarded arena, into which no references
    // exist; mmap is a bare system call and may be made in a handler.
    let place = unsafe {
        libc::mmap(
            start,
            page,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    place != libc::MAP_FAILED
}

fn count(slot: &Guarded, offset: u64) {
    let stride = slot.stride.load(Ordering::Relaxed).max(1);
    let counts = slot.counts.load(Ordering::Relaxed);
    let index = (offset / stride) as usize;
    // SAFETY: one counter per started stride of the arena, never freed.
    unsafe { (*counts.add(index)).fetch_add(1, Ordering::Relaxed) };
    slot.total.fetch_add(1, Ordering::Release);
}

#[cfg(all(test, not(loom)))]
#[path = "sigbus_tests.rs"]
mod tests;
