//! Connections that go to the context of the thread that waits for them.
//!
//! A server's connections are at home where its listener is. If other threads
//! serve them, each thread would wait on that one context, and all would wake
//! for every event. So a connection follows the first thread that waits for it
//! alone.

use rustix::io::Errno;
use tas_ll::conn::{Status, status};
use tas_ll::{calls, service};

use crate::Result;
use crate::engine::{self, HomeId, Locked};
use crate::socket::{Phase, Socket};

/// Times that a connection follows: threads that take turns share a context
/// better than they would pass it.
const MOVES_MAX: u8 = 4;

/// Brings a connection to the calling thread's context, if only this thread is
/// concerned with it. The lock is given up and taken again.
pub fn follow(mut locked: Locked) -> Option<Locked> {
    let socket = locked.socket();
    let (from, to) = (socket.home(), engine::of_thread());
    if from == to || !is_alone(&mut locked) {
        return Some(locked);
    }
    drop(locked);
    let moved = move_to(socket, from, to);
    let mut locked = socket.lock_any()?;
    if moved {
        locked.state().moves += 1;
    }
    Some(locked)
}

/// Brings a connection to the calling thread's context, because the program
/// says that this thread uses it from now on. One for which others wait stays
/// where they do; it can be used all the same.
///
/// # Errors
/// `EBADF` when the socket cannot be used.
pub fn bring(socket: &'static Socket) -> Result<()> {
    let mut locked = socket.lock_any().ok_or(Errno::BADF)?;
    let (from, to) = (socket.home(), engine::of_thread());
    if from != to && can_move(&mut locked) {
        drop(locked);
        move_to(socket, from, to);
    }
    Ok(())
}

/// Nobody else waits for the connection, which has not followed too many.
fn is_alone(locked: &mut Locked) -> bool {
    locked.state().moves < MOVES_MAX && can_move(locked)
}

/// Nobody waits for the connection, and it is in use.
fn can_move(locked: &mut Locked) -> bool {
    let socket = locked.socket();
    let open = socket
        .conn()
        .with(|c| status(c) == Some(Status::Open) && c.txb_allocated == 0);
    let state = locked.state();
    open && state.phase == Phase::Connected && state.waiters.is_empty() && state.items.is_empty()
}

/// With both contexts locked: asks for the move, and takes what both are told
/// until it is done. Nobody sees the connection between two homes. Returns
/// whether it has begun.
fn move_to(socket: &'static Socket, from: HomeId, to: HomeId) -> bool {
    // In the order of all locks.
    let (first, second) = (from.min(to), from.max(to));
    let (Some(first), Some(second)) = (engine::lock(first), engine::lock(second)) else {
        return false;
    };
    let (mut old, mut new) = if from < to {
        (first, second)
    } else {
        (second, first)
    };
    if socket.home() != from || new.context(to).is_err() {
        return false;
    }
    let (Some(ctx), _) = new.parts() else {
        return false;
    };
    let (_, token) = old.parts();
    let state = socket.state(token);
    if state.phase != Phase::Connected || calls::move_to(ctx, socket.conn()).is_err() {
        return false;
    }
    // The event of the move, when it comes, makes the new context the home.
    while socket.conn().with(|c| status(c)) == Some(Status::Moving) {
        // First the old one: what it was told comes before the move.
        let any = old.poll() | new.poll();
        if any {
            continue;
        }
        if service::check_alive().is_err() {
            break;
        }
        // The service may be waiting for this very CPU.
        std::thread::yield_now();
    }
    true
}
