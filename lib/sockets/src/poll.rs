//! Polling sets of descriptors, some of them ours (poll(2)).

use std::cell::Cell;
use std::ffi::c_int;

use libc::pollfd;
use rustix::io::Errno;

use crate::engine::{self, HOMES, HomeId};
use crate::epoll::{Epoll, control};
use crate::ffi::events::Mask;
use crate::homes::HomeSet;
use crate::ready::{ERR, HUP, READ};
use crate::socket::{Phase, Socket};
use crate::table::{self, Object};
use crate::wait::{OnSignal, Until, Wait, Waiter, Woke};
use crate::{Result, sys};

/// Lists of a call, kept by the thread for the next.
#[derive(Default)]
struct Lists {
    /// What the kernel is asked.
    kernel: Vec<pollfd>,
    /// Which entry of the program's each of them is for.
    entries: Vec<usize>,
    /// What the thread waits for.
    watched: Vec<Object>,
}

thread_local! {
    static LISTS: Cell<Lists> = Cell::default();
}

/// Whether any of the descriptors is ours. Otherwise the kernel alone is to be asked.
#[inline]
pub fn any_ours(fds: &[pollfd]) -> bool {
    fds.iter().any(|entry| table::is_ours(entry.fd))
}

/// Waits until one of the descriptors is ready, as ppoll(2), and returns how many are.
///
/// # Errors
/// As ppoll(2).
pub fn poll(fds: &mut [pollfd], until: Until, mask: Mask) -> Result<usize> {
    // A thread that is about to end makes new ones.
    let mut lists = LISTS.try_with(Cell::take).unwrap_or_default();
    let polled = Poll {
        fds,
        lists: &mut lists,
    }
    .run(until, mask);
    lists.watched.clear();
    // As above.
    let _ = LISTS.try_with(|kept| kept.set(lists));
    polled
}

/// A call.
struct Poll<'a> {
    fds: &'a mut [pollfd],
    lists: &'a mut Lists,
}

