//! Epolls (epoll(7)), of our sockets and of whatever else has a descriptor.
//!
//! An epoll has an epoll of the kernel's as its descriptor, in which every
//! member is that is not ours. Ours are members by a table here: a socket knows
//! its memberships and puts them into the list of those that may be ready
//! ([`tell`]), from which waiting takes them. What waiting costs depends on how
//! many are ready, not on how many there are.
//!
//! Some of our members can be ready by the kernel too: a listener that listens
//! there for clients on loopback, and an epoll with foreign members. Their
//! kernel parts are in a second epoll of the kernel's, `aside`, edge-triggered:
//! it says which member to look at.
//!
//! Locks are taken in this order: context, [`NESTING`], the outer epoll, the
//! epolls in it.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use tas_shm::{BiasedGuard, BiasedMutex};

use crate::engine::{HOMES, HomeId};
use crate::ffi::events;
use crate::homes::HomeSet;
use crate::pool::Pool;
use crate::socket::{Phase, State};
use crate::table::{self, Object};
use crate::wait::Waiter;
use crate::{Result, create, sys};

pub mod control;
mod kernel;
mod members;
mod nest;
mod tell;
pub mod wait;

use members::{Key, Members, Source};
pub use tell::{tell, tell_all};

/// All epolls.
pub static EPOLLS: Pool<Epoll> = Pool::new();

/// Taken by whoever changes which epolls are in which.
static NESTING: Mutex<()> = Mutex::new(());

/// An epoll.
pub struct Epoll {
    number: AtomicU32,
    /// Descriptors that name it, and threads that wait for it.
    names: AtomicU32,
    /// A descriptor that names it, or did.
    fd: AtomicI32,
    /// Threads that poll contexts, and will look at the members then. Not
    /// counted while nobody waits who would have to be told.
    looking: AtomicU32,
    /// Threads that wait to be told.
    awaited: AtomicU32,
    /// Where members are at home, as a [`HomeSet`].
    homes: AtomicU32,
    /// Members of ours.
    ours: AtomicU32,
    /// Members of the kernel's; those that were closed since still count.
    foreign: AtomicU32,
    /// The kernel's epoll for members of ours that the kernel knows more about, or -1.
    aside: AtomicI32,
    /// When the kernel was asked last, by the time stamp counter.
    looked: AtomicU64,
    /// There are epolls in it.
    nests: AtomicBool,
    /// Threads that wait for it, each of which counts as a name.
    held: AtomicU32,
    /// It was a parent's, and nobody has waited for it here.
    inherited: AtomicBool,
    inner: BiasedMutex<Inner>,
}

/// What an epoll's lock guards, locked.
type Guard<'a> = BiasedGuard<'a, Inner>;

/// What the epoll's lock guards.
#[derive(Default)]
struct Inner {
    members: Members,
    /// Members at home in each context.
    at_home: [u32; HOMES as usize],
    /// Threads that wait for a member to be ready: one is told of each event.
    waiting: VecDeque<&'static Waiter>,
    /// Threads that wait for the epoll itself to be readable, and for others: all are told.
    watchers: Vec<&'static Waiter>,
    /// Its memberships in other epolls.
    parents: Vec<Item>,
    /// Threads asleep in the kernel, which hear of nothing here.
    passing: u32,
    /// The eventfd that brings them back.
    recall: Option<c_int>,
}

impl Default for Epoll {
    fn default() -> Epoll {
        Epoll {
            number: AtomicU32::new(0),
            names: AtomicU32::new(0),
            fd: AtomicI32::new(-1),
            looking: AtomicU32::new(0),
            awaited: AtomicU32::new(0),
            homes: AtomicU32::new(0),
            ours: AtomicU32::new(0),
            foreign: AtomicU32::new(0),
            aside: AtomicI32::new(-1),
            looked: AtomicU64::new(0),
            nests: AtomicBool::new(false),
            held: AtomicU32::new(0),
            inherited: AtomicBool::new(false),
            inner: BiasedMutex::new(Inner::default()),
        }
    }
}

/// A membership: of what holds it, in an epoll.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    epoll: u32,
    key: Key,
    /// The descriptor by which it was added.
    fd: c_int,
    /// EPOLLEXCLUSIVE.
    exclusive: bool,
}

