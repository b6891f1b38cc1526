//! Moving data between two descriptors.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_uint, c_void};

use libc::{off_t, size_t, ssize_t};

use super::data;
use crate::real::{self, errno, set_errno};
use crate::sockets::{self, undisturbed};

/// Bytes that `splice` moves in one call at most: what a pipe holds by default.
const PIECE: usize = 64 * 1024;

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_sendfile")]
pub(super) unsafe extern "C-unwind" fn sendfile(
    out: c_int,
    from: c_int,
    offset: *mut off_t,
    len: size_t,
) -> ssize_t {
    // SAFETY: the caller's promise. From a socket there is no sendfile, and
    // the kernel says so for the descriptors of ours.
    unsafe {
        match sockets::is_ours(out) {
            true => sockets::tas_sendfile(out, from, offset, len),
            false => real::sendfile(out, from, offset, len),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_sendfile64")]
unsafe extern "C-unwind" fn sendfile64(
    out: c_int,
    from: c_int,
    offset: *mut off_t,
    len: size_t,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe {
        match sockets::is_ours(out) {
            true => sendfile(out, from, offset, len),
            false => real::sendfile64(out, from, offset, len),
        }
    }
}

/// # Safety
/// As for the function in C.
#[unsafe(export_name = "tas_interpose_splice")]
pub(super) unsafe extern "C-unwind" fn splice(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe {
        let (receives, sends) = (sockets::is_ours(from), sockets::is_ours(to));
        if !receives && !sends {
            return real::splice(from, from_offset, to, to_offset, len, flags);
        }
        let (pipe, pipe_offset, socket_offset) = match receives {
            true => (to, to_offset, from_offset),
            false => (from, from_offset, to_offset),
        };
        if receives && sends || !is_pipe(pipe) {
            return failure(libc::EINVAL);
        }
        if !pipe_offset.is_null() {
            return failure(libc::ESPIPE);
        }
        if !socket_offset.is_null() {
            return failure(libc::EINVAL);
        }
        if len == 0 {
            return 0;
        }
        // Concerns the pipe; the socket has its own O_NONBLOCK (splice(2)).
        let nonblock = flags & libc::SPLICE_F_NONBLOCK != 0;
        match receives {
            true => to_pipe(from, to, len, nonblock),
            false => from_pipe(from, to, len, nonblock, flags & libc::SPLICE_F_MORE != 0),
        }
    }
}

fn failure(errno: c_int) -> ssize_t {
    set_errno(errno);
    -1
}

fn is_pipe(fd: c_int) -> bool {
    // SAFETY: asks about a descriptor, whichever it is.
    unsafe { real::fcntl(fd, libc::F_GETPIPE_SZ, 0) >= 0 }
}

fn is_nonblocking(fd: c_int) -> bool {
    // SAFETY: asks about a descriptor, whichever it is.
    let flags = unsafe { real::fcntl(fd, libc::F_GETFL, 0) };
    flags & libc::O_NONBLOCK != 0
}

/// Waits until a pipe is ready, unless it or the call does not block.
fn await_pipe(pipe: c_int, events: i16, nonblock: bool) -> Result<(), ssize_t> {
    let timeout = if nonblock || is_nonblocking(pipe) {
        0
    } else {
        -1
    };
    let mut fds = [libc::pollfd {
        fd: pipe,
        events,
        revents: 0,
    }];
    // SAFETY: a live array and its length.
    match unsafe { real::poll(fds.as_mut_ptr(), 1, timeout) } {
        0 => Err(failure(libc::EAGAIN)),
        ready if ready < 0 => Err(-1),
        _ => Ok(()),
    }
}

/// The calling thread's room for a piece. It is the thread's and not a call's:
/// while a call waits, its thread may be cancelled, which must find nothing
/// to clean up in the functions here.
fn room() -> *mut c_void {
    thread_local! {
        static ROOM: UnsafeCell<Vec<u8>> = UnsafeCell::new(vec![0; PIECE]);
    }
    // SAFETY: nobody keeps a reference to it.
    ROOM.with(|room| unsafe { (*room.get()).as_mut_ptr() })
        .cast()
}

/// Looks at what has been received, writes as much as the pipe takes, and only
/// then takes it: nothing is lost when the pipe takes less.
fn to_pipe(from: c_int, pipe: c_int, len: usize, nonblock: bool) -> ssize_t {
    if let Err(failure) = await_pipe(pipe, libc::POLLOUT, nonblock) {
        return failure;
    }
    let place = room();
    // SAFETY: a live buffer and at most its length.
    unsafe {
        let seen = data::recv(from, place, len.min(PIECE), libc::MSG_PEEK);
        if seen <= 0 {
            return seen;
        }
        let written = undisturbed(|| pass_to(pipe, place, seen as usize));
        if written <= 0 {
            return written;
        }
        undisturbed(|| data::recv(from, place, written as usize, libc::MSG_DONTWAIT))
    }
}

/// Copies what the pipe holds by way of another pipe, sends as much as the
/// socket takes, and only then takes it from the pipe.
fn from_pipe(pipe: c_int, to: c_int, len: usize, nonblock: bool, more: bool) -> ssize_t {
    if let Err(failure) = await_pipe(pipe, libc::POLLIN, nonblock) {
        return failure;
    }
    let place = room();
    // SAFETY: a live buffer and at most its length.
    unsafe {
        let Some(seen) = undisturbed(|| look_into(pipe, place, len.min(PIECE))) else {
            return -1;
        };
        if seen == 0 {
            return 0;
        }
        let flags = if more { libc::MSG_MORE } else { 0 };
        let sent = data::send(to, place, seen, flags);
        if sent > 0 {
            undisturbed(|| drop_from(pipe, place, sent as usize));
        }
        sent
    }
}

/// Takes from a pipe what was sent.
///
/// # Safety
/// There is room for as much at `place`.
unsafe fn drop_from(pipe: c_int, place: *mut c_void, count: usize) {
    let mut left = count;
    while left > 0 {
        // SAFETY: the caller's promise.
        let taken = unsafe { real::read(pipe, place, left) };
        if taken <= 0 {
            return;
        }
        left -= taken as usize;
    }
}

/// Both ends of a pipe that is only there for a call.
struct Passage {
    out: c_int,
    into: c_int,
}

impl Passage {
    fn new() -> Option<Passage> {
        let mut ends = [-1; 2];
        // SAFETY: room for two descriptors, which `drop` closes.
        let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) };
        let [out, into] = ends;
        (made == 0).then_some(Passage { out, into })
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let why = errno();
        for end in [self.out, self.into] {
            // SAFETY: made in `new`, and nobody else's.
            unsafe { real::close(end) };
        }
        set_errno(why);
    }
}

/// Gives a pipe as much as it has room for. Writing would wait for room for all
/// of it, unless the pipe itself does not block.
///
/// # Safety
/// There are as many bytes at `piece`.
unsafe fn pass_to(pipe: c_int, piece: *const c_void, len: usize) -> ssize_t {
    let Some(passage) = Passage::new() else {
        return -1;
    };
    // SAFETY: live descriptors, and the caller's promise.
    unsafe {
        let there = real::write(passage.into, piece, len);
        if there <= 0 {
            return there;
        }
        let null = std::ptr::null_mut();
        let flags = libc::SPLICE_F_NONBLOCK;
        real::splice(passage.out, null, pipe, null, there as usize, flags)
    }
}

/// Reads what a pipe holds without taking it.
///
/// # Safety
/// There is room for as much at `place`.
unsafe fn look_into(pipe: c_int, place: *mut c_void, len: usize) -> Option<usize> {
    let passage = Passage::new()?;
    // SAFETY: live descriptors, and the caller's promise.
    let seen = unsafe {
        let there = libc::tee(pipe, passage.into, len, libc::SPLICE_F_NONBLOCK);
        match there {
            1.. => real::read(passage.out, place, there as usize),
            _ => there,
        }
    };
    usize::try_from(seen).ok()
}
