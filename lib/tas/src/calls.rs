//! What an application asks for: open, listen, accept, send, close, move.

use std::time::{Duration, Instant};

use tas_abi::appif::{
    AppoutAcceptConn, AppoutConnAdopt, AppoutConnClose, AppoutConnInfo, AppoutConnMove,
    AppoutConnOpen, AppoutConnOpenFrom, AppoutConnOptions, AppoutListenClose, AppoutListenOpen,
    AppoutListenOpenAt, AppoutListenWatch, AppoutMsg, AppoutReqScale, KERNEL_APPOUT_CLOSE_RESET,
    KERNEL_APPOUT_LISTEN_REUSEPORT, TAS_CONN_KEEPALIVE,
};
use tas_abi::ll::{FLEXTCP_LISTEN_REUSEPORT, FlextcpConnection, FlextcpContext, FlextcpListener};

use crate::conn::{self, EndNeeds, RESET, Status, TX_EOS};
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
/// State of a listener that waits for the answer to its close.
pub const LISTEN_CLOSING: u8 = 3;

/// How a close treats what is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseHow {
    /// The peer gets a RST.
    Reset,
    /// The service delivers what was sent, and the end.
    Graceful,
}

/// Lengths of a connection's buffers in bytes, from 2 KiB to 64 MiB; 0: as long as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLens {
    /// Receive buffer.
    pub rx: u32,
    /// Transmit buffer.
    pub tx: u32,
}

/// Where a listener listens, and how. Addresses and ports are in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenAt {
    /// Local address; 0: all.
    pub ip: u32,
    /// Local port.
    pub port: u16,
    /// Most connections that wait to be accepted.
    pub backlog: u32,
    /// Others with the same flag may have the same address and port.
    pub reuseport: bool,
    /// Of the connections that it gets.
    pub buffers: BufferLens,
}

/// Both ends of a connection to open. Addresses and ports are in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFrom {
    /// Remote address and port.
    pub remote: (u32, u16),
    /// Local address and port; 0: any.
    pub local: (u32, u16),
    /// Its buffers.
    pub buffers: BufferLens,
}

/// When the peer of an idle connection is probed (RFC 9293 §3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Seconds without a segment of the peer before the first probe.
    pub idle: u32,
    /// Seconds between probes.
    pub interval: u32,
    /// Probes without an answer that end the connection.
    pub count: u32,
}

/// What can be set for a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Probes of an idle connection, if any.
    pub keepalive: Option<Keepalive>,
    /// Milliseconds that sent data may wait for its acknowledgement (RFC 9293 §3.8.3); 0: as long
    /// as usual.
    pub user_timeout: u32,
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

/// Opens a listener on a local address, or changes the backlog of one that is open. The answer is
/// an event.
///
/// # Errors
/// `EOPNOTSUPP` when the service does not know this request.
pub fn listen_open_at(ctx: &mut FlextcpContext, lst: ListenerRef, at: &ListenAt) -> Result<()> {
    service::check_sockets()?;
    context::request(
        ctx,
        AppoutMsg::ListenOpenAt(AppoutListenOpenAt {
            opaque: lst.opaque(),
            local_ip: at.ip,
            backlog: at.backlog,
            rx_len: at.buffers.rx,
            tx_len: at.buffers.tx,
            local_port: at.port,
            flags: if at.reuseport {
                KERNEL_APPOUT_LISTEN_REUSEPORT
            } else {
                0
            },
        }),
    )?;
    lst.set(FlextcpListener {
        conns: std::ptr::null_mut(),
        local_port: at.port,
        status: LISTEN_REQUESTED,
    });
    Ok(())
}

