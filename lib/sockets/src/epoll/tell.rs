//! Telling epolls, and the threads that wait for them, that members are ready.

use std::sync::atomic::Ordering;

use super::{EPOLLS, Epoll, Guard, Inner, Item};
use crate::ready::READ;
use crate::wait::Waiter;

/// Bits of EPOLL* hold anew for what has these memberships. Of epolls that
/// are members exclusively, no more are told than it takes to wake a thread.
pub fn tell_all(items: &[Item], bits: u32) {
    let mut woken = false;
    for item in items {
        if !(item.exclusive && woken) {
            woken |= tell(item, bits) && item.exclusive;
        }
    }
}

/// Bits of EPOLL* hold anew for a member. Returns whether a thread will look at it.
pub fn tell(item: &Item, bits: u32) -> bool {
    let Some(epoll) = EPOLLS.get(item.epoll) else {
        return false;
    };
    let mut inner = epoll.lock();
    let wanted = inner.members.get(item.key);
    if wanted.is_none_or(|member| member.wanted() & bits == 0) {
        return false;
    }
    inner.members.queue(item.key);
    if inner.is_unattended() {
        return epoll.looking.load(Ordering::Acquire) > 0;
    }
    wake_one(epoll, inner)
}

/// A member may be ready: one thread that waits is told, unless one is about to
/// look; and everything that watches the epoll itself. Returns whether a thread
/// will look.
pub(super) fn wake_one(epoll: &'static Epoll, mut inner: Guard<'static>) -> bool {
    let looking = epoll.looking.load(Ordering::Acquire) > 0;
    let waiter = if looking {
        None
    } else {
        let first = inner.waiting.pop_front();
        epoll.note_awaited(&inner);
        first
    };
    for watcher in &inner.watchers {
        watcher.tell();
    }
    let nested = !inner.parents.is_empty();
    drop(inner);
    if let Some(waiter) = waiter {
        waiter.tell();
    }
    if nested {
        tell_parents(epoll, |parent| {
            tell(parent, READ);
        });
    }
    looking || waiter.is_some()
}

/// What threads must poll has changed: all of them look anew.
pub(super) fn wake_all(epoll: &'static Epoll, inner: Guard<'static>) {
    for waiter in inner.waiting.iter().chain(&inner.watchers) {
        waiter.tell();
    }
    let nested = !inner.parents.is_empty();
    drop(inner);
    if nested {
        tell_parents(epoll, |parent| {
            if let Some(epoll) = EPOLLS.get(parent.epoll) {
                wake_all(epoll, epoll.lock());
            }
        });
    }
}

/// Calls `tell` for the memberships of an epoll in others, which are locked
/// before it, and so not while it is.
pub(super) fn tell_parents(epoll: &Epoll, mut tell: impl FnMut(&Item)) {
    let mut at = 0;
    loop {
        let parent = epoll.lock().parents.get(at).copied();
        let Some(parent) = parent else { return };
        tell(&parent);
        at += 1;
    }
}

impl Inner {
    /// Nobody waits for anything here.
    #[inline]
    fn is_unattended(&self) -> bool {
        self.waiting.is_empty() && self.watchers.is_empty() && self.parents.is_empty()
    }
}

impl Epoll {
    /// Registers a thread to be told of an event.
    pub(super) fn await_event(&self, inner: &mut Inner, waiter: &'static Waiter) {
        if !inner.waiting.iter().any(|w| std::ptr::eq(*w, waiter)) {
            inner.waiting.push_back(waiter);
            self.note_awaited(inner);
        }
    }

    /// Takes a thread off the list.
    pub(super) fn stop_awaiting(&self, inner: &mut Inner, waiter: &'static Waiter) {
        inner.waiting.retain(|w| !std::ptr::eq(*w, waiter));
        self.note_awaited(inner);
    }

    fn note_awaited(&self, inner: &Inner) {
        let count = u32::try_from(inner.waiting.len()).unwrap_or(u32::MAX);
        self.awaited.store(count, Ordering::Release);
    }

    /// Registers a thread that waits for the epoll itself.
    pub fn watch(&self, waiter: &'static Waiter) {
        self.lock().watchers.push(waiter);
    }

    /// Takes it off the list, once.
    pub fn unwatch(&self, waiter: &'static Waiter) {
        let watchers = &mut self.lock().watchers;
        if let Some(at) = watchers.iter().position(|w| std::ptr::eq(*w, waiter)) {
            watchers.swap_remove(at);
        }
    }
}
