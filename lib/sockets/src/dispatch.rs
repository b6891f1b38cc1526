//! What the service tells becomes what sockets are ready for.

use rustix::io::Errno;
use tas_abi::ll::FlextcpContext;
use tas_ll::calls::{self, CloseHow};
use tas_ll::conn::{RESET, Status, has, ring_add, status as status_of};
use tas_ll::{ConnRef, Event, ListenerRef};

use crate::engine::Home;
use crate::ffi::cell::Token;
use crate::ffi::user::copy_out;
use crate::options::{self, Info};
use crate::ready::{self, IN, OUT, RDHUP};
use crate::regain;
use crate::socket::{Phase, SOCKETS, Socket, State};

/// Connections of a listener for which nobody has called accept, beyond which
/// no more are asked of the service, which keeps up to the backlog.
const READY_MAX: usize = 128;

/// Deals with an event of the context.
pub fn event(home: &mut Home, event: Event) {
    match event {
        Event::Received(conn, _, _) => data(home, conn, IN),
        Event::Sendbuf(conn) => data(home, conn, OUT),
        Event::RxClosed(conn) => peer_closed(home, conn),
        Event::TxClosed(conn) => data(home, conn, 0),
        Event::ConnOpen(conn, status) => opened(home, conn, status),
        Event::ListenAccept(conn, status) => accepted(home, conn, status),
        Event::Closed(conn, status) => closed(home, conn, status),
        Event::ListenOpen(listener, status) => listening(home, listener, status),
        Event::ListenNewconn(listener, _, _) => knock(home, listener),
        Event::ListenClosed(listener, _) => unlistened(home, listener),
        // Whoever asked looks at the connection itself.
        Event::Adopted(conn, status) => adopted(home, conn, status),
        Event::TakenAway(conn) => regain::taken_away(home, Socket::of_conn(conn)),
        Event::Moved(conn, status) => moved(home, conn, status),
    }
}

fn data(home: &mut Home, conn: ConnRef, news: u32) {
    let socket = Socket::of_conn(conn);
    let (_, token) = home.parts();
    let state = socket.state(token);
    if state.phase == Phase::Connected {
        if news == IN {
            // Most answer what they receive, and the core has had this line last.
            let next = conn.with(|c| c.txb_base.wrapping_add(c.txb_head as usize));
            tas_shm::prefetch_write(next);
        }
        ready::update(socket, state, news);
    }
}

/// The answer to a move. Whoever asked holds the locks of both contexts, and
/// keeps them until this.
fn moved(home: &mut Home, conn: ConnRef, status: i16) {
    if status == 0 {
        Socket::of_conn(conn).set_home(home.id());
        data(home, conn, IN | OUT);
    }
}

/// The service's answer to how a connection is doing.
pub fn info(home: &mut Home, conn: ConnRef, info: Info) {
    let (_, token) = home.parts();
    let state = Socket::of_conn(conn).state(token);
    state.info = Some(info);
    for waiter in &state.waiters {
        waiter.tell();
    }
}

/// The peer's FIN, or its RST: then what has arrived must be rescued before the
/// buffer goes with the connection.
fn peer_closed(home: &mut Home, conn: ConnRef) {
    let socket = Socket::of_conn(conn);
    let (_, token) = home.parts();
    let state = socket.state(token);
    if state.phase != Phase::Connected {
        return;
    }
    if conn.with(|c| has(c, RESET)) {
        over(socket, state, Errno::CONNRESET);
        state.last_word_due = true;
    } else {
        state.peer_closed = true;
        ready::update(socket, state, IN | RDHUP);
    }
}

/// The connection has ended by an error.
fn over(socket: &'static Socket, state: &mut State, error: Errno) {
    let bytes = socket.conn().with(|c| {
        let start = ring_add(c.rxb_head, c.rxb_len.saturating_sub(c.rxb_used), c.rxb_len);
        copy_out(c, start, c.rxb_used)
    });
    state.rescued = (bytes, 0);
    // The peer had sent everything and then refused the rest (RFC 9293 §3.10.7.4).
    let broken = state.peer_closed && error == Errno::CONNRESET;
    state.error = Some(if broken { Errno::PIPE } else { error });
    state.phase = Phase::Over;
    ready::update(socket, state, IN | OUT | RDHUP);
}

/// The service has gone with the connection.
pub fn lose(socket: &'static Socket, state: &mut State) {
    if matches!(state.phase, Phase::Connected | Phase::Connecting) {
        over(socket, state, Errno::CONNRESET);
    }
}

/// The answer to connect.
fn opened(home: &mut Home, conn: ConnRef, status: i16) {
    let socket = Socket::of_conn(conn);
    let (ctx, token) = home.parts();
    let state = socket.state(token);
    if state.phase != Phase::Connecting {
        return;
    }
    if status == 0 {
        state.phase = Phase::Connected;
        // Otherwise by the process that has opened it.
        let used = conn.with(|c| status_of(c)) == Some(Status::Open);
        if let Some(ctx) = ctx.filter(|_| used) {
            options::hand_over(ctx, conn, state);
        }
    } else {
        state.error = Some(Errno::from_raw_os_error(i32::from(status).saturating_neg()));
        state.phase = Phase::Over;
    }
    ready::update(socket, state, OUT);
}

