//! Socket addresses of programs.

use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{sockaddr, sockaddr_in, sockaddr_in6, socklen_t};
use rustix::io::Errno;

use crate::Result;

/// The address at `addr`.
///
/// # Errors
/// `EFAULT` for no address, `EINVAL` for a length that is too short,
/// `EAFNOSUPPORT` for another family.
///
/// # Safety
/// `addr` is null or points to `len` bytes.
pub unsafe fn read(addr: *const sockaddr, len: socklen_t) -> Result<SocketAddr> {
    let len = len as usize;
    if addr.is_null() {
        return Err(Errno::FAULT);
    }
    if len < offset_of!(sockaddr, sa_data) {
        return Err(Errno::INVAL);
    }
    // SAFETY: the caller's promise, and long enough for the family.
    let family = unsafe { addr.cast::<libc::sa_family_t>().read_unaligned() };
    match i32::from(family) {
        libc::AF_INET if len >= size_of::<sockaddr_in>() => {
            // SAFETY: the caller's promise, and long enough.
            let v4 = unsafe { addr.cast::<sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Ok(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        // RFC 2133 had no scope id.
        libc::AF_INET6 if len >= offset_of!(sockaddr_in6, sin6_scope_id) => {
            let mut bytes = [0u8; size_of::<sockaddr_in6>()];
            let count = len.min(bytes.len());
            // SAFETY: the caller's promise; zeros for a scope id that is missing.
            let v6 = unsafe {
                bytes
                    .as_mut_ptr()
                    .copy_from_nonoverlapping(addr.cast(), count);
                bytes.as_ptr().cast::<sockaddr_in6>().read_unaligned()
            };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Ok(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        libc::AF_INET | libc::AF_INET6 => Err(Errno::INVAL),
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// The address in C's form, and its length.
pub(super) fn to_c(addr: SocketAddr) -> ([u8; size_of::<sockaddr_in6>()], usize) {
    let mut bytes = [0; size_of::<sockaddr_in6>()];
    let len = match addr {
        SocketAddr::V4(v4) => {
            let c = sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: v4.ip().to_bits().to_be(),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: room for the smaller structure.
            unsafe { bytes.as_mut_ptr().cast::<sockaddr_in>().write_unaligned(c) };
            size_of::<sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let c = sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: room for the structure.
            unsafe { bytes.as_mut_ptr().cast::<sockaddr_in6>().write_unaligned(c) };
            size_of::<sockaddr_in6>()
        }
    };
    (bytes, len)
}

/// Stores an address where a program wants it, as much as it has room for, and
/// its whole length; nowhere if `addr` is null.
///
/// # Errors
/// `EFAULT` without a length, `EINVAL` for a negative one.
///
/// # Safety
/// `len` is null or points to the length of the room at `addr`, unless that is null.
pub unsafe fn store(from: SocketAddr, addr: *mut sockaddr, len: *mut socklen_t) -> Result<()> {
    if addr.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let room = unsafe { len.as_mut() }.ok_or(Errno::FAULT)?;
    if room.cast_signed() < 0 {
        return Err(Errno::INVAL);
    }
    let (bytes, whole) = to_c(from);
    // SAFETY: the caller's promise of the room.
    unsafe {
        bytes
            .as_ptr()
            .copy_to_nonoverlapping(addr.cast(), whole.min(*room as usize));
    }
    *room = whole as socklen_t;
    Ok(())
}
