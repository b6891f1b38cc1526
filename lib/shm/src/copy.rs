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

/// Like [`copy`], and returns the sum of the bytes as 64-bit words in memory's order, carries
/// added again at the low end (RFC 1071 §1); the last word is filled up with zeros.
///
/// # Safety
/// As for [`copy`].
#[inline]
pub(crate) unsafe fn copy_sum(dst: *mut u8, src: *const u8, len: usize) -> u64 {
    // SAFETY: passed on to the caller.
    unsafe { imp::copy_sum(dst, src, len) }
}

/// The sum of two words with the carry added again.
#[inline]
pub(crate) fn add_around(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    // Cannot overflow: a sum that carried is at most 2⁶⁴ − 2.
    sum.wrapping_add(carry.into())
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
    /// From here on it pays to store only where no store crosses a cache line.
    const LONG_COPY: usize = 256;

    #[inline]
    pub(super) unsafe fn copy(mut dst: *mut u8, mut src: *const u8, mut len: usize) {
        if len >= LONG_COPY {
            // SAFETY: passed on to the caller.
            return unsafe { copy_long(dst, src, len) };
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

    /// # Safety
    /// As for [`copy`]; `len` is at least [`LONG_COPY`].
    #[inline]
    unsafe fn copy_long(dst: *mut u8, src: *const u8, len: usize) {
        if len >= STRING_COPY {
            // SAFETY: the caller vouches for `len` bytes on both sides.
            unsafe {
                asm!("rep movsb",
                    inout("rcx") len => _, inout("rdi") dst => _, inout("rsi") src => _,
                    options(nostack, preserves_flags));
            }
            return;
        }
        // To a boundary, in blocks of 64 from there, and a last block that ends where the bytes
        // end: some bytes are copied twice.
        let skip = 16 - dst.addr() % 16;
        let end = skip + (len - skip) / 64 * 64;
        // SAFETY: the first 16 bytes; those from `skip`, at most 16, to `end`, which is at most
        // `len`; and the last 64.
        unsafe {
            asm!(
                "movups {a}, [{first}]",
                "movups [{to}], {a}",
                "2:",
                "movups {a}, [{s} + {n}]",
                "movups {b}, [{s} + {n} + 16]",
                "movups {c}, [{s} + {n} + 32]",
                "movups {d}, [{s} + {n} + 48]",
                "movaps [{t} + {n}], {a}",
                "movaps [{t} + {n} + 16], {b}",
                "movaps [{t} + {n} + 32], {c}",
                "movaps [{t} + {n} + 48], {d}",
                "add {n}, 64",
                "jnz 2b",
                "movups {a}, [{first} + {last}]",
                "movups {b}, [{first} + {last} + 16]",
                "movups {c}, [{first} + {last} + 32]",
                "movups {d}, [{first} + {last} + 48]",
                "movups [{to} + {last}], {a}",
                "movups [{to} + {last} + 16], {b}",
                "movups [{to} + {last} + 32], {c}",
                "movups [{to} + {last} + 48], {d}",
                first = in(reg) src,
                to = in(reg) dst,
                last = in(reg) len - 64,
                n = inout(reg) skip.wrapping_sub(end) => _,
                s = in(reg) src.add(end),
                t = in(reg) dst.add(end),
                a = out(xmm_reg) _, b = out(xmm_reg) _,
                c = out(xmm_reg) _, d = out(xmm_reg) _,
                options(nostack));
        }
    }

    /// From here on vectors beat the chain of carries.
    const VECTOR_SUM: usize = 256;

    #[inline]
    pub(super) unsafe fn copy_sum(mut dst: *mut u8, mut src: *const u8, mut len: usize) -> u64 {
        let mut sum = 0;
        if len >= 64 {
            let blocks = len / 64;
            // SAFETY: `blocks * 64 <= len`, for which the caller vouches.
            sum = unsafe {
                if len >= VECTOR_SUM && std::arch::is_x86_feature_detected!("avx2") {
                    copy_sum_vector(dst, src, blocks)
                } else {
                    copy_sum_scalar(dst, src, blocks)
                }
            };
            len %= 64;
            // SAFETY: just behind what was copied.
            unsafe {
                src = src.add(blocks * 64);
                dst = dst.add(blocks * 64);
            }
        }
        while len >= 8 {
            let word: u64;
            // SAFETY: at least 8 of the caller's bytes are left.
            unsafe {
                asm!("mov {x}, [{s}]", "mov [{t}], {x}",
                    x = out(reg) word, s = in(reg) src, t = in(reg) dst,
                    options(nostack, preserves_flags));
                src = src.add(8);
                dst = dst.add(8);
            }
            sum = super::add_around(sum, word);
            len -= 8;
        }
        if len > 0 {
            let mut last = 0u64;
            // SAFETY: `len` bytes, fewer than 8, are left on both sides.
            unsafe {
                copy((&raw mut last).cast(), src, len);
                copy(dst, (&raw const last).cast(), len);
            }
            sum = super::add_around(sum, last);
        }
        sum
    }

    /// # Safety
    /// As for [`copy`], for `blocks * 64` bytes; `blocks` is not 0.
    #[inline]
    unsafe fn copy_sum_scalar(dst: *mut u8, src: *const u8, blocks: usize) -> u64 {
        let sum: u64;
        // SAFETY: moves the caller's bytes. Neither `lea` nor `dec` changes the carry.
        unsafe {
            asm!(
                "xor {a:e}, {a:e}",
                "2:",
                "mov {x}, [{s}]",
                "mov {y}, [{s} + 8]",
                "mov [{t}], {x}",
                "mov [{t} + 8], {y}",
                "adc {a}, {x}",
                "adc {a}, {y}",
                "mov {x}, [{s} + 16]",
                "mov {y}, [{s} + 24]",
                "mov [{t} + 16], {x}",
                "mov [{t} + 24], {y}",
                "adc {a}, {x}",
                "adc {a}, {y}",
                "mov {x}, [{s} + 32]",
                "mov {y}, [{s} + 40]",
                "mov [{t} + 32], {x}",
                "mov [{t} + 40], {y}",
                "adc {a}, {x}",
                "adc {a}, {y}",
                "mov {x}, [{s} + 48]",
                "mov {y}, [{s} + 56]",
                "mov [{t} + 48], {x}",
                "mov [{t} + 56], {y}",
                "adc {a}, {x}",
                "adc {a}, {y}",
                "lea {s}, [{s} + 64]",
                "lea {t}, [{t} + 64]",
                "dec {n}",
                "jnz 2b",
                "adc {a}, 0",
                n = inout(reg) blocks => _,
                s = inout(reg) src => _,
                t = inout(reg) dst => _,
                a = out(reg) sum, x = out(reg) _, y = out(reg) _,
                options(nostack));
        }
        sum
    }

    /// # Safety
    /// As for [`copy`], for `blocks * 64` bytes; `blocks` is not 0, and fewer than 2³⁰. The
    /// processor has AVX2.
    #[inline]
    unsafe fn copy_sum_vector(dst: *mut u8, src: *const u8, blocks: usize) -> u64 {
        let (low, high): (u64, u64);
        // SAFETY: moves the caller's bytes. The upper halves of all vector registers are cleared
        // at the end, so all count as changed: code for this CPU may use them whole. Each of the
        // eight sums is of 32-bit words, four for each block, and cannot overflow; nor can the two
        // they are joined to.
        unsafe {
            asm!(
                "vpxor xmm4, xmm4, xmm4",
                "vpxor xmm5, xmm5, xmm5",
                "vpxor xmm6, xmm6, xmm6",
                "2:",
                "vmovdqu ymm0, [{s}]",
                "vmovdqu ymm1, [{s} + 32]",
                "vmovdqu [{t}], ymm0",
                "vmovdqu [{t} + 32], ymm1",
                "vpunpckldq ymm2, ymm0, ymm4",
                "vpunpckhdq ymm3, ymm0, ymm4",
                "vpaddq ymm5, ymm5, ymm2",
                "vpaddq ymm6, ymm6, ymm3",
                "vpunpckldq ymm2, ymm1, ymm4",
                "vpunpckhdq ymm3, ymm1, ymm4",
                "vpaddq ymm5, ymm5, ymm2",
                "vpaddq ymm6, ymm6, ymm3",
                "add {s}, 64",
                "add {t}, 64",
                "dec {n}",
                "jnz 2b",
                "vpaddq ymm5, ymm5, ymm6",
                "vextracti128 xmm6, ymm5, 1",
                "vpaddq xmm5, xmm5, xmm6",
                "vmovq {low}, xmm5",
                "vpextrq {high}, xmm5, 1",
                "vzeroupper",
                n = inout(reg) blocks => _,
                s = inout(reg) src => _,
                t = inout(reg) dst => _,
                low = lateout(reg) low, high = lateout(reg) high,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack));
        }
        // Sums of 32-bit words and of 64-bit words are the same modulo 2³² − 1.
        super::add_around(low, high)
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

    pub(super) unsafe fn copy_sum(dst: *mut u8, src: *const u8, len: usize) -> u64 {
        let mut sum = 0;
        for at in (0..len).step_by(WORD) {
            let mut word = 0u64;
            let part = (len - at).min(WORD);
            // SAFETY: `part` bytes at `at` are in bounds of what the caller vouches for.
            unsafe {
                copy((&raw mut word).cast(), src.add(at), part);
                copy(dst.add(at), (&raw const word).cast(), part);
            }
            sum = super::add_around(sum, word);
        }
        sum
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
    /// The sum of 16-bit words in memory's order, folded.
    fn reference(bytes: &[u8]) -> u16 {
        let sum = bytes.chunks(2).fold(0u64, |sum, pair| {
            let word = [pair[0], *pair.get(1).unwrap_or(&0)];
            sum + u64::from(u16::from_ne_bytes(word))
        });
        fold(sum)
    }

    fn fold(mut sum: u64) -> u16 {
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn sums_while_copying() {
        let patterns: [fn(u32) -> u8; 3] = [
            |i| (i * 7 + i / 256) as u8,
            |_| 0xff,
            |i| if i % 5 == 0 { 0xfe } else { 0xff },
        ];
        for pattern in patterns {
            let source: Vec<u8> = (0..9000u32).map(pattern).collect();
            for len in (0..330).chain([1448, 4095, 8191, 8960]) {
                for skew in 0..5 {
                    let mut target = vec![0xaa; len + 32];
                    let from = &source[skew..skew + len];
                    // SAFETY: both vectors are long enough and distinct.
                    let sum =
                        unsafe { super::copy_sum(target.as_mut_ptr().add(3), from.as_ptr(), len) };
                    assert_eq!(&target[3..3 + len], from);
                    assert!(target[3 + len..].iter().all(|&b| b == 0xaa));
                    // Both zeros of ones' complement are right.
                    assert_eq!(fold(sum) % 0xffff, reference(from) % 0xffff, "{len} bytes");
                }
            }
        }
    }

    #[test]
    fn every_length_and_alignment_copies_exactly() {
        let source: Vec<u8> = (0..9000u32).map(|i| (i * 7 + i / 256) as u8).collect();
        for len in (0..400).chain([1448, 4095, 4096, 4097, 8192]) {
            for skew in 0..17 {
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
