//! The members of an epoll, and the list of those that may be ready.

use std::ffi::c_int;

use super::Epoll;
use crate::ready::{ERR, HUP};
use crate::socket::Socket;

/// EPOLLET.
pub const ET: u32 = libc::EPOLLET as u32;
/// EPOLLONESHOT.
pub const ONESHOT: u32 = libc::EPOLLONESHOT as u32;
/// EPOLLEXCLUSIVE.
pub const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
/// EPOLLWAKEUP, which says nothing about readiness.
pub const WAKEUP: u32 = libc::EPOLLWAKEUP as u32;
/// What says how to tell, not of what.
const HOW: u32 = ET | ONESHOT | EXCLUSIVE | WAKEUP;

/// Ends a list.
const NONE: u32 = u32::MAX;

/// What a member is.
#[derive(Clone, Copy)]
pub enum Source {
    /// A socket.
    Socket(&'static Socket),
    /// Another epoll.
    Epoll(&'static Epoll),
}

/// What the program wants to know of a member, and by which word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// EPOLL* bits.
    pub events: u32,
    /// What the program gave to be told with them.
    pub data: u64,
}

/// Names a member, until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    slot: u32,
    /// Which of those that have had the slot.
    generation: u32,
}

impl Key {
    /// As one word.
    pub fn to_word(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// From one word.
    pub fn from_word(word: u64) -> Key {
        Key {
            slot: word as u32,
            generation: (word >> 32) as u32,
        }
    }
}

/// A member.
pub struct Member {
    /// What it is; `None` for a slot that is free.
    source: Option<Source>,
    /// The descriptor by which it was added.
    pub fd: c_int,
    /// The bits of interest; none but how to tell when disabled by EPOLLONESHOT.
    events: u32,
    data: u64,
    /// The kernel's part has become ready since it was last found not to be.
    pub kernel: bool,
    generation: u32,
    queued: bool,
    previous: u32,
    /// In the list of those that may be ready, or of free slots.
    next: u32,
}

impl Member {
    /// What it is.
    pub fn source(&self) -> Option<Source> {
        self.source
    }

    /// Which bits can be told of it.
    #[inline]
    pub fn wanted(&self) -> u32 {
        self.events & !HOW
    }

    /// How and what to tell.
    pub fn interest(&self) -> Interest {
        Interest {
            events: self.events,
            data: self.data,
        }
    }

    /// Sets what to tell. Errors are always told.
    pub fn set_interest(&mut self, interest: Interest) {
        self.events = interest.events | ERR | HUP;
        self.data = interest.data;
    }

    /// Told once; nothing more until the interest is set again.
    fn disable(&mut self) {
        self.events &= HOW;
    }
}

/// The members of an epoll.
pub struct Members {
    slots: Vec<Member>,
    /// The first free slot.
    free: u32,
    used: u32,
    /// Those that may be ready, in the order in which they are to be told.
    first: u32,
    last: u32,
    queued: u32,
}

impl Default for Members {
    fn default() -> Members {
        Members {
            slots: Vec::new(),
            free: NONE,
            used: 0,
            first: NONE,
            last: NONE,
            queued: 0,
        }
    }
}

impl Members {
    /// How many there are.
    pub fn len(&self) -> u32 {
        self.used
    }

    /// How many may be ready.
    #[inline]
    pub fn queued(&self) -> u32 {
        self.queued
    }

    /// Adds one.
    pub fn insert(&mut self, source: Source, fd: c_int, interest: Interest) -> Key {
        let slot = self.free_slot();
        self.used += 1;
        let Some(member) = self.slots.get_mut(slot as usize) else {
            unreachable!()
        };
        self.free = member.next;
        member.source = Some(source);
        member.fd = fd;
        member.kernel = false;
        member.set_interest(interest);
        Key {
            slot,
            generation: member.generation,
        }
    }

    fn free_slot(&mut self) -> u32 {
        if self.free == NONE {
            self.free = self.slots.len() as u32;
            self.slots.push(Member {
                source: None,
                fd: -1,
                events: 0,
                data: 0,
                kernel: false,
                generation: 0,
                queued: false,
                previous: NONE,
                next: NONE,
            });
        }
        self.free
    }

