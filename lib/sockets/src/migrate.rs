//! Connections that go to the context of the thread that waits for them.
//!
//! A server's connections are at home where its listener is. If other threads
//! serve them, each thread would wait on that one context, and all would wake
//! for every event. So a connection follows the first thread that waits for it
//! alone.

use tas_ll::conn::{Status, status};
use tas_ll::{calls, service};

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
    move_to(socket, from, to);
    socket.lock_any()
}

/// Nobody else waits for the connection.
fn is_alone(locked: &mut Locked) -> bool {
    let socket = locked.socket();
    let open = socket
        .conn()
        .with(|c| status(c) == Some(Status::Open) && c.txb_allocated == 0);
    let state = locked.state();
    open && state.phase == Phase::Connected
        && state.waiters.is_empty()
        && state.items.is_empty()
        && state.moves < MOVES_MAX
}

/// With both contexts locked: asks for the move, and takes what both are told
/// until it is done. Nobody sees the connection between two homes.
fn move_to(socket: &'static Socket, from: HomeId, to: HomeId) {
    // In the order of all locks.
    let (first, second) = (from.min(to), from.max(to));
    let (Some(first), Some(second)) = (engine::lock(first), engine::lock(second)) else {
        return;
    };
    let (mut old, mut new) = if from < to {
        (first, second)
    } else {
        (second, first)
    };
    if socket.home() != from || new.context(to).is_err() {
        return;
    }
    let (Some(ctx), _) = new.parts() else { return };
    let (_, token) = old.parts();
    let state = socket.state(token);
    if state.phase != Phase::Connected || calls::move_to(ctx, socket.conn()).is_err() {
        return;
    }
    state.moves += 1;
    // The event of the move, when it comes, makes the new context the home.
    while socket.conn().with(|c| status(c)) == Some(Status::Moving) {
        // First the old one: what it was told comes before the move.
        let any = old.poll() | new.poll();
        if any {
            continue;
        }
        if service::check_alive().is_err() {
            return;
        }
        // The service may be waiting for this very CPU.
        std::thread::yield_now();
    }
}
