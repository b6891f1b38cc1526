//! Bytes of the program: what it wants sent, and where it wants what arrived.

use std::ffi::c_void;
use std::marker::PhantomData;

use rustix::io::Errno;
use tas_abi::ll::FlextcpConnection;
use tas_ll::conn::pieces;

use crate::Result;

/// Most parts of a vector (`UIO_MAXIOV`).
const PARTS_MAX: usize = 1024;
/// Most bytes that a call transfers (read(2), NOTES).
pub(super) const BYTES_MAX: usize = 0x7fff_f000;
/// No program has its data below this address, nor in the kernel's half.
const LOWEST: usize = 4096;
const HIGHEST: usize = 1 << 47;

/// Whether a program can have something at the address.
pub fn is_address(at: *const c_void) -> bool {
    (LOWEST..HIGHEST).contains(&at.addr())
}

/// Stretches of the program's memory, to be read or written in order.
#[derive(Clone, Copy)]
pub struct Iov<'a> {
    parts: *const libc::iovec,
    count: usize,
    len: usize,
    /// Some of it is where no program has memory.
    stray: bool,
    _of: PhantomData<&'a libc::iovec>,
}

impl<'a> Iov<'a> {
    /// One stretch, described by `part`, which the value borrows.
    ///
    /// # Safety
    /// The stretch may be read and written, as the use needs, while the value lives.
    pub unsafe fn one(part: &'a libc::iovec) -> Result<Iov<'a>> {
        let len = part.iov_len.min(BYTES_MAX);
        Ok(Iov {
            parts: part,
            count: 1,
            len,
            stray: !in_reach(part.iov_base.addr(), len),
            _of: PhantomData,
        })
    }

    /// `count` stretches.
    ///
    /// # Safety
    /// `parts` points to `count` descriptions, of stretches that may be read
    /// and written, as the use needs, while the value lives.
    pub unsafe fn many(parts: *const libc::iovec, count: usize) -> Result<Iov<'a>> {
        if count > PARTS_MAX {
            return Err(Errno::INVAL);
        }
        if !in_reach(parts.addr(), count * size_of::<libc::iovec>()) {
            return Err(Errno::FAULT);
        }
        let mut len = 0usize;
        let mut stray = false;
        for index in 0..count {
            // SAFETY: the caller's promise.
            let part = unsafe { &*parts.add(index) };
            if isize::try_from(part.iov_len).is_err() {
                return Err(Errno::INVAL);
            }
            stray |= !in_reach(part.iov_base.addr(), part.iov_len.min(BYTES_MAX));
            len = len.saturating_add(part.iov_len);
        }
        Ok(Iov {
            parts,
            count,
            len: len.min(BYTES_MAX),
            stray,
            _of: PhantomData,
        })
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether bytes may be copied at all. Asked once there are some, as the
    /// kernel does.
    ///
    /// # Errors
    /// `EFAULT` if not.
    pub fn check(&self) -> Result<()> {
        if self.stray {
            Err(Errno::FAULT)
        } else {
            Ok(())
        }
    }

    /// Where `len` bytes from `at` on are, if there is one stretch only.
    #[inline]
    fn single(&self, at: usize, len: u32) -> Option<*mut u8> {
        if self.count != 1 {
            return None;
        }
        // SAFETY: `one` was promised that the description lives as long.
        let part = unsafe { &*self.parts };
        let fits = at.checked_add(len as usize)? <= part.iov_len;
        fits.then(|| part.iov_base.cast::<u8>().wrapping_add(at))
    }

    /// Calls `each` with the pieces that `len` bytes from `skip` on fall into.
    #[inline]
    fn walk(&self, mut skip: usize, mut len: usize, mut each: impl FnMut(*mut c_void, usize)) {
        for index in 0..self.count {
            if len == 0 {
                return;
            }
            // SAFETY: `new` was promised that the descriptions live as long.
            let part = unsafe { &*self.parts.add(index) };
            if skip >= part.iov_len {
                skip -= part.iov_len;
                continue;
            }
            let now = (part.iov_len - skip).min(len);
            each(part.iov_base.wrapping_byte_add(skip), now);
            skip = 0;
            len -= now;
        }
    }

    /// Copies `len` bytes at `pos` of the connection's receive buffer to the
    /// program, from its byte `at` on.
    #[inline]
    pub fn take_received(&self, at: usize, conn: &FlextcpConnection, pos: u32, len: u32) {
        if conn.rxb_base.is_null() || len > conn.rxb_len || pos > conn.rxb_len {
            return;
        }
        let (first, second) = pieces(pos, len, conn.rxb_len);
        if second.1 == 0
            && let Some(to) = self.single(at, len)
        {
            let from = conn.rxb_base.wrapping_add(pos as usize);
            // SAFETY: as below.
            unsafe { to.copy_from_nonoverlapping(from, len as usize) };
            return;
        }
        let mut at = at;
        for (pos, len) in [first, second] {
            let mut from = conn.rxb_base.wrapping_add(pos as usize);
            self.walk(at, len as usize, |to, now| {
                // SAFETY: the program's memory by the promise of `new`, the
                // buffer's by the service's answer and the check above; the
                // two do not overlap, for the program does not know the buffer.
                unsafe { to.cast::<u8>().copy_from_nonoverlapping(from, now) };
                from = from.wrapping_add(now);
            });
            at += len as usize;
        }
    }

    /// Copies the program's `len` bytes from `at` on to `pos` of the
    /// connection's transmit buffer.
    #[inline]
    pub fn give_to_send(&self, at: usize, conn: &FlextcpConnection, pos: u32, len: u32) {
        if conn.txb_base.is_null() || len > conn.txb_len || pos > conn.txb_len {
            return;
        }
        let (first, second) = pieces(pos, len, conn.txb_len);
        if second.1 == 0
            && let Some(from) = self.single(at, len)
        {
            let to = conn.txb_base.wrapping_add(pos as usize);
            // SAFETY: as in `take_received`.
            unsafe { to.copy_from_nonoverlapping(from, len as usize) };
            return;
        }
        let mut at = at;
        for (pos, len) in [first, second] {
            let mut to = conn.txb_base.wrapping_add(pos as usize);
            self.walk(at, len as usize, |from, now| {
                // SAFETY: as in `take_received`.
                unsafe { to.copy_from_nonoverlapping(from.cast(), now) };
                to = to.wrapping_add(now);
            });
            at += len as usize;
        }
    }

    /// Copies bytes of our own to the program, from its byte `at` on.
    pub fn put(&self, at: usize, bytes: &[u8]) {
        let mut rest = bytes;
        self.walk(at, bytes.len(), |to, now| {
            if let Some((head, tail)) = rest.split_at_checked(now) {
                // SAFETY: the program's memory by the promise of `new`.
                unsafe { to.cast::<u8>().copy_from_nonoverlapping(head.as_ptr(), now) };
                rest = tail;
            }
        });
    }
}

/// Whether a program can have `len` bytes at an address at all.
pub fn in_reach(at: usize, len: usize) -> bool {
    let end = at.checked_add(len);
    len == 0 || at >= LOWEST && end.is_some_and(|end| end <= HIGHEST)
}

/// The received bytes themselves, before the buffer goes.
pub fn copy_out(conn: &FlextcpConnection, pos: u32, len: u32) -> Vec<u8> {
    let mut bytes = vec![0u8; len as usize];
    let part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: a live vector of that length.
    if let Ok(iov) = unsafe { Iov::one(&part) } {
        iov.take_received(0, conn, pos, len);
    }
    bytes
}

#[cfg(test)]
mod tests;
