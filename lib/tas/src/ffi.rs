//! The C interface, and the only unsafe code of the crate: pointers of callers
//! come in here, queues and system calls are reached from here.

pub(crate) mod queues;
mod refs;
pub mod seams;
pub(crate) mod sign;
pub(crate) mod sys;
mod tail;

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tas_abi::ll::{FlextcpConnection, FlextcpContext, FlextcpEvent, FlextcpListener};
use tas_abi::memif::AtxEntry;

use crate::error::{Error, Result};
use crate::events::Events;
use crate::{calls, conn, context, service, wait};

pub use refs::{ConnRef, ListenerRef};
pub use tail::{begin_turn, end_turn, note_read, take_turn};

const NULL: Error = Error::misuse("null argument");

/// Runs a call: its failure becomes -1 and errno, with a line on stderr if
/// there is something to say, and no panic reaches C.
fn guard<T: From<i8>>(name: &str, call: impl FnOnce() -> Result<T>) -> T {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => {
            if let Some(line) = error.line() {
                sys::report(name, line);
            }
            sys::set_errno(error.errno());
            T::from(-1)
        }
        Err(_) => {
            sys::set_errno(libc::EIO);
            T::from(-1)
        }
    }
}

/// # Safety
/// `ctx` is null or points to a context that nobody else uses now.
unsafe fn context<'a>(ctx: *mut FlextcpContext) -> Result<&'a mut FlextcpContext> {
    // SAFETY: the caller's promise.
    unsafe { ctx.as_mut() }.ok_or(NULL)
}

fn connection(conn: *mut FlextcpConnection) -> Result<ConnRef> {
    ConnRef::new(conn).ok_or(NULL)
}

fn listener(lst: *mut FlextcpListener) -> Result<ListenerRef> {
    ListenerRef::new(lst).ok_or(NULL)
}

/// Connects the process to the service; once per process.
///
/// Returns 0, or -1 with a line on stderr when no service is there or it is
/// not ready.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_init() -> c_int {
    guard("flextcp_init", || seams::init().map(|()| 0))
}

/// Makes a context for the calling thread; at most 32 per process.
///
/// # Safety
/// `ctx` is null or points to room for a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_context_create(ctx: *mut FlextcpContext) -> c_int {
    guard("flextcp_context_create", || {
        if ctx.is_null() {
            return Err(NULL);
        }
        // SAFETY: room for a context, which zeros make valid.
        let ctx = unsafe {
            ctx.write_bytes(0, 1);
            context(ctx)?
        };
        service::create_context(ctx).map(|()| 0)
    })
}

/// Fills `events` with at most `num` events and returns how many; never
/// blocks. Give room for at least two: a received stretch that wraps around
/// the end of the buffer takes two events, and waits until both fit.
///
/// Returns -1 with errno `ECONNRESET` when the service is gone and all that it
/// sent is delivered.
///
/// # Safety
/// `ctx` is null or points to a context, `events` to room for `num` events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_context_poll(
    ctx: *mut FlextcpContext,
    num: c_int,
    events: *mut FlextcpEvent,
) -> c_int {
    guard("flextcp_context_poll", || {
        // SAFETY: the caller's promise.
        let ctx = unsafe { context(ctx)? };
        let num = usize::try_from(num).map_err(|_| Error::misuse("negative number of events"))?;
        let slots: &mut [MaybeUninit<FlextcpEvent>] = match (num, events.is_null()) {
            (0, _) => &mut [],
            (_, true) => return Err(NULL),
            // SAFETY: the caller's promise; uninitialised is fine here.
            (_, false) => unsafe { std::slice::from_raw_parts_mut(events.cast(), num) },
        };
        let filled = context::poll(ctx, &mut Events::new(slots))?;
        Ok(c_int::try_from(filled).unwrap_or(c_int::MAX))
    })
}

