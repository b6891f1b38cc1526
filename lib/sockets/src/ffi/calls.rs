//! Making, naming and closing sockets.

use std::ffi::c_int;

use libc::{sockaddr, socklen_t};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::{address, done, guard, waiting, waiting_done};
use crate::close::Direction;
use crate::socket::Domain;
use crate::{accept, close, connect, create, engine, listen, names, table};

/// Connects the process to the service. Returns 0, or -1 when there is none;
/// the reason is on stderr. Calls that need the service do it by themselves.
#[unsafe(no_mangle)]
pub extern "C" fn tas_init() -> c_int {
    done(engine::attach)
}

/// `SOCK_NONBLOCK` and `SOCK_CLOEXEC` in a type.
fn socket_flags(bits: c_int) -> Option<SocketFlags> {
    SocketFlags::from_bits(bits.cast_unsigned())
        .filter(|flags| (SocketFlags::NONBLOCK | SocketFlags::CLOEXEC).contains(*flags))
}

/// As socket(2), for stream sockets of AF_INET, and of AF_INET6 that carry IPv4.
#[unsafe(no_mangle)]
pub extern "C" fn tas_socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    guard(|| {
        let domain = match domain {
            libc::AF_INET => Domain::V4,
            libc::AF_INET6 => Domain::V6,
            _ => return Err(Errno::AFNOSUPPORT),
        };
        let flags = socket_flags(kind & !0xf).ok_or(Errno::INVAL)?;
        if kind & 0xf != libc::SOCK_STREAM {
            return Err(Errno::PROTONOSUPPORT);
        }
        if protocol != 0 && protocol != libc::IPPROTO_TCP {
            return Err(Errno::PROTONOSUPPORT);
        }
        create::socket(domain, flags)
    })
}

/// As close(2).
#[unsafe(no_mangle)]
pub extern "C-unwind" fn tas_close(fd: c_int) -> c_int {
    waiting_done(|| close::close(fd))
}

/// As shutdown(2).
#[unsafe(no_mangle)]
pub extern "C" fn tas_shutdown(fd: c_int, how: c_int) -> c_int {
    done(|| {
        let direction = match how {
            libc::SHUT_RD => Direction::Read,
            libc::SHUT_WR => Direction::Write,
            libc::SHUT_RDWR => Direction::Both,
            _ if table::is_ours(fd) => return Err(Errno::INVAL),
            _ => return Err(Errno::BADF),
        };
        close::shutdown(fd, direction)
    })
}

/// As bind(2).
///
/// # Safety
/// `addr` is null or points to `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_bind(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    done(|| {
        let domain = names::domain_of(fd)?;
        // SAFETY: the caller's promise.
        names::bind(fd, unsafe { address::read_to_bind(addr, len, domain)? })
    })
}

/// As connect(2).
///
/// # Safety
/// `addr` is null or points to `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_connect(
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    waiting_done(|| {
        let domain = names::domain_of(fd)?;
        // SAFETY: the caller's promise.
        if unsafe { address::is_none(addr, len)? } {
            return connect::disconnect(fd);
        }
        // SAFETY: the caller's promise.
        let to = unsafe { address::read(addr, len, domain)? };
        connect::connect(fd, names::to_v4(to).ok_or(Errno::NETUNREACH)?)
    })
}

/// As listen(2).
#[unsafe(no_mangle)]
pub extern "C" fn tas_listen(fd: c_int, backlog: c_int) -> c_int {
    done(|| listen::listen(fd, backlog))
}

/// As accept(2).
///
/// # Safety
/// `addr` and `len` are null, or `len` points to the length of the room at `addr`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_accept(
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { tas_accept4(fd, addr, len, 0) }
}

/// As accept4(2).
///
/// # Safety
/// As `tas_accept`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn tas_accept4(
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    waiting(|| {
        if !table::is_ours(fd) {
            return Err(Errno::BADF);
        }
        let flags = socket_flags(flags).ok_or(Errno::INVAL)?;
        let accepted = accept::accept(fd, flags)?;
        // SAFETY: the caller's promise.
        unsafe { address::store(accepted.peer, addr, len)? };
        Ok(accepted.fd)
    })
}

/// As getsockname(2).
///
/// # Safety
/// `addr` and `len` are null, or `len` points to the length of the room at `addr`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_getsockname(
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    done(|| {
        let local = names::local(fd)?;
        if addr.is_null() {
            return Err(Errno::FAULT);
        }
        // SAFETY: the caller's promise.
        unsafe { address::store(local, addr, len) }
    })
}

/// As getpeername(2).
///
/// # Safety
/// As `tas_getsockname`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tas_getpeername(
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    done(|| {
        let peer = names::peer(fd)?;
        if addr.is_null() {
            return Err(Errno::FAULT);
        }
        // SAFETY: the caller's promise.
        unsafe { address::store(peer, addr, len) }
    })
}

/// As dup(2).
#[unsafe(no_mangle)]
pub extern "C" fn tas_dup(fd: c_int) -> c_int {
    guard(|| create::duplicate(fd, 0, false))
}

/// As dup2(2). One of the two is a descriptor of TAS.
#[unsafe(no_mangle)]
pub extern "C" fn tas_dup2(fd: c_int, new: c_int) -> c_int {
    guard(|| {
        if !table::is_ours(fd) && !table::is_ours(new) {
            return Err(Errno::BADF);
        }
        if fd == new {
            return Ok(new);
        }
        create::duplicate_onto(fd, new, false)
    })
}

/// As dup3(2). One of the two is a descriptor of TAS.
#[unsafe(no_mangle)]
pub extern "C" fn tas_dup3(fd: c_int, new: c_int, flags: c_int) -> c_int {
    guard(|| {
        if !table::is_ours(fd) && !table::is_ours(new) {
            return Err(Errno::BADF);
        }
        if flags & !libc::O_CLOEXEC != 0 {
            return Err(Errno::INVAL);
        }
        create::duplicate_onto(fd, new, flags != 0)
    })
}
