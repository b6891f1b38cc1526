//! System calls without the C library, for the time before its functions are
//! known: no locks, no memory, no cancellation.

use std::ffi::c_long;

use crate::real::set_errno;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("interposition knows the system calls of Linux on x86-64 only");

/// The largest errno that the kernel returns, negated.
const MAX_ERRNO: i64 = 4095;

/// Calls the kernel; a failure is -1 and errno.
///
/// # Safety
/// As for the system call.
pub(crate) unsafe fn syscall(number: c_long, args: [c_long; 6]) -> c_long {
    let [a, b, c, d, e, f] = args;
    let result: i64;
    // SAFETY: the registers are those of the kernel's calling convention; what
    // the call does to memory is the caller's promise.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-MAX_ERRNO..0).contains(&result) {
        set_errno(result.unsigned_abs() as i32);
        return -1;
    }
    result
}

/// A system call's argument, whatever its type in C.
pub(crate) trait Argument {
    /// Its register.
    fn word(self) -> c_long;
}

macro_rules! integers {
    ($($kind:ty)*) => {
        $(impl Argument for $kind {
            fn word(self) -> c_long {
                self as c_long
            }
        })*
    };
}

integers!(i32 u32 i64 u64 usize);

impl<T> Argument for *const T {
    fn word(self) -> c_long {
        self.expose_provenance() as c_long
    }
}

impl<T> Argument for *mut T {
    fn word(self) -> c_long {
        self.expose_provenance() as c_long
    }
}

/// `raw!(SYS_read, fd, buf, len)` calls the kernel with up to six arguments.
macro_rules! raw {
    ($number:expr $(, $arg:expr)*) => {{
        let mut words = [0; 6];
        for (place, word) in words.iter_mut().zip([$($crate::raw::Argument::word($arg)),*]) {
            *place = word;
        }
        $crate::raw::syscall($number, words)
    }};
}

pub(crate) use raw;
