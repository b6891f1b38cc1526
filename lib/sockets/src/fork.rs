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
use tas_ll::calls;
use tas_ll::conn::{Status, status};

use crate::engine::{self, HomeGuard, Locked};
use crate::epoll;
use crate::ready::{self, IN, OUT};
use crate::socket::{Phase, SOCKETS, Socket};
use crate::{Result, create, hold, table, wait};

/// A connection that the service does not give within this time is lost.
const CLAIM_TIME: Duration = Duration::from_secs(10);

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
    stopped.epolls = Some(epoll::lock_all());
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
                    // What the parent has read is not to be read again by the child.
                    calls::post(ctx, socket.conn());
                    let _ = tas_ll::context::post_all(ctx);
                }
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
}

/// What becomes of a socket in the child.
fn inherit(socket: &'static Socket, home: &mut HomeGuard, joined: bool) {
    let named = socket.names.load(Ordering::Relaxed) > 0;
    let (_, token) = home.parts();
    let state = socket.state(token);
    state.waiters.clear();
    match state.phase {
        // Its parent waits for the service's last word, or will accept it.
        Phase::Closing => socket.give_up(state),
        Phase::Connected if !named => socket.give_up(state),
        Phase::Connected if !joined => {
            state.error = Some(Errno::CONNRESET);
            state.phase = Phase::Over;
        }
        // The answer goes to the parent.
        Phase::Connecting => {
            state.error = Some(Errno::CONNABORTED);
            state.phase = Phase::Over;
        }
        Phase::Listening => {
            state.listening.ready.clear();
            state.listening.asked = 0;
            state.listening.knocks = 0;
            state.listening.watched = false;
        }
        Phase::Fresh | Phase::Connected | Phase::Over => {}
    }
}

/// Makes this process the one that uses the socket's connection, if another
/// was. Takes a round trip to the service the first time, and nothing then.
///
/// # Errors
/// `ECONNRESET` when the connection is gone.
#[inline]
pub fn claim(locked: &mut Locked) -> Result<()> {
    if locked.state().shared {
        locked.home().poll();
    }
    let parked = locked
        .socket()
        .conn()
        .with(|c| !matches!(status(c), Some(Status::Open)));
    if parked && locked.state().phase == Phase::Connected {
        return claim_parked(locked);
    }
    Ok(())
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
                ready::update(socket, locked.state(), IN | OUT);
                return Ok(());
            }
        }
        if Instant::now() >= end {
            return Err(Errno::CONNRESET);
        }
        locked.home().poll();
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
