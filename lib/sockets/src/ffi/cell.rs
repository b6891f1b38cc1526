//! State that a context's lock guards, and the objects that the low-level
//! library and the service know by address.

use std::cell::UnsafeCell;
use std::mem::offset_of;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

use tas_abi::ll::{FlextcpConnection, FlextcpContext, FlextcpListener};
use tas_ll::{ConnRef, Event, ListenerRef, Sink, context};
use zerocopy::FromZeros;

use crate::engine::HomeId;
use crate::options::Info;
use crate::socket::Socket;

/// Events taken in one poll.
pub const EVENTS: usize = 64;

/// The right to touch what belongs to one context; there is one for each,
/// behind its lock.
#[derive(Debug)]
pub struct Token(HomeId);

impl Token {
    /// The tokens of contexts 0 to `count`; none when they were taken before.
    pub(crate) fn all(count: u32) -> impl Iterator<Item = Token> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let count = if TAKEN.swap(true, Ordering::AcqRel) {
            0
        } else {
            count
        };
        (0..count).map(|id| Token(HomeId(id)))
    }

    /// Whose it is.
    pub(crate) fn id(&self) -> HomeId {
        self.0
    }
}

/// A value that belongs to whichever context its owner is at home in.
pub struct Guarded<T>(UnsafeCell<T>);

// SAFETY: the value is reached through `get` alone, which takes the token that
// only one thread has at a time.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// Guards a value.
    pub fn new(value: T) -> Guarded<T> {
        Guarded(UnsafeCell::new(value))
    }

    /// The value, whose owner is at home in `home`.
    ///
    /// # Panics
    /// If the token is another context's, which would be an error of this library.
    #[inline]
    pub(crate) fn get<'t>(&self, home: HomeId, token: &'t mut Token) -> &'t mut T {
        assert!(home == token.0, "touched without its lock");
        // SAFETY: whoever has the token has it alone, and lends it to one
        // reference at a time. The home changes only with the locks of both
        // contexts held.
        unsafe { &mut *self.0.get() }
    }
}

/// A connection of the low-level library, in a socket.
#[repr(transparent)]
pub struct ConnCell(UnsafeCell<FlextcpConnection>);

// SAFETY: only reached through `ConnRef`, which is used with the home's lock held.
unsafe impl Sync for ConnCell {}
// SAFETY: its pointers lead to memory of the whole process.
unsafe impl Send for ConnCell {}

impl Default for ConnCell {
    fn default() -> ConnCell {
        ConnCell(UnsafeCell::new(FlextcpConnection::new_zeroed()))
    }
}

/// A listener of the low-level library, in a socket.
#[repr(transparent)]
pub struct ListenerCell(UnsafeCell<FlextcpListener>);

// SAFETY: as for `ConnCell`.
unsafe impl Sync for ListenerCell {}
// SAFETY: as for `ConnCell`.
unsafe impl Send for ListenerCell {}

impl Default for ListenerCell {
    fn default() -> ListenerCell {
        ListenerCell(UnsafeCell::new(FlextcpListener::new_zeroed()))
    }
}

impl Socket {
    /// The socket's connection, for calls with its home's lock held.
    #[inline]
    pub fn conn(&'static self) -> ConnRef {
        // Never null.
        match ConnRef::new(self.conn.0.get()) {
            Some(conn) => conn,
            None => unreachable!(),
        }
    }

    /// The socket's listener, for calls with its home's lock held.
    pub fn listener(&'static self) -> ListenerRef {
        match ListenerRef::new(self.listener.0.get()) {
            Some(listener) => listener,
            None => unreachable!(),
        }
    }

    /// The socket of a connection that an event names.
    #[inline]
    pub fn of_conn(conn: ConnRef) -> &'static Socket {
        const { assert!(offset_of!(Socket, conn) == 0) };
        // SAFETY: contexts of this library are given connections of sockets
        // only, and sockets are never freed.
        unsafe { &*conn.as_ptr().cast::<Socket>() }
    }

    /// The socket of a listener that an event names.
    pub fn of_listener(listener: ListenerRef) -> &'static Socket {
        let at = listener
            .as_ptr()
            .cast::<u8>()
            .wrapping_sub(offset_of!(Socket, listener));
        // SAFETY: as in `of_conn`.
        unsafe { &*at.cast::<Socket>() }
    }
}

/// A low-level context, which goes from thread to thread with its lock.
pub struct LowLevel {
    ctx: Box<FlextcpContext>,
    /// Room for the events of a poll; empty between polls.
    batch: Batch,
}

// SAFETY: a context may be used by any thread, one at a time, and events that
// wait lead to sockets, which are for all threads.
unsafe impl Send for LowLevel {}

/// What a poll brings.
#[derive(Default)]
pub struct Batch {
    /// Events.
    pub events: Vec<Event>,
    /// How connections are doing that were asked about.
    pub infos: Vec<(ConnRef, Info)>,
}

impl Sink for Batch {
    fn len(&self) -> usize {
        self.events.len()
    }

    fn has_room(&self, count: usize) -> bool {
        self.events.len() + count <= EVENTS
    }

    fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    fn info(&mut self, conn: ConnRef, info: &Info) {
        self.infos.push((conn, *info));
    }
}

impl Default for LowLevel {
    /// Room for a context.
    fn default() -> LowLevel {
        LowLevel {
            ctx: Box::new(FlextcpContext::new_zeroed()),
            batch: Batch::default(),
        }
    }
}

impl LowLevel {
    /// Takes up to [`EVENTS`] events, if there are any. [`done`](Self::done) takes the room back.
    #[inline]
    pub fn poll(&mut self) -> Option<Batch> {
        // Threads that wait let others run without the lock.
        context::take(&mut self.ctx, &mut self.batch);
        let nothing = self.batch.events.is_empty() && self.batch.infos.is_empty();
        (!nothing).then(|| std::mem::take(&mut self.batch))
    }

    /// Takes back the room for events.
    pub fn done(&mut self, mut batch: Batch) {
        batch.events.clear();
        batch.infos.clear();
        self.batch = batch;
    }
}

impl Deref for LowLevel {
    type Target = FlextcpContext;

    fn deref(&self) -> &FlextcpContext {
        &self.ctx
    }
}

impl DerefMut for LowLevel {
    fn deref_mut(&mut self) -> &mut FlextcpContext {
        &mut self.ctx
    }
}