/// A descriptor that becomes readable when there may be events. Sleep on it
/// only after `flextcp_context_canwait` returned 0, and call
/// `flextcp_context_waitclear` after waking up.
///
/// # Safety
/// `ctx` is null or points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_context_waitfd(ctx: *mut FlextcpContext) -> c_int {
    guard("flextcp_context_waitfd", || {
        // SAFETY: the caller's promise.
        Ok(unsafe { context(ctx)? }.evfd)
    })
}

/// Returns 0 if the context may sleep now: it was polled without events for
/// the service's application poll interval, and then once more. Otherwise -1
/// with errno `EAGAIN`, or `ECONNRESET` when the service is gone.
///
/// # Safety
/// `ctx` is null or points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_context_canwait(ctx: *mut FlextcpContext) -> c_int {
    guard("flextcp_context_canwait", || {
        // SAFETY: the caller's promise.
        wait::can_wait(unsafe { context(ctx)? }).map(|()| 0)
    })
}

/// Drains the descriptor of `flextcp_context_waitfd` and restarts the time
/// before the next sleep.
///
/// # Safety
/// `ctx` is null or points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_context_waitclear(ctx: *mut FlextcpContext) -> c_int {
    guard("flextcp_context_waitclear", || {
        // SAFETY: the caller's promise.
        wait::clear(unsafe { context(ctx)? });
        Ok(0)
    })
}

/// Sleeps until there may be events or `timeout_ms` milliseconds have passed
/// (-1: for ever), and returns 0. Returns -1 with errno `EAGAIN` when the
/// context may not sleep yet, and with `ECONNRESET` when the service is gone.
///
/// # Safety
/// `ctx` is null or points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_context_wait(
    ctx: *mut FlextcpContext,
    timeout_ms: c_int,
) -> c_int {
    guard("flextcp_context_wait", || {
        // SAFETY: the caller's promise.
        wait::wait(unsafe { context(ctx)? }, timeout_ms).map(|()| 0)
    })
}

/// Opens a listener on a local port (host order). The answer is
/// `FLEXTCP_EV_LISTEN_OPEN`.
///
/// # Safety
/// `ctx` is null or points to a context, `lst` is null or points to a listener
/// that stays valid while it is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_listen_open(
    ctx: *mut FlextcpContext,
    lst: *mut FlextcpListener,
    port: u16,
    backlog: u32,
    flags: u32,
) -> c_int {
    guard("flextcp_listen_open", || {
        // SAFETY: the caller's promise.
        let ctx = unsafe { context(ctx)? };
        calls::listen_open(ctx, listener(lst)?, port, backlog, flags).map(|()| 0)
    })
}

/// Registers `conn` for one future connection of the listener; may be called
/// many times ahead. The answer is `FLEXTCP_EV_LISTEN_ACCEPT` on `ctx`, to
/// which the connection belongs.
///
/// # Safety
/// The arguments are null or point to a context, an open listener, and a
/// connection that stays valid while it is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_listen_accept(
    ctx: *mut FlextcpContext,
    lst: *mut FlextcpListener,
    conn: *mut FlextcpConnection,
) -> c_int {
    guard("flextcp_listen_accept", || {
        // SAFETY: the caller's promise.
        let ctx = unsafe { context(ctx)? };
        calls::listen_accept(ctx, listener(lst)?, connection(conn)?).map(|()| 0)
    })
}

/// Opens a connection to an address and port (host order). The answer is
/// `FLEXTCP_EV_CONN_OPEN`.
///
/// # Safety
/// The arguments are null or point to a context and to a connection that stays
/// valid while it is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_connection_open(
    ctx: *mut FlextcpContext,
    conn: *mut FlextcpConnection,
    dst_ip: u32,
    dst_port: u16,
) -> c_int {
    guard("flextcp_connection_open", || {
        // SAFETY: the caller's promise.
        let ctx = unsafe { context(ctx)? };
        calls::open(ctx, connection(conn)?, dst_ip, dst_port).map(|()| 0)
    })
}

