//! Epolls in epolls.

use std::ffi::c_int;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::members::{EXCLUSIVE, Interest, Member, Source};
use super::{Epoll, Item, NESTING, kernel, tell};
use crate::Result;
use crate::homes::HomeSet;
use crate::ready::READ;
use crate::socket::Socket;
use crate::table;

/// Most epolls above one another that may be in one (`EP_MAX_NESTS`).
const NESTS_MAX: usize = 4;

/// Adds `inside`, by its descriptor `fd`, to `epoll`.
pub(super) fn add(
    epoll: &'static Epoll,
    inside: &'static Epoll,
    fd: c_int,
    interest: Interest,
) -> Result<()> {
    let _nesting = NESTING.lock().unwrap_or_else(PoisonError::into_inner);
    if membership(epoll, inside, fd).is_some() {
        return Err(Errno::EXIST);
    }
    if contains(inside, epoll) || height(inside) + 1 + depth(epoll) > NESTS_MAX {
        return Err(Errno::LOOP);
    }
    let mut inner = epoll.lock();
    let key = inner.members.insert(Source::Epoll(inside), fd, interest);
    epoll.ours.store(inner.members.len(), Ordering::Release);
    epoll.nests.store(true, Ordering::Release);
    drop(inner);
    inside.lock().parents.push(Item {
        epoll: epoll.number(),
        key,
        fd,
        exclusive: false,
    });
    // Whether it is ready already is found out by looking.
    kernel::enter(epoll, key, fd);
    let aside = inside.aside.load(Ordering::Acquire);
    if aside >= 0 {
        kernel::enter(epoll, key, aside);
    }
    let mut inner = epoll.lock();
    inner.members.queue(key);
    super::control::recall(epoll, &mut inner);
    tell::wake_all(epoll, inner);
    Ok(())
}

/// Changes what is told of `inside`.
pub(super) fn modify(
    epoll: &'static Epoll,
    inside: &'static Epoll,
    fd: c_int,
    interest: Interest,
) -> Result<()> {
    let _nesting = NESTING.lock().unwrap_or_else(PoisonError::into_inner);
    if interest.events & EXCLUSIVE != 0 {
        return Err(Errno::INVAL);
    }
    let item = membership(epoll, inside, fd).ok_or(Errno::NOENT)?;
    let mut inner = epoll.lock();
    if let Some(member) = inner.members.get(item.key) {
        member.set_interest(interest);
        inner.members.queue(item.key);
    }
    tell::wake_one(epoll, inner);
    Ok(())
}

/// Takes `inside` out.
pub(super) fn delete(epoll: &'static Epoll, inside: &'static Epoll, fd: c_int) -> Result<()> {
    let _nesting = NESTING.lock().unwrap_or_else(PoisonError::into_inner);
    let item = membership(epoll, inside, fd).ok_or(Errno::NOENT)?;
    forget_parent(inside, &item);
    epoll.remove(&mut epoll.lock(), item.key);
    kernel::leave(epoll, fd);
    kernel::leave(epoll, inside.aside.load(Ordering::Acquire));
    Ok(())
}

/// The epoll goes: it leaves those that it is in, and those in it have it no more.
pub(super) fn leave_all(epoll: &'static Epoll) {
    let _nesting = NESTING.lock().unwrap_or_else(PoisonError::into_inner);
    let parents = std::mem::take(&mut epoll.lock().parents);
    for item in parents {
        if let Some(parent) = super::EPOLLS.get(item.epoll) {
            parent.remove(&mut parent.lock(), item.key);
        }
    }
    let number = epoll.number();
    for inside in insides(epoll) {
        inside.lock().parents.retain(|item| item.epoll != number);
    }
}

fn forget_parent(inside: &Epoll, item: &Item) {
    let parents = &mut inside.lock().parents;
    parents.retain(|other| other.epoll != item.epoll || other.key != item.key);
}

/// The membership of `inside` in `epoll` by `fd`.
fn membership(epoll: &Epoll, inside: &Epoll, fd: c_int) -> Option<Item> {
    let number = epoll.number();
    let inner = inside.lock();
    let mut parents = inner.parents.iter();
    parents
        .find(|item| item.epoll == number && item.fd == fd)
        .copied()
}

/// The epolls in an epoll.
fn insides(epoll: &Epoll) -> Vec<&'static Epoll> {
    if !epoll.nests.load(Ordering::Acquire) {
        return Vec::new();
    }
    let inner = epoll.lock();
    let sources = inner.members.all().map(|(_, source)| source);
    sources
        .filter_map(|source| match source {
            Source::Epoll(inside) => Some(inside),
            Source::Socket(_) => None,
        })
        .collect()
}

/// Whether `other` is in `epoll`, or is it.
fn contains(epoll: &'static Epoll, other: &Epoll) -> bool {
    std::ptr::eq(epoll, other) || insides(epoll).iter().any(|inside| contains(inside, other))
}

/// How many epolls are in one another below it.
fn height(epoll: &Epoll) -> usize {
    let heights = insides(epoll).into_iter().map(|inside| height(inside) + 1);
    heights.max().unwrap_or(0)
}

/// How many epolls it is in, one in the other.
fn depth(epoll: &Epoll) -> usize {
    let parents: Vec<u32> = epoll.lock().parents.iter().map(|item| item.epoll).collect();
    let depths = parents
        .into_iter()
        .filter_map(|number| super::EPOLLS.get(number));
    depths.map(|parent| depth(parent) + 1).max().unwrap_or(0)
}

impl Epoll {
    /// Contexts that must be polled for the epoll.
    #[inline]
    pub fn homes(&self) -> HomeSet {
        let own = HomeSet::from_bits(self.homes.load(Ordering::Acquire));
        if !self.nests.load(Ordering::Acquire) {
            return own;
        }
        let insides = insides(self);
        insides
            .iter()
            .fold(own, |homes, inside| homes.union(inside.homes()))
    }

    /// Whether epoll_wait would return an event.
    pub fn is_readable(&self) -> bool {
        let mut inner = self.lock();
        self.look_aside(&mut inner);
        if inner.members.any_ready(holds) {
            return true;
        }
        drop(inner);
        self.foreign.load(Ordering::Acquire) > 0 && self.any_fd().is_some_and(kernel::is_readable)
    }
}

/// What holds of a member now.
#[inline]
pub(super) fn holds(member: &mut Member) -> u32 {
    match member.source() {
        Some(Source::Socket(socket)) if member.kernel => {
            socket.ready() | kernel_part(member, socket)
        }
        Some(Source::Socket(socket)) => socket.ready(),
        Some(Source::Epoll(inside)) => {
            member.kernel = false;
            if inside.is_readable() { READ } else { 0 }
        }
        None => 0,
    }
}

/// What holds of a listener by the kernel.
#[cold]
fn kernel_part(member: &mut Member, socket: &'static Socket) -> u32 {
    let fd = if table::names(member.fd, socket) {
        Some(member.fd)
    } else {
        table::all().find(|fd| table::names(*fd, socket))
    };
    member.kernel = fd.is_some_and(kernel::is_readable);
    if member.kernel { READ } else { 0 }
}