/// Makes an epoll, as epoll_create1(2).
///
/// # Errors
/// As epoll_create1(2).
pub fn create(close_on_exec: bool) -> Result<c_int> {
    let fd = events::epoll_create(close_on_exec)?;
    match enter(fd, 0) {
        Ok(_) => Ok(fd),
        Err(error) => {
            sys::close(fd);
            Err(error)
        }
    }
}

/// Enters a new epoll, whose descriptor is the kernel's epoll `fd` with `foreign` members.
fn enter(fd: c_int, foreign: u32) -> Result<&'static Epoll> {
    create::claim_tables();
    let (number, epoll) = EPOLLS.take().ok_or(Errno::NFILE)?;
    epoll.number.store(number, Ordering::Relaxed);
    epoll.names.store(1, Ordering::Relaxed);
    epoll.fd.store(fd, Ordering::Relaxed);
    epoll.foreign.store(foreign, Ordering::Relaxed);
    if table::set(fd, Object::Epoll(epoll)) {
        return Ok(epoll);
    }
    EPOLLS.give_back(number);
    Err(Errno::MFILE)
}

impl Epoll {
    /// Its number in the pool.
    pub fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    #[inline]
    fn lock(&self) -> Guard<'_> {
        loop {
            if let Some(inner) = self.inner.lock() {
                return inner;
            }
        }
    }

    /// Whether the descriptor names it.
    #[inline]
    fn is_named(&self, fd: c_int) -> bool {
        table::epoll(fd).is_some_and(|epoll| std::ptr::eq(epoll, self))
    }

    /// A descriptor that names it.
    fn any_fd(&self) -> Option<c_int> {
        let fd = self.fd.load(Ordering::Relaxed);
        if self.is_named(fd) {
            return Some(fd);
        }
        let other = table::all().find(|fd| self.is_named(*fd))?;
        self.fd.store(other, Ordering::Relaxed);
        Some(other)
    }

    /// Notes a member at home in `home`. Threads that wait must poll it too.
    fn count_home(&self, inner: &mut Inner, home: HomeId) -> bool {
        let Some(count) = inner.at_home.get_mut(home.0 as usize) else {
            return false;
        };
        *count += 1;
        let new = *count == 1;
        if new {
            self.homes
                .fetch_or(HomeSet::only(home).bits(), Ordering::Release);
        }
        new
    }

    /// Notes a member less at home in `home`.
    fn discount_home(&self, inner: &mut Inner, home: HomeId) {
        let Some(count) = inner.at_home.get_mut(home.0 as usize) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.homes
                .fetch_and(!HomeSet::only(home).bits(), Ordering::Release);
        }
    }

    /// Takes a member out.
    fn remove(&self, inner: &mut Inner, key: Key) {
        match inner.members.remove(key) {
            Some(Source::Socket(socket)) => self.discount_home(inner, socket.home()),
            Some(Source::Epoll(_)) => {}
            None => return,
        }
        self.ours.store(inner.members.len(), Ordering::Release);
    }
}

/// The epoll has another descriptor.
pub fn named_again(epoll: &'static Epoll) {
    epoll.names.fetch_add(1, Ordering::AcqRel);
}

/// The epoll has a descriptor less, or a thread less that waits for it.
pub fn unname(epoll: &'static Epoll) {
    if epoll.names.fetch_sub(1, Ordering::AcqRel) == 1 {
        dissolve(epoll);
    }
}

/// Nothing names the epoll any more.
fn dissolve(epoll: &'static Epoll) {
    let number = epoll.number();
    nest::leave_all(epoll);
    // A member's home is locked before the epoll, so not one by one under its lock.
    let members: Vec<(Key, Source)> = epoll.lock().members.all().collect();
    for (key, source) in members {
        if let Source::Socket(socket) = source
            && let Some(mut locked) = socket.lock_any()
        {
            let items = &mut locked.state().items;
            items.retain(|item| item.epoll != number || item.key != key);
            epoll.remove(&mut epoll.lock(), key);
        } else {
            epoll.remove(&mut epoll.lock(), key);
        }
    }
    let aside = epoll.aside.swap(-1, Ordering::AcqRel);
    sys::close(aside);
    epoll.nests.store(false, Ordering::Relaxed);
    epoll.looked.store(0, Ordering::Relaxed);
    EPOLLS.give_back(number);
}

