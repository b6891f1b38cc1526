//! Kicking eventfds that a hostile peer also holds.
//!
//! Whoever holds an eventfd can fill its counter and clear its non-blocking
//! flag, for all holders, at any moment; then `write` blocks for ever. The
//! kernel's own way of signalling one never blocks: it adds what fits. Native
//! asynchronous I/O does that for a request that names an eventfd, so a guarded
//! kick is an empty read from /dev/null whose completion signals the eventfd.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

/// Requests whose completions may wait to be collected.
const REQUESTS: libc::c_long = 512;
const COLLECT: usize = 64;

const IOCB_CMD_PREAD: u16 = 0;
const IOCB_FLAG_RESFD: u32 = 1;

/// `struct iocb` of linux/aio_abi.h.
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key_and_rw_flags: [u32; 2],
    opcode: u16,
    priority: i16,
    fd: u32,
    buf: u64,
    len: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    signal_fd: u32,
}

/// `struct io_event` of linux/aio_abi.h.
type Completion = [u64; 4];

const _: () = assert!(size_of::<Request>() == 64 && size_of::<Completion>() == 32);

struct Guard {
    context: libc::c_ulong,
    null: File,
}

static GUARD: OnceLock<Guard> = OnceLock::new();

/// From now on, no kick of this process can be made to block by a peer. For
/// the service; an application trusts the service with its eventfds.
///
/// # Errors
/// Where the kernel has no native asynchronous I/O or forbids it. Kicks then
/// stay plain writes.
pub fn guard_kicks() -> io::Result<()> {
    if GUARD.get().is_some() {
        return Ok(());
    }
    let null = File::open("/dev/null")?;
    let mut context: libc::c_ulong = 0;
    // SAFETY: a live context variable that starts as 0, as io_setup demands.
    let result = unsafe { libc::syscall(libc::SYS_io_setup, REQUESTS, &raw mut context) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    if let Err(surplus) = GUARD.set(Guard { context, null }) {
        // SAFETY: a context of this process that nothing else refers to.
        unsafe { libc::syscall(libc::SYS_io_destroy, surplus.context) };
    }
    Ok(())
}

/// Makes an eventfd readable.
pub(crate) fn kick(event: BorrowedFd<'_>) {
    if !GUARD.get().is_some_and(|guard| guard.signal(event)) {
        write(event);
    }
}

fn write(event: BorrowedFd<'_>) {
    let one = 1u64.to_ne_bytes();
    // A full counter (EAGAIN) is readable already, and other failures are the
    // owner's own doing, so there is nothing to report.
    // SAFETY: writes 8 bytes from a live array.
    unsafe { libc::write(event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

impl Guard {
    fn signal(&self, event: BorrowedFd<'_>) -> bool {
        self.submit(event) || {
            // Most likely the completions were never collected.
            self.collect();
            self.submit(event)
        }
    }

    fn submit(&self, event: BorrowedFd<'_>) -> bool {
        let mut request = Request {
            opcode: IOCB_CMD_PREAD,
            fd: self.null.as_raw_fd().unsigned_abs(),
            flags: IOCB_FLAG_RESFD,
            signal_fd: event.as_raw_fd().unsigned_abs(),
            ..Request::default()
        };
        let requests = [&raw mut request];
        // SAFETY: one live request, which the kernel copies; it reads nothing
        // into our memory, since its length is 0.
        let queued = unsafe {
            libc::syscall(
                libc::SYS_io_submit,
                self.context,
                1 as libc::c_long,
                requests.as_ptr(),
            )
        };
        queued == 1
    }

    fn collect(&self) {
        let mut done = [Completion::default(); COLLECT];
        loop {
            // SAFETY: a live array of as many completions as the call names;
            // without a minimum the call does not wait.
            let count = unsafe {
                libc::syscall(
                    libc::SYS_io_getevents,
                    self.context,
                    0 as libc::c_long,
                    COLLECT as libc::c_long,
                    done.as_mut_ptr(),
                    std::ptr::null_mut::<libc::timespec>(),
                )
            };
            if count < COLLECT as libc::c_long {
                return;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::EventFd;
    use std::os::fd::AsFd;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_full_blocking_eventfd_stops_nobody() {
        guard_kicks().unwrap();
        guard_kicks().unwrap();
        let event = EventFd::new().unwrap();
        let full = (u64::MAX - 1).to_ne_bytes();
        // SAFETY: writes 8 live bytes; then no pointers involved.
        unsafe {
            let fd = event.as_fd().as_raw_fd();
            assert_eq!(libc::write(fd, full.as_ptr().cast(), 8), 8);
            libc::fcntl(fd, libc::F_SETFL, 0);
        }
        let (done, finished) = mpsc::channel();
        thread::spawn(move || {
            for _ in 0..5000 {
                event.notify();
            }
            done.send(event.drain()).unwrap();
        });
        assert_eq!(finished.recv_timeout(Duration::from_secs(20)), Ok(true));
    }

    #[test]
    fn a_guarded_kick_is_seen() {
        guard_kicks().unwrap();
        let event = EventFd::new().unwrap();
        for _ in 0..3000 {
            assert!(GUARD.get().unwrap().signal(event.as_fd()));
            assert!(event.drain());
        }
    }
}
