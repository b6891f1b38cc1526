//! Copies between private memory and memory that a peer may be writing.
//!
//! An ordinary copy of bytes that another party writes is a data race. These
//! copies are opaque to the compiler (assembly, or volatile accesses where
//! there is none), so whatever mixture of bytes arrives is merely data.

/// Copies `len` bytes from `src` to `dst`; at least one side is shared memory.
///
/// # Safety
/// `src` must be readable and `dst` writable for `len` bytes, and the two must
/// not overlap.
#[inline]
pub(crate) unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: passed on to the caller.
    unsafe { imp::copy(dst, src, len) }
}

/// Writes `len` zero bytes to `dst`.
///
/// # Safety
/// `dst` must be writable for `len` bytes.
#[inline]
pub(crate) unsafe fn zero(dst: *mut u8, len: usize) {
    // SAFETY: passed on to the caller.
    unsafe { imp::zero(dst, len) }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod imp {
    use core::arch::asm;

    /// From here on the microcoded string copy beats the loop.
    const STRING_COPY: usize = 4096;

    #[inline]
    pub(super) unsafe fn copy(mut dst: *mut u8, mut src: *const u8, mut len: usize) {
        if len >= STRING_COPY {
            // SAFETY: the caller vouches for `len` bytes on both sides.
            unsafe {
                asm!("rep movsb",
                    inout("rcx") len => _, inout("rdi") dst => _, inout("rsi") src => _,
                    options(nostack, preserves_flags));
            }
            return;
        }
        if len >= 64 {
            let blocks = len / 64;
            // SAFETY: moves `blocks * 64 <= len` bytes and leaves both pointers
            // just behind them.
            unsafe {
                asm!(
                    "2:",
                    "movups {a}, [{s}]",
                    "movups {b}, [{s} + 16]",
                    "movups {c}, [{s} + 32]",
                    "movups {d}, [{s} + 48]",
                    "movups [{t}], {a}",
                    "movups [{t} + 16], {b}",
                    "movups [{t} + 32], {c}",
                    "movups [{t} + 48], {d}",
                    "add {s}, 64",
                    "add {t}, 64",
                    "dec {n}",
                    "jnz 2b",
                    n = inout(reg) blocks => _,
                    s = inout(reg) src,
                    t = inout(reg) dst,
                    a = out(xmm_reg) _, b = out(xmm_reg) _,
                    c = out(xmm_reg) _, d = out(xmm_reg) _,
                    options(nostack));
            }
            len %= 64;
        }
        macro_rules! step {
            ($bytes:literal, $class:ident, $load:literal, $store:literal) => {
                // SAFETY: at least `$bytes` of the caller's bytes are left.
                unsafe {
                    asm!($load, $store,
                        x = out($class) _, s = in(reg) src, t = in(reg) dst,
                        options(nostack, preserves_flags));
                    src = src.add($bytes);
                    dst = dst.add($bytes);
                }
                len -= $bytes;
            };
        }
        while len >= 16 {
            step!(16, xmm_reg, "movups {x}, [{s}]", "movups [{t}], {x}");
        }
        if len >= 8 {
            step!(8, reg, "mov {x}, [{s}]", "mov [{t}], {x}");
        }
        if len >= 4 {
            step!(4, reg, "mov {x:e}, [{s}]", "mov [{t}], {x:e}");
        }
        while len >= 1 {
            step!(1, reg_byte, "mov {x}, [{s}]", "mov [{t}], {x}");
        }
    }

    #[inline]
    pub(super) unsafe fn zero(dst: *mut u8, len: usize) {
        // SAFETY: the caller vouches for `len` bytes.
        unsafe {
            asm!("rep stosb",
                inout("rcx") len => _, inout("rdi") dst => _, in("al") 0u8,
                options(nostack, preserves_flags));
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod imp {
    const WORD: usize = size_of::<u64>();

    pub(super) unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
        let mut done = 0;
        if dst.addr() % WORD == 0 && src.addr() % WORD == 0 {
            while len - done >= WORD {
                // SAFETY: in bounds by the loop condition, aligned by the test above.
                unsafe {
                    let word = src.add(done).cast::<u64>().read_volatile();
                    dst.add(done).cast::<u64>().write_volatile(word);
                }
                done += WORD;
            }
        }
        while done < len {
            // SAFETY: `done < len`, which the caller vouches for.
            unsafe { dst.add(done).write_volatile(src.add(done).read_volatile()) };
            done += 1;
        }
    }

    pub(super) unsafe fn zero(dst: *mut u8, len: usize) {
        for at in 0..len {
            // SAFETY: `at < len`, which the caller vouches for.
            unsafe { dst.add(at).write_volatile(0) };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    #[test]
    fn every_length_and_alignment_copies_exactly() {
        let source: Vec<u8> = (0..9000u32).map(|i| (i * 7 + i / 256) as u8).collect();
        for len in (0..200).chain([255, 256, 1448, 4095, 4096, 4097, 8192]) {
            for skew in 0..9 {
                let mut target = vec![0xaa; len + 32];
                // SAFETY: both vectors are long enough and distinct.
                unsafe { super::copy(target.as_mut_ptr().add(skew), source.as_ptr().add(3), len) };
                assert_eq!(&target[skew..skew + len], &source[3..3 + len]);
                assert!(
                    target[..skew]
                        .iter()
                        .chain(&target[skew + len..])
                        .all(|&b| b == 0xaa)
                );
                // SAFETY: as above.
                unsafe { super::zero(target.as_mut_ptr().add(skew), len) };
                assert!(target[skew..skew + len].iter().all(|&b| b == 0));
                assert!(
                    target[..skew]
                        .iter()
                        .chain(&target[skew + len..])
                        .all(|&b| b == 0xaa)
                );
            }
        }
    }
}
