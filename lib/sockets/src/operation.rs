//! The shape of a call on a socket: try, and if that has to wait, wait.

use std::ffi::c_int;

use rustix::io::Errno;
use tas_ll::service;

use crate::engine::Locked;
use crate::socket::Socket;
use crate::wait::{OnSignal, Until, Wait};
use crate::{Result, migrate, table};

/// How a try of a call went.
#[derive(Clone, Copy, Debug)]
pub enum Try<T> {
    /// Done.
    Done(T),
    /// Something must happen first.
    Wait,
    /// The same, which descriptors of the kernel's may tell of too.
    WaitFor(libc::pollfd),
}

/// Locks the socket that the descriptor names.
///
/// # Errors
/// `EBADF` when the descriptor is not ours.
#[inline(always)]
pub fn lock(fd: c_int) -> Result<Locked> {
    let socket = table::socket(fd).ok_or(Errno::BADF)?;
    lock_named(fd, socket)
}

#[inline(always)]
fn lock_named(fd: c_int, socket: &'static Socket) -> Result<Locked> {
    let locked = socket.lock_any().ok_or(Errno::BADF)?;
    if table::names(fd, socket) {
        Ok(locked)
    } else {
        // Closed, perhaps opened anew, since it was looked up.
        Err(Errno::BADF)
    }
}

/// Runs a call: `attempt` is tried, then again after everything that may have
/// changed its outcome, until it is done or the time is over.
///
/// # Errors
/// `EAGAIN` when the time is over, `EINTR`, `EBADF`, and those of `attempt`.
pub fn run<T>(
    fd: c_int,
    until: impl FnOnce(&mut Locked) -> Until,
    on_signal: OnSignal,
    mut attempt: impl FnMut(&mut Locked) -> Result<Try<T>>,
) -> Result<T> {
    let mut locked = lock(fd)?;
    // What is here already needs no poll.
    match attempt(&mut locked)? {
        Try::Done(value) => return Ok(value),
        Try::Wait | Try::WaitFor(_) => {}
    }
    if locked.home().poll() {
        match attempt(&mut locked)? {
            Try::Done(value) => return Ok(value),
            Try::Wait | Try::WaitFor(_) => {}
        }
    }
    let until = until(&mut locked);
    if matches!(until, Until::Now) {
        return Err(Errno::AGAIN);
    }
    let on_signal = match until {
        // socket(7): calls with a timeout are not restarted.
        Until::Time(_) => OnSignal::Interrupt,
        _ => on_signal,
    };
    let wait = Wait::new(until, on_signal, None)?;
    wait_for(fd, locked, wait, attempt)
}

fn wait_for<T>(
    fd: c_int,
    mut locked: Locked,
    mut wait: Wait,
    mut attempt: impl FnMut(&mut Locked) -> Result<Try<T>>,
) -> Result<T> {
    let socket = locked.socket();
    let waiter = wait.waiter();
    locked = migrate::follow(locked).ok_or(Errno::BADF)?;
    locked.state().waiters.push(waiter);
    let outcome = loop {
        locked.home().poll();
        let tried = attempt(&mut locked);
        let mut kernel = None;
        match tried {
            Ok(Try::Done(value)) => break Ok(value),
            Ok(Try::Wait) => {}
            Ok(Try::WaitFor(fd)) => kernel = Some(fd),
            Err(error) => break Err(error),
        }
        let home = socket.home();
        drop(locked);
        let mut fds: [libc::pollfd; 1];
        let stepped = match kernel {
            Some(fd) => {
                fds = [fd];
                wait.step(&[home], &mut fds)
            }
            None => wait.step(&[home], &mut []),
        };
        locked = match socket.lock_any() {
            Some(locked) => locked,
            None => return Err(Errno::BADF),
        };
        if let Err(error) = stepped {
            break Err(match error {
                Errno::TIME => Errno::AGAIN,
                error => error,
            });
        }
        if !table::names(fd, socket) {
            // Another thread has closed it; the kernel would let the call go on
            // with a socket that has no name any more.
            break Err(Errno::BADF);
        }
    };
    let waiters = &mut locked.state().waiters;
    if let Some(at) = waiters.iter().position(|w| std::ptr::eq(*w, waiter)) {
        waiters.swap_remove(at);
    }
    outcome
}

/// Waits for the service's answers, which are under way, with the lock: they
/// are a round trip away.
pub fn settle(locked: &mut Locked, mut awaited: impl FnMut(&mut Locked) -> bool) {
    while awaited(locked) && service::check_alive().is_ok() {
        locked.home().poll();
        std::thread::yield_now();
    }
}