/// The answer to an accept request: the connection waits for its program.
fn accepted(home: &mut Home, conn: ConnRef, status: i16) {
    let socket = Socket::of_conn(conn);
    let (mut ctx, token) = home.parts();
    let state = socket.state(token);
    let listener = state.listener.and_then(|number| SOCKETS.get(number));
    if state.phase == Phase::Closing {
        return;
    }
    if status == 0 {
        state.phase = Phase::Connected;
        if let Some(ctx) = &mut ctx {
            options::hand_over(ctx, conn, state);
        }
        let bits = conn.with(|c| ready::compute(state, c));
        socket.set_ready(bits);
    }
    let waiting = listener
        .filter(|listener| listener.home() == socket.home())
        .map(|listener| (listener, listener.state(token)));
    let wanted = match waiting {
        Some((listener, waiting)) if waiting.phase == Phase::Listening => {
            waiting.listening.asked = waiting.listening.asked.saturating_sub(1);
            if status == 0 {
                waiting.listening.ready.push_back(socket.number());
            } else {
                // Other processes have taken all that waited.
                waiting.listening.knocks = 0;
            }
            ready::update(listener, waiting, IN);
            status == 0
        }
        _ => false,
    };
    let state = socket.state(token);
    if status != 0 {
        socket.give_up(state);
    } else if !wanted {
        let reset = ctx.is_some_and(|ctx| calls::close_how(ctx, conn, CloseHow::Reset).is_ok());
        if reset {
            state.phase = Phase::Closing;
        } else {
            socket.give_up(state);
        }
    }
}

/// The last word on a connection.
fn closed(home: &mut Home, conn: ConnRef, status: i16) {
    let socket = Socket::of_conn(conn);
    let (_, token) = home.parts();
    let state = socket.state(token);
    match state.phase {
        // Nobody names the socket any more.
        Phase::Closing => {
            socket.give_up(state);
        }
        Phase::Connected => {
            over(
                socket,
                state,
                Errno::from_raw_os_error(i32::from(status).saturating_neg()),
            );
        }
        Phase::Over => {
            state.last_word_due = false;
            for waiter in &state.waiters {
                waiter.tell();
            }
        }
        _ => {}
    }
}

fn listening(home: &mut Home, listener: ListenerRef, status: i16) {
    let socket = Socket::of_listener(listener);
    let (_, token) = home.parts();
    let state = socket.state(token);
    if state.phase == Phase::Listening {
        state.listening.opened = Some(status);
        for waiter in &state.waiters {
            waiter.tell();
        }
    }
}

/// The answer to a claim.
fn adopted(home: &mut Home, conn: ConnRef, status: i16) {
    let socket = Socket::of_conn(conn);
    let (_, token) = home.parts();
    let state = socket.state(token);
    // Another process was faster: asked again.
    if status == 0 || i32::from(status) == -libc::EAGAIN || state.phase != Phase::Connected {
        return;
    }
    state.error = Some(Errno::CONNRESET);
    state.phase = Phase::Over;
    ready::update(socket, state, IN | OUT | RDHUP);
}

/// The last word on a listener.
fn unlistened(home: &mut Home, listener: ListenerRef) {
    let socket = Socket::of_listener(listener);
    let (_, token) = home.parts();
    let state = socket.state(token);
    if state.phase == Phase::Closing {
        socket.give_up(state);
        return;
    }
    for waiter in &state.waiters {
        waiter.tell();
    }
}

/// A connection waits at the service: it is asked for at once, so that accept
/// finds it here.
fn knock(home: &mut Home, listener: ListenerRef) {
    let socket = Socket::of_listener(listener);
    let (ctx, token) = home.parts();
    let Some(ctx) = ctx else { return };
    let state = socket.state(token);
    if state.phase == Phase::Listening && state.listening.watched {
        state.listening.knocks += 1;
        if state.listening.shared {
            ready::update(socket, state, IN);
        } else {
            ask(ctx, token, socket, READY_MAX);
        }
    }
}

/// Asks for more of the connections that wait at the service, when one was taken.
pub fn ask_more(ctx: &mut FlextcpContext, token: &mut Token, listener: &'static Socket) {
    if !listener.state(token).listening.shared {
        ask(ctx, token, listener, READY_MAX);
    }
}

/// Asks for connections that wait at the service until `most` are or will be here.
pub fn ask(ctx: &mut FlextcpContext, token: &mut Token, listener: &'static Socket, most: usize) {
    loop {
        let state = listener.state(token);
        let listening = &mut state.listening;
        let here = listening.ready.len() + listening.asked as usize;
        if listening.knocks == 0 || here >= most {
            return;
        }
        let (domain, options) = (state.domain, state.options.inherited());
        let Some(socket) = Socket::prepare(domain, listener.home(), token) else {
            return;
        };
        let state = socket.state(token);
        state.listener = Some(listener.number());
        state.options = options;
        if calls::accept_now(ctx, listener.listener(), socket.conn()).is_err() {
            SOCKETS.give_back(socket.number());
            return;
        }
        let listening = &mut listener.state(token).listening;
        listening.knocks -= 1;
        listening.asked += 1;
    }
}
