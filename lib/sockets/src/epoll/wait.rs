//! epoll_wait.

use std::ffi::c_int;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::members::Members;
use super::nest::holds;
use super::{Epoll, Guard, named_again, tell, unname};
use crate::Result;
use crate::engine::{self, HOMES, HomeId};
use crate::ffi::events::{self, Mask, Time, Told};
use crate::table::{self, Object};
use crate::wait::{OnSignal, Until, Wait, Woke, pollfd};

/// Waits for events, as epoll_pwait2(2), and returns how many were stored.
///
/// # Errors
/// As epoll_pwait2(2).
pub fn wait(fd: c_int, out: &mut Told<'_>, time: Time, mask: Mask) -> Result<usize> {
    let epoll = match table::get(fd) {
        Some(Object::Epoll(epoll)) => epoll,
        Some(Object::Socket(_)) => return Err(Errno::INVAL),
        None => return Err(Errno::BADF),
    };
    if epoll.inherited.load(Ordering::Acquire) {
        epoll.revive();
    }
    // Whoever waits first is who waits most.
    epoll.inner.own();
    let mut until = None;
    if epoll.ours.load(Ordering::Acquire) == 0 {
        until = Some(time.until());
        if let Some(count) = pass(epoll, fd, out, time, mask)? {
            return Ok(count);
        }
    }
    let looked = epoll.look_is_due();
    let half = out.room().div_ceil(2);
    if looked {
        epoll.look(fd, out, half);
    }
    let foreign = out.len();
    let mut inner = turn(epoll);
    if inner.members.queued() > 0 {
        // Closed, perhaps opened anew, since it was looked up.
        if !epoll.is_named(fd) {
            return Err(Errno::BADF);
        }
        collect(&mut inner.members, out);
    }
    settle(epoll, inner);
    if looked && foreign == half && out.room() > 0 {
        epoll.look(fd, out, out.room());
    }
    if !out.is_empty() {
        return Ok(out.len());
    }
    let until = until.unwrap_or_else(|| time.until());
    if !looked && matches!(until, Until::Now) && epoll.has_kernel() {
        look_all(epoll, fd, out);
    }
    if !out.is_empty() || matches!(until, Until::Now) {
        return Ok(out.len());
    }
    let _held = Hold::new(epoll);
    block(epoll, fd, out, until, mask)
}

/// Polls the contexts where members are at home, and locks the epoll.
#[inline]
fn turn(epoll: &'static Epoll) -> Guard<'static> {
    let others = epoll.awaited.load(Ordering::Acquire) > 0;
    if others {
        // They are left asleep: this thread takes what it is about to find.
        epoll.looking.fetch_add(1, Ordering::AcqRel);
    }
    epoll.homes().poll();
    let inner = epoll.lock();
    if others {
        epoll.looking.fetch_sub(1, Ordering::AcqRel);
    }
    inner
}

/// Stores what is ready of members of ours.
#[inline]
fn collect(members: &mut Members, out: &mut Told<'_>) {
    members.collect(out.room(), holds, |bits, data| out.push(bits, data));
}

/// What this thread was told of and has not taken, or may still be ready, is another's.
#[inline]
fn settle(epoll: &'static Epoll, inner: Guard<'static>) {
    if inner.members.queued() > 0 && !inner.waiting.is_empty() {
        tell::wake_one(epoll, inner);
    }
}

/// Asks the kernel, and stores everything that is ready.
fn look_all(epoll: &'static Epoll, fd: c_int, out: &mut Told<'_>) {
    epoll.look(fd, out, out.room());
    collect(&mut epoll.lock().members, out);
}

/// Keeps an epoll while a thread waits for it: its last descriptor may be closed.
struct Hold(&'static Epoll);

impl Hold {
    fn new(epoll: &'static Epoll) -> Hold {
        named_again(epoll);
        epoll.held.fetch_add(1, Ordering::AcqRel);
        Hold(epoll)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
        unname(self.0);
    }
}

/// Waits until something is ready.
#[cold]
fn block(
    epoll: &'static Epoll,
    fd: c_int,
    out: &mut Told<'_>,
    until: Until,
    mask: Mask,
) -> Result<usize> {
    let mut wait = Wait::new(until, OnSignal::Interrupt, mask.set())?;
    let waiter = wait.waiter();
    let mut looked = false;
    let outcome = loop {
        let mut inner = turn(epoll);
        collect(&mut inner.members, out);
        if !out.is_empty() {
            break Ok(());
        }
        epoll.await_event(&mut inner, waiter);
        drop(inner);
        let mut homes = [HomeId(0); HOMES as usize];
        let mut fds = [pollfd(-1, 0); 2];
        let mut count = 0;
        for (place, fd) in fds.iter_mut().zip(epoll.kernel_fds(fd)) {
            *place = pollfd(fd, libc::POLLIN);
            count += 1;
        }
        let fds = fds.get_mut(..count).unwrap_or_default();
        match wait.step(epoll.homes().served().list(&mut homes), fds) {
            Ok(Woke::Look) => {}
            Ok(Woke::Descriptor) => {
                look_all(epoll, fd, out);
                looked = true;
            }
            Err(Errno::TIME) => {
                // So short a wait that the kernel was never asked.
                if !looked && epoll.has_kernel() {
                    look_all(epoll, fd, out);
                }
                break Ok(());
            }
            Err(Errno::CONNRESET) => engine::abandon(),
            Err(error) => break Err(error),
        }
        if !out.is_empty() {
            break Ok(());
        }
    };
    let mut inner = epoll.lock();
    epoll.stop_awaiting(&mut inner, waiter);
    settle(epoll, inner);
    outcome.map(|()| out.len())
}

/// Waits in the kernel alone, which is enough while no member is ours. `None`:
/// there is one now, and nothing was ready.
fn pass(
    epoll: &'static Epoll,
    fd: c_int,
    out: &mut Told<'_>,
    time: Time,
    mask: Mask,
) -> Result<Option<usize>> {
    let mut inner = epoll.lock();
    if inner.members.len() > 0 {
        return Ok(None);
    }
    inner.passing += 1;
    drop(inner);
    let done = events::epoll_wait(fd, out, time, mask);
    let mut inner = epoll.lock();
    inner.passing -= 1;
    let recalled = inner.recall.is_some();
    out.drop_recalls(0);
    if inner.passing == 0
        && let Some(event) = inner.recall.take()
    {
        // The kernel forgets it when it is closed.
        crate::sys::close(event);
    }
    drop(inner);
    done?;
    Ok((!out.is_empty() || !recalled).then_some(out.len()))
}
