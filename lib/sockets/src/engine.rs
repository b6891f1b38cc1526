//! The process's contexts with the service, and which thread uses which.
//!
//! Any thread may work with any context once it has its lock. Each thread has
//! one that it prefers: new sockets are at home there.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use tas_abi::ll::{FLEXTCP_MAX_CONTEXTS, FlextcpContext};
use tas_ll::service;
use tas_shm::{BiasedGuard, BiasedMutex};

use crate::ffi::cell::{EVENTS, LowLevel, Token};
use crate::ffi::{call, cancel};
use crate::regain::{self, Lost};
use crate::socket::{SOCKETS, Socket, State};
use crate::{Result, dispatch, epoll, exit, table};

/// Contexts of a process.
pub const HOMES: u32 = FLEXTCP_MAX_CONTEXTS as u32;

/// A context, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HomeId(pub u32);

/// A context and everything at home in it.
pub struct Home {
    /// The context with the service, once there is one.
    ctx: Option<LowLevel>,
    token: Token,
    /// Connections of its that other processes use.
    pub(crate) lost: Lost,
}

/// A context's place.
struct Place {
    home: BiasedMutex<Home>,
    /// Threads that prefer it.
    threads: AtomicU32,
    /// Its eventfd, -1 without a context.
    event: AtomicI32,
    /// Threads asleep on the eventfd.
    sleepers: AtomicU32,
    /// There are connections that other processes use.
    lost: AtomicBool,
}

static PLACES: OnceLock<Vec<Place>> = OnceLock::new();
/// Serialises the first contact with the service.
static ATTACH: Mutex<bool> = Mutex::new(false);

fn places() -> &'static [Place] {
    PLACES.get_or_init(|| {
        let place = |token| Place {
            home: BiasedMutex::new(Home {
                ctx: None,
                token,
                lost: Lost::default(),
            }),
            threads: AtomicU32::new(0),
            event: AtomicI32::new(-1),
            sleepers: AtomicU32::new(0),
            lost: AtomicBool::new(false),
        };
        Token::all(HOMES).map(place).collect()
    })
}

fn place(id: HomeId) -> Option<&'static Place> {
    places().get(id.0 as usize)
}

/// The thread's context, given back when the thread ends.
struct Mine(Cell<Option<HomeId>>);

