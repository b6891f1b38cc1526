//! Connecting.

use std::ffi::c_int;
use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::io::Errno;
use tas_ll::calls::{self, CloseHow, OpenFrom};

use crate::close::Direction;
use crate::engine::{self, Locked};
use crate::operation::{self, Try};
use crate::partial::Patience;
use crate::ready::{self, OUT};
use crate::socket::{Phase, State};
use crate::wait::{OnSignal, Until};
use crate::{Result, control, fork, listen, names};

/// Connects to `to`, as connect(2).
///
/// # Errors
/// As connect(2).
pub fn connect(fd: c_int, to: SocketAddrV4) -> Result<()> {
    if control::nonblocking(fd) == Some(true) {
        return connect_now(fd, to);
    }
    let patience = |locked: &mut Locked| {
        let patience = Patience {
            dont_wait: false,
            timeout: |options| options.send_timeout,
        };
        patience.until(locked)
    };
    let in_time = match begin(fd, to)? {
        Begun::Now => Errno::INPROGRESS,
        Begun::Before => Errno::ALREADY,
    };
    wait(fd, patience, in_time)
}

/// Begins to connect and does not wait.
///
/// # Errors
/// `EINPROGRESS`, also if it is done by the time this returns, as on Linux; and as connect(2).
pub fn connect_now(fd: c_int, to: SocketAddrV4) -> Result<()> {
    match begin(fd, to)? {
        Begun::Now => Err(Errno::INPROGRESS),
        Begun::Before => wait(fd, |_| Until::Now, Errno::ALREADY),
    }
}

/// Waits for the outcome; `in_time` is the error if there is none in time.
fn wait(fd: c_int, until: fn(&mut Locked) -> Until, in_time: Errno) -> Result<()> {
    match operation::run(fd, until, OnSignal::Restart, outcome) {
        Err(Errno::AGAIN) => Err(in_time),
        done => done,
    }
}

/// Who began an attempt.
enum Begun {
    /// This call.
    Now,
    /// An earlier one, whose outcome this one tells.
    Before,
}

/// What became of the attempt.
fn outcome(locked: &mut Locked) -> Result<Try<()>> {
    let socket = locked.socket();
    let state = locked.state();
    match state.phase {
        Phase::Connecting => Ok(Try::Wait),
        Phase::Connected => {
            state.untold = false;
            Ok(Try::Done(()))
        }
        _ => {
            state.untold = false;
            let error = state.error.take().unwrap_or(Errno::CONNABORTED);
            // It can be tried again (POSIX leaves that open, Linux allows it).
            state.phase = Phase::Fresh;
            ready::update(socket, state, OUT);
            Err(error)
        }
    }
}

/// Asks the service to connect, unless an attempt is under way.
fn begin(fd: c_int, to: SocketAddrV4) -> Result<Begun> {
    let mut locked = operation::lock(fd)?;
    let socket = locked.socket();
    let untold = locked.state().untold;
    let last_word_due = locked.state().last_word_due;
    match locked.state().phase {
        Phase::Fresh => {}
        Phase::Connecting => return Ok(Begun::Before),
        Phase::Connected | Phase::Over if untold => return Ok(Begun::Before),
        Phase::Over if last_word_due => {
            locked.home().poll();
            if locked.state().last_word_due {
                return Err(Errno::AGAIN);
            }
            locked.state().phase = Phase::Fresh;
        }
        Phase::Over => locked.state().phase = Phase::Fresh,
        Phase::Connected | Phase::Listening => return Err(Errno::ISCONN),
        Phase::Closing => return Err(Errno::BADF),
    }
    if to.ip().is_broadcast() || to.ip().is_multicast() {
        return Err(Errno::NETUNREACH);
    }
    if to.port() == 0 {
        return Err(Errno::CONNREFUSED);
    }
    let to = match *to.ip() {
        // This host, on Linux the loopback interface.
        Ipv4Addr::UNSPECIFIED => SocketAddrV4::new(names::first_address()?, to.port()),
        _ => to,
    };
    let bound = names::bound(fd)?;
    let (state, ctx) = locked.with_context()?;
    let open = OpenFrom {
        remote: (to.ip().to_bits(), to.port()),
        local: bound.map_or((0, 0), |bound| (bound.ip().to_bits(), bound.port())),
        buffers: state.options.buffers(),
    };
    calls::open_from(ctx, socket.conn(), &open).map_err(engine::errno)?;
    start_anew(state, Phase::Connecting);
    state.untold = true;
    ready::update(socket, state, 0);
    Ok(Begun::Now)
}

/// Forgets everything but what the program has set, and who waits.
fn start_anew(state: &mut State, phase: Phase) {
    *state = State {
        phase,
        domain: state.domain,
        options: std::mem::take(&mut state.options),
        waiters: std::mem::take(&mut state.waiters),
        items: std::mem::take(&mut state.items),
        ..State::default()
    };
}

/// Ends the connection, or the attempt at one, as connect(2) does with AF_UNSPEC.
/// The socket may connect again.
///
/// # Errors
/// `EBADF` when the descriptor is not ours, and those of the service.
pub fn disconnect(fd: c_int) -> Result<()> {
    let mut locked = operation::lock(fd)?;
    match locked.state().phase {
        Phase::Fresh => return Ok(()),
        Phase::Listening => return listen::shutdown(fd, locked, Direction::Both),
        Phase::Closing => return Err(Errno::BADF),
        Phase::Connecting | Phase::Connected => {
            drop(fork::claim(&mut locked)?);
            abandon(locked)?;
        }
        Phase::Over => drop(locked),
    }
    // Until then the service may write to the connection's memory.
    let forever = |_: &mut Locked| Until::Forever;
    operation::run(fd, forever, OnSignal::Restart, |locked| {
        let socket = locked.socket();
        let state = locked.state();
        if state.last_word_due {
            return Ok(Try::Wait);
        }
        start_anew(state, Phase::Fresh);
        ready::update(socket, state, OUT);
        Ok(Try::Done(()))
    })
}

/// shutdown(2) while connecting ends the attempt.
pub(crate) fn abandon(mut locked: Locked) -> Result<()> {
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    let ctx = ctx.ok_or(Errno::NOTCONN)?;
    calls::close_how(ctx, socket.conn(), CloseHow::Reset).map_err(engine::errno)?;
    state.phase = Phase::Over;
    state.last_word_due = true;
    ready::update(socket, state, OUT);
    Ok(())
}
