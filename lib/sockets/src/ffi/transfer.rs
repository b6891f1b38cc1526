//! From files to sockets, and what sockets cannot do: they have no positions.

use std::ffi::{c_int, c_void};

use libc::{off_t, size_t, ssize_t};
use rustix::fs::FileType;
use rustix::io::Errno;
use tas_abi::ll::FlextcpConnection;
use tas_ll::conn::pieces;

use super::data::transferred;
use super::options::socket;
use super::user::{BYTES_MAX, in_reach};
use super::{guard, kernel, raw, waiting};
use crate::send::{self, Source};
use crate::{Result, table};

/// As pread(2): `ESPIPE`.
///
/// # Safety
/// As pread(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_pread(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    offset: off_t,
) -> ssize_t {
    guard(|| {
        if !table::is_ours(fd) {
            return Err(Errno::BADF);
        }
        // SAFETY: the caller's promise.
        unsafe { kernel::pread(fd, buf, len, offset) }.map(transferred)
    })
}

/// As pwrite(2): `ESPIPE`.
///
/// # Safety
/// As pwrite(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_pwrite(
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    offset: off_t,
) -> ssize_t {
    guard(|| {
        if !table::is_ours(fd) {
            return Err(Errno::BADF);
        }
        // SAFETY: the caller's promise.
        unsafe { kernel::pwrite(fd, buf, len, offset) }.map(transferred)
    })
}

/// Bytes of a file.
struct File {
    fd: c_int,
    /// Where they begin; `None`: where the file stands, which moves along.
    offset: Option<off_t>,
    len: usize,
}

impl File {
    /// Up to `len` bytes of what `fd` names; `None` if there are none left.
    fn open(fd: c_int, offset: Option<off_t>, len: usize) -> Result<Option<File>> {
        if table::is_ours(fd) {
            return Err(Errno::INVAL);
        }
        let file = raw::borrow(fd).ok_or(Errno::BADF)?;
        let stat = rustix::fs::fstat(file)?;
        let mode = rustix::fs::fcntl_getfl(file)?;
        if mode.intersects(rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::PATH) {
            return Err(Errno::BADF);
        }
        let mut len = len.min(BYTES_MAX);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let at = match offset {
                    Some(at) => at,
                    None => kernel::seek(fd, 0)?,
                };
                let left = usize::try_from(stat.st_size.saturating_sub(at)).unwrap_or(0);
                len = len.min(left);
            }
            FileType::BlockDevice | FileType::CharacterDevice => {}
            _ => return Err(Errno::INVAL),
        }
        Ok((len > 0).then_some(File { fd, offset, len }))
    }
}

impl Source for File {
    fn total(&self) -> usize {
        self.len
    }

    fn copy(&mut self, at: usize, c: &FlextcpConnection, pos: u32, len: u32) -> Result<u32> {
        if c.txb_base.is_null() || len > c.txb_len || pos > c.txb_len {
            return Ok(0);
        }
        let (first, second) = pieces(pos, len, c.txb_len);
        let part = |(pos, len): (u32, u32)| libc::iovec {
            iov_base: c.txb_base.wrapping_add(pos as usize).cast(),
            iov_len: len as usize,
        };
        let parts = [part(first), part(second)];
        let at = match self.offset {
            Some(offset) => {
                let at = off_t::try_from(at).map_err(|_| Errno::OVERFLOW)?;
                Some(offset.checked_add(at).ok_or(Errno::OVERFLOW)?)
            }
            None => None,
        };
        // SAFETY: free bytes of the transmit buffer, which the connection's
        // lock guards.
        let count = unsafe { kernel::read_pieces(self.fd, &parts, at)? };
        u32::try_from(count).map_err(|_| Errno::OVERFLOW)
    }
}

/// As sendfile(2), to a socket of ours. The file is read into the transmit
/// buffer itself.
///
/// # Safety
/// `offset` is null or points to an offset.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_sendfile(
    fd: c_int,
    from: c_int,
    offset: *mut off_t,
    len: size_t,
) -> ssize_t {
    waiting(|| {
        socket(fd)?;
        if !offset.is_null() && !in_reach(offset.addr(), size_of::<off_t>()) {
            return Err(Errno::FAULT);
        }
        // SAFETY: the caller's promise.
        let at = unsafe { offset.as_ref() }.copied();
        if at.is_some_and(|at| at < 0) {
            return Err(Errno::INVAL);
        }
        let Some(file) = File::open(from, at, len)? else {
            return Ok(0);
        };
        let sent = send::send(fd, file, send::How::default())?;
        // SAFETY: the caller's promise.
        if let Some(offset) = unsafe { offset.as_mut() } {
            *offset = offset.saturating_add(off_t::try_from(sent).unwrap_or(off_t::MAX));
        }
        Ok(transferred(sent))
    })
}
