//! Processes that fork.
//!
//! A child has its parent's tables and, being told by the handlers here, its own
//! contexts with the service. It holds the listeners and connections that it has
//! inherited beside its parent. Whichever process uses a connection *claims* it:
//! the service then posts to that one.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tas_ll::conn::{Status, status};
use tas_ll::{calls, service};

use crate::engine::{self, HomeGuard, Locked};
use crate::epoll;
use crate::ready::{self, IN, OUT};
use crate::socket::{Phase, SOCKETS, Socket};
use crate::{Result, create, dispatch, hold, send, sys, table, wait};

/// A connection that the service does not give within this time is lost.
const CLAIM_TIME: Duration = Duration::from_secs(10);
/// Looks whether another process's turn is over, before pauses between them.
const SHORT_LOOKS: u32 = 1000;
const LOOK_PAUSE: Duration = Duration::from_micros(100);

/// Everything locked, in the order that calls lock it.
#[derive(Default)]
struct Stopped {
    homes: Vec<HomeGuard>,
    epolls: Option<epoll::AllLocked>,
    attach: Option<engine::AttachGuard>,
}

thread_local! {
    static STOPPED: RefCell<Stopped> = RefCell::default();
}

/// Sees to it that this process's children can use its sockets. Called whenever
/// a socket is made.
pub fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.swap(true, Ordering::AcqRel) {
        crate::ffi::raw::at_fork(before, in_parent, in_child);
    }
}

/// The sockets that have descriptors, each once.
fn named() -> Vec<&'static Socket> {
    let mut sockets: Vec<&'static Socket> = table::all().filter_map(table::socket).collect();
    sockets.sort_by_key(|socket| socket.number());
    sockets.dedup_by_key(|socket| socket.number());
    sockets
}

/// The thread is about to fork: nobody else is inside this library until it has.
fn before() {
    if !create::owns_tables() {
        return;
    }
    // In the order in which calls lock. A signal's handler that interrupts one
    // gets no lock: the child of such a fork has no sockets.
    let Some(homes) = engine::all_homes().map(engine::lock).collect() else {
        return;
    };
    let mut stopped = Stopped {
        homes,
        attach: Some(engine::lock_attach()),
        ..Stopped::default()
    };
    let mut listeners = Vec::new();
    let mut conns = Vec::new();
    for socket in named() {
        let home = stopped.homes.get_mut(socket.home().0 as usize);
        let Some((ctx, token)) = home.map(|home| home.parts()) else {
            continue;
        };
        match socket.state(token).phase {
            Phase::Connected => {
                if let Some(ctx) = ctx {
                    // Nothing is held back from now on, and if the connection is broken, sending
                    // says so.
                    let _ = send::push_held(socket.state(token), ctx, socket.conn());
                    // What the parent has read is not to be read again by the child.
                    calls::post(ctx, socket.conn());
                    let _ = tas_ll::context::post_all(ctx);
                }
                socket.state(token).shared = true;
                conns.push(socket.conn());
            }
            Phase::Connecting => {
                socket.state(token).shared = true;
                conns.push(socket.conn());
            }
            Phase::Listening => {
                socket.state(token).listening.shared = true;
                listeners.push(socket.listener());
            }
            _ => {}
        }
    }
    // Without it, the child finds its connections closed; the reason was printed.
    let _ = tas_ll::fork::before(&listeners, &conns);
    for home in &mut stopped.homes {
        // Answers that were given before the child held what they tell of are for it, too.
        home.poll();
    }
    stopped.epolls = Some(epoll::lock_all());
    STOPPED.set(stopped);
}

/// The thread has forked, or failed to.
fn in_parent() {
    if STOPPED.with_borrow(|stopped| stopped.attach.is_some()) {
        tas_ll::fork::in_parent();
        STOPPED.take();
    }
}

/// This is the child, and its only thread.
fn in_child() {
    let mut stopped = STOPPED.take();
    let Some(attach) = &mut stopped.attach else {
        return;
    };
    let joined = tas_ll::fork::in_child();
    **attach = joined;
    create::own_tables();
    table::unprotect_all();
    wait::after_fork();
    engine::protect();
    hold::after_fork();
    if let Some(epolls) = &mut stopped.epolls {
        epolls.inherit();
    }
    for (id, home) in engine::all_homes().zip(&mut stopped.homes) {
        engine::forget(id, home);
    }
    for socket in SOCKETS.all() {
        if let Some(home) = stopped.homes.get_mut(socket.home().0 as usize) {
            inherit(socket, home, joined);
        }
    }
    drop(stopped);
    engine::forget_threads();
    if joined {
        ask_for_openings();
    }
}

/// What becomes of connections that are being opened.
fn ask_for_openings() {
    for socket in SOCKETS.all() {
        if socket.names.load(Ordering::Relaxed) > 0
            && let Some(mut locked) = socket.lock_any()
            && locked.state().phase == Phase::Connecting
            && !is_asked(&mut locked)
        {
            dispatch::lose(socket, locked.state());
        }
    }
}

fn is_asked(locked: &mut Locked) -> bool {
    let conn = locked.socket().conn();
    let ctx = locked.with_context();
    ctx.is_ok_and(|(_, ctx)| calls::adopt(ctx, conn).is_ok())
}

