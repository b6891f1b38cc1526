//! Closing and half-closing.

use std::ffi::c_int;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use tas_ll::calls::{self, CloseHow};
use tas_ll::conn;

use crate::engine::{self, Home, Locked};
use crate::operation::{self, Try};
use crate::options::Linger;
use crate::ready::{self, IN, OUT, RDHUP};
use crate::socket::{Phase, SOCKETS, Socket, State};
use crate::table::{self, Object};
use crate::wait::{OnSignal, Until};
use crate::{Result, create, epoll, fork, listen, send, sys};

/// Which directions shutdown(2) closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// SHUT_RD.
    Read,
    /// SHUT_WR.
    Write,
    /// SHUT_RDWR.
    Both,
}

/// Closes a descriptor of ours, as close(2). The kernel's descriptor is closed too.
///
/// # Errors
/// `EBADF` when it is not ours.
pub fn close(fd: c_int) -> Result<()> {
    if !create::owns_tables() {
        return if table::get(fd).is_some() {
            sys::close(fd);
            Ok(())
        } else {
            Err(Errno::BADF)
        };
    }
    linger(fd);
    let object = table::clear(fd).ok_or(Errno::BADF)?;
    unname(object);
    sys::close(fd);
    Ok(())
}

/// SO_LINGER: the last close waits until what was sent has arrived.
fn linger(fd: c_int) {
    let Ok(mut locked) = operation::lock(fd) else {
        return;
    };
    let last = locked.socket().names.load(Ordering::Acquire) == 1;
    let state = locked.state();
    let Linger::For(time) = state.options.linger else {
        return;
    };
    if !last || time.is_zero() || state.phase != Phase::Connected {
        return;
    }
    if finish_sending(&mut locked).is_err() {
        return;
    }
    drop(locked);
    // Whether in time or not, the close goes on (socket(7)).
    let _ = operation::run(
        fd,
        |_| Until::after(Some(time)),
        OnSignal::Interrupt,
        |locked| {
            let acked = locked
                .socket()
                .conn()
                .with(|c| conn::has(c, conn::TX_EOS_ACKED));
            let over = locked.state().phase != Phase::Connected;
            Ok(if acked || over {
                Try::Done(())
            } else {
                Try::Wait
            })
        },
    );
}

/// One name less for an object; after the last it goes.
pub fn unname(object: Object) {
    match object {
        Object::Socket(socket) => {
            if socket.names.fetch_sub(1, Ordering::AcqRel) == 1
                && let Some(locked) = socket.lock_any()
            {
                finish(locked);
            }
        }
        Object::Epoll(epoll) => epoll::unname(epoll),
    }
}

/// Forgets a socket of which nothing was asked yet: its descriptor is the
/// kernel's from now on.
///
/// # Errors
/// `EBADF` when the descriptor is not ours, `EISCONN` when the socket is decided.
pub fn release(fd: c_int) -> Result<()> {
    let mut locked = operation::lock(fd)?;
    let socket = locked.socket();
    if locked.state().phase != Phase::Fresh {
        return Err(Errno::ISCONN);
    }
    if socket.nonblocking() {
        sys::set_nonblocking(fd, true)?;
    }
    epoll::release(locked.state());
    // Hardly any has more than one by now; to find those takes a look at all descriptors.
    let only = socket.names.load(Ordering::Acquire) == 1;
    drop(locked);
    if only {
        forget_name(fd, socket);
    } else {
        for other in table::all().collect::<Vec<_>>() {
            forget_name(other, socket);
        }
    }
    Ok(())
}

/// The descriptor is the kernel's from now on, if it names the socket.
fn forget_name(fd: c_int, socket: &'static Socket) {
    if table::names(fd, socket)
        && let Some(object) = table::clear(fd)
    {
        unname(object);
    }
}

/// The last name is gone.
fn finish(mut locked: Locked) {
    // What has arrived and was not read decides how it ends.
    locked.home().poll();
    let socket = locked.socket();
    epoll::forget(locked.state());
    for waiter in &locked.state().waiters {
        waiter.tell();
    }
    let state = locked.state();
    match state.phase {
        Phase::Fresh if listen::is_ending(socket) => {
            // Shut down before; its memory is ours once the service has answered.
            locked.state().phase = Phase::Closing;
        }
        Phase::Over if state.last_word_due => state.phase = Phase::Closing,
        Phase::Fresh | Phase::Over => {
            socket.give_up(locked.state());
        }
        Phase::Closing => {}
        Phase::Listening => finish_listener(&mut locked),
        Phase::Connecting | Phase::Connected => end_connection(&mut locked),
    }
}

