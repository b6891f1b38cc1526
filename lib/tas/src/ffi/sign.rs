//! The word by which the slow path says that it sleeps.

use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use tas_abi::memif::{InfoExt, TAS_INFO_EXT_OFF};
use tas_shm::Mapping;

const PLACE: usize = TAS_INFO_EXT_OFF + offset_of!(InfoExt, slow_path_sleeps);

/// Null, or a word that stays mapped.
static SIGN: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// Takes the word from an information page, or from none.
pub(crate) fn set(page: Option<&'static Mapping>) {
    let sign = match page {
        Some(page) if page.len() >= (PLACE + size_of::<u64>()) as u64 => {
            page.as_ptr().as_ptr().wrapping_add(PLACE).cast()
        }
        _ => ptr::null_mut(),
    };
    SIGN.store(sign, Ordering::Release);
}

/// After publishing a request: whether the slow path must be woken, if it says
/// when it sleeps.
pub(crate) fn must_wake() -> Option<bool> {
    let sign = SIGN.load(Ordering::Acquire);
    // SAFETY: null, or 8 aligned bytes of a page that stays mapped. Only read,
    // and only by atomics.
    unsafe { sign.as_ref() }.map(tas_shm::must_wake)
}