/// What becomes of a socket in the child.
fn inherit(socket: &'static Socket, home: &mut HomeGuard, joined: bool) {
    let named = socket.names.load(Ordering::Relaxed) > 0;
    let (_, token) = home.parts();
    let state = socket.state(token);
    state.waiters.clear();
    state.lost = false;
    match state.phase {
        // Its parent waits for the service's last word, or will accept it.
        Phase::Closing => socket.give_up(state),
        Phase::Connected if !named => socket.give_up(state),
        Phase::Connected | Phase::Connecting if !joined => {
            state.error = Some(Errno::CONNRESET);
            state.phase = Phase::Over;
        }
        Phase::Listening => {
            state.listening.ready.clear();
            state.listening.asked = 0;
            state.listening.knocks = 0;
            state.listening.watched = false;
        }
        // The service's last word goes to the parent.
        Phase::Over => state.last_word_due = false,
        Phase::Fresh | Phase::Connecting | Phase::Connected => {}
    }
}

/// The time in which no other process works on a connection that several hold:
/// what one sends and receives is not lost to another's doing the same. Ends
/// before the lock of the socket's home is given up.
#[must_use]
pub struct Turn {
    socket: &'static Socket,
    context: u16,
}

impl Turn {
    /// Begins, if no other process is at work. The lock of the socket's home is
    /// held, whose context this is.
    pub(crate) fn begin(socket: &'static Socket, context: u16) -> Option<Turn> {
        let begun = socket.conn().with(|c| tas_ll::begin_turn(c, context));
        begun.then_some(Turn { socket, context })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let context = self.context;
        self.socket.conn().with(|c| tas_ll::end_turn(c, context));
    }
}

/// Makes this process the one that uses the socket's connection, if another
/// was. Takes a round trip to the service the first time, and little then. If
/// others hold the connection, they do nothing with it until the turn is over.
///
/// # Errors
/// `ECONNRESET` when the connection is gone.
#[inline]
pub fn claim(locked: &mut Locked) -> Result<Option<Turn>> {
    if locked.state().shared {
        claim_shared(locked)
    } else {
        Ok(None)
    }
}

/// As [`claim`], for a call that may wait. Of two processes that wait both, each
/// leaves the other its time.
///
/// # Errors
/// As [`claim`].
#[inline]
pub fn claim_or_wait(locked: &mut Locked) -> Result<Claimed> {
    if locked.state().lost && is_left_to_another(locked) {
        return Ok(Claimed::Later);
    }
    claim(locked).map(Claimed::Now)
}

#[cold]
fn is_left_to_another(locked: &mut Locked) -> bool {
    let parked = locked.socket().conn().with(|c| status(c)) == Some(Status::Parked);
    parked && !locked.state().waiters.is_empty()
}

/// How a claim went.
pub enum Claimed {
    /// This process is the user.
    Now(Option<Turn>),
    /// It will be.
    Later,
}

#[cold]
fn claim_shared(locked: &mut Locked) -> Result<Option<Turn>> {
    let turn = take_turn(locked)?;
    let socket = locked.socket();
    let used = socket
        .conn()
        .with(|c| matches!(status(c), Some(Status::Open)));
    if turn.is_some() && !used {
        claim_parked(locked)?;
    }
    Ok(turn)
}

/// Waits until no other process works on the connection, if others hold it, and
/// has this one know of what they have done. `None` if it is over.
///
/// # Errors
/// `ECONNRESET` when the service is gone.
pub fn take_turn(locked: &mut Locked) -> Result<Option<Turn>> {
    let socket = locked.socket();
    if !locked.state().shared || locked.state().phase != Phase::Connected {
        return Ok(None);
    }
    let (_, ctx) = locked.with_context()?;
    let context = ctx.db_id;
    let end = Instant::now() + CLAIM_TIME;
    let mut looks = 0u32;
    let turn = loop {
        if let Some(turn) = Turn::begin(socket, context) {
            break turn;
        }
        service::check_alive().map_err(engine::errno)?;
        if Instant::now() >= end {
            // A process that was stopped in the middle of a call.
            socket.conn().with(|c| tas_ll::take_turn(c, context));
        }
        looks = looks.saturating_add(1);
        if looks < SHORT_LOOKS {
            std::thread::yield_now();
        } else {
            sys::pause(LOOK_PAUSE);
        }
    };
    locked.home().take_events();
    Ok(Some(turn).filter(|_| locked.state().phase == Phase::Connected))
}

fn claim_parked(locked: &mut Locked) -> Result<()> {
    let socket = locked.socket();
    let end = Instant::now() + CLAIM_TIME;
    loop {
        let at = socket.conn().with(|c| status(c));
        if locked.state().phase != Phase::Connected {
            return Ok(());
        }
        match at {
            Some(Status::Parked) => {
                let (_, ctx) = locked.with_context()?;
                match calls::adopt(ctx, socket.conn()) {
                    Ok(()) => {}
                    Err(error) if error.errno() == libc::EAGAIN => {}
                    Err(error) => return Err(engine::errno(error)),
                }
            }
            Some(Status::Adopting) => {}
            _ => {
                locked.state().lost = false;
                ready::update(socket, locked.state(), IN | OUT);
                return Ok(());
            }
        }
        if Instant::now() >= end {
            return Err(Errno::CONNRESET);
        }
        locked.home().take_events();
        std::thread::yield_now();
    }
}

/// This process wants connections of the listener: from now on the service
/// tells it of them. One that only inherits or has opened a listener for others
/// gets none.
///
/// # Errors
/// Those of attaching to the service.
pub fn want_connections(locked: &mut Locked) -> Result<()> {
    let socket = locked.socket();
    let listening = &locked.state().listening;
    if listening.watched || listening.opened != Some(0) {
        return Ok(());
    }
    let (state, ctx) = locked.with_context()?;
    calls::listen_watch(ctx, socket.listener(), true).map_err(engine::errno)?;
    state.listening.watched = true;
    Ok(())
}

#[cfg(test)]
#[path = "fork_tests.rs"]
mod tests;