/// Closes a listener. The answer is an event, after which its memory is the caller's again.
/// Accept requests that wait fail with `ECONNABORTED` before; who waited to be accepted gets a RST.
///
/// # Errors
/// `EINVAL` when the listener is not open.
pub fn listen_close(ctx: &mut FlextcpContext, lst: ListenerRef) -> Result<()> {
    let (status, local_port) = lst.with(|l| (l.status, l.local_port));
    if !matches!(status, LISTEN_REQUESTED | LISTEN_OPEN) {
        return Err(Error::misuse("the listener is not open"));
    }
    context::request(
        ctx,
        AppoutMsg::ListenClose(AppoutListenClose {
            opaque: lst.opaque(),
            local_port,
        }),
    )?;
    lst.with(|l| l.status = LISTEN_CLOSING);
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
/// Of a connection that was being opened when the process was forked, the event is that of
/// [`open`]: if it is open, the process holds it, and adopts it to use it.
///
/// # Errors
/// `EALREADY` for a connection that this process uses, `EAGAIN` when the queue is full.
pub fn adopt(ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    let next = match conn.with(|c| conn::status(c)) {
        Some(Status::Parked) => Status::Adopting,
        Some(Status::OpenInherited) => Status::OpenAwaited,
        _ => return Err(Error::expected(libc::EALREADY)),
    };
    let msg = conn.with(|c| AppoutConnAdopt {
        opaque: conn.opaque(),
        remote_ip: c.remote_ip,
        local_ip: c.local_ip,
        remote_port: c.remote_port,
        local_port: c.local_port,
        flow_id: conn::flow_id(c),
    });
    context::request(ctx, AppoutMsg::ConnAdopt(msg))?;
    conn.with(|c| c.status = next as u8);
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

/// Opens a connection from a local address and port. The answer is an event.
///
/// # Errors
/// `EOPNOTSUPP` when the service does not know this request.
pub fn open_from(ctx: &mut FlextcpContext, conn: ConnRef, open: &OpenFrom) -> Result<()> {
    service::check_sockets()?;
    context::request(
        ctx,
        AppoutMsg::ConnOpenFrom(AppoutConnOpenFrom {
            opaque: conn.opaque(),
            remote_ip: open.remote.0,
            local_ip: open.local.0,
            remote_port: open.remote.1,
            local_port: open.local.1,
            rx_len: open.buffers.rx,
            tx_len: open.buffers.tx,
        }),
    )?;
    let mut fresh = unused();
    fresh.status = Status::OpenRequested as u8;
    (fresh.remote_ip, fresh.remote_port) = open.remote;
    conn.set(fresh);
    Ok(())
}

/// Sets all options of an open connection. There is no answer.
///
/// # Errors
/// `EOPNOTSUPP` when the service does not know this request.
pub fn set_options(ctx: &mut FlextcpContext, conn: ConnRef, options: &Options) -> Result<()> {
    service::check_sockets()?;
    let keep = options.keepalive.unwrap_or(Keepalive {
        idle: 0,
        interval: 0,
        count: 0,
    });
    let msg = conn.with(|c| AppoutConnOptions {
        opaque: conn.opaque(),
        remote_ip: c.remote_ip,
        local_ip: c.local_ip,
        remote_port: c.remote_port,
        local_port: c.local_port,
        flags: if options.keepalive.is_some() {
            TAS_CONN_KEEPALIVE
        } else {
            0
        },
        keep_idle: keep.idle,
        keep_interval: keep.interval,
        keep_count: keep.count,
        user_timeout: options.user_timeout,
    });
    context::request(ctx, AppoutMsg::ConnOptions(msg))
}

/// Asks how a connection is doing. The answer goes to [`Sink::info`](crate::Sink::info).
///
/// # Errors
/// `EOPNOTSUPP` when the service does not know this request.
pub fn request_info(ctx: &mut FlextcpContext, conn: ConnRef) -> Result<()> {
    service::check_sockets()?;
    let msg = conn.with(|c| AppoutConnInfo {
        opaque: conn.opaque(),
        remote_ip: c.remote_ip,
        local_ip: c.local_ip,
        remote_port: c.remote_port,
        local_port: c.local_port,
    });
    context::request(ctx, AppoutMsg::ConnInfo(msg))
}

/// Why a connection is over without a close, as an errno: reset by the peer, or no answer any
/// more. Known from the event [`RxClosed`](crate::Event::RxClosed) on.
pub fn failure(conn: ConnRef) -> Option<i32> {
    conn.with(|c| conn::failure(c))
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
    let finished = conn.with(|c| c.rx_closed != 0 && conn::has(c, TX_EOS));
    let how = if finished {
        CloseHow::Graceful
    } else {
        CloseHow::Reset
    };
    close_how(ctx, conn, how)
}

/// Like [`close`], but `how` says what the peer gets. When it is to be graceful, the service sends
/// all that was sent so far, and the end of the stream, and finishes in the background; who sends
/// more gets a RST. A connection that is not open yet is given up either way.
///
/// # Errors
/// As those of [`close`].
pub fn close_how(ctx: &mut FlextcpContext, conn: ConnRef, how: CloseHow) -> Result<()> {
    service::check_alive().inspect_err(|_| pending::unlink(ctx, conn))?;
    match conn.with(|c| conn::status(c)) {
        Some(Status::Open | Status::Moving) => close_open(ctx, conn, how),
        Some(Status::OpenRequested | Status::AcceptRequested | Status::OpenAwaited) => {
            request_close(ctx, conn, CloseHow::Reset)?;
            conn.with(|c| c.status = Status::CloseOpening as u8);
            Ok(())
        }
        Some(Status::ResetClosing) => {
            conn.with(|c| c.status = Status::CloseRequested as u8);
            Ok(())
        }
        Some(Status::Parked | Status::Adopting | Status::OpenInherited) => {
            request_close(ctx, conn, how)?;
            conn.with(|c| c.status = Status::CloseRequested as u8);
            Ok(())
        }
        _ => Err(Error::expected(libc::ENOTCONN)),
    }
}

fn close_open(ctx: &mut FlextcpContext, conn: ConnRef, how: CloseHow) -> Result<()> {
    let how = match how {
        CloseHow::Graceful if !conn.with(|c| conn::has(c, RESET)) => CloseHow::Graceful,
        _ => CloseHow::Reset,
    };
    if how == CloseHow::Graceful {
        // Bytes that the core does not know of would be lost.
        pending::post(ctx, conn);
        if conn.with(|c| conn::bump(c).is_some()) {
            return Err(Error::FULL);
        }
    }
    request_close(ctx, conn, how)?;
    pending::unlink(ctx, conn);
    conn.with(|c| c.status = Status::CloseRequested as u8);
    Ok(())
}

/// Asks the service to close a connection.
pub(crate) fn request_close(ctx: &mut FlextcpContext, conn: ConnRef, how: CloseHow) -> Result<()> {
    let msg = conn.with(|c| AppoutConnClose {
        opaque: conn.opaque(),
        remote_ip: c.remote_ip,
        local_ip: c.local_ip,
        remote_port: c.remote_port,
        local_port: c.local_port,
        flags: if how == CloseHow::Reset {
            KERNEL_APPOUT_CLOSE_RESET
        } else {
            0
        },
    });
    context::request(ctx, AppoutMsg::ConnClose(msg))
}

/// Requests the close of a connection that the peer has reset.
pub(crate) fn close_after_reset(ctx: &mut FlextcpContext, conn: ConnRef) -> Step {
    match request_close(ctx, conn, CloseHow::Reset) {
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

/// Allocates up to `len` bytes of the transmit buffer, in up to two pieces, and returns how many.
///
/// # Errors
/// Those of [`tx_send`], but `ENOTCONN` when the connection is not open.
pub fn tx_alloc(conn: ConnRef, len: usize) -> Result<usize> {
    let (_, taken) = conn.with(|c| conn::tx_alloc(c, len, false))?;
    Ok(taken as usize)
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
    conn.with(|c| conn::tx_close(c, end_needs()))?;
    pending::post(ctx, conn);
    Ok(())
}

/// The original's service counts the end as a byte of the buffer. A program that closes its
/// direction may never call again, as it would have to when the buffer is full.
fn end_needs() -> EndNeeds {
    match service::check_sockets() {
        Ok(()) => EndNeeds::Nothing,
        Err(_) => EndNeeds::Room,
    }
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
    if conn.with(|c| conn::place_eos(c, end_needs())) {
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