impl Drop for Mine {
    fn drop(&mut self) {
        if let Some(place) = self.0.get().and_then(place) {
            call::inside(|| place.home.disown());
            place.threads.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

thread_local! {
    static MINE: Mine = const { Mine(Cell::new(None)) };
}

/// The context that the calling thread prefers.
#[inline]
pub fn of_thread() -> HomeId {
    let mine = MINE.try_with(|mine| {
        mine.0.get().unwrap_or_else(|| {
            let id = least_used();
            mine.0.set(Some(id));
            id
        })
    });
    // A thread that is about to end.
    mine.unwrap_or(HomeId(0))
}

/// Takes the place that the fewest threads use.
fn least_used() -> HomeId {
    let used = |place: &Place| place.threads.load(Ordering::Relaxed);
    let least = places().iter().enumerate().min_by_key(|(_, p)| used(p));
    least.map_or(HomeId(0), |(index, place)| {
        place.threads.fetch_add(1, Ordering::Relaxed);
        place.home.own();
        HomeId(index as u32)
    })
}

/// A locked context.
pub type HomeGuard = BiasedGuard<'static, Home>;

/// Locks a context.
#[inline]
pub fn lock(id: HomeId) -> Option<HomeGuard> {
    // Not given to a signal's handler while its thread has it.
    place(id)?.home.lock()
}

/// The eventfd of a context, if it has one.
pub fn event_of(id: HomeId) -> Option<i32> {
    let fd = place(id)?.event.load(Ordering::Relaxed);
    (fd >= 0).then_some(fd)
}

/// Connects the process to the service, unless it is connected.
///
/// # Errors
/// `ECONNREFUSED` and others when there is no service, or it does not let the
/// process in; the reason was printed.
pub fn attach() -> Result<()> {
    let mut attached = lock_attach();
    if !*attached {
        cancel::disabled(|| service::init().and_then(|()| service::declare_sockets()))
            .map_err(errno)?;
        *attached = true;
        protect();
        exit::prepare();
    }
    Ok(())
}

/// Protects the descriptors by which the process is connected.
pub fn protect() {
    for fd in service::descriptors() {
        table::protect(fd);
    }
}

/// Whether the process is connected, locked.
pub type AttachGuard = MutexGuard<'static, bool>;

/// Locks what says whether the process is connected.
pub fn lock_attach() -> AttachGuard {
    ATTACH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All contexts, in the order in which they are locked.
pub fn all_homes() -> impl Iterator<Item = HomeId> {
    (0..HOMES).map(HomeId)
}

/// Contexts of threads that are gone, as all but this one are in a child made by
/// fork, are for others. Called with none of them locked.
pub fn forget_threads() {
    let mine = MINE.try_with(|mine| mine.0.get()).ok().flatten();
    for (id, place) in all_homes().zip(places()) {
        if mine != Some(id) {
            place.home.forget_owner();
        }
    }
}

/// The context was a parent's process's.
pub fn forget(id: HomeId, home: &mut Home) {
    home.ctx = None;
    home.lost = Lost::default();
    home.tell_of_lost();
    let mine = MINE.try_with(|mine| mine.0.get()).ok().flatten();
    if let Some(place) = place(id) {
        place.event.store(-1, Ordering::Relaxed);
        place.sleepers.store(0, Ordering::Relaxed);
        place
            .threads
            .store(u32::from(mine == Some(id)), Ordering::Relaxed);
    }
}

/// An error of the low-level library, as this one reports it.
pub fn errno(error: tas_ll::Error) -> Errno {
    Errno::from_raw_os_error(error.errno())
}

impl Home {
    /// The context with the service, which is made now if there is none yet.
    ///
    /// # Errors
    /// As [`attach`], and `ENOBUFS` when the service has no room.
    pub fn context(&mut self, id: HomeId) -> Result<&mut FlextcpContext> {
        if self.ctx.is_none() {
            attach()?;
            let mut ctx = LowLevel::default();
            cancel::disabled(|| service::create_context(&mut ctx)).map_err(|_| Errno::NOBUFS)?;
            if let Some(place) = place(id) {
                place.event.store(ctx.evfd, Ordering::Relaxed);
            }
            table::protect(ctx.evfd);
            self.ctx = Some(ctx);
            self.announce(id);
        }
        self.ctx.as_deref_mut().ok_or(Errno::NOBUFS)
    }

    /// Threads that wait for what is at home here sleep on the context from now on.
    fn announce(&mut self, id: HomeId) {
        for socket in SOCKETS.all().filter(|socket| socket.home() == id) {
            let state = socket.state(&mut self.token);
            for waiter in &state.waiters {
                waiter.tell();
            }
            epoll::context_made(state);
        }
    }

    /// Its place.
    pub fn id(&self) -> HomeId {
        self.token.id()
    }

    /// The context, if there is one, and the right to what is at home here.
    #[inline]
    pub fn parts(&mut self) -> (Option<&mut FlextcpContext>, &mut Token) {
        (self.ctx.as_deref_mut(), &mut self.token)
    }

    /// Whoever sleeps on the context is to look again in time, if connections of
    /// its are to be won back.
    pub(crate) fn tell_of_lost(&self) {
        if let Some(place) = place(self.id()) {
            place.lost.store(!self.lost.is_empty(), Ordering::Relaxed);
        }
    }

    /// Takes what the service has to tell and deals with it. Returns whether
    /// there was anything. Without a context there is not.
    #[inline]
    pub fn poll(&mut self) -> bool {
        let any = self.take_events();
        if !self.lost.is_empty() {
            regain::win_back(self);
        }
        any
    }

    pub(crate) fn take_events(&mut self) -> bool {
        let mut any = false;
        loop {
            let Some(batch) = self.ctx.as_mut().and_then(LowLevel::poll) else {
                return any;
            };
            any = true;
            let count = batch.events.len();
            for event in &batch.events {
                dispatch::event(self, *event);
            }
            for (conn, info) in &batch.infos {
                dispatch::info(self, *conn, *info);
            }
            if let Some(ctx) = &mut self.ctx {
                ctx.done(batch);
            }
            if count < EVENTS {
                return any;
            }
        }
    }
}

/// A socket whose home is locked.
pub struct Locked {
    home: HomeGuard,
    socket: &'static Socket,
}

impl Locked {
    /// `home` is the lock of the socket's home.
    pub(crate) fn new(home: HomeGuard, socket: &'static Socket) -> Locked {
        Locked { home, socket }
    }

    /// The socket.
    pub fn socket(&self) -> &'static Socket {
        self.socket
    }

    /// Its state.
    #[inline]
    pub fn state(&mut self) -> &mut State {
        self.socket.state(&mut self.home.token)
    }

    /// Its state, and the context with the service if there is one.
    #[inline]
    pub fn parts(&mut self) -> (&mut State, Option<&mut FlextcpContext>) {
        let (ctx, token) = self.home.parts();
        (self.socket.state(token), ctx)
    }

    /// Its state and the context with the service, made if need be.
    ///
    /// # Errors
    /// As [`Home::context`].
    pub fn with_context(&mut self) -> Result<(&mut State, &mut FlextcpContext)> {
        self.home.context(self.socket.home())?;
        let (ctx, token) = self.home.parts();
        Ok((self.socket.state(token), ctx.ok_or(Errno::NOBUFS)?))
    }

    /// The home.
    #[inline]
    pub fn home(&mut self) -> &mut Home {
        &mut self.home
    }
}

/// How long a thread may sleep on a context at most.
pub fn longest_sleep(id: HomeId) -> Option<Duration> {
    let lost = place(id)?.lost.load(Ordering::Relaxed);
    lost.then_some(regain::PAUSE)
}

/// Counts a thread that goes to sleep on a context's eventfd.
pub fn fall_asleep(id: HomeId) {
    if let Some(place) = place(id) {
        place.sleepers.fetch_add(1, Ordering::AcqRel);
    }
}

/// A thread that slept on a context's eventfd is awake. The last one drains
/// the eventfd: until then it wakes every other, for whoever drains it must
/// poll for a whole interval, and so must all that rely on it.
pub fn wake_up(id: HomeId) {
    let Some(place) = place(id) else { return };
    let Some(mut home) = place.home.lock() else {
        return;
    };
    let last = place.sleepers.fetch_sub(1, Ordering::AcqRel) == 1;
    if let Some(ctx) = home.ctx.as_deref_mut() {
        if last {
            tas_ll::wait::clear(ctx);
        } else {
            tas_ll::wait::restart(ctx);
        }
    }
}

/// Whether a context may be slept on, having been polled for an interval. Then
/// the next sleep takes another poll before it.
///
/// # Errors
/// `EAGAIN` while not, `ECONNRESET` when the service is gone.
pub fn may_sleep(id: HomeId) -> Result<()> {
    match lock(id).as_deref_mut().map(Home::parts) {
        Some((Some(ctx), _)) => tas_ll::wait::begin(ctx).map_err(errno),
        _ => Ok(()),
    }
}

/// The service is gone, and every connection with it: whoever waits for one is
/// told.
pub fn abandon() {
    static ABANDONED: AtomicBool = AtomicBool::new(false);
    if ABANDONED.swap(true, Ordering::AcqRel) {
        return;
    }
    for socket in SOCKETS.all() {
        if let Some(mut locked) = socket.lock_any() {
            dispatch::lose(socket, locked.state());
        }
    }
}
