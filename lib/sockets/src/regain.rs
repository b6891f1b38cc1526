//! Connections that another process has begun to use while somebody in this one
//! waits for them. The service tells only the user what comes: so this process
//! becomes the user again, but not at once, or two that wait would do nothing
//! else.

use std::time::{Duration, Instant};

use tas_ll::conn::{Status, status};
use tas_ll::{calls, service};

use crate::engine::Home;
use crate::fork::Turn;
use crate::ready;
use crate::socket::{Phase, SOCKETS, Socket, State};

/// How long the other one has it.
pub const PAUSE: Duration = Duration::from_millis(10);

/// Those that are at home in a context.
#[derive(Default)]
pub struct Lost {
    numbers: Vec<u32>,
    /// When they are looked at next.
    next: Option<Instant>,
}

impl Lost {
    /// There are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// Another process uses the connection from now on.
pub fn taken_away(home: &mut Home, socket: &'static Socket) {
    let (_, token) = home.parts();
    let state = socket.state(token);
    ready::update(socket, state, 0);
    if is_awaited(state) && !state.lost {
        state.lost = true;
        let next = Instant::now().checked_add(PAUSE);
        home.lost.next = home.lost.next.or(next);
        home.lost.numbers.push(socket.number());
        home.tell_of_lost();
    }
}

/// Somebody in this process waits for the socket.
fn is_awaited(state: &State) -> bool {
    state.phase == Phase::Connected && !(state.waiters.is_empty() && state.items.is_empty())
}

/// Asks for those that were taken long enough ago.
#[cold]
pub fn win_back(home: &mut Home) {
    if home.lost.next.is_some_and(|next| Instant::now() < next) {
        return;
    }
    let numbers = std::mem::take(&mut home.lost.numbers);
    for number in numbers {
        if let Some(socket) = SOCKETS.get(number)
            && socket.home() == home.id()
            && !ask(home, socket)
        {
            home.lost.numbers.push(number);
        }
    }
    home.lost.next = match home.lost.is_empty() {
        true => None,
        false => Instant::now().checked_add(PAUSE),
    };
    home.tell_of_lost();
}

/// Asks for a connection, if it is still wanted and another process's. False
/// when that is not possible now.
fn ask(home: &mut Home, socket: &'static Socket) -> bool {
    let (ctx, token) = home.parts();
    let state = socket.state(token);
    let conn = socket.conn();
    let parked = conn.with(|c| status(c)) == Some(Status::Parked);
    let Some(ctx) = ctx.filter(|_| parked && is_awaited(state)) else {
        state.lost = false;
        return true;
    };
    let Some(_turn) = Turn::begin(socket, ctx.db_id) else {
        return false;
    };
    if calls::adopt(ctx, conn).is_err() {
        return false;
    }
    // Its round trip belongs to the turn: nobody may ever poll again.
    while conn.with(|c| status(c)) == Some(Status::Adopting) && service::check_alive().is_ok() {
        home.take_events();
        std::thread::yield_now();
    }
    let (_, token) = home.parts();
    let state = socket.state(token);
    state.lost = conn.with(|c| status(c)) == Some(Status::Parked);
    !state.lost
}
