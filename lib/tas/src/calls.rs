//! What an application asks for: open, listen, accept, send, close, move.

use std::time::{Duration, Instant};

use tas_abi::appif::{
    AppoutAcceptConn, AppoutConnAdopt, AppoutConnClose, AppoutConnMove, AppoutConnOpen,
    AppoutListenOpen, AppoutListenWatch, AppoutMsg, AppoutReqScale, KERNEL_APPOUT_CLOSE_RESET,
    KERNEL_APPOUT_LISTEN_REUSEPORT,
};
use tas_abi::ll::{FLEXTCP_LISTEN_REUSEPORT, FlextcpConnection, FlextcpContext, FlextcpListener};

use crate::conn::{self, RESET, Status, TX_EOS};
use crate::context::{self, Step};
use crate::error::{Error, Result};
use crate::ffi::{ConnRef, ListenerRef};
use crate::{kernel_poll, pending, service};

/// Between two looks for an answer.
const ANSWER_PAUSE: Duration = Duration::from_millis(1);

/// State of a listener that is not in use.
pub const LISTEN_CLOSED: u8 = 0;
/// State of a listener that waits for the answer to its open.
pub const LISTEN_REQUESTED: u8 = 1;
/// State of a listener in use.
pub const LISTEN_OPEN: u8 = 2;

/// How a close treats what is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abort {
    /// The peer gets a RST.
    Reset,
    /// The service delivers what was sent, and the end.
    Finish,
}

/// Opens a listener. The answer is an event.
pub fn listen_open(
    ctx: &mut FlextcpContext,
    lst: ListenerRef,
    port: u16,
    backlog: u32,
    flags: u32,
) -> Result<()> {
    if flags & !FLEXTCP_LISTEN_REUSEPORT != 0 {
        return Err(Error::misuse("unknown flags"));
    }
    let reuse = flags & FLEXTCP_LISTEN_REUSEPORT != 0;
    context::request(
        ctx,
        AppoutMsg::ListenOpen(AppoutListenOpen {
            opaque: lst.opaque(),
            backlog,
            local_port: port,
            flags: if reuse {
                KERNEL_APPOUT_LISTEN_REUSEPORT
            } else {
                0
            },
        }),
    )?;
    lst.set(FlextcpListener {
        conns: std::ptr::null_mut(),
        local_port: port,
        status: LISTEN_REQUESTED,
    });
    Ok(())
}

/// Offers `conn` for one connection that arrives at the listener. The answer
/// is an event on `ctx`, to which the connection belongs.
pub fn listen_accept(ctx: &mut FlextcpContext, lst: ListenerRef, conn: ConnRef) -> Result<()> {
    offer(ctx, lst, conn, AppoutMsg::AcceptConn)
}

fn offer(
    ctx: &mut FlextcpContext,
    lst: ListenerRef,
    conn: ConnRef,
    request: fn(AppoutAcceptConn) -> AppoutMsg,
) -> Result<()> {
    let (status, local_port) = lst.with(|l| (l.status, l.local_port));
    if !matches!(status, LISTEN_REQUESTED | LISTEN_OPEN) {
        return Err(Error::misuse("the listener is not open"));
    }
    context::request(
        ctx,
        request(AppoutAcceptConn {
            listen_opaque: lst.opaque(),
            conn_opaque: conn.opaque(),
            local_port,
        }),
    )?;
    let mut fresh = unused();
    fresh.status = Status::AcceptRequested as u8;
    fresh.local_port = local_port;
    conn.set(fresh);
    Ok(())
}

/// Has the context told of connections that wait at a listener, or no longer. Who has asked once
/// is told of every new connection that nobody has asked to accept, and at once if some wait.
pub fn listen_watch(ctx: &mut FlextcpContext, lst: ListenerRef, on: bool) -> Result<()> {
    let local_port = lst.with(|l| l.local_port);
    context::request(
        ctx,
        AppoutMsg::ListenWatch(AppoutListenWatch {
            opaque: lst.opaque(),
            local_port,
            on: on.into(),
        }),
    )
}

/// Offers `conn` for a connection that waits at the listener. The answer is the event of
/// [`listen_accept`], at once; `EAGAIN` when none waits.
pub fn accept_now(ctx: &mut FlextcpContext, lst: ListenerRef, conn: ConnRef) -> Result<()> {
    offer(ctx, lst, conn, AppoutMsg::AcceptNow)
}

