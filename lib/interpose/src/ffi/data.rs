//! Reading and writing.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use libc::{iovec, mmsghdr, msghdr, off_t, size_t, sockaddr, socklen_t, ssize_t, timespec};

use super::entry::{by_descriptor, is_stale};
use super::socket;
use crate::{real, sockets};

/// The kernel takes no more messages than this in one call.
const MOST_MESSAGES: c_uint = 1024;
/// The offset that stands for the file's own in `preadv2` and `pwritev2`,
/// which sockets do not have.
const NO_OFFSET: off_t = -1;

by_descriptor! {
    read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t => tas_read;
    readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t => tas_readv;
    recv(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t => tas_recv;
    recvfrom(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int, from: *mut sockaddr,
        from_len: *mut socklen_t) -> ssize_t => tas_recvfrom;
    recvmsg(fd: c_int, msg: *mut msghdr, flags: c_int) -> ssize_t => tas_recvmsg;
    write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t => tas_write;
    writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t => tas_writev;
    send(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t
        => tas_send;
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_sendto")]
pub(super) unsafe extern "C-unwind" fn sendto(
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe {
        if sockets::is_ours(fd) {
            if flags & libc::MSG_FASTOPEN != 0 {
                socket::settle_for_peer(fd, to, to_len);
            }
            let sent = sockets::tas_sendto(fd, buf, len, flags, to, to_len);
            if sent != -1 || !is_stale(fd) {
                return sent;
            }
        }
        real::sendto(fd, buf, len, flags, to, to_len)
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_sendmsg")]
pub(super) unsafe extern "C-unwind" fn sendmsg(
    fd: c_int,
    msg: *const msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe {
        if sockets::is_ours(fd) {
            if flags & libc::MSG_FASTOPEN != 0
                && let Some(msg) = msg.as_ref()
            {
                socket::settle_for_peer(fd, msg.msg_name.cast(), msg.msg_namelen);
            }
            let sent = sockets::tas_sendmsg(fd, msg, flags);
            if sent != -1 || !is_stale(fd) {
                return sent;
            }
        }
        real::sendmsg(fd, msg, flags)
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_recvmmsg")]
pub(super) unsafe extern "C-unwind" fn recvmmsg(
    fd: c_int,
    msgs: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if !sockets::is_ours(fd) {
            return real::recvmmsg(fd, msgs, count, flags, timeout);
        }
        // As in the kernel, the time counts only between messages.
        let end = timeout.as_ref().map(deadline);
        let each = flags & !libc::MSG_WAITFORONE;
        let first_only = flags & libc::MSG_WAITFORONE != 0;
        for done in 0..count.min(MOST_MESSAGES) {
            let msg = msgs.add(done as usize);
            let flags = match first_only && done > 0 {
                true => each | libc::MSG_DONTWAIT,
                false => each,
            };
            let got = recvmsg(fd, &raw mut (*msg).msg_hdr, flags);
            if got < 0 {
                return so_far(done);
            }
            (*msg).msg_len = got as c_uint;
            if end.is_some_and(|end| std::time::Instant::now() >= end) {
                return so_far(done + 1);
            }
        }
        count.min(MOST_MESSAGES) as c_int
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_sendmmsg")]
pub(super) unsafe extern "C-unwind" fn sendmmsg(
    fd: c_int,
    msgs: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if !sockets::is_ours(fd) {
            return real::sendmmsg(fd, msgs, count, flags);
        }
        for done in 0..count.min(MOST_MESSAGES) {
            let msg = msgs.add(done as usize);
            let sent = sendmsg(fd, &raw const (*msg).msg_hdr, flags);
            if sent < 0 {
                return so_far(done);
            }
            (*msg).msg_len = sent as c_uint;
            if (sent as size_t) < total(&(*msg).msg_hdr) {
                return so_far(done + 1);
            }
        }
        count.min(MOST_MESSAGES) as c_int
    }
}

/// What a call on several messages returns after an error: that of the first
/// message, or how many went well.
fn so_far(done: c_uint) -> c_int {
    match done {
        0 => -1,
        _ => done as c_int,
    }
}

fn deadline(timeout: &timespec) -> std::time::Instant {
    let length = std::time::Duration::new(
        u64::try_from(timeout.tv_sec).unwrap_or(0),
        u32::try_from(timeout.tv_nsec).unwrap_or(0),
    );
    let now = std::time::Instant::now();
    now.checked_add(length).unwrap_or(now)
}

/// # Safety
/// The message's vector is as long as it says.
unsafe fn total(msg: &msghdr) -> size_t {
    if msg.msg_iov.is_null() {
        return 0;
    }
    // SAFETY: the caller's promise.
    let iov = unsafe { std::slice::from_raw_parts(msg.msg_iov, msg.msg_iovlen) };
    iov.iter().map(|part| part.iov_len).sum()
}

// Sockets have no offset, and the kernel says so for the descriptors of ours:
// ESPIPE.

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_pread")]
unsafe extern "C-unwind" fn pread(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { real::pread(fd, buf, len, offset) }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_pwrite")]
unsafe extern "C-unwind" fn pwrite(
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { real::pwrite(fd, buf, len, offset) }
}

/// Reads from a socket of ours as `preadv2` does, or gives nothing if that is
/// for the kernel to do.
///
/// # Safety
/// As for `preadv2`.
pub(super) unsafe fn read_vector(
    fd: c_int,
    iov: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> Option<ssize_t> {
    if offset != NO_OFFSET || !sockets::is_ours(fd) {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe {
        if flags & libc::RWF_NOWAIT == 0 {
            return Some(readv(fd, iov, count));
        }
        let mut msg = vector_message(iov, count);
        Some(recvmsg(fd, &mut msg, libc::MSG_DONTWAIT))
    }
}

/// The same for `pwritev2`.
///
/// # Safety
/// As for `pwritev2`.
pub(super) unsafe fn write_vector(
    fd: c_int,
    iov: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> Option<ssize_t> {
    if offset != NO_OFFSET || !sockets::is_ours(fd) {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe {
        if flags & libc::RWF_NOWAIT == 0 {
            return Some(writev(fd, iov, count));
        }
        let msg = vector_message(iov, count);
        Some(sendmsg(fd, &msg, libc::MSG_DONTWAIT))
    }
}

fn vector_message(iov: *const iovec, count: c_int) -> msghdr {
    msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: iov.cast_mut(),
        msg_iovlen: usize::try_from(count).unwrap_or(usize::MAX),
        msg_control: ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    }
}

macro_rules! vectors {
    ($($name:ident => $ours:ident;)*) => {
        $(
            /// # Safety
            /// As for the function in C.
            #[unsafe(export_name = concat!("tas_interpose_", stringify!($name)))]
            unsafe extern "C-unwind" fn $name(
                fd: c_int,
                iov: *const iovec,
                count: c_int,
                offset: off_t,
                flags: c_int,
            ) -> ssize_t {
                // SAFETY: the caller's promise.
                unsafe {
                    $ours(fd, iov, count, offset, flags)
                        .unwrap_or_else(|| real::$name(fd, iov, count, offset, flags))
                }
            }
        )*
    };
}

vectors! {
    preadv2 => read_vector;
    preadv64v2 => read_vector;
    pwritev2 => write_vector;
    pwritev64v2 => write_vector;
}