/// Lets go of a connection.
fn end_connection(locked: &mut Locked) {
    // What it has posted must not come after another process has begun to use the connection.
    // Without a context it has posted nothing.
    let turn = match locked.parts() {
        (_, Some(_)) => fork::take_turn(locked).ok().flatten(),
        (_, None) => None,
    };
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    // What another process has left unread, the service knows.
    let unread = socket
        .conn()
        .with(|c| conn::is_open(c) && ready::unread(state, c) > 0);
    // Linux does the same (RFC 2525 §2.17).
    let reset = unread || state.options.linger == Linger::For(Duration::ZERO);
    let how = if reset {
        CloseHow::Reset
    } else {
        if let Some(ctx) = ctx {
            // What was held back is sent, or was refused already.
            let _ = send::push_held(state, ctx, socket.conn());
        }
        CloseHow::Graceful
    };
    drop(turn);
    let_go(locked.home(), socket, how);
}

/// Has the service close the connection of a socket that nobody names. Its
/// memory is ours until the service has answered.
fn let_go(home: &mut Home, socket: &'static Socket, how: CloseHow) {
    loop {
        let (ctx, token) = home.parts();
        let state = socket.state(token);
        let closed = ctx.map(|ctx| calls::close_how(ctx, socket.conn(), how));
        match closed {
            Some(Ok(())) => {
                state.phase = Phase::Closing;
                return;
            }
            Some(Err(error)) if error.errno() == libc::EAGAIN => {
                // A queue is full; taking the service's answers makes room.
                home.poll();
                std::thread::yield_now();
            }
            _ if state.last_word_due => {
                // It ended meanwhile.
                state.phase = Phase::Closing;
                return;
            }
            _ => {
                socket.give_up(state);
                return;
            }
        }
    }
}

/// Closes a listener: the connections that wait for accept end, as do the
/// requests for more.
fn finish_listener(locked: &mut Locked) {
    let socket = locked.socket();
    end_listener(locked);
    socket.give_up(locked.state());
}

/// Ends a listener and the connections that wait for accept. When this returns
/// the port is free, and the program need not call again.
pub fn end_listener(locked: &mut Locked) {
    let socket = locked.socket();
    // Connections that were asked for come here, or are refused; no more are.
    locked.state().listening.watched = false;
    operation::settle(locked, |locked| locked.state().listening.asked > 0);
    close_waiting(locked);
    let (state, ctx) = locked.parts();
    state.phase = Phase::Fresh;
    if state.listening.opened == Some(0)
        && let Some(ctx) = ctx
        && calls::listen_close(ctx, socket.listener()).is_ok()
    {
        operation::settle(locked, |_| listen::is_ending(socket));
    }
}

/// Ends the connections that nobody has accepted.
fn close_waiting(locked: &mut Locked) {
    while let Some(number) = locked.state().listening.ready.pop_front() {
        if let Some(socket) = SOCKETS.get(number) {
            let_go(locked.home(), socket, CloseHow::Reset);
        }
    }
}

/// Ends the stream to the peer.
fn finish_sending(locked: &mut Locked) -> Result<()> {
    let _turn = fork::claim(locked)?;
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    let ctx = ctx.ok_or(Errno::NOTCONN)?;
    if state.write_shut {
        return Ok(());
    }
    send::push_held(state, ctx, socket.conn())?;
    calls::tx_close(ctx, socket.conn()).map_err(engine::errno)?;
    tas_ll::context::post_all(ctx).map_err(engine::errno)?;
    state.write_shut = true;
    Ok(())
}

/// Whether both ends have closed and know it of each other: there is no
/// connection any more (RFC 9293 §3.3.2, after LAST-ACK or in TIME-WAIT).
pub fn is_finished(socket: &'static Socket, state: &State) -> bool {
    state.write_shut
        && state.peer_closed
        && socket.conn().with(|c| conn::has(c, conn::TX_EOS_ACKED))
}

/// Closes one direction or both, as shutdown(2).
///
/// # Errors
/// As shutdown(2).
pub fn shutdown(fd: c_int, direction: Direction) -> Result<()> {
    let mut locked = operation::lock(fd)?;
    locked.home().poll();
    let socket = locked.socket();
    let state = locked.state();
    match state.phase {
        Phase::Connected if is_finished(socket, state) => return Err(Errno::NOTCONN),
        Phase::Connected => {}
        Phase::Listening => return listen::shutdown(fd, locked, direction),
        Phase::Connecting => return crate::connect::abandon(locked),
        _ => return Err(Errno::NOTCONN),
    }
    if direction != Direction::Read {
        finish_sending(&mut locked)?;
    }
    let state = locked.state();
    if direction != Direction::Write {
        state.read_shut = true;
    }
    ready::update(socket, state, IN | OUT | RDHUP);
    for waiter in &state.waiters {
        waiter.tell();
    }
    Ok(())
}
