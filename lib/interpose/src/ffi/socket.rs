//! Sockets: making them, and the calls by which it turns out whose they are.

use std::ffi::{c_int, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libc::{sa_family_t, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};

use super::entry::{by_descriptor, is_stale};
use super::stream::made;
use crate::policy::Owner;
use crate::sockets::{in_reach, undisturbed};
use crate::{real, sockets, state};

by_descriptor! {
    accept(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int
        => tas_accept, then made;
    accept4(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int
        => tas_accept4, then made;
    shutdown(fd: c_int, how: c_int) -> c_int => tas_shutdown;
    getsockname(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int
        => tas_getsockname;
    getpeername(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int
        => tas_getpeername;
    getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut socklen_t)
        -> c_int => tas_getsockopt;
    setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: socklen_t)
        -> c_int => tas_setsockopt;
}

/// Flags among a socket's type.
const TYPE_FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

/// # Safety
/// None; unsafe as its like.
#[unsafe(export_name = "tas_interpose_socket")]
pub(super) unsafe extern "C-unwind" fn socket(
    domain: c_int,
    kind: c_int,
    protocol: c_int,
) -> c_int {
    let internet = matches!(domain, libc::AF_INET | libc::AF_INET6);
    let tcp = kind & !TYPE_FLAGS == libc::SOCK_STREAM && matches!(protocol, 0 | libc::IPPROTO_TCP);
    // SAFETY: no pointers.
    unsafe {
        made(
            match internet && tcp && undisturbed(state::may_have_sockets) {
                true => sockets::tas_socket(domain, kind, protocol),
                false => real::socket(domain, kind, protocol),
            },
        )
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_bind")]
pub(super) unsafe extern "C-unwind" fn bind(
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if sockets::is_ours(fd) {
            if undisturbed(|| is_kernels(fd, address(addr, len))) {
                let result = real::bind(fd, addr, len);
                // One without a name may still become TAS's.
                if result == 0 {
                    undisturbed(|| sockets::release(fd));
                }
                return result;
            }
            let result = sockets::tas_bind(fd, addr, len);
            if result != -1 || !is_stale(fd) {
                return result;
            }
        }
        real::bind(fd, addr, len)
    }
}

/// Whether an undecided socket that is about to be bound to `local` becomes the
/// kernel's.
fn is_kernels(fd: c_int, local: Option<SocketAddr>) -> bool {
    sockets::is_undecided(fd)
        && local.is_some_and(|local| state::on_bind(local, only_v6(fd)) == Owner::Kernel)
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_listen")]
pub(super) unsafe extern "C-unwind" fn listen(fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if sockets::is_ours(fd) {
            undisturbed(|| settle_for_clients(fd));
            let result = sockets::tas_listen(fd, backlog);
            if result != -1 || !is_stale(fd) {
                return result;
            }
        }
        real::listen(fd, backlog)
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_connect")]
pub(super) unsafe extern "C-unwind" fn connect(
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if sockets::is_ours(fd) {
            settle_for_peer(fd, addr, len);
            let result = sockets::tas_connect(fd, addr, len);
            if result != -1 || !is_stale(fd) {
                return result;
            }
        }
        real::connect(fd, addr, len)
    }
}

/// Decides whose an undecided socket is that is about to listen.
fn settle_for_clients(fd: c_int) {
    if sockets::is_undecided(fd)
        && let Some(local) = local_address(fd)
    {
        settle(fd, state::on_listen(local, only_v6(fd)));
    }
}

/// Decides whose an undecided socket is that is about to be connected to
/// `addr`.
///
/// # Safety
/// `addr` is null or points to `len` bytes.
pub(super) unsafe fn settle_for_peer(fd: c_int, addr: *const sockaddr, len: socklen_t) {
    undisturbed(|| {
        if !sockets::is_undecided(fd) {
            return;
        }
        // SAFETY: the caller's promise.
        if let Some(peer) = unsafe { address(addr, len) } {
            settle(fd, state::on_connect(peer, only_v6(fd)));
        }
    });
}

fn settle(fd: c_int, owner: Owner) {
    if owner == Owner::Kernel {
        sockets::release(fd);
    }
}

/// Whether a socket is for IPv6 alone.
fn only_v6(fd: c_int) -> bool {
    let mut only: c_int = 0;
    let mut len = size_of::<c_int>() as socklen_t;
    // SAFETY: room for the value, and its length. A socket that is not of IPv6
    // does not know the option.
    let result = unsafe {
        let place = (&raw mut only).cast();
        real::getsockopt(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, place, &mut len)
    };
    result == 0 && only != 0
}

fn local_address(fd: c_int) -> Option<SocketAddr> {
    let mut room = [0u64; 16];
    let place = room.as_mut_ptr().cast::<sockaddr>();
    let mut len = size_of_val(&room) as socklen_t;
    // SAFETY: room for an address, and its length.
    unsafe {
        match real::getsockname(fd, place, &mut len) {
            0 => address(place, len),
            _ => None,
        }
    }
}

/// The internet address that a caller gave; none if it is not one, which is
/// for the kernel to judge.
///
/// # Safety
/// `addr` is null or points to `len` bytes.
unsafe fn address(addr: *const sockaddr, len: socklen_t) -> Option<SocketAddr> {
    let len = usize::try_from(len).ok()?;
    if !in_reach(addr.addr(), len) || len < size_of::<sa_family_t>() {
        return None;
    }
    // SAFETY: the caller's promise; it need not be aligned.
    unsafe {
        match c_int::from(addr.cast::<sa_family_t>().read_unaligned()) {
            libc::AF_INET if len >= size_of::<sockaddr_in>() => {
                let addr = addr.cast::<sockaddr_in>().read_unaligned();
                let ip = Ipv4Addr::from(u32::from_be(addr.sin_addr.s_addr));
                Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(addr.sin_port)))
            }
            libc::AF_INET6 if len >= size_of::<sockaddr_in6>() => {
                let addr = addr.cast::<sockaddr_in6>().read_unaligned();
                let ip = Ipv6Addr::from(addr.sin6_addr.s6_addr);
                Some(SocketAddr::new(
                    IpAddr::V6(ip),
                    u16::from_be(addr.sin6_port),
                ))
            }
            _ => None,
        }
    }
}
