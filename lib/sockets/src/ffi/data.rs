//! Sending and receiving.

use std::ffi::{c_int, c_void};

use libc::{iovec, size_t, ssize_t};
use rustix::io::Errno;

use super::options::socket;
use super::user::Iov;
use super::waiting;
use crate::{Result, recv, send};

/// The flags of a receiving call.
pub(super) fn receive_how(flags: c_int) -> Result<recv::How> {
    if flags & libc::MSG_OOB != 0 {
        return Err(Errno::INVAL);
    }
    if flags & libc::MSG_ERRQUEUE != 0 {
        return Err(Errno::AGAIN);
    }
    Ok(recv::How {
        peek: flags & libc::MSG_PEEK != 0,
        dont_wait: flags & libc::MSG_DONTWAIT != 0,
        wait_all: flags & libc::MSG_WAITALL != 0,
        discard: flags & libc::MSG_TRUNC != 0,
    })
}

/// The flags of a sending call.
pub(super) fn send_how(flags: c_int) -> Result<send::How> {
    if flags & libc::MSG_OOB != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    Ok(send::How {
        dont_wait: flags & libc::MSG_DONTWAIT != 0,
        no_signal: flags & libc::MSG_NOSIGNAL != 0,
        more: flags & libc::MSG_MORE != 0,
    })
}

/// Whether the descriptor can be read and written.
///
/// # Errors
/// `EBADF` for others', `EINVAL` for epolls.
fn stream(fd: c_int) -> Result<()> {
    socket(fd).map_err(|error| match error {
        Errno::NOTSOCK => Errno::INVAL,
        error => error,
    })
}

pub(super) fn transferred(len: usize) -> ssize_t {
    ssize_t::try_from(len).unwrap_or(ssize_t::MAX)
}

/// As recv(2).
///
/// # Safety
/// `buf` points to room for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_recv(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    waiting(|| {
        socket(fd)?;
        let part = iovec {
            iov_base: buf,
            iov_len: len,
        };
        // SAFETY: the caller's promise.
        let iov = unsafe { Iov::one(&part)? };
        recv::recv(fd, iov, receive_how(flags)?).map(transferred)
    })
}

/// As read(2).
///
/// # Safety
/// As `tas_recv`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t {
    waiting(|| {
        stream(fd)?;
        if len == 0 {
            return Ok(0);
        }
        let part = iovec {
            iov_base: buf,
            iov_len: len,
        };
        // SAFETY: the caller's promise.
        let iov = unsafe { Iov::one(&part)? };
        recv::recv(fd, iov, recv::How::default()).map(transferred)
    })
}

/// As readv(2).
///
/// # Safety
/// `iov` points to `count` descriptions of room.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    waiting(|| {
        stream(fd)?;
        let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
        // SAFETY: the caller's promise.
        let iov = unsafe { Iov::many(iov, count)? };
        if iov.is_empty() {
            return Ok(0);
        }
        recv::recv(fd, iov, recv::How::default()).map(transferred)
    })
}

/// As send(2).
///
/// # Safety
/// `buf` points to `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_send(
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    waiting(|| {
        socket(fd)?;
        let part = iovec {
            iov_base: buf.cast_mut(),
            iov_len: len,
        };
        // SAFETY: the caller's promise; sending only reads.
        let iov = unsafe { Iov::one(&part)? };
        send::send(fd, iov, send_how(flags)?).map(transferred)
    })
}

/// As write(2).
///
/// # Safety
/// As `tas_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t {
    waiting(|| {
        stream(fd)?;
        let part = iovec {
            iov_base: buf.cast_mut(),
            iov_len: len,
        };
        // SAFETY: the caller's promise; sending only reads.
        let iov = unsafe { Iov::one(&part)? };
        send::send(fd, iov, send::How::default()).map(transferred)
    })
}

/// As writev(2).
///
/// # Safety
/// `iov` points to `count` descriptions of bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    waiting(|| {
        stream(fd)?;
        let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
        // SAFETY: the caller's promise.
        let iov = unsafe { Iov::many(iov, count)? };
        if iov.is_empty() {
            return Ok(0);
        }
        send::send(fd, iov, send::How::default()).map(transferred)
    })
}
