//! Epolls.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::pool::Pool;
use crate::socket::State;

/// All epolls.
pub static EPOLLS: Pool<Epoll> = Pool::new();

/// An epoll.
#[derive(Default)]
pub struct Epoll {
    number: AtomicU32,
}

impl Epoll {
    /// Its number in the pool.
    pub fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }
}

/// A socket's membership in an epoll.
#[derive(Clone, Copy, Debug)]
pub struct Item;

/// Bits of EPOLL* hold anew for a member.
pub fn tell(_item: &Item, _bits: u32) {}

/// The epoll has another descriptor.
pub fn named_again(_epoll: &'static Epoll) {}

/// The epoll has a descriptor less.
pub fn unname(_epoll: &'static Epoll) {}

/// The socket is the kernel's from now on, and so are its memberships.
pub fn release(_state: &mut State, _fd: c_int) {}

/// All epolls, locked.
pub struct AllLocked(());

/// Locks all epolls, for a fork.
pub fn lock_all() -> AllLocked {
    AllLocked(())
}

/// The socket is gone from all epolls.
pub fn forget(_state: &mut State) {}
