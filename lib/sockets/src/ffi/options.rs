//! Options of sockets.

use std::ffi::{c_int, c_ulong, c_void};

use libc::socklen_t;
use rustix::io::Errno;

use super::user::in_reach;
use super::{address, done, guard, kernel};
use crate::control::{self, Count};
use crate::options::{self, Answer};
use crate::table::{self, Object};
use crate::{Result, create};

/// Bytes of the longest value that is looked at here (`struct tcp_info`).
const VALUE_MAX: usize = 512;
/// Asks for the bytes that TCP has not sent (`linux/sockios.h`).
const SIOCOUTQNSD: c_ulong = 0x894b;

/// Whether the descriptor is a socket of ours.
///
/// # Errors
/// `EBADF` for others', `ENOTSOCK` for epolls.
#[inline]
pub(super) fn socket(fd: c_int) -> Result<()> {
    if table::is_socket(fd) {
        return Ok(());
    }
    match table::get(fd) {
        Some(Object::Socket(_)) => Ok(()),
        Some(Object::Epoll(_)) => Err(Errno::NOTSOCK),
        None => Err(Errno::BADF),
    }
}

/// As setsockopt(2). What each option does: doc/sockets.md.
///
/// # Safety
/// `value` points to `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    done(|| {
        socket(fd)?;
        // SAFETY: the caller's promise.
        unsafe { kernel::setsockopt(fd, level, name, value, len)? };
        if !create::owns_tables() {
            return Ok(());
        }
        let mut bytes = [0u8; VALUE_MAX];
        let len = options::wanted_len(level, name).min(len as usize);
        let Some(bytes) = bytes.get_mut(..len) else {
            return Ok(());
        };
        if !value.is_null() {
            // SAFETY: the caller's promise, and the kernel has read as much.
            unsafe {
                value
                    .cast::<u8>()
                    .copy_to_nonoverlapping(bytes.as_mut_ptr(), len)
            };
        }
        options::was_set(fd, level, name, bytes)
    })
}

/// As getsockopt(2).
///
/// # Safety
/// `len` points to the length of the room at `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    done(|| {
        socket(fd)?;
        match options::prepare(fd, level, name)? {
            // SAFETY: the caller's promise.
            Answer::Kernel => unsafe { kernel::getsockopt(fd, level, name, value, len) },
            Answer::Corrected => {
                // SAFETY: the caller's promise. The kernel has then written
                // `len` bytes there.
                let bytes = unsafe {
                    kernel::getsockopt(fd, level, name, value, len)?;
                    match (*len as usize).min(VALUE_MAX) {
                        0 => &mut [],
                        len => std::slice::from_raw_parts_mut(value.cast::<u8>(), len),
                    }
                };
                options::answer(fd, level, name, bytes)
            }
            // SAFETY: the caller's promise.
            Answer::Number(number) => unsafe { store(&number.to_ne_bytes(), value, len, false) },
            Answer::PeerName => {
                let (bytes, whole) = address::to_c(options::peer_name(fd)?);
                // SAFETY: the caller's promise.
                unsafe { store(bytes.get(..whole).unwrap_or_default(), value, len, true) }
            }
        }
    })
}

/// Stores an answer of our own, as much as there is room for. A name is not
/// stored longer than it is.
///
/// # Safety
/// As `tas_getsockopt`.
unsafe fn store(bytes: &[u8], value: *mut c_void, len: *mut socklen_t, name: bool) -> Result<()> {
    if !in_reach(len.addr(), size_of::<socklen_t>()) {
        return Err(Errno::FAULT);
    }
    // SAFETY: the caller's promise.
    let room = unsafe { len.read_unaligned() };
    if room.cast_signed() < 0 || name && room as usize > bytes.len() {
        return Err(Errno::INVAL);
    }
    let count = bytes.len().min(room as usize);
    if !in_reach(value.addr(), count) {
        return Err(Errno::FAULT);
    }
    // SAFETY: the caller's promise.
    unsafe {
        value
            .cast::<u8>()
            .copy_from_nonoverlapping(bytes.as_ptr(), count);
        len.write_unaligned(count as socklen_t);
    }
    Ok(())
}

/// As fcntl(2).
///
/// # Safety
/// As fcntl(2): `arg` is what the command takes, a number or a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_fcntl(fd: c_int, command: c_int, arg: c_ulong) -> c_int {
    guard(|| {
        if !table::is_ours(fd) {
            return Err(Errno::BADF);
        }
        // Numbers are passed as C's int.
        let number = arg as c_int;
        // SAFETY: the caller's promise.
        let kernel = |arg| unsafe { kernel::fcntl(fd, command, arg) };
        match command {
            libc::F_DUPFD => create::duplicate(fd, number, false),
            libc::F_DUPFD_CLOEXEC => create::duplicate(fd, number, true),
            libc::F_GETFL => {
                let flags = kernel(0)?;
                Ok(match control::nonblocking(fd) {
                    Some(true) => flags | libc::O_NONBLOCK,
                    Some(false) => flags & !libc::O_NONBLOCK,
                    None => flags,
                })
            }
            libc::F_SETFL if control::nonblocking(fd).is_some() => {
                // SAFETY: asks only.
                let before = unsafe { kernel::fcntl(fd, libc::F_GETFL, 0)? };
                let theirs = number & !libc::O_NONBLOCK | before & libc::O_NONBLOCK;
                kernel(theirs as c_ulong)?;
                control::set_nonblocking(fd, number & libc::O_NONBLOCK != 0)?;
                Ok(0)
            }
            _ => kernel(arg),
        }
    })
}

/// As ioctl(2).
///
/// # Safety
/// As ioctl(2): `arg` is what the request takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_ioctl(fd: c_int, request: c_ulong, arg: c_ulong) -> c_int {
    guard(|| {
        if !table::is_ours(fd) {
            return Err(Errno::BADF);
        }
        let place = arg as *mut c_int;
        let count = match request {
            libc::FIONBIO => {
                if !in_reach(place.addr(), size_of::<c_int>()) {
                    return Err(Errno::FAULT);
                }
                // SAFETY: the caller's promise.
                let on = unsafe { place.read_unaligned() } != 0;
                return control::set_nonblocking(fd, on).map(|()| 0);
            }
            // SIOCINQ is the same.
            libc::FIONREAD => Count::Unread,
            libc::TIOCOUTQ => Count::Unacked,
            SIOCOUTQNSD => Count::Unsent,
            // SAFETY: the caller's promise.
            _ => return unsafe { kernel::ioctl(fd, request, arg) },
        };
        // SAFETY: the caller's promise. The kernel finds out whether the
        // address is good, and what is wrong with the socket.
        unsafe { kernel::ioctl(fd, request, arg)? };
        if table::socket(fd).is_some() {
            let bytes = control::count(fd, count)?;
            // SAFETY: the kernel has written there.
            unsafe { place.write_unaligned(bytes) };
        }
        Ok(0)
    })
}
