//! A socket and its state.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::io::Errno;
use tas_ll::calls::ListenAt;

use crate::engine::{self, HomeId, Locked};
use crate::epoll::Item;
use crate::ffi::cell::{ConnCell, Guarded, ListenerCell, Token};
use crate::options::{Info, Options};
use crate::pool::Pool;
use crate::ready::UNUSED;
use crate::wait::Waiter;

/// All sockets.
pub static SOCKETS: Pool<Socket> = Pool::new();

/// The addresses that a socket's program uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Domain {
    /// AF_INET.
    #[default]
    V4,
    /// AF_INET6, with IPv4 addresses mapped into it.
    V6,
}

/// What a socket has become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Neither connected nor listening. What the program asks for is the
    /// placeholder's business.
    #[default]
    Fresh,
    /// The service was asked to connect.
    Connecting,
    /// Connected, at least once, and not known to be over.
    Connected,
    /// Accepts connections.
    Listening,
    /// Over: reset, timed out, or never came about.
    Over,
    /// The program has closed it; the service has not answered yet.
    Closing,
}

/// A listener's connections.
#[derive(Debug, Default)]
pub struct Listening {
    /// Where it listens, and how.
    pub at: ListenAt,
    /// Sockets, without descriptors yet, that wait for accept.
    pub ready: VecDeque<u32>,
    /// Connections that wait at the service and were not asked for.
    pub knocks: u32,
    /// Accept requests that were not answered.
    pub asked: u32,
    /// The placeholder listens too, for connections that do not pass the service.
    pub in_kernel: bool,
    /// The service tells this process of connections that wait.
    pub watched: bool,
    /// Other processes accept from it too: a connection is taken from the
    /// service when the program calls accept, and not before.
    pub shared: bool,
    /// The service has answered the request to listen.
    pub opened: Option<i16>,
}

/// What only a thread that holds the home's lock may see.
#[derive(Default)]
pub struct State {
    /// What it has become.
    pub phase: Phase,
    /// The program's addresses.
    pub domain: Domain,
    /// SO_ERROR.
    pub error: Option<Errno>,
    /// shutdown(SHUT_RD).
    pub read_shut: bool,
    /// shutdown(SHUT_WR).
    pub write_shut: bool,
    /// The peer has closed.
    pub peer_closed: bool,
    /// Connecting has begun, and no call has told yet what came of it.
    pub untold: bool,
    /// The connection is over, but the service has yet to let go of it.
    pub last_word_due: bool,
    /// Bytes that had arrived when the connection ended, and how many of them were read.
    pub rescued: (Vec<u8>, usize),
    /// As a listener.
    pub listening: Listening,
    /// What the program has set.
    pub options: Options,
    /// The service's last answer on how the connection is doing.
    pub info: Option<Info>,
    /// Threads that wait for a change.
    pub waiters: Vec<&'static Waiter>,
    /// Memberships in epolls.
    pub items: Vec<Item>,
    /// Other processes may use the connection, and this one is told when they
    /// do: by a poll, without which it does not know.
    pub shared: bool,
    /// Another process has begun to use the connection while somebody here waits for it.
    pub lost: bool,
    /// Times that it went to another context.
    pub moves: u8,
    /// The listener to whose connections this belongs until accepted.
    pub listener: Option<u32>,
}

/// A socket. The first fields are known by address to the service.
#[repr(C)]
#[derive(Default)]
pub struct Socket {
    pub(crate) conn: ConnCell,
    pub(crate) listener: ListenerCell,
    state: Guarded<State>,
    home: AtomicU32,
    number: AtomicU32,
    /// Descriptors that name it.
    pub(crate) names: AtomicU32,
    /// EPOLL* bits that hold now.
    ready: AtomicU32,
    /// O_NONBLOCK.
    nonblocking: AtomicBool,
    /// Bytes that were written wait for more.
    pub(crate) held: AtomicBool,
}

impl<T: Default> Default for Guarded<T> {
    fn default() -> Self {
        Guarded::new(T::default())
    }
}

impl Socket {
    /// A socket with nothing asked of it yet, at home with the calling thread.
    pub fn create(domain: Domain) -> Option<&'static Socket> {
        let id = engine::of_thread();
        let mut home = engine::lock(id)?;
        let (_, token) = home.parts();
        let socket = Socket::prepare(domain, id, token)?;
        socket.set_ready(UNUSED);
        Some(socket)
    }

    /// The same, at home in `home`, whose token is `token`.
    pub(crate) fn prepare(
        domain: Domain,
        home: HomeId,
        token: &mut Token,
    ) -> Option<&'static Socket> {
        let (number, socket) = SOCKETS.take()?;
        socket.number.store(number, Ordering::Relaxed);
        socket.home.store(home.0, Ordering::Release);
        socket.names.store(0, Ordering::Relaxed);
        socket.ready.store(0, Ordering::Relaxed);
        socket.nonblocking.store(false, Ordering::Relaxed);
        socket.held.store(false, Ordering::Relaxed);
        // Whoever still has the old number finds no descriptor that names it.
        *socket.state(token) = State {
            domain,
            ..State::default()
        };
        Some(socket)
    }

    /// Ends its life: nobody names it, and the service knows it no longer.
    pub(crate) fn give_up(&self, state: &mut State) {
        *state = State::default();
        SOCKETS.give_back(self.number());
    }

    /// Its number in the pool.
    #[inline]
    pub fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    /// The context that it belongs to.
    #[inline]
    pub fn home(&self) -> HomeId {
        HomeId(self.home.load(Ordering::Acquire))
    }

    /// Makes another context its home. The locks of both are held.
    pub(crate) fn set_home(&self, home: HomeId) {
        self.home.store(home.0, Ordering::Release);
    }

    /// Its state, for whoever holds the home's lock.
    #[inline]
    pub(crate) fn state<'t>(&self, token: &'t mut Token) -> &'t mut State {
        self.state.get(self.home(), token)
    }

    /// Locks the socket's home.
    #[inline(always)]
    pub fn lock_any(&'static self) -> Option<Locked> {
        loop {
            let home = self.home();
            let locked = engine::lock(home)?;
            if self.home() == home {
                return Some(Locked::new(locked, self));
            }
        }
    }

    /// EPOLL* bits that hold now.
    #[inline]
    pub fn ready(&self) -> u32 {
        self.ready.load(Ordering::Acquire)
    }

    /// Sets the bits that hold now and returns those before.
    #[inline]
    pub(crate) fn set_ready(&self, bits: u32) -> u32 {
        let before = self.ready.load(Ordering::Relaxed);
        if before != bits {
            self.ready.store(bits, Ordering::Release);
        }
        before
    }

    /// O_NONBLOCK.
    #[inline]
    pub fn nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    /// Sets O_NONBLOCK.
    pub fn set_nonblocking(&self, on: bool) {
        self.nonblocking.store(on, Ordering::Relaxed);
    }
}