/// Makes `ctx` the context that uses a connection which this process holds and another one may
/// use. The answer is an event, after which bytes follow that were received and not handed back.
/// `EAGAIN`: a third process was faster; ask again. `ENOTCONN`: the connection is gone.
///
/// # Errors
/// `EALREADY` for a connection that this process uses, `EAGAIN` when the queue is full.
pub fn adopt(ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    if conn.with(|c| conn::status(c)) != Some(Status::Parked) {
        return Err(Error::expected(libc::EALREADY));
    }
    let msg = conn.with(|c| AppoutConnAdopt {
        opaque: conn.opaque(),
        remote_ip: c.remote_ip,
        local_ip: c.local_ip,
        remote_port: c.remote_port,
        local_port: c.local_port,
        flow_id: c.flow_id,
    });
    context::request(ctx, AppoutMsg::ConnAdopt(msg))?;
    conn.with(|c| c.status = Status::Adopting as u8);
    Ok(())
}

/// Posts what is to be told of a connection, bytes handed back included. What is not posted when
/// another process adopts the connection is delivered there again.
pub fn post(ctx: &mut FlextcpContext, conn: ConnRef) {
    pending::post(ctx, conn);
}

/// Opens a connection. The answer is an event.
pub fn open(ctx: &mut FlextcpContext, conn: ConnRef, ip: u32, port: u16) -> Result<()> {
    context::request(
        ctx,
        AppoutMsg::ConnOpen(AppoutConnOpen {
            opaque: conn.opaque(),
            remote_ip: ip,
            flags: 0,
            remote_port: port,
        }),
    )?;
    let mut fresh = unused();
    fresh.status = Status::OpenRequested as u8;
    fresh.remote_ip = ip;
    fresh.remote_port = port;
    conn.set(fresh);
    Ok(())
}

fn unused() -> FlextcpConnection {
    zerocopy::FromZeros::new_zeroed()
}

/// Closes a connection in whatever state it is. The answer is an event, after
/// which the connection's memory is the caller's again.
///
/// The peer gets a RST unless it has closed its direction and the application
/// called [`tx_close`].
///
/// # Errors
/// `EAGAIN` when a queue is full, `ENOTCONN` when the connection is not in
/// use or closing already.
///
/// After `ECONNRESET`, the service being gone, the memory is the caller's at
/// once.
pub fn close(ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    service::check_alive().inspect_err(|_| pending::unlink(ctx, conn))?;
    match conn.with(|c| conn::status(c)) {
        Some(Status::Open | Status::Moving) => close_open(ctx, conn),
        Some(Status::OpenRequested | Status::AcceptRequested) => {
            request_close(ctx, conn, Abort::Reset)?;
            conn.with(|c| c.status = Status::CloseOpening as u8);
            Ok(())
        }
        Some(Status::ResetClosing) => {
            conn.with(|c| c.status = Status::CloseRequested as u8);
            Ok(())
        }
        Some(Status::Parked | Status::Adopting) => {
            request_close(ctx, conn, Abort::Reset)?;
            conn.with(|c| c.status = Status::CloseRequested as u8);
            Ok(())
        }
        _ => Err(Error::expected(libc::ENOTCONN)),
    }
}

fn close_open(ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    let finished = conn.with(|c| c.rx_closed != 0 && conn::has(c, TX_EOS) && !conn::has(c, RESET));
    let abort = if finished {
        Abort::Finish
    } else {
        Abort::Reset
    };
    if abort == Abort::Finish {
        // Bytes that the core does not know of would be lost.
        pending::post(ctx, conn);
        if conn.with(|c| conn::bump(c).is_some()) {
            return Err(Error::FULL);
        }
    }
    request_close(ctx, conn, abort)?;
    pending::unlink(ctx, conn);
    conn.with(|c| c.status = Status::CloseRequested as u8);
    Ok(())
}

/// Asks the service to close a connection.
pub(crate) fn request_close(ctx: &mut FlextcpContext, conn: ConnRef, abort: Abort) -> Result<()> {
    let msg = conn.with(|c| AppoutConnClose {
        opaque: conn.opaque(),
        remote_ip: c.remote_ip,
        local_ip: c.local_ip,
        remote_port: c.remote_port,
        local_port: c.local_port,
        flags: if abort == Abort::Reset {
            KERNEL_APPOUT_CLOSE_RESET
        } else {
            0
        },
    });
    context::request(ctx, AppoutMsg::ConnClose(msg))
}