/// Closes a connection, in whatever state. The answer is
/// `FLEXTCP_EV_CONN_CLOSED`, after which its memory is the caller's again. If
/// either direction is still open, the peer gets a RST. Returns -1 with errno
/// `EAGAIN` when a queue is full, and `ECONNRESET` when the service is gone:
/// then the memory is the caller's at once.
///
/// A connection that the peer has reset closes by itself, with status
/// `-ECONNRESET`; a close in between succeeds and adds no second event.
///
/// # Safety
/// The arguments are null or point to a context and a connection of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_connection_close(
    ctx: *mut FlextcpContext,
    conn: *mut FlextcpConnection,
) -> c_int {
    guard("flextcp_connection_close", || {
        // SAFETY: the caller's promise.
        calls::close(unsafe { context(ctx)? }, connection(conn)?).map(|()| 0)
    })
}

/// Hands `len` received bytes back. The service is told when more than a
/// quarter of the buffer has been freed, or with the next bytes sent.
///
/// # Safety
/// The arguments are null or point to a context and a connection of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_connection_rx_done(
    ctx: *mut FlextcpContext,
    conn: *mut FlextcpConnection,
    len: usize,
) -> c_int {
    guard("flextcp_connection_rx_done", || {
        // SAFETY: the caller's promise.
        calls::rx_done(unsafe { context(ctx)? }, connection(conn)?, len).map(|()| 0)
    })
}

/// Allocates up to `len` contiguous bytes of the transmit buffer, stores where
/// in `buf` and returns how many: fewer when little is free or the buffer
/// wraps, 0 when it is full, -1 after the stream was ended.
///
/// # Safety
/// The arguments are null or point to a connection and to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_connection_tx_alloc(
    conn: *mut FlextcpConnection,
    len: usize,
    buf: *mut *mut c_void,
) -> isize {
    guard("flextcp_connection_tx_alloc", || {
        let conn = connection(conn)?;
        // SAFETY: the caller's promise.
        let buf = unsafe { buf.as_mut() }.ok_or(NULL)?;
        conn.with(|c| {
            let (pos, len) = conn::tx_alloc(c, len, true)?;
            *buf = c.txb_base.wrapping_add(pos as usize).cast();
            Ok(len as isize)
        })
    })
}

/// As `flextcp_connection_tx_alloc`, in up to two pieces: `*len_1` bytes at
/// `*buf_1`, the rest at `*buf_2`. Returns the total.
///
/// # Safety
/// The arguments are null or point to a connection and to what is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_connection_tx_alloc2(
    conn: *mut FlextcpConnection,
    len: usize,
    buf_1: *mut *mut c_void,
    len_1: *mut usize,
    buf_2: *mut *mut c_void,
) -> isize {
    guard("flextcp_connection_tx_alloc2", || {
        let conn = connection(conn)?;
        // SAFETY: the caller's promise.
        let places = unsafe { (buf_1.as_mut(), len_1.as_mut(), buf_2.as_mut()) };
        let (Some(buf_1), Some(len_1), Some(buf_2)) = places else {
            return Err(NULL);
        };
        conn.with(|c| {
            let (pos, len) = conn::tx_alloc(c, len, false)?;
            let (first, second) = conn::pieces(pos, len, c.txb_len);
            *buf_1 = c.txb_base.wrapping_add(first.0 as usize).cast();
            *len_1 = first.1 as usize;
            *buf_2 = c.txb_base.wrapping_add(second.0 as usize).cast();
            Ok(len as isize)
        })
    })
}

/// Sends the first `len` allocated bytes.
///
/// # Safety
/// The arguments are null or point to a context and a connection of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_connection_tx_send(
    ctx: *mut FlextcpContext,
    conn: *mut FlextcpConnection,
    len: usize,
) -> c_int {
    guard("flextcp_connection_tx_send", || {
        // SAFETY: the caller's promise.
        calls::tx_send(unsafe { context(ctx)? }, connection(conn)?, len).map(|()| 0)
    })
}

/// Ends the stream after everything sent so far. `FLEXTCP_EV_CONN_TXCLOSED`
/// tells that the peer has acknowledged it all.
///
/// # Safety
/// The arguments are null or point to a context and a connection of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_connection_tx_close(
    ctx: *mut FlextcpContext,
    conn: *mut FlextcpConnection,
) -> c_int {
    guard("flextcp_connection_tx_close", || {
        // SAFETY: the caller's promise.
        calls::tx_close(unsafe { context(ctx)? }, connection(conn)?).map(|()| 0)
    })
}

