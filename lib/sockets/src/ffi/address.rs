//! Socket addresses of programs.

use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{sockaddr, sockaddr_in, sockaddr_in6, socklen_t};
use rustix::io::Errno;

use super::user::in_reach;
use crate::Result;
use crate::socket::Domain;

fn check_place(at: usize, len: usize) -> Result<()> {
    in_reach(at, len).then_some(()).ok_or(Errno::FAULT)
}

/// The longest address (`struct sockaddr_storage`).
const LONGEST: usize = 128;

/// The bytes of an address, zeros where it is shorter.
struct Bytes {
    all: [u8; LONGEST],
    len: usize,
}

impl Bytes {
    /// # Safety
    /// `addr` points to `len` bytes, or to where no program has any.
    unsafe fn copy(addr: *const sockaddr, len: socklen_t) -> Result<Bytes> {
        let len = len as usize;
        if len > LONGEST {
            return Err(Errno::INVAL);
        }
        check_place(addr.addr(), len)?;
        let mut all = [0; LONGEST];
        // SAFETY: the caller's promise, and room for the longest.
        unsafe {
            all.as_mut_ptr().copy_from_nonoverlapping(addr.cast(), len);
        }
        if len < offset_of!(sockaddr, sa_data) {
            return Err(Errno::INVAL);
        }
        Ok(Bytes { all, len })
    }

    fn family(&self) -> i32 {
        i32::from(u16::from_ne_bytes([self.all[0], self.all[1]]))
    }

    fn v4(&self) -> SocketAddrV4 {
        // SAFETY: room for the longest address, of which every value is good.
        let v4 = unsafe { self.all.as_ptr().cast::<sockaddr_in>().read_unaligned() };
        let ip = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
        SocketAddrV4::new(ip, u16::from_be(v4.sin_port))
    }

    fn v6(&self) -> SocketAddrV6 {
        // SAFETY: as in `v4`.
        let v6 = unsafe { self.all.as_ptr().cast::<sockaddr_in6>().read_unaligned() };
        let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
        let port = u16::from_be(v6.sin6_port);
        SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)
    }

    /// The address, for a socket of `domain`.
    fn parse(&self, domain: Domain) -> Result<SocketAddr> {
        let (family, shortest) = match domain {
            Domain::V4 => (libc::AF_INET, size_of::<sockaddr_in>()),
            // RFC 2133 had no scope id.
            Domain::V6 => (libc::AF_INET6, offset_of!(sockaddr_in6, sin6_scope_id)),
        };
        if self.len < shortest {
            return Err(Errno::INVAL);
        }
        if self.family() != family {
            return Err(Errno::AFNOSUPPORT);
        }
        Ok(match domain {
            Domain::V4 => self.v4().into(),
            Domain::V6 => self.v6().into(),
        })
    }
}

/// The address at `addr`, for a socket of `domain`.
///
/// # Errors
/// `EFAULT` for no address, `EINVAL` for a length that cannot be,
/// `EAFNOSUPPORT` for another family.
///
/// # Safety
/// `addr` points to `len` bytes, or to where no program has any.
pub unsafe fn read(addr: *const sockaddr, len: socklen_t, domain: Domain) -> Result<SocketAddr> {
    // SAFETY: the caller's promise.
    unsafe { Bytes::copy(addr, len)? }.parse(domain)
}

/// Whether an address is of no family: connecting to it ends a connection.
///
/// # Errors
/// As [`read`].
///
/// # Safety
/// As [`read`].
pub unsafe fn is_none(addr: *const sockaddr, len: socklen_t) -> Result<bool> {
    // SAFETY: the caller's promise.
    Ok(unsafe { Bytes::copy(addr, len)? }.family() == libc::AF_UNSPEC)
}

/// As [`read`] for bind(2), which takes the wildcard address without a family too.
///
/// # Errors
/// As [`read`].
///
/// # Safety
/// As [`read`].
pub unsafe fn read_to_bind(
    addr: *const sockaddr,
    len: socklen_t,
    domain: Domain,
) -> Result<SocketAddr> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { Bytes::copy(addr, len)? };
    let v4 = bytes.v4();
    let wildcard = bytes.family() == libc::AF_UNSPEC && v4.ip().is_unspecified();
    if domain == Domain::V4 && wildcard && bytes.len >= size_of::<sockaddr_in>() {
        return Ok(v4.into());
    }
    bytes.parse(domain)
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
    check_place(len.addr(), size_of::<socklen_t>())?;
    // SAFETY: the caller's promise.
    let room = unsafe { len.as_mut() }.ok_or(Errno::FAULT)?;
    if room.cast_signed() < 0 {
        return Err(Errno::INVAL);
    }
    let (bytes, whole) = to_c(from);
    check_place(addr.addr(), whole.min(*room as usize))?;
    // SAFETY: the caller's promise of the room.
    unsafe {
        bytes
            .as_ptr()
            .copy_to_nonoverlapping(addr.cast(), whole.min(*room as usize));
    }
    *room = whole as socklen_t;
    Ok(())
}
