//! Making sockets and their descriptors, and making more names for one.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::socket::{Domain, Phase, SOCKETS, Socket};
use crate::table::{self, Object};
use crate::{Result, close, epoll, fork, operation, sys};

/// The process that the tables belong to, 0 before the first socket.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Notes that the tables are this process's.
pub fn own_tables() {
    OWNER.store(std::process::id(), Ordering::Relaxed);
}

/// Notes that the tables are this process's, if they are nobody's yet.
pub fn claim_tables() {
    if OWNER.load(Ordering::Relaxed) == 0 {
        own_tables();
        fork::watch_forks();
    }
}

/// Whether the tables are this process's. A child made by vfork shares the
/// memory of its parent until it execs: what it does to its descriptors must not
/// be done to the parent's tables.
pub fn owns_tables() -> bool {
    OWNER.load(Ordering::Relaxed) == std::process::id()
}

/// Makes a socket, as socket(2).
///
/// # Errors
/// `EMFILE` and others of socket(2).
pub fn socket(domain: Domain, flags: SocketFlags) -> Result<c_int> {
    claim_tables();
    let socket = Socket::create(domain).ok_or(Errno::NFILE)?;
    socket.set_nonblocking(flags.contains(SocketFlags::NONBLOCK));
    match name(socket, domain, flags) {
        Ok(fd) => Ok(fd),
        Err(error) => {
            SOCKETS.give_back(socket.number());
            Err(error)
        }
    }
}

/// Whether the descriptor is a socket of ours of which nothing was asked yet.
pub fn is_undecided(fd: c_int) -> bool {
    operation::lock(fd).is_ok_and(|mut locked| locked.state().phase == Phase::Fresh)
}

/// Gives a socket its first descriptor.
///
/// # Errors
/// `EMFILE` and others of socket(2).
pub fn name(socket: &'static Socket, domain: Domain, flags: SocketFlags) -> Result<c_int> {
    let fd = sys::placeholder(domain, flags)?;
    socket.names.store(1, Ordering::Relaxed);
    if !table::set(fd, Object::Socket(socket)) {
        sys::close(fd);
        return Err(Errno::MFILE);
    }
    Ok(fd)
}

/// Another descriptor for what `fd` names, the lowest from `from` on.
///
/// # Errors
/// As fcntl(2), F_DUPFD.
pub fn duplicate(fd: c_int, from: c_int, close_on_exec: bool) -> Result<c_int> {
    let object = table::get(fd).ok_or(Errno::BADF)?;
    let new = sys::duplicate(fd, from, close_on_exec)?;
    enter(object, new)
}

/// Makes `new` another descriptor for what `fd` names, closing it first, as dup3(2).
/// One of the two is ours.
///
/// # Errors
/// As dup3(2).
pub fn duplicate_onto(fd: c_int, new: c_int, close_on_exec: bool) -> Result<c_int> {
    if fd == new {
        return Err(Errno::INVAL);
    }
    if table::is_protected(fd) || table::is_protected(new) {
        return Err(Errno::BADF);
    }
    let object = table::get(fd);
    // The kernel's part first: it may fail, and then nothing has changed.
    sys::duplicate_onto(fd, new, close_on_exec)?;
    if !owns_tables() {
        return Ok(new);
    }
    if let Some(before) = table::clear(new) {
        close::unname(before);
    }
    match object {
        Some(object) => enter(object, new),
        None => Ok(new),
    }
}

fn enter(object: Object, new: c_int) -> Result<c_int> {
    if !owns_tables() {
        return Ok(new);
    }
    match object {
        Object::Socket(socket) => {
            socket.names.fetch_add(1, Ordering::AcqRel);
        }
        Object::Epoll(epoll) => epoll::named_again(epoll),
    }
    if table::set(new, object) {
        return Ok(new);
    }
    close::unname(object);
    sys::close(new);
    Err(Errno::MFILE)
}
