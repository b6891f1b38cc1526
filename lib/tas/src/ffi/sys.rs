//! System calls and the clock. Those that would be cancellation points of the C
//! library (pthreads(7)) go to the kernel by number: a thread must not end in the
//! middle of this library.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

/// The time stamp counter, read after everything stored before is visible to
/// all, and not ahead of its place in the program.
pub(crate) fn ordered_tsc() -> u64 {
    fence(Ordering::SeqCst);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a fence; SSE2 is part of x86_64.
    unsafe {
        core::arch::x86_64::_mm_lfence()
    }
    tas_shm::rdtsc()
}

/// Makes an eventfd readable.
pub(crate) fn notify(fd: i32) {
    // A connection takes descriptor 0 for its socket at the earliest, so 0 is
    // an array entry that nobody has filled in.
    if fd <= 0 {
        return;
    }
    let one = 1u64.to_ne_bytes();
    // A full counter is readable already; other failures have no remedy here.
    // SAFETY: writes 8 bytes from a live array.
    unsafe { libc::syscall(libc::SYS_write, fd, one.as_ptr(), one.len()) };
}

/// Makes an eventfd unreadable. It is non-blocking.
pub(crate) fn drain(fd: i32) {
    let mut count = [0u8; 8];
    // SAFETY: reads 8 bytes into a live array.
    unsafe { libc::syscall(libc::SYS_read, fd, count.as_mut_ptr(), count.len()) };
}

/// Closes a descriptor that is this library's.
pub(crate) fn close(fd: i32) {
    // SAFETY: no pointers involved; the library gives its descriptors to nobody else to own.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Another descriptor for the same file.
pub(crate) fn duplicate(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: not -1, and borrowed only for the call, in which the context
    // that owns it does not go away.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// Why a wait ended.
pub(crate) struct Woken {
    /// The eventfd is readable.
    pub readable: bool,
    /// The other end of the socket is closed.
    pub hangup: bool,
}

/// Sleeps until `event` is readable, `socket`'s other end is closed, a signal
/// arrives, or `timeout_ms` have passed. A negative descriptor is left out.
pub(crate) fn wait_readable(event: i32, socket: i32, timeout_ms: i32) -> io::Result<Woken> {
    const HANGUP: i16 = libc::POLLHUP | libc::POLLERR | libc::POLLRDHUP;
    let mut fds = [
        libc::pollfd {
            fd: event,
            events: libc::POLLIN,
            revents: 0,
        },
        libc::pollfd {
            fd: socket,
            events: libc::POLLRDHUP,
            revents: 0,
        },
    ];
    // SAFETY: a live array and its length.
    let ready = unsafe {
        let count = fds.len() as libc::nfds_t;
        libc::syscall(libc::SYS_poll, fds.as_mut_ptr(), count, timeout_ms)
    };
    if ready < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        return Ok(Woken {
            readable: false,
            hangup: false,
        });
    }
    let [event, socket] = fds;
    Ok(Woken {
        readable: event.revents & libc::POLLIN != 0,
        hangup: socket.revents & HANGUP != 0,
    })
}

/// Whether the other end of a socket is closed.
pub(crate) fn hung_up(socket: i32) -> bool {
    wait_readable(-1, socket, 0).is_ok_and(|woken| woken.hangup)
}

thread_local! {
    /// What was to be printed, if the thread keeps it instead.
    static KEPT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs a call and returns with its result why functions of this library
/// failed in it, which is not printed then.
pub fn overhear<R>(call: impl FnOnce() -> R) -> (R, Vec<String>) {
    KEPT.set(Some(Vec::new()));
    let result = call();
    (result, KEPT.take().unwrap_or_default())
}

/// Says why a function failed.
pub(crate) fn report(name: &str, line: &str) {
    let kept = KEPT.with_borrow_mut(|kept| {
        kept.as_mut()
            .map(|kept| kept.push(line.to_owned()))
            .is_some()
    });
    if !kept {
        complain(format_args!("{name}: {line}"));
    }
}

/// Prints a line on stderr.
pub(crate) fn complain(line: fmt::Arguments<'_>) {
    // Nowhere to report that stderr is closed.
    let _ = io::stderr().write_all(format!("libtas: {line}\n").as_bytes());
}

/// Sets the caller's errno.
pub(crate) fn set_errno(errno: i32) {
    // SAFETY: the location is the calling thread's own and always valid.
    unsafe { *libc::__errno_location() = errno };
}
