//! Finding the file descriptors that a driver polls.
//!
//! Drivers on top of the kernel (net_af_packet, net_tap, net_af_xdp) have no
//! receive interrupts but read from descriptors that a thread can block on.
//! DPDK does not tell which, so they are found by what appears among the
//! process's descriptors while the driver opens them.

use std::collections::BTreeSet;
use std::ffi::c_int;
use std::fs;
use std::mem;
use std::os::fd::RawFd;

/// What kind of thing a descriptor is, as far as waiting for frames goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FdKind {
    /// AF_PACKET socket: readable while frames wait.
    Packet,
    /// AF_XDP socket: readable while frames wait.
    Xdp,
    /// TUN/TAP queue: readable while frames wait.
    Tap,
    /// An eventfd: stays readable until it is read.
    Event,
    /// A device of the kernel's UIO: the same.
    Uio,
    /// Anything else.
    Other,
}

impl FdKind {
    /// Readable exactly while frames wait, with nothing to arm or to drain.
    pub(super) fn is_frame_source(self) -> bool {
        matches!(self, FdKind::Packet | FdKind::Xdp | FdKind::Tap)
    }
}

/// The descriptors that are open at one moment.
pub(super) struct Snapshot(BTreeSet<RawFd>);

impl Snapshot {
    pub(super) fn take() -> Self {
        Self(open_fds())
    }

    /// Frame sources opened since, in ascending order. The kernel hands out
    /// the lowest free number, so descriptors opened one after the other with
    /// none closed in between are in the order of opening.
    pub(super) fn new_sources(&self) -> Vec<RawFd> {
        open_fds()
            .difference(&self.0)
            .copied()
            .filter(|&fd| kind(fd).is_frame_source())
            .collect()
    }
}

/// Empty where /proc is not mounted: then nothing is found to wait on, and the
/// service falls back to timers.
fn open_fds() -> BTreeSet<RawFd> {
    let Ok(dir) = fs::read_dir("/proc/self/fd") else {
        return BTreeSet::new();
    };
    let mut fds: BTreeSet<RawFd> = dir
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    // The listing held the directory's own descriptor, whose number is free
    // again and the first that a driver gets.
    fds.retain(|fd| fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok());
    fds
}

pub(super) fn kind(fd: RawFd) -> FdKind {
    match socket_domain(fd) {
        Some(libc::AF_PACKET) => return FdKind::Packet,
        Some(libc::AF_XDP) => return FdKind::Xdp,
        _ => {}
    }
    match fs::read_link(format!("/proc/self/fd/{fd}")) {
        Ok(target) => kind_of_file(&target.to_string_lossy()),
        Err(_) => FdKind::Other,
    }
}

/// By what /proc says that a descriptor is of.
fn kind_of_file(target: &str) -> FdKind {
    match target {
        "/dev/net/tun" => FdKind::Tap,
        "anon_inode:[eventfd]" => FdKind::Event,
        _ if target.starts_with("/dev/uio") => FdKind::Uio,
        _ => FdKind::Other,
    }
}

fn socket_domain(fd: RawFd) -> Option<c_int> {
    let mut domain: c_int = 0;
    let mut len = mem::size_of::<c_int>() as libc::socklen_t;
    // SAFETY: both pointers are to live variables, and len is the size of the
    // first; a descriptor that is no socket gives an error.
    let ret = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            (&raw mut domain).cast(),
            &raw mut len,
        )
    };
    (ret == 0).then_some(domain)
}

/// Empties the descriptor of an interrupt, which must not block.
pub(super) fn drain(fd: RawFd, kind: FdKind) {
    let mut count = 0u64;
    let len = match kind {
        FdKind::Event => mem::size_of::<u64>(),
        // UIO's counters have 32 bits, and no other length can be read.
        FdKind::Uio => mem::size_of::<u32>(),
        FdKind::Packet | FdKind::Xdp | FdKind::Tap | FdKind::Other => return,
    };
    // SAFETY: the buffer is a live variable of at least so many bytes. That nothing was there to
    // read is as good as having read it.
    let _ = unsafe { libc::read(fd, (&raw mut count).cast(), len) };
}

/// Has reads return at once when there is nothing, also those of the driver, which expects it.
pub(super) fn forbid_blocking(fd: RawFd) {
    // SAFETY: two calls without pointers.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        if flags >= 0 {
            libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    use super::*;

    #[test]
    fn interrupts_and_frame_sources_are_told_apart_by_their_files() {
        assert_eq!(kind_of_file("/dev/net/tun"), FdKind::Tap);
        assert_eq!(kind_of_file("anon_inode:[eventfd]"), FdKind::Event);
        assert_eq!(kind_of_file("/dev/uio0"), FdKind::Uio);
        assert_eq!(kind_of_file("/dev/uio12"), FdKind::Uio);
        assert_eq!(kind_of_file("/dev/vfio/3"), FdKind::Other);
    }

    #[test]
    fn a_drained_event_is_not_readable_any_more() {
        // SAFETY: a call without pointers; the descriptor is owned from here on.
        let event = unsafe { OwnedFd::from_raw_fd(libc::eventfd(3, 0)) };
        let fd = event.as_raw_fd();
        assert_eq!(kind(fd), FdKind::Event);
        forbid_blocking(fd);
        // The second one would block.
        for _ in 0..2 {
            drain(fd, FdKind::Event);
        }
        let mut value = [0u8; 8];
        // SAFETY: the buffer is a live variable of 8 bytes.
        let read = unsafe { libc::read(fd, value.as_mut_ptr().cast(), 8) };
        assert_eq!(read, -1);
    }

    #[test]
    fn snapshot_holds_exactly_what_is_open() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fd = socket.as_raw_fd();
        let Snapshot(open) = Snapshot::take();
        assert!(open.contains(&fd));
        // Other tests run at the same time, so only this one can be checked.
        assert_eq!(kind(fd), FdKind::Other);
        assert!(!Snapshot(BTreeSet::new()).new_sources().contains(&fd));
    }
}
