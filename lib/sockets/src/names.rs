//! The addresses at both ends.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use rustix::io::Errno;
use tas_abi::ll::FlextcpConnection;
use tas_ll::network::{self, Network};

use crate::socket::{Domain, Phase};
use crate::{Result, operation, sys};

/// An address as the domain's programs see it.
fn in_domain(ip: Ipv4Addr, port: u16, domain: Domain) -> SocketAddr {
    let ip = match domain {
        Domain::V4 => IpAddr::V4(ip),
        Domain::V6 => IpAddr::V6(ip.to_ipv6_mapped()),
    };
    SocketAddr::new(ip, port)
}

/// An address as the service sees it; `None` for one of IPv6 alone.
pub fn to_v4(addr: SocketAddr) -> Option<SocketAddrV4> {
    match addr.ip() {
        IpAddr::V4(ip) => Some(SocketAddrV4::new(ip, addr.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            Some(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, addr.port()))
        }
        IpAddr::V6(ip) => Some(SocketAddrV4::new(ip.to_ipv4_mapped()?, addr.port())),
    }
}

/// The addresses that the socket's program uses.
///
/// # Errors
/// `EBADF` when the descriptor is not ours.
pub fn domain_of(fd: c_int) -> Result<Domain> {
    Ok(operation::lock(fd)?.state().domain)
}

/// The peer of a connection.
pub fn peer_of(c: &FlextcpConnection, domain: Domain) -> SocketAddr {
    in_domain(Ipv4Addr::from_bits(c.remote_ip), c.remote_port, domain)
}

/// What the socket is bound to, if it is.
///
/// # Errors
/// `EAFNOSUPPORT` for an address of IPv6 alone.
pub fn bound(fd: c_int) -> Result<Option<SocketAddrV4>> {
    let local = sys::local_address(fd)?;
    if local.port() == 0 && local.ip().is_unspecified() {
        return Ok(None);
    }
    to_v4(local).map(Some).ok_or(Errno::AFNOSUPPORT)
}

/// The service's first address.
///
/// # Errors
/// `ENETUNREACH` when it does not tell.
pub fn first_address() -> Result<Ipv4Addr> {
    crate::engine::attach()?;
    let first = network::get().and_then(Network::first_address);
    first.map(Ipv4Addr::from_bits).ok_or(Errno::NETUNREACH)
}

/// Binds, as bind(2). The kernel judges and keeps the name; one of the
/// service's addresses is not its own, but may be named all the same (ip(7),
/// IP_FREEBIND).
///
/// # Errors
/// As bind(2).
pub fn bind(fd: c_int, to: SocketAddr) -> Result<()> {
    let mut locked = operation::lock(fd)?;
    if locked.state().phase != Phase::Fresh {
        return Err(Errno::INVAL);
    }
    let ours = to_v4(to).is_some_and(|to| {
        !to.ip().is_unspecified()
            && !to.ip().is_loopback()
            && crate::engine::attach().is_ok()
            && network::get().is_some_and(|network| network.is_local(to.ip().to_bits()))
    });
    if ours {
        sys::allow_foreign(fd)?;
    }
    sys::bind(fd, to)
}

/// The socket's own address, as getsockname(2).
///
/// # Errors
/// As getsockname(2).
pub fn local(fd: c_int) -> Result<SocketAddr> {
    let mut locked = operation::lock(fd)?;
    let socket = locked.socket();
    let state = locked.state();
    let domain = state.domain;
    match state.phase {
        Phase::Connected | Phase::Over => {
            let (ip, port) = socket.conn().with(|c| (c.local_ip, c.local_port));
            if port != 0 {
                return Ok(in_domain(Ipv4Addr::from_bits(ip), port, domain));
            }
            sys::local_address(fd)
        }
        _ => sys::local_address(fd),
    }
}

/// The peer's address, as getpeername(2).
///
/// # Errors
/// `ENOTCONN` and others of getpeername(2).
pub fn peer(fd: c_int) -> Result<SocketAddr> {
    let mut locked = operation::lock(fd)?;
    let socket = locked.socket();
    let state = locked.state();
    if state.phase != Phase::Connected || crate::close::is_finished(socket, state) {
        return Err(Errno::NOTCONN);
    }
    let domain = state.domain;
    Ok(socket.conn().with(|c| peer_of(c, domain)))
}
