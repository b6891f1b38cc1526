//! Shared memory, seen safely.
//!
//! Everything two processes share passes through this crate: address space and
//! files ([`Arena`], [`Backing`], [`Mapping`]), queues ([`RawSlots`],
//! [`Producer`], [`Consumer`]), connection buffers ([`ByteRing`]), wake-ups
//! ([`Doorbell`], [`Waker`], [`EventFd`]), descriptor passing ([`fdpass`]) and flow states
//! with one owner each ([`FlowSlots`]).
//!
//! The peer may be hostile and may write at any moment, so no reference into
//! memory a peer can write ever exists: bytes cross by atomics, volatile
//! accesses or opaque copies, once, into owned values.

mod arena;
mod biased;
mod bytes;
mod copy;
mod doorbell;
pub mod fdpass;
mod kick;
mod lock;
mod log;
mod owned;
mod placed;
mod region;
pub mod sigbus;
mod slice;
mod slots;
mod sync;
mod tsc;
mod waker;
mod yielder;

pub use arena::{Arena, OutOfBounds, ShmOffset, prefetch, prefetch_write};
pub use biased::{BiasedGuard, BiasedMutex};
pub use bytes::ByteRing;
pub use doorbell::{Doorbell, EventFd, SleepGate};
pub use fdpass::write_to_fd;
pub use kick::guard_kicks;
pub use lock::{LockError, PidLock};
pub use log::{LogPlaces, LogReader, LogSnapshot, LogWriter};
pub use owned::{FlowSlots, OwnerId, OwnerToken, SharedTable};
pub use placed::Placed;
pub use region::{Backing, HUGE_PAGE, HugePages, Mapping, huge_pages};
pub use slice::Slices;
pub use slots::{Consumer, Position, Producer, PushError, RawSlots, RingError, SharedSlots, Slot};
pub use tsc::{TscClock, rdtsc};
pub use waker::{SleepSign, Waker, must_wake};
pub use yielder::{GrudgingYielder, Yielder};

#[cfg(all(test, loom))]
mod loom_tests;
