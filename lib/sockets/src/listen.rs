//! Binding and listening.

use std::ffi::c_int;

use rustix::io::Errno;
use tas_ll::calls::{self, ListenAt};

use crate::close::{self, Direction};
use crate::engine::{self, Locked};
use crate::epoll::{self, control};
use crate::operation::{self, Try};
use crate::ready::{self, IN, OUT};
use crate::socket::{Listening, Phase, Socket};
use crate::wait::{OnSignal, Until};
use crate::{Result, names, sys};

/// Whether the service has yet to answer that the socket listens no more.
pub(crate) fn is_ending(socket: &'static Socket) -> bool {
    socket.listener().with(|l| l.status) == calls::LISTEN_CLOSING
}

/// Listens, as listen(2). A socket that is bound to all addresses also listens
/// in the kernel, for those who come by loopback or another interface.
///
/// # Errors
/// As listen(2), and those of attaching to the service.
pub fn listen(fd: c_int, backlog: c_int) -> Result<()> {
    // After a shutdown.
    operation::run(
        fd,
        |_| Until::Forever,
        OnSignal::Restart,
        |locked| {
            Ok(match is_ending(locked.socket()) {
                true => Try::Wait,
                false => Try::Done(()),
            })
        },
    )?;
    let mut locked = operation::lock(fd)?;
    match locked.state().phase {
        Phase::Fresh | Phase::Listening => {}
        _ => return Err(Errno::INVAL),
    }
    // Judges the port, and takes one if there is none.
    sys::listen(fd, backlog)?;
    let bound = names::bound(fd)?.ok_or(Errno::INVAL)?;
    let socket = locked.socket();
    let again = locked.state().phase == Phase::Listening;
    let reuseport = sys::reuses_port(fd);
    // Accepting from the kernel must not wait: it is one of two places to look at.
    sys::set_nonblocking(fd, true)?;
    let (state, ctx) = locked.with_context()?;
    let at = ListenAt {
        ip: bound.ip().to_bits(),
        port: bound.port(),
        // Linux takes a negative backlog for the longest.
        backlog: u32::try_from(backlog).unwrap_or(u32::MAX),
        reuseport,
        buffers: state.options.buffers(),
    };
    calls::listen_open_at(ctx, socket.listener(), &at).map_err(engine::errno)?;
    if !again {
        state.listening = Listening::default();
    }
    state.listening.at = at;
    state.listening.in_kernel = bound.ip().is_unspecified();
    state.listening.opened = None;
    state.phase = Phase::Listening;
    ready::update(socket, state, 0);
    drop(locked);
    let answered = |locked: &mut Locked| {
        Ok(match locked.state().listening.opened {
            Some(status) => Try::Done(status),
            None => Try::Wait,
        })
    };
    let status = operation::run(fd, |_| Until::Forever, OnSignal::Restart, answered)?;
    let mut locked = operation::lock(fd)?;
    if status == 0 {
        if !locked.state().items.is_empty() {
            control::engage(&mut locked);
            epoll::listens(locked.state());
        }
        return Ok(());
    }
    let state = locked.state();
    state.phase = Phase::Fresh;
    ready::update(socket, state, 0);
    Err(Errno::from_raw_os_error(i32::from(status).saturating_neg()))
}

/// Connections of a listener get buffers of other lengths from now on.
pub(crate) fn change_buffers(locked: &mut Locked) {
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    state.listening.at.buffers = state.options.buffers();
    if let Some(ctx) = ctx {
        // Without the change they stay as they were. The answer says nothing new.
        let _ = calls::listen_open_at(ctx, socket.listener(), &state.listening.at);
    }
}

/// shutdown(2) on a listener: it listens no more, and who waits in accept gets
/// EINVAL.
pub(crate) fn shutdown(fd: c_int, mut locked: Locked, direction: Direction) -> Result<()> {
    if direction == Direction::Write {
        return Ok(());
    }
    let socket = locked.socket();
    close::end_listener(&mut locked);
    sys::stop_listening(fd);
    let state = locked.state();
    ready::update(socket, state, IN | OUT);
    for waiter in &state.waiters {
        waiter.tell();
    }
    Ok(())
}
