//! C functions `utils_rng_*`.

use core::ffi::c_void;
use core::slice;

use super::UtilsRng;

/// Starts a generator whose numbers are determined by `seed`.
///
/// # Safety
/// `rng` is NULL or points to a generator that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utils_rng_init(rng: *mut UtilsRng, seed: u64) {
    if !rng.is_null() {
        // SAFETY: not NULL, and the caller owns it; it may be uninitialised.
        unsafe { rng.write(UtilsRng::new(seed)) }
    }
}

/// Returns 32 random bits.
///
/// # Safety
/// `rng` is NULL or points to an initialised generator that no other thread
/// uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utils_rng_gen32(rng: *mut UtilsRng) -> u32 {
    // SAFETY: the caller owns the generator.
    unsafe { rng.as_mut() }.map_or(0, UtilsRng::next_u32)
}

/// Returns a random number uniformly distributed between 0 and 1.
///
/// # Safety
/// `rng` is NULL or points to an initialised generator that no other thread
/// uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utils_rng_gend(rng: *mut UtilsRng) -> f64 {
    // SAFETY: the caller owns the generator.
    unsafe { rng.as_mut() }.map_or(0.0, UtilsRng::next_f64)
}

/// Fills `len` bytes at `buf` with random ones.
///
/// # Safety
/// `rng` is NULL or points to an initialised generator that no other thread
/// uses; `buf` is NULL or `len` bytes from it on may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utils_rng_gen(rng: *mut UtilsRng, buf: *mut c_void, len: usize) {
    // SAFETY: the caller owns the generator.
    let Some(rng) = (unsafe { rng.as_mut() }) else {
        return;
    };
    if buf.is_null() || len == 0 {
        return;
    }
    // SAFETY: not NULL, and the caller owns `len` bytes. They may be
    // uninitialised, so they are cleared before a reference to them exists.
    let bytes = unsafe {
        buf.cast::<u8>().write_bytes(0, len);
        slice::from_raw_parts_mut(buf.cast::<u8>(), len)
    };
    rng.fill(bytes);
}