/// Returns 0 if the context's queue to the connection's core has room.
///
/// # Safety
/// The arguments are null or point to a context and a connection of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_connection_tx_possible(
    ctx: *mut FlextcpContext,
    conn: *mut FlextcpConnection,
) -> c_int {
    guard("flextcp_connection_tx_possible", || {
        // SAFETY: the caller's promise.
        calls::tx_possible(unsafe { context(ctx)? }, connection(conn)?).map(|()| 0)
    })
}

/// Moves a connection to `ctx`. The answer is `FLEXTCP_EV_CONN_MOVED` there;
/// until then what arrives is delivered on the old context. The thread of that
/// context must be done sending on the connection, and the new one's thread
/// sends only after the event. Returns -1 with errno `EAGAIN` when updates
/// still wait for the old context to be polled, or the queue is full.
///
/// # Safety
/// The arguments are null or point to a context and a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_connection_move(
    ctx: *mut FlextcpContext,
    conn: *mut FlextcpConnection,
) -> c_int {
    guard("flextcp_connection_move", || {
        // SAFETY: the caller's promise.
        calls::move_to(unsafe { context(ctx)? }, connection(conn)?).map(|()| 0)
    })
}

/// Free bytes of the transmit buffer.
///
/// # Safety
/// `conn` is null or points to a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_conn_txbuf_available(conn: *mut FlextcpConnection) -> u32 {
    ConnRef::new(conn).map_or(0, |conn| conn.with(|c| conn::tx_free(c)))
}

/// Puts the end of the stream into the transmit buffer if it is due. Returns
/// -1 with errno `EAGAIN` while the buffer is full; polling does it by itself
/// once there is room.
///
/// # Safety
/// The arguments are null or point to a context and a connection of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_conn_pushtxeos(
    ctx: *mut FlextcpContext,
    conn: *mut FlextcpConnection,
) -> c_int {
    guard("flextcp_conn_pushtxeos", || {
        // SAFETY: the caller's promise.
        calls::push_tx_eos(unsafe { context(ctx)? }, connection(conn)?).map(|()| 0)
    })
}

/// Stores a free entry of the queue to `core` in `atx` and returns 0, or -1
/// when the queue is full. `flextcp_context_tx_done` follows once the entry is
/// filled in, its type last.
///
/// # Safety
/// The arguments are null or point to a context and to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_context_tx_alloc(
    ctx: *mut FlextcpContext,
    atx: *mut *mut AtxEntry,
    core: u16,
) -> c_int {
    guard("flextcp_context_tx_alloc", || {
        // SAFETY: the caller's promise.
        let (ctx, place) = unsafe { (context(ctx)?, atx.as_mut().ok_or(NULL)?) };
        let pos = context::tx_entry(ctx, core)?;
        let queue = ctx.queues.get(usize::from(core)).ok_or(NULL)?;
        *place = queue
            .txq_base
            .cast::<u8>()
            .wrapping_add(pos as usize)
            .cast();
        Ok(0)
    })
}

/// The entry of `flextcp_context_tx_alloc` is filled in: wakes the core.
///
/// # Safety
/// `ctx` is null or points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_context_tx_done(ctx: *mut FlextcpContext, core: u16) {
    guard("flextcp_context_tx_done", || {
        // SAFETY: the caller's promise.
        context::tx_entry_done(unsafe { context(ctx)? }, core).map(|()| 0)
    });
}

/// Asks for `cores` fast-path cores.
///
/// # Safety
/// `ctx` is null or points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_kernel_reqscale(ctx: *mut FlextcpContext, cores: u32) -> c_int {
    guard("flextcp_kernel_reqscale", || {
        // SAFETY: the caller's promise.
        calls::scale(unsafe { context(ctx)? }, cores).map(|()| 0)
    })
}