    /// Removes one, unless it was before.
    pub fn remove(&mut self, key: Key) -> Option<Source> {
        self.get(key)?;
        self.unqueue(key.slot);
        let free = self.free;
        let member = self.slots.get_mut(key.slot as usize)?;
        member.generation = member.generation.wrapping_add(1);
        member.next = free;
        self.free = key.slot;
        self.used -= 1;
        member.source.take()
    }

    /// A member, unless it was removed.
    #[inline]
    pub fn get(&mut self, key: Key) -> Option<&mut Member> {
        let member = self.slots.get_mut(key.slot as usize)?;
        (member.generation == key.generation && member.source.is_some()).then_some(member)
    }

    /// All members.
    pub fn all(&self) -> impl Iterator<Item = (Key, Source)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, member)| {
            let key = Key {
                slot: slot as u32,
                generation: member.generation,
            };
            Some((key, member.source?))
        })
    }

    /// All members, with the descriptors by which they were added.
    pub fn all_named(&self) -> impl Iterator<Item = (Key, Source, c_int)> {
        let fd = |key: Key| self.slots.get(key.slot as usize).map_or(-1, |m| m.fd);
        self.all().map(move |(key, source)| (key, source, fd(key)))
    }

    /// Notes that a member may be ready.
    #[inline]
    pub fn queue(&mut self, key: Key) {
        let last = self.last;
        let Some(member) = self.get(key) else { return };
        if member.queued {
            return;
        }
        member.queued = true;
        member.previous = last;
        member.next = NONE;
        match self.slots.get_mut(last as usize) {
            Some(before) => before.next = key.slot,
            None => self.first = key.slot,
        }
        self.last = key.slot;
        self.queued += 1;
    }

    /// Takes the one that is first to be told.
    #[inline]
    pub fn pop(&mut self) -> Option<(Key, &mut Member)> {
        let slot = self.first;
        self.unqueue(slot);
        let member = self.slots.get_mut(slot as usize)?;
        let key = Key {
            slot,
            generation: member.generation,
        };
        Some((key, member))
    }

    fn unqueue(&mut self, slot: u32) {
        let Some(member) = self.slots.get_mut(slot as usize) else {
            return;
        };
        if !member.queued {
            return;
        }
        member.queued = false;
        let (previous, next) = (member.previous, member.next);
        match self.slots.get_mut(previous as usize) {
            Some(before) => before.next = next,
            None => self.first = next,
        }
        match self.slots.get_mut(next as usize) {
            Some(after) => after.previous = previous,
            None => self.last = previous,
        }
        self.queued -= 1;
    }

    /// Calls `tell` with what holds of members that may be ready, as `holds`
    /// knows it, until it wants no more. A level-triggered member that is ready
    /// is behind all others from then on; whatever is not ready leaves the list.
    #[inline]
    pub fn collect(
        &mut self,
        mut room: usize,
        mut holds: impl FnMut(&mut Member) -> u32,
        mut tell: impl FnMut(u32, u64),
    ) {
        let mut at = self.first;
        while room > 0 {
            let Some(member) = self.slots.get_mut(at as usize) else {
                break;
            };
            let slot = at;
            at = member.next;
            let bits = holds(member) & member.wanted();
            let mut stays = false;
            if bits != 0 {
                room -= 1;
                tell(bits, member.data);
                if member.events & ONESHOT != 0 {
                    member.disable();
                } else {
                    stays = member.events & ET == 0;
                }
            }
            if !stays {
                self.unqueue(slot);
            }
        }
        self.begin_at(at);
    }

    /// Puts all before this one behind the last.
    fn begin_at(&mut self, slot: u32) {
        let (first, last) = (self.first, self.last);
        let Some(member) = self.slots.get_mut(slot as usize) else {
            return;
        };
        let before = std::mem::replace(&mut member.previous, NONE);
        let Some(end) = self.slots.get_mut(before as usize) else {
            return;
        };
        end.next = NONE;
        if let Some(member) = self.slots.get_mut(last as usize) {
            member.next = first;
        }
        if let Some(member) = self.slots.get_mut(first as usize) {
            member.previous = last;
        }
        self.first = slot;
        self.last = before;
    }

    /// Whether any is ready, as `holds` knows it. Those that are not leave the list.
    pub fn any_ready(&mut self, mut holds: impl FnMut(&mut Member) -> u32) -> bool {
        let mut rest = self.queued;
        while rest > 0 {
            rest -= 1;
            let Some((key, member)) = self.pop() else {
                return false;
            };
            if holds(member) & member.wanted() != 0 {
                self.queue(key);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