/// The socket is the kernel's from now on, and so are its memberships.
pub fn release(state: &mut State) {
    for item in state.items.drain(..) {
        let Some(epoll) = EPOLLS.get(item.epoll) else {
            continue;
        };
        let mut inner = epoll.lock();
        let Some(member) = inner.members.get(item.key) else {
            continue;
        };
        let interest = member.interest();
        epoll.remove(&mut inner, item.key);
        if let Some(epfd) = epoll.any_fd()
            && events::epoll_add(epfd, item.fd, interest.events, interest.data).is_ok()
        {
            epoll.foreign.fetch_add(1, Ordering::AcqRel);
        }
        tell::wake_all(epoll, inner);
    }
}

/// The socket is gone from all epolls.
pub fn forget(state: &mut State) {
    for item in state.items.drain(..) {
        if let Some(epoll) = EPOLLS.get(item.epoll) {
            epoll.remove(&mut epoll.lock(), item.key);
        }
    }
}

/// The socket listens: in the kernel too, which then tells of connections there.
pub fn listens(state: &State) {
    if !listens_in_kernel(state) {
        return;
    }
    for item in &state.items {
        if let Some(epoll) = EPOLLS.get(item.epoll) {
            kernel::enter(epoll, item.key, item.fd);
        }
    }
}

/// The context of a socket was made: threads that sleep are to sleep on it too.
pub fn context_made(state: &State) {
    for item in &state.items {
        if let Some(epoll) = EPOLLS.get(item.epoll) {
            tell::wake_all(epoll, epoll.lock());
        }
    }
}

/// All epolls, locked.
pub struct AllLocked {
    epolls: Vec<(&'static Epoll, Guard<'static>)>,
    _nesting: MutexGuard<'static, ()>,
}

/// Locks all epolls, for a fork.
pub fn lock_all() -> AllLocked {
    let nesting = NESTING.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        // Their order is that of nesting, which is not known before they are locked.
        let locked = EPOLLS
            .all()
            .map(|epoll| Some((epoll, epoll.inner.try_lock()?)));
        if let Some(epolls) = locked.collect() {
            return AllLocked {
                epolls,
                _nesting: nesting,
            };
        }
        std::thread::yield_now();
    }
}

impl AllLocked {
    /// In the child: its parent's threads wait no more, and what the kernel
    /// tells of listeners comes by an epoll of its own.
    pub fn inherit(&mut self) {
        for (epoll, inner) in &mut self.epolls {
            inner.waiting.clear();
            inner.watchers.clear();
            inner.passing = 0;
            // In the epoll that both have it stays for as long as either has it.
            if let Some(event) = inner.recall.take() {
                sys::close(event);
            }
            epoll.looking.store(0, Ordering::Relaxed);
            epoll.awaited.store(0, Ordering::Relaxed);
            let held = epoll.held.swap(0, Ordering::Relaxed);
            epoll.names.fetch_sub(held, Ordering::Relaxed);
            sys::close(epoll.aside.swap(-1, Ordering::Relaxed));
            epoll
                .inherited
                .store(inner.members.len() > 0, Ordering::Release);
        }
    }
}

impl Epoll {
    /// The first wait in a child: members are to be told of here too.
    #[cold]
    fn revive(&'static self) {
        if !self.inherited.swap(false, Ordering::AcqRel) {
            return;
        }
        let members: Vec<(Key, Source, c_int)> = self.lock().members.all_named().collect();
        for (key, source, fd) in members {
            match source {
                Source::Socket(socket) => {
                    let Some(mut locked) = socket.lock_any() else {
                        continue;
                    };
                    control::engage(&mut locked);
                    if listens_in_kernel(locked.state()) {
                        kernel::enter(self, key, fd);
                    }
                }
                Source::Epoll(_) => kernel::enter(self, key, fd),
            }
        }
    }
}

/// Whether connections come by the kernel too.
fn listens_in_kernel(state: &State) -> bool {
    state.phase == Phase::Listening && state.listening.in_kernel
}

#[cfg(test)]
mod tests;
