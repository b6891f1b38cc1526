//! Sending and receiving with addresses and messages. A connection's bytes have
//! no address and no control data.

use std::ffi::{c_int, c_void};
use std::mem::offset_of;

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use rustix::io::Errno;

use super::data::{receive_how, send_how, transferred};
use super::options::socket;
use super::user::{Iov, in_reach};
use super::{address, waiting};
use crate::{Result, connect, create, names, recv, send};

/// Longest address (`sizeof(struct sockaddr_storage)`).
const ADDRESS_MAX: socklen_t = 128;
/// Most parts of a message (`UIO_MAXIOV`).
const PARTS_MAX: size_t = 1024;

/// As recvfrom(2). A connection's bytes come without the sender's address: its
/// length is 0 then.
///
/// # Safety
/// `buf` points to room for `len` bytes; `addr` is null, or `addr_len` points to
/// the length of the room there.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_recvfrom(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    addr: *mut sockaddr,
    addr_len: *mut socklen_t,
) -> ssize_t {
    waiting(|| {
        socket(fd)?;
        let part = iovec {
            iov_base: buf,
            iov_len: len,
        };
        // SAFETY: the caller's promise.
        let iov = unsafe { Iov::one(&part)? };
        let got = recv::recv(fd, iov, receive_how(flags)?)?;
        if !addr.is_null() {
            // SAFETY: the caller's promise.
            unsafe { no_address(addr_len)? };
        }
        Ok(transferred(got))
    })
}

/// Says that there is no address.
///
/// # Safety
/// `len` is null or points to the length of the room for one.
unsafe fn no_address(len: *mut socklen_t) -> Result<()> {
    if !in_reach(len.addr(), size_of::<socklen_t>()) {
        return Err(Errno::FAULT);
    }
    // SAFETY: the caller's promise.
    unsafe {
        if len.read_unaligned().cast_signed() < 0 {
            return Err(Errno::INVAL);
        }
        len.write_unaligned(0);
    }
    Ok(())
}

/// The message at `msg`.
///
/// # Safety
/// `msg` points to a message.
unsafe fn message(msg: *const msghdr) -> Result<msghdr> {
    if !in_reach(msg.addr(), size_of::<msghdr>()) {
        return Err(Errno::FAULT);
    }
    // SAFETY: the caller's promise.
    let msg = unsafe { msg.read_unaligned() };
    if msg.msg_iovlen > PARTS_MAX {
        return Err(Errno::MSGSIZE);
    }
    Ok(msg)
}

/// As recvmsg(2). There is neither a sender's address nor control data.
///
/// # Safety
/// `msg` points to a message as recvmsg(2) takes it.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_recvmsg(fd: c_int, msg: *mut msghdr, flags: c_int) -> ssize_t {
    waiting(|| {
        socket(fd)?;
        // SAFETY: the caller's promise.
        let given = unsafe { message(msg)? };
        // SAFETY: the caller's promise.
        let iov = unsafe { Iov::many(given.msg_iov, given.msg_iovlen)? };
        let got = recv::recv(fd, iov, receive_how(flags)?)?;
        let field = |offset: usize| msg.wrapping_byte_add(offset);
        // SAFETY: the message was read from there. Field by field, so that the
        // rest stays the program's.
        unsafe {
            if !given.msg_name.is_null() {
                let len = field(offset_of!(msghdr, msg_namelen)).cast::<socklen_t>();
                len.write_unaligned(0);
            }
            let control = field(offset_of!(msghdr, msg_controllen)).cast::<size_t>();
            control.write_unaligned(0);
            let told = field(offset_of!(msghdr, msg_flags)).cast::<c_int>();
            told.write_unaligned(flags & libc::MSG_CMSG_CLOEXEC);
        }
        Ok(transferred(got))
    })
}

/// Looks at the address of something to be sent. A connection knows its peer:
/// the address is judged, and means nothing unless it is to connect first.
///
/// # Safety
/// `addr` is null or points to `len` bytes.
unsafe fn towards(
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
    flags: c_int,
    how: send::How,
) -> Result<()> {
    if addr.is_null() {
        return Ok(());
    }
    if len > ADDRESS_MAX {
        return Err(Errno::INVAL);
    }
    if !in_reach(addr.addr(), len as usize) {
        return Err(Errno::FAULT);
    }
    if flags & libc::MSG_FASTOPEN == 0 || !create::is_undecided(fd) {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let to = unsafe { address::read(addr, len, names::domain_of(fd)?)? };
    let to = names::to_v4(to).ok_or(Errno::NETUNREACH)?;
    if how.dont_wait {
        // Without a cookie Linux begins to connect, too.
        return connect::connect_now(fd, to);
    }
    connect::connect(fd, to)
}

/// As sendto(2).
///
/// # Safety
/// `buf` points to `len` bytes, `addr` is null or points to `addr_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_sendto(
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    addr: *const sockaddr,
    addr_len: socklen_t,
) -> ssize_t {
    waiting(|| {
        socket(fd)?;
        let part = iovec {
            iov_base: buf.cast_mut(),
            iov_len: len,
        };
        let how = send_how(flags)?;
        // SAFETY: the caller's promises; sending only reads.
        let iov = unsafe {
            towards(fd, addr, addr_len, flags, how)?;
            Iov::one(&part)?
        };
        send::send(fd, iov, how).map(transferred)
    })
}

/// As sendmsg(2). Control data means nothing.
///
/// # Safety
/// `msg` points to a message as sendmsg(2) takes it.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_sendmsg(
    fd: c_int,
    msg: *const msghdr,
    flags: c_int,
) -> ssize_t {
    waiting(|| {
        socket(fd)?;
        // SAFETY: the caller's promise.
        let given = unsafe { message(msg)? };
        let how = send_how(flags)?;
        // SAFETY: the caller's promises; sending only reads.
        let iov = unsafe {
            let (addr, len) = (given.msg_name.cast::<sockaddr>(), given.msg_namelen);
            towards(fd, addr, len, flags, how)?;
            Iov::many(given.msg_iov, given.msg_iovlen)?
        };
        send::send(fd, iov, how).map(transferred)
    })
}