/// Requests the close of a connection that the peer has reset.
pub(crate) fn close_after_reset(ctx: &mut FlextcpContext, conn: ConnRef) -> Step {
    match request_close(ctx, conn, Abort::Reset) {
        Ok(()) => {
            conn.with(|c| c.status = Status::ResetClosing as u8);
            Step::Done
        }
        Err(_) => Step::Blocked,
    }
}

/// Hands `len` received bytes back.
pub fn rx_done(ctx: &mut FlextcpContext, conn: ConnRef, len: usize) -> Result<()> {
    if conn.with(|c| conn::rx_done(c, len))? {
        pending::post(ctx, conn);
    }
    Ok(())
}

/// Sends the first `len` allocated bytes, together with what was handed back.
///
/// # Errors
/// `EINVAL` for more than was allocated, `ECONNRESET` after a reset or when
/// the service is gone, `EPIPE` after [`tx_close`].
pub fn tx_send(ctx: &mut FlextcpContext, conn: ConnRef, len: usize) -> Result<()> {
    service::check_alive()?;
    conn.with(|c| conn::tx_send(c, len))?;
    if len > 0 {
        pending::post(ctx, conn);
    }
    Ok(())
}

/// Ends the stream after everything sent so far.
pub fn tx_close(ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    service::check_alive()?;
    conn.with(conn::tx_close)?;
    pending::post(ctx, conn);
    Ok(())
}

/// Puts the end of the stream into the transmit buffer if that is due and it
/// has room now.
///
/// # Errors
/// `EAGAIN` if the buffer is still full.
pub fn push_tx_eos(ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    if !conn.with(|c| conn::is_open(c)) {
        return Err(Error::expected(libc::ENOTCONN));
    }
    if conn.with(conn::place_eos) {
        return Err(Error::FULL);
    }
    pending::post(ctx, conn);
    Ok(())
}

/// Whether the queue to the connection's core has room.
pub fn tx_possible(ctx: &FlextcpContext, conn: ConnRef) -> Result<()> {
    if context::has_room(ctx, conn.with(|c| c.fn_core)) {
        Ok(())
    } else {
        Err(Error::FULL)
    }
}

/// Moves a connection to `ctx`. The answer is an event there. Until then what
/// arrives is delivered on the old context, and what is sent stays; a thread
/// other than that context's sends only after the event.
///
/// # Errors
/// `EAGAIN` when a queue is full, also that of the context which the
/// connection leaves: polling that one makes room.
pub fn move_to(ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    let (status, flags, pending) = conn.with(|c| (conn::status(c), c.flags, c.bump_pending));
    if status == Some(Status::Moving) {
        return Err(Error::expected(libc::EALREADY));
    }
    if status != Some(Status::Open) || flags & RESET != 0 {
        return Err(Error::expected(libc::ENOTCONN));
    }
    if pending != 0 || flags & (conn::EARLY_DATA | conn::EARLY_FIN) != 0 {
        return Err(Error::FULL);
    }
    let db_id = ctx.db_id;
    let msg = conn.with(|c| AppoutConnMove {
        opaque: conn.opaque(),
        remote_ip: c.remote_ip,
        local_ip: c.local_ip,
        remote_port: c.remote_port,
        local_port: c.local_port,
        db_id,
    });
    // Ahead of the request, whose answer may come before this returns.
    conn.with(|c| c.status = Status::Moving as u8);
    context::request(ctx, AppoutMsg::ConnMove(msg))
        .inspect_err(|_| conn.with(|c| c.status = Status::Open as u8))
}

/// Asks for a number of fast-path cores.
pub fn scale(ctx: &mut FlextcpContext, cores: u32) -> Result<()> {
    context::request(
        ctx,
        AppoutMsg::ReqScale(AppoutReqScale { num_cores: cores }),
    )
}

/// Asks for a number of fast-path cores and waits for the answer, on a context that is used for
/// nothing else: other answers are lost.
///
/// # Errors
/// `EINVAL` when there are not so many cores, `ETIMEDOUT` without an answer in time.
pub fn scale_and_wait(ctx: &mut FlextcpContext, cores: u32, timeout: Duration) -> Result<()> {
    scale(ctx, cores)?;
    let end = Instant::now() + timeout;
    loop {
        match kernel_poll::take_scaled(ctx) {
            Some(0) => return Ok(()),
            Some(status) => return Err(Error::expected(status.saturating_neg())),
            None if Instant::now() >= end => return Err(Error::expected(libc::ETIMEDOUT)),
            None => std::thread::sleep(ANSWER_PAUSE),
        }
    }
}