impl Poll<'_> {
    fn run(mut self, until: Until, mask: Mask) -> Result<usize> {
        self.prepare();
        self.look();
        self.ask_kernel();
        let count = self.count();
        let at_once = matches!(until, Until::Now);
        if count > 0 || (at_once && mask.set().is_none()) {
            return Ok(count);
        }
        let mut wait = Wait::new(until, OnSignal::Interrupt, mask.set())?;
        self.watch(wait.waiter());
        let outcome = self.wait(&mut wait);
        self.unwatch(wait.waiter());
        outcome
    }

    /// Sees to it that the sockets hear of what they are asked for.
    fn prepare(&self) {
        for entry in self.fds.iter() {
            if let Some(socket) = table::socket(entry.fd)
                && let Some(mut locked) = socket.lock_any()
            {
                control::engage(&mut locked);
            }
        }
    }

    /// Steps of waiting, until one is ready or the time is over.
    fn wait(&mut self, wait: &mut Wait) -> Result<usize> {
        loop {
            let homes = self.look();
            let count = self.count();
            if count > 0 {
                return Ok(count);
            }
            let mut room = [HomeId(0); HOMES as usize];
            match wait.step(homes.served().list(&mut room), &mut self.lists.kernel) {
                Ok(Woke::Look) => {}
                Ok(Woke::Descriptor) => {
                    // What was seen may be gone by the time of the next look.
                    self.note_kernel();
                    let count = self.count();
                    if count > 0 {
                        return Ok(count);
                    }
                }
                Err(Errno::TIME) => {
                    self.ask_kernel();
                    return Ok(self.count());
                }
                Err(Errno::CONNRESET) => engine::abandon(),
                Err(error) => return Err(error),
            }
        }
    }

    /// What holds of each entry that is ours now, and what to ask the kernel.
    /// Returns the contexts that were polled for it.
    fn look(&mut self) -> HomeSet {
        let mut homes = HomeSet::default();
        for entry in self.fds.iter() {
            match table::get(entry.fd) {
                Some(Object::Socket(socket)) => homes.insert(socket.home()),
                Some(Object::Epoll(epoll)) => homes = homes.union(epoll.homes()),
                None => {}
            }
        }
        homes.poll();
        self.lists.kernel.clear();
        self.lists.entries.clear();
        for (at, entry) in self.fds.iter_mut().enumerate() {
            entry.revents = 0;
            let events = wanted(entry);
            let mut ask = |fd: c_int, events: i16| {
                self.lists.kernel.push(pollfd {
                    fd,
                    events,
                    revents: 0,
                });
                self.lists.entries.push(at);
            };
            let bits = match table::get(entry.fd) {
                Some(Object::Socket(socket)) => {
                    if socket.listens_in_kernel() {
                        ask(entry.fd, entry.events);
                    }
                    socket.ready()
                }
                Some(Object::Epoll(epoll)) => {
                    for fd in epoll.kernel_fds(entry.fd) {
                        ask(fd, libc::POLLIN);
                    }
                    if epoll.is_readable() { READ } else { 0 }
                }
                None if entry.fd >= 0 => {
                    ask(entry.fd, entry.events);
                    0
                }
                None => 0,
            };
            entry.revents = (bits & events) as i16;
        }
        homes
    }

    /// Asks the kernel without waiting.
    fn ask_kernel(&mut self) {
        if !self.lists.kernel.is_empty() && sys::poll_now(&mut self.lists.kernel) {
            self.note_kernel();
        }
    }

    /// What the kernel has said becomes part of the answer.
    fn note_kernel(&mut self) {
        for (told, at) in self.lists.kernel.iter().zip(&self.lists.entries) {
            let Some(entry) = self.fds.get_mut(*at) else {
                continue;
            };
            match table::get(entry.fd) {
                None => entry.revents = told.revents,
                Some(Object::Socket(_)) => entry.revents |= told.revents & (wanted(entry) as i16),
                // What that means for an epoll, it knows itself.
                Some(Object::Epoll(_)) => {}
            }
        }
    }

    fn count(&self) -> usize {
        self.fds.iter().filter(|entry| entry.revents != 0).count()
    }

    /// The thread is told of changes from now on.
    fn watch(&mut self, waiter: &'static Waiter) {
        for entry in self.fds.iter() {
            let Some(object) = table::get(entry.fd) else {
                continue;
            };
            match object {
                Object::Socket(socket) => {
                    let Some(mut locked) = socket.lock_any() else {
                        continue;
                    };
                    locked.state().waiters.push(waiter);
                }
                Object::Epoll(epoll) => epoll.watch(waiter),
            }
            self.lists.watched.push(object);
        }
    }

    /// It is not any more.
    fn unwatch(&mut self, waiter: &'static Waiter) {
        for object in self.lists.watched.drain(..) {
            match object {
                Object::Socket(socket) => forget_waiter(socket, waiter),
                Object::Epoll(epoll) => Epoll::unwatch(epoll, waiter),
            }
        }
    }
}

fn forget_waiter(socket: &'static Socket, waiter: &'static Waiter) {
    let Some(mut locked) = socket.lock_any() else {
        return;
    };
    let waiters = &mut locked.state().waiters;
    if let Some(at) = waiters.iter().position(|w| std::ptr::eq(*w, waiter)) {
        waiters.swap_remove(at);
    }
}

/// What can be told of an entry.
fn wanted(entry: &pollfd) -> u32 {
    u32::from(entry.events.cast_unsigned()) | ERR | HUP
}

impl Socket {
    /// Whether the placeholder listens too.
    fn listens_in_kernel(&'static self) -> bool {
        self.lock_any().is_some_and(|mut locked| {
            let state = locked.state();
            state.phase == Phase::Listening && state.listening.in_kernel
        })
    }
}

#[cfg(test)]
#[path = "poll_tests.rs"]
mod tests;
