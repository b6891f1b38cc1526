//! epoll_ctl.

use std::ffi::c_int;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::members::{ET, EXCLUSIVE, Interest, Source, WAKEUP};
use super::{Epoll, Guard, Inner, Item, enter, kernel, listens_in_kernel, nest, tell};
use crate::engine::Locked;
use crate::ffi::events;
use crate::ready::{ERR, HUP, IN, OUT};
use crate::socket::{Phase, Socket};
use crate::table::{self, Object};
use crate::{Result, fork, migrate, operation, sys};

/// What may come with EPOLLEXCLUSIVE.
const WITH_EXCLUSIVE: u32 = IN | OUT | ERR | HUP | WAKEUP | ET | EXCLUSIVE;

pub use super::members::Interest as Wanted;

/// What to do with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// EPOLL_CTL_ADD.
    Add(Interest),
    /// EPOLL_CTL_MOD.
    Modify(Interest),
    /// EPOLL_CTL_DEL.
    Delete,
}

/// Adds, changes or removes a member, as epoll_ctl(2).
///
/// # Errors
/// As epoll_ctl(2).
pub fn control(epfd: c_int, fd: c_int, change: Change) -> Result<()> {
    let epoll = match table::get(epfd) {
        Some(Object::Epoll(epoll)) => epoll,
        Some(Object::Socket(_)) => return Err(Errno::INVAL),
        None => adopt(epfd, fd)?,
    };
    match table::get(fd) {
        Some(Object::Socket(socket)) => of_socket(epoll, epfd, fd, socket, change),
        Some(Object::Epoll(inside)) if std::ptr::eq(inside, epoll) => Err(Errno::INVAL),
        Some(Object::Epoll(inside)) => match change {
            Change::Add(interest) if interest.events & EXCLUSIVE != 0 => Err(Errno::INVAL),
            Change::Add(interest) => nest::add(epoll, inside, fd, interest),
            Change::Modify(interest) => nest::modify(epoll, inside, fd, interest),
            Change::Delete => nest::delete(epoll, inside, fd),
        },
        None => of_kernel(epoll, epfd, fd, change),
    }
}

/// An epoll that the kernel made for somebody else, an inherited one for
/// example, becomes ours when a socket of ours is to be its member.
fn adopt(epfd: c_int, fd: c_int) -> Result<&'static Epoll> {
    if !table::is_ours(fd) {
        return Err(Errno::BADF);
    }
    // EINVAL if it is something else.
    match events::epoll_delete(epfd, fd) {
        Ok(()) | Err(Errno::NOENT) => enter(epfd, 1),
        Err(error) => Err(error),
    }
}

/// A member of the kernel's.
fn of_kernel(epoll: &'static Epoll, epfd: c_int, fd: c_int, change: Change) -> Result<()> {
    match change {
        Change::Add(interest) => {
            events::epoll_add(epfd, fd, interest.events, interest.data)?;
            if epoll.foreign.fetch_add(1, Ordering::AcqRel) == 0 {
                tell::wake_all(epoll, epoll.lock());
            }
            Ok(())
        }
        Change::Modify(interest) => events::epoll_modify(epfd, fd, interest.events, interest.data),
        Change::Delete => {
            events::epoll_delete(epfd, fd)?;
            let less = |count: u32| count.checked_sub(1);
            let _ = epoll
                .foreign
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
            Ok(())
        }
    }
}

/// A member of ours.
fn of_socket(
    epoll: &'static Epoll,
    epfd: c_int,
    fd: c_int,
    socket: &'static Socket,
    change: Change,
) -> Result<()> {
    let mut locked = operation::lock(fd)?;
    if !std::ptr::eq(locked.socket(), socket) {
        return Err(Errno::BADF);
    }
    if matches!(change, Change::Add(_)) {
        // The thread that registers it is likely to wait for it.
        locked = migrate::follow(locked).ok_or(Errno::BADF)?;
        engage(&mut locked);
    }
    let state = locked.state();
    let listens = listens_in_kernel(state);
    let number = epoll.number();
    let found = |item: &Item| item.epoll == number && item.fd == fd;
    let at = state.items.iter().position(found);
    if let Change::Add(interest) = change {
        if interest.events & EXCLUSIVE != 0 && interest.events & !WITH_EXCLUSIVE != 0 {
            return Err(Errno::INVAL);
        }
        if at.is_some() {
            return Err(Errno::EXIST);
        }
        let mut inner = named(epoll, epfd)?;
        let key = inner.members.insert(Source::Socket(socket), fd, interest);
        state.items.push(Item {
            epoll: number,
            key,
            fd,
            exclusive: interest.events & EXCLUSIVE != 0,
        });
        epoll.ours.store(inner.members.len(), Ordering::Release);
        recall(epoll, &mut inner);
        inner.members.queue(key);
        if epoll.count_home(&mut inner, socket.home()) {
            tell::wake_all(epoll, inner);
        } else {
            queued(epoll, inner, socket, interest);
        }
        if listens {
            kernel::enter(epoll, key, fd);
        }
        return Ok(());
    }
    let interest = match change {
        Change::Modify(interest) if interest.events & EXCLUSIVE != 0 => return Err(Errno::INVAL),
        Change::Modify(interest) => Some(interest),
        Change::Add(_) | Change::Delete => None,
    };
    let at = at.ok_or(Errno::NOENT)?;
    let Some(item) = state.items.get(at).copied() else {
        return Err(Errno::NOENT);
    };
    let Some(interest) = interest else {
        state.items.swap_remove(at);
        epoll.remove(&mut epoll.lock(), item.key);
        if listens {
            kernel::leave(epoll, fd);
        }
        return Ok(());
    };
    if item.exclusive {
        return Err(Errno::INVAL);
    }
    let mut inner = named(epoll, epfd)?;
    let Some(member) = inner.members.get(item.key) else {
        return Err(Errno::NOENT);
    };
    member.set_interest(interest);
    member.kernel |= listens;
    inner.members.queue(item.key);
    queued(epoll, inner, socket, interest);
    Ok(())
}

/// Somebody waits for the socket in this process: the service is to tell it.
pub fn engage(locked: &mut Locked) {
    // What goes wrong here, the call on the socket itself will say.
    match locked.state().phase {
        Phase::Listening => {
            let _ = fork::want_connections(locked);
        }
        Phase::Connected => {
            let _ = fork::claim(locked);
        }
        _ => {}
    }
}

/// A member was put on the list to be looked at; if it is ready, a thread is told.
fn queued(epoll: &'static Epoll, inner: Guard<'static>, socket: &Socket, interest: Interest) {
    if socket.ready() & (interest.events | ERR | HUP) != 0 {
        tell::wake_one(epoll, inner);
    }
}

/// Locks the epoll if the descriptor still names it.
fn named(epoll: &'static Epoll, epfd: c_int) -> Result<Guard<'static>> {
    let inner = epoll.lock();
    if epoll.is_named(epfd) {
        Ok(inner)
    } else {
        Err(Errno::BADF)
    }
}

/// Threads that sleep in the kernel, since there was no member of ours, come
/// back: the kernel tells them of a descriptor that they know.
pub(super) fn recall(epoll: &Epoll, inner: &mut Inner) {
    if inner.passing == 0 || inner.recall.is_some() {
        return;
    }
    let (Some(epfd), Ok(event)) = (epoll.any_fd(), sys::new_event()) else {
        return;
    };
    sys::signal_event(event);
    if events::epoll_add(epfd, event, IN, events::recall_word()).is_ok() {
        inner.recall = Some(event);
    } else {
        sys::close(event);
    }
}
