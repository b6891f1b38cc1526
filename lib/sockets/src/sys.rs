//! System calls. They go to the kernel directly, not through the C library's
//! functions, which an interposing library replaces.

use std::ffi::c_int;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll};
use rustix::fs::OFlags;
use rustix::io::{DupFlags, Errno};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, sockopt};

use tas_shm::fdpass::out_of_the_way;

use crate::Result;
use crate::accept::Accepted;
use crate::ffi::raw;
use crate::socket::Domain;
use crate::table;

/// Borrows a descriptor of the program's for a system call.
fn borrow<'a>(fd: c_int) -> Result<BorrowedFd<'a>> {
    raw::borrow(fd).ok_or(Errno::BADF)
}

/// Makes an eventfd that is not the program's.
///
/// # Errors
/// As eventfd(2).
pub fn new_event() -> Result<c_int> {
    let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let fd = out_of_the_way(fd).into_raw_fd();
    table::protect(fd);
    Ok(fd)
}

/// Makes an epoll of the kernel's that is not the program's.
///
/// # Errors
/// As epoll_create1(2).
pub fn new_epoll() -> Result<c_int> {
    let fd = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let fd = out_of_the_way(fd).into_raw_fd();
    table::protect(fd);
    Ok(fd)
}

/// Makes an eventfd readable.
pub fn signal_event(fd: c_int) {
    if let Ok(fd) = borrow(fd) {
        // A full counter is readable already.
        let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
    }
}

/// Makes an eventfd unreadable.
pub fn drain_event(fd: c_int) {
    if let Ok(fd) = borrow(fd) {
        // An empty counter is what is wanted.
        let _ = rustix::io::read(fd, &mut [0u8; 8]);
    }
}

/// Closes a descriptor of the kernel's.
pub fn close(fd: c_int) {
    table::unprotect(fd);
    raw::close(fd);
}

/// Looks at descriptors without waiting; whether any is ready.
pub fn poll_now(fds: &mut [libc::pollfd]) -> bool {
    raw::poll_now(fds) > 0
}

/// Waits, with locks held: unlike the C library's functions this is no
/// cancellation point. A signal may end it early.
pub fn pause(time: Duration) {
    if let Ok(time) = Timespec::try_from(time) {
        // Early is as good.
        let _ = rustix::thread::nanosleep(&time);
    }
}

/// Makes a socket of the kernel's that holds a descriptor's number.
///
/// # Errors
/// As socket(2).
pub fn placeholder(domain: Domain, flags: SocketFlags) -> Result<c_int> {
    let family = match domain {
        Domain::V4 => AddressFamily::INET,
        Domain::V6 => AddressFamily::INET6,
    };
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    Ok(fd.into_raw_fd())
}

/// Another descriptor for the same, the lowest from `from` on.
///
/// # Errors
/// As fcntl(2), F_DUPFD.
pub fn duplicate(fd: c_int, from: c_int, close_on_exec: bool) -> Result<c_int> {
    let fd = borrow(fd)?;
    let new = if close_on_exec {
        rustix::io::fcntl_dupfd_cloexec(fd, from)?
    } else {
        raw::dupfd(fd, from)?
    };
    Ok(new.into_raw_fd())
}

/// Makes `new` another descriptor for the same.
///
/// # Errors
/// As dup3(2).
pub fn duplicate_onto(fd: c_int, new: c_int, close_on_exec: bool) -> Result<()> {
    let flags = if close_on_exec {
        DupFlags::CLOEXEC
    } else {
        DupFlags::empty()
    };
    raw::dup3(borrow(fd)?, new, flags)
}

/// Sets O_NONBLOCK of the kernel's file.
///
/// # Errors
/// As fcntl(2).
pub fn set_nonblocking(fd: c_int, on: bool) -> Result<()> {
    let fd = borrow(fd)?;
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, on);
    rustix::fs::fcntl_setfl(fd, flags)
}

/// Binds the kernel's socket.
///
/// # Errors
/// As bind(2).
pub fn bind(fd: c_int, to: SocketAddr) -> Result<()> {
    rustix::net::bind(borrow(fd)?, &to)
}

/// Lets the kernel's socket be bound to an address that is not the kernel's.
///
/// # Errors
/// As setsockopt(2).
pub fn allow_foreign(fd: c_int) -> Result<()> {
    sockopt::set_ip_freebind(borrow(fd)?, true)
}

/// Listens on the kernel's socket.
///
/// # Errors
/// As listen(2).
pub fn listen(fd: c_int, backlog: c_int) -> Result<()> {
    rustix::net::listen(borrow(fd)?, backlog)
}

/// The kernel's socket listens no more; its name stays.
pub fn stop_listening(fd: c_int) {
    if let Ok(fd) = borrow(fd) {
        // One that does not listen is as good.
        let _ = rustix::net::shutdown(fd, Shutdown::Read);
    }
}

/// Whether SO_REUSEPORT is set.
pub fn reuses_port(fd: c_int) -> bool {
    borrow(fd).is_ok_and(|fd| sockopt::socket_reuseport(fd).unwrap_or(false))
}

/// The name of the kernel's socket.
///
/// # Errors
/// As getsockname(2).
pub fn local_address(fd: c_int) -> Result<SocketAddr> {
    SocketAddr::try_from(rustix::net::getsockname(borrow(fd)?)?).map_err(|_| Errno::AFNOSUPPORT)
}

/// Accepts from the kernel's socket, which does not block.
///
/// # Errors
/// As accept4(2).
pub fn accept(fd: c_int, flags: SocketFlags) -> Result<Accepted> {
    let (fd, peer) = rustix::net::acceptfrom_with(borrow(fd)?, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    let peer = peer.ok_or(Errno::CONNABORTED)?;
    Ok(Accepted {
        fd: fd.into_raw_fd(),
        peer,
    })
}
