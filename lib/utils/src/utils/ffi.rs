//! C functions `util_parse_ipv4`, `util_parse_mac`, `util_dump_mem`.

use core::ffi::{c_char, c_int, c_void};
use core::slice;

use super::{DUMP_BYTES, DumpLine, parse_ipv4, parse_mac};

unsafe extern "C" {
    fn strlen(s: *const c_char) -> usize;
    fn write(fd: c_int, buf: *const c_void, len: usize) -> isize;
}

const STDERR: c_int = 2;

/// Bytes of a C string before its end; none for NULL.
///
/// # Safety
/// `s` is NULL or points to a string that lives and does not change as long as
/// the result is used.
unsafe fn string_bytes<'a>(s: *const c_char) -> &'a [u8] {
    if s.is_null() {
        return &[];
    }
    // SAFETY: `s` is a string, so `strlen` bytes of it exist.
    unsafe { slice::from_raw_parts(s.cast(), strlen(s)) }
}

/// Stores what was parsed; returns 0, or -1 for what was malformed.
///
/// # Safety
/// `place` is NULL or may be written.
unsafe fn store<T>(value: Option<T>, place: *mut T) -> c_int {
    match value {
        Some(value) if !place.is_null() => {
            // SAFETY: not NULL, so it may be written.
            unsafe { place.write(value) };
            0
        }
        _ => -1,
    }
}

/// Parses a dotted quad into a host order address. Returns 0, or -1 if `s` is
/// no address.
///
/// # Safety
/// `s` is NULL or a string; `ip` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_parse_ipv4(s: *const c_char, ip: *mut u32) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { store(parse_ipv4(string_bytes(s)), ip) }
}

/// Parses `aa:bb:cc:dd:ee:ff` into six bytes in memory order and two zeros.
/// Returns 0, or -1 if `s` is no address.
///
/// # Safety
/// `s` is NULL or a string; `mac` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_parse_mac(s: *const c_char, mac: *mut u64) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { store(parse_mac(string_bytes(s)), mac) }
}

/// Writes `len` bytes at `mem` to stderr in hexadecimal, 16 a line.
///
/// # Safety
/// `mem` is NULL or `len` bytes from it on may be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn util_dump_mem(mem: *const c_void, len: usize) {
    if mem.is_null() {
        return;
    }
    // SAFETY: not NULL, and `len` bytes may be read.
    let bytes = unsafe { slice::from_raw_parts(mem.cast::<u8>(), len) };
    let mut offset = 0u32;
    for chunk in bytes.chunks(DUMP_BYTES) {
        let line = DumpLine::new(offset, chunk);
        let text = line.text();
        // SAFETY: the text lives until `write` returns. A failure to write to
        // stderr has nowhere to be reported.
        unsafe { write(STDERR, text.as_ptr().cast(), text.len()) };
        offset = offset.wrapping_add(DUMP_BYTES as u32);
    }
}
