//! What the kernel knows about an epoll: its foreign members, and the kernel's
//! parts of members of ours.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

use super::members::{ET, Key};
use super::{EPOLLS, Epoll, Inner, tell};
use crate::ffi::events::{self, Told};
use crate::ready::READ;
use crate::wait::{UNASKED, pollfd};
use crate::{Result, sys};

/// Events taken from `aside` in a look. More come with the next.
const ASIDE_EVENTS: usize = 16;

/// The kernel's part of a member is told of by `aside` from now on: `fd` is it.
pub(super) fn enter(epoll: &'static Epoll, key: Key, fd: c_int) {
    let inner = epoll.lock();
    let made = epoll.aside.load(Ordering::Acquire) < 0;
    // Without it clients on loopback wait for the next look at the listener.
    let Ok(aside) = aside_of(epoll) else { return };
    let _ = events::epoll_add(aside, fd, READ | ET, key.to_word());
    tell::wake_all(epoll, inner);
    if made {
        // Epolls that this one is in hear by theirs of what is in it.
        tell::tell_parents(epoll, |parent| {
            if let Some(epoll) = EPOLLS.get(parent.epoll) {
                enter(epoll, parent.key, aside);
            }
        });
    }
}

/// The kernel's part of a member is told of no more.
pub(super) fn leave(epoll: &Epoll, fd: c_int) {
    let aside = epoll.aside.load(Ordering::Acquire);
    if aside >= 0 {
        // It may have no part in the kernel.
        let _ = events::epoll_delete(aside, fd);
    }
}

/// The epoll for the kernel's parts, made at first use. The epoll is locked.
fn aside_of(epoll: &Epoll) -> Result<c_int> {
    let aside = epoll.aside.load(Ordering::Acquire);
    if aside >= 0 {
        return Ok(aside);
    }
    let aside = sys::new_epoll()?;
    epoll.aside.store(aside, Ordering::Release);
    Ok(aside)
}

impl Epoll {
    /// Whether the kernel may know anything.
    #[inline]
    pub(super) fn has_kernel(&self) -> bool {
        self.foreign.load(Ordering::Acquire) > 0 || self.aside.load(Ordering::Acquire) >= 0
    }

    /// Whether the kernel is to be asked, so that members of ours that are
    /// always ready do not keep foreign ones from being told of.
    #[inline]
    pub(super) fn look_is_due(&self) -> bool {
        let since = || tas_shm::rdtsc().wrapping_sub(self.looked.load(Ordering::Relaxed));
        self.has_kernel() && since() >= UNASKED
    }

    /// Asks the kernel: foreign members that are ready are told, at most
    /// `most`; members of ours that are by their kernel part are put on the list.
    pub(super) fn look(&'static self, fd: c_int, out: &mut Told<'_>, most: usize) {
        self.looked.store(tas_shm::rdtsc(), Ordering::Relaxed);
        if self.foreign.load(Ordering::Acquire) > 0 && self.is_named(fd) {
            let from = out.len();
            // A call that fails says nothing about the members of ours.
            let _ = events::epoll_now(fd, out, most);
            out.drop_recalls(from);
        }
        self.look_aside(&mut self.lock());
    }

    /// Takes from `aside` which members of ours to look at.
    pub(super) fn look_aside(&self, inner: &mut Inner) {
        let aside = self.aside.load(Ordering::Acquire);
        if aside < 0 {
            return;
        }
        let mut room = [const { MaybeUninit::uninit() }; ASIDE_EVENTS];
        let mut edges = Told::new(&mut room);
        let _ = events::epoll_now(aside, &mut edges, ASIDE_EVENTS);
        for (_, word) in edges.events() {
            let key = Key::from_word(word);
            if let Some(member) = inner.members.get(key) {
                member.kernel = true;
                inner.members.queue(key);
            }
        }
    }

    /// Descriptors that wake who waits for the epoll by its descriptor `fd`.
    pub fn kernel_fds(&self, fd: c_int) -> impl Iterator<Item = c_int> {
        let main = self.foreign.load(Ordering::Acquire) > 0 && self.is_named(fd);
        let aside = self.aside.load(Ordering::Acquire);
        let fds = [main.then_some(fd), (aside >= 0).then_some(aside)];
        fds.into_iter().flatten()
    }
}

/// Whether the kernel's descriptor is readable now.
pub(super) fn is_readable(fd: c_int) -> bool {
    sys::poll_now(&mut [pollfd(fd, libc::POLLIN)])
}
