//! Whose a socket is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::rules::{Rules, Verdict};

/// Who carries a socket's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// TAS. A socket that is only bound may still become the kernel's.
    Tas,
    /// The kernel.
    Kernel,
}

/// Why a socket is the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The service is not there.
    NoService,
    /// The address is this host's own by any way, such as 127.0.0.1.
    Loopback,
    /// The address is one of IPv6, or the socket is for IPv6 only.
    Ipv6,
    /// The user's rules say so.
    Rules,
    /// The address to bind to is not the service's.
    NotOurs,
    /// The service has no route to the peer.
    NoRoute,
    /// The kernel's route to the peer has the longer prefix.
    KernelRoute,
    /// A group of hosts, or all.
    Multicast,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NoService => "no service",
            Reason::Loopback => "loopback",
            Reason::Ipv6 => "IPv6",
            Reason::Rules => "by the rules",
            Reason::NotOurs => "not an address of TAS",
            Reason::NoRoute => "no route by TAS",
            Reason::KernelRoute => "the kernel has a longer route",
            Reason::Multicast => "no address of a host",
        })
    }
}

/// What decisions rest on; asked for only when needed, since each costs
/// something.
pub(crate) trait Surroundings {
    /// Whether the service is there. Attaches to it.
    fn attached(&self) -> bool;
    /// Whether an address is the service's own.
    fn is_local(&self, address: Ipv4Addr) -> bool;
    /// The prefix length of the service's route to an address.
    fn prefix(&self, address: Ipv4Addr) -> Option<u32>;
    /// The prefix length of the kernel's route to an address.
    fn kernel_prefix(&self, address: Ipv4Addr) -> Option<u32>;
}

/// An address as IPv4 knows it.
enum Place {
    /// All addresses of this host.
    Any,
    /// This one.
    At(Ipv4Addr),
}

fn place(address: IpAddr, only_v6: bool) -> Result<Place, Reason> {
    let v4 = match address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) if v6.is_loopback() => return Err(Reason::Loopback),
        IpAddr::V6(_) if only_v6 => return Err(Reason::Ipv6),
        IpAddr::V6(v6) if v6.is_unspecified() => return Ok(Place::Any),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().ok_or(Reason::Ipv6)?,
    };
    match v4 {
        v4 if v4.is_loopback() => Err(Reason::Loopback),
        v4 if v4.is_unspecified() => Ok(Place::Any),
        v4 => Ok(Place::At(v4)),
    }
}

/// Whether a socket that binds to `local` may be TAS's. What it is for is not
/// known yet, so the rules are not asked.
pub(crate) fn bound(
    local: SocketAddr,
    only_v6: bool,
    around: &impl Surroundings,
) -> Result<(), Reason> {
    match place(local.ip(), only_v6)? {
        Place::Any => Ok(()),
        Place::At(address) => own(address, around),
    }
}

fn attach(around: &impl Surroundings) -> Result<(), Reason> {
    match around.attached() {
        true => Ok(()),
        false => Err(Reason::NoService),
    }
}

fn own(address: Ipv4Addr, around: &impl Surroundings) -> Result<(), Reason> {
    attach(around)?;
    match around.is_local(address) {
        true => Ok(()),
        false => Err(Reason::NotOurs),
    }
}

/// Whether a listener on `local` is TAS's.
pub(crate) fn listening(
    local: SocketAddr,
    only_v6: bool,
    rules: &Rules,
    around: &impl Surroundings,
) -> Result<(), Reason> {
    let address = match place(local.ip(), only_v6)? {
        Place::Any => None,
        Place::At(address) => Some(address),
    };
    if rules.verdict(address, local.port()) == Verdict::Denied {
        return Err(Reason::Rules);
    }
    match address {
        Some(address) => own(address, around),
        None => attach(around),
    }
}

/// Whether a connection to `peer` is TAS's. It is if TAS has a route to the
/// peer and the kernel none with a longer prefix; a rule that allows it makes
/// the kernel's routes not count.
pub(crate) fn connecting(
    peer: SocketAddr,
    only_v6: bool,
    rules: &Rules,
    around: &impl Surroundings,
) -> Result<(), Reason> {
    let address = match place(peer.ip(), only_v6)? {
        // On Linux, this host by its loopback interface.
        Place::Any => return Err(Reason::Loopback),
        Place::At(address) => address,
    };
    if address.is_multicast() || address.is_broadcast() {
        return Err(Reason::Multicast);
    }
    let verdict = rules.verdict(Some(address), peer.port());
    if verdict == Verdict::Denied {
        return Err(Reason::Rules);
    }
    attach(around)?;
    let prefix = around.prefix(address).ok_or(Reason::NoRoute)?;
    let kernel = match verdict {
        Verdict::Allowed => None,
        _ if around.is_local(address) => None,
        _ => around.kernel_prefix(address),
    };
    match kernel {
        Some(kernel) if kernel > prefix => Err(Reason::KernelRoute),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
