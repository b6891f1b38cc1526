//! The options that mean something here.

use std::ffi::c_int;

use libc::{
    IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SO_ACCEPTCONN, SO_ERROR, SO_KEEPALIVE, SO_LINGER,
    SO_RCVBUF, SO_RCVBUFFORCE, SO_RCVLOWAT, SO_RCVTIMEO, SO_SNDBUF, SO_SNDBUFFORCE, SO_SNDTIMEO,
    SOL_SOCKET, TCP_CORK, TCP_INFO, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_MAXSEG,
    TCP_NODELAY, TCP_USER_TIMEOUT,
};

/// SO_RCVTIMEO and SO_SNDTIMEO with 64-bit times, which the kernel numbers anew.
const SO_RCVTIMEO_NEW: c_int = 66;
const SO_SNDTIMEO_NEW: c_int = 67;
/// SO_PEERNAME, which the C library does not declare.
const SO_PEERNAME: c_int = 28;

/// An option, by what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// SO_RCVTIMEO.
    ReceiveTimeout,
    /// SO_SNDTIMEO.
    SendTimeout,
    /// SO_LINGER.
    Linger,
    /// SO_RCVBUF.
    ReceiveBuffer,
    /// SO_SNDBUF.
    SendBuffer,
    /// SO_RCVLOWAT.
    LowWater,
    /// SO_ERROR.
    Error,
    /// SO_ACCEPTCONN.
    Listens,
    /// SO_KEEPALIVE.
    Probes,
    /// TCP_KEEPIDLE.
    ProbesAfter,
    /// TCP_KEEPINTVL.
    ProbesEvery,
    /// TCP_KEEPCNT.
    ProbesCount,
    /// TCP_USER_TIMEOUT.
    UserTimeout,
    /// TCP_CORK.
    Cork,
    /// TCP_NODELAY.
    NoDelay,
    /// TCP_INFO.
    Info,
    /// TCP_MAXSEG.
    SegmentMax,
    /// IP_MTU, IPV6_MTU.
    PathMtu,
    /// SO_PEERNAME.
    PeerName,
}

/// What an option is about; `None`: nothing here.
pub fn meaning(level: c_int, name: c_int) -> Option<Meaning> {
    Some(match (level, name) {
        (SOL_SOCKET, SO_RCVTIMEO | SO_RCVTIMEO_NEW) => Meaning::ReceiveTimeout,
        (SOL_SOCKET, SO_SNDTIMEO | SO_SNDTIMEO_NEW) => Meaning::SendTimeout,
        (SOL_SOCKET, SO_LINGER) => Meaning::Linger,
        (SOL_SOCKET, SO_RCVBUF | SO_RCVBUFFORCE) => Meaning::ReceiveBuffer,
        (SOL_SOCKET, SO_SNDBUF | SO_SNDBUFFORCE) => Meaning::SendBuffer,
        (SOL_SOCKET, SO_RCVLOWAT) => Meaning::LowWater,
        (SOL_SOCKET, SO_ERROR) => Meaning::Error,
        (SOL_SOCKET, SO_ACCEPTCONN) => Meaning::Listens,
        (SOL_SOCKET, SO_KEEPALIVE) => Meaning::Probes,
        (SOL_SOCKET, SO_PEERNAME) => Meaning::PeerName,
        (IPPROTO_TCP, TCP_KEEPIDLE) => Meaning::ProbesAfter,
        (IPPROTO_TCP, TCP_KEEPINTVL) => Meaning::ProbesEvery,
        (IPPROTO_TCP, TCP_KEEPCNT) => Meaning::ProbesCount,
        (IPPROTO_TCP, TCP_USER_TIMEOUT) => Meaning::UserTimeout,
        (IPPROTO_TCP, TCP_CORK) => Meaning::Cork,
        (IPPROTO_TCP, TCP_NODELAY) => Meaning::NoDelay,
        (IPPROTO_TCP, TCP_INFO) => Meaning::Info,
        (IPPROTO_TCP, TCP_MAXSEG) => Meaning::SegmentMax,
        (IPPROTO_IP, libc::IP_MTU) => Meaning::PathMtu,
        (IPPROTO_IPV6, libc::IPV6_MTU) => Meaning::PathMtu,
        _ => return None,
    })
}

/// Bytes of an option's value that connections inherit from their listener, as
/// tcp(7), ip(7) and socket(7) have it; `None` for others.
pub fn inherited_len(level: c_int, name: c_int) -> Option<usize> {
    /// The name of a congestion control without the zero at its end.
    const CONGESTION_NAME: usize = 15;
    match (level, name) {
        (SOL_SOCKET, SO_RCVTIMEO | SO_SNDTIMEO | SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW) => {
            Some(size_of::<libc::timeval>())
        }
        (SOL_SOCKET, SO_LINGER) => Some(size_of::<libc::linger>()),
        (
            SOL_SOCKET,
            libc::SO_REUSEADDR
            | libc::SO_REUSEPORT
            | libc::SO_DONTROUTE
            | libc::SO_BROADCAST
            | libc::SO_OOBINLINE
            | libc::SO_PRIORITY
            | libc::SO_MARK
            | libc::SO_TIMESTAMP
            | libc::SO_TIMESTAMPNS
            | libc::SO_TIMESTAMPING
            | libc::SO_BUSY_POLL
            | libc::SO_ZEROCOPY
            | SO_KEEPALIVE
            | SO_RCVBUF
            | SO_SNDBUF
            | SO_RCVBUFFORCE
            | SO_SNDBUFFORCE
            | SO_RCVLOWAT,
        ) => Some(size_of::<c_int>()),
        (IPPROTO_TCP, libc::TCP_CONGESTION) => Some(CONGESTION_NAME),
        (
            IPPROTO_TCP,
            libc::TCP_SYNCNT
            | libc::TCP_LINGER2
            | libc::TCP_WINDOW_CLAMP
            | libc::TCP_QUICKACK
            | libc::TCP_NOTSENT_LOWAT
            | TCP_NODELAY
            | TCP_CORK
            | TCP_KEEPIDLE
            | TCP_KEEPINTVL
            | TCP_KEEPCNT
            | TCP_USER_TIMEOUT,
        ) => Some(size_of::<c_int>()),
        (IPPROTO_IP, libc::IP_TOS | libc::IP_TTL | libc::IP_MTU_DISCOVER) => {
            Some(size_of::<c_int>())
        }
        (IPPROTO_IPV6, libc::IPV6_TCLASS | libc::IPV6_UNICAST_HOPS) => Some(size_of::<c_int>()),
        _ => None,
    }
}
