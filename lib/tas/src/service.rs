//! The process's connection to the service.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tas_abi::appif::{UxsockQueue, UxsockResponse};
use tas_abi::ll::{FLEXTCP_MAX_CONTEXTS, FLEXTCP_MAX_FTCPCORES, FlextcpContext};
use tas_shm::EventFd;

use crate::error::{Error, Result};
use crate::ffi::{seams, sign, sys};
use crate::handshake::{self, Connection, Regions};
use crate::wait;

/// Bytes of a context's queue core to application: 8,192 entries. More would be out of the cache
/// when their turn comes; a full queue only lets news of a connection add up.
const RXQ_LEN: u32 = 32 * 8192;
/// Bytes of a context's queue application to core, of as many entries.
const TXQ_LEN: u32 = 16 * 8192;
/// Bytes of an entry of the slow path's queues.
const KERNEL_ENTRY: u32 = 64;

static CONNECTION: Mutex<Option<Connection>> = Mutex::new(None);
static SOCKET: AtomicI32 = AtomicI32::new(-1);
static KICK_FD: AtomicI32 = AtomicI32::new(-1);
static GONE: AtomicBool = AtomicBool::new(false);
static CONTEXTS: AtomicI32 = AtomicI32::new(0);
/// The service knows the requests that sockets need.
static SOCKETS: AtomicBool = AtomicBool::new(false);
/// The contexts' eventfds.
static EVENTS: [AtomicI32; FLEXTCP_MAX_CONTEXTS] =
    [const { AtomicI32::new(-1) }; FLEXTCP_MAX_CONTEXTS];

/// A panic elsewhere leaves the connection as it was: every change to it is a
/// single assignment.
pub(crate) fn connection() -> MutexGuard<'static, Option<Connection>> {
    CONNECTION.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects to the service, with a region of this process's own if the
/// service offers that, else to the region shared by all.
///
/// # Errors
/// `EALREADY` if the process is connected. A child made by fork is not: it
/// connects for itself.
pub fn connect() -> Result<()> {
    let mut current = connection();
    let ours = current
        .as_ref()
        .is_some_and(|c| c.pid == std::process::id());
    if ours && seams::has_info() {
        return Err(Error::failure(
            libc::EALREADY,
            "already connected to the service",
        ));
    }
    let fresh = handshake::connect()?;
    if !ours {
        // The contexts of the parent, if there are any, are not this process's.
        forget_contexts();
    }
    for (core, event) in fresh.cores.iter().enumerate() {
        seams::set_core_evfd(core, event.as_raw_fd());
    }
    set_socket(fresh.socket.as_raw_fd());
    KICK_FD.store(fresh.slow_path.as_raw_fd(), Ordering::Relaxed);
    GONE.store(false, Ordering::Relaxed);
    *current = Some(fresh);
    Ok(())
}

/// Notes the socket whose end tells that the service is gone, -1 for none.
pub(crate) fn set_socket(fd: i32) {
    SOCKET.store(fd, Ordering::Relaxed);
}

/// This process has no socket, nor eventfds of the service.
pub(crate) fn disconnected() {
    set_socket(-1);
    KICK_FD.store(-1, Ordering::Relaxed);
    for core in 0..FLEXTCP_MAX_FTCPCORES {
        seams::set_core_evfd(core, -1);
    }
}

/// This process has no contexts: those that there seem to be are its parent's.
pub(crate) fn forget_contexts() {
    CONTEXTS.store(0, Ordering::Relaxed);
    for place in &EVENTS {
        let event = place.swap(-1, Ordering::Relaxed);
        if event >= 0 {
            sys::close(event);
        }
    }
}

/// Connects and makes everything ready for contexts, as `flextcp_init` does.
///
/// # Errors
/// There is no service, or it is not ready. The reason is on stderr.
pub fn init() -> Result<()> {
    seams::init()
}

pub use sys::overhear;

/// Maps the service's information and the memory shared with it; both stay
/// mapped.
pub fn map_regions() -> Result<Regions> {
    let regions = match connection().as_ref().and_then(|c| c.isolated.as_ref()) {
        Some(isolated) => handshake::map_isolated(isolated),
        None => handshake::map_legacy(),
    }?;
    SOCKETS.store(regions.knows_sockets, Ordering::Relaxed);
    Ok(regions)
}

/// The descriptors by which the process is connected, those of its contexts included: what a
/// program did not open and must not close.
pub fn descriptors() -> Vec<i32> {
    let mut all = connection()
        .as_ref()
        .map_or(Vec::new(), Connection::descriptors);
    let events = EVENTS.iter().map(|place| place.load(Ordering::Relaxed));
    all.extend(events.filter(|event| *event >= 0));
    all
}

/// Tells the service that this process has sockets: when it ends, its connections end as those of
/// any process do, by a FIN after all that was sent. Called after [`init`], before contexts are
/// made.
///
/// # Errors
/// `EOPNOTSUPP` when the service does not know of sockets.
pub fn declare_sockets() -> Result<()> {
    check_sockets()?;
    let current = connection();
    let connection = current.as_ref().ok_or(Error::failure(
        libc::ENOTCONN,
        "not connected to the service",
    ))?;
    handshake::declare_sockets(connection).inspect_err(|_| look())
}

/// Makes a context: zeroes it, makes its eventfd and registers it.
///
/// # Errors
/// `EMFILE` beyond 32 in a process.
pub fn create_context(ctx: &mut FlextcpContext) -> Result<()> {
    *ctx = zerocopy::FromZeros::new_zeroed();
    let most = FLEXTCP_MAX_CONTEXTS as i32;
    let id = CONTEXTS
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            (n < most).then_some(n + 1)
        })
        .map_err(|_| Error::failure(libc::EMFILE, "more than 32 contexts in a process"))?;
    let registered = EventFd::new()
        .map_err(|error| Error::io("cannot make an eventfd", &error))
        .and_then(|event| {
            let event = event.out_of_the_way();
            ctx.evfd = event.as_fd().as_raw_fd();
            ctx.ctx_id = id as u16;
            seams::kernel_newctx(ctx)?;
            if let Some(place) = usize::try_from(id).ok().and_then(|id| EVENTS.get(id)) {
                place.store(ctx.evfd, Ordering::Relaxed);
            }
            // The context keeps it until the process ends.
            std::mem::forget(event);
            Ok(())
        });
    if registered.is_err() {
        CONTEXTS.fetch_sub(1, Ordering::Relaxed);
        ctx.evfd = -1;
        return registered;
    }
    wait::start(ctx);
    Ok(())
}

/// Registers a context with the service and fills in its queues.
pub fn register_context(ctx: &mut FlextcpContext) -> Result<()> {
    let mut current = connection();
    let connection = current.as_mut().ok_or(Error::failure(
        libc::ENOTCONN,
        "not connected to the service",
    ))?;
    handshake::introduce(connection)?;
    let evfd = sys::duplicate(ctx.evfd).map_err(|error| Error::io("not a context", &error))?;
    let (response, queues) = handshake::request_context(connection, RXQ_LEN, TXQ_LEN, evfd.as_fd())
        .inspect_err(|_| look())?;
    fill_in(ctx, &response, &queues);
    Ok(())
}

fn fill_in(ctx: &mut FlextcpContext, response: &UxsockResponse, queues: &[UxsockQueue]) {
    ctx.kin_base = seams::mem_at(response.app_out_off).cast();
    ctx.kin_len = response.app_out_len / KERNEL_ENTRY;
    ctx.kout_base = seams::mem_at(response.app_in_off).cast();
    ctx.kout_len = response.app_in_len / KERNEL_ENTRY;
    ctx.rxq_len = RXQ_LEN;
    ctx.txq_len = TXQ_LEN;
    ctx.db_id = response.flexnic_db_id;
    ctx.num_queues = queues.len() as u16;
    for (q, offsets) in ctx.queues.iter_mut().zip(queues) {
        q.rxq_base = seams::mem_at(offsets.rxq_off).cast();
        q.txq_base = seams::mem_at(offsets.txq_off).cast();
        q.txq_avail = TXQ_LEN;
    }
}

/// Wakes the slow path for a request just published, if it sleeps or may sleep.
pub fn kick() {
    // Where the service does not say when it sleeps, it may unless it never does.
    if sign::must_wake().unwrap_or_else(|| seams::poll_cycle_tas() != u64::MAX) {
        sys::notify(KICK_FD.load(Ordering::Relaxed));
    }
}

/// The socket whose end tells that the service is gone, -1 without one.
pub fn socket() -> i32 {
    SOCKET.load(Ordering::Relaxed)
}

/// Looks whether the service is gone.
pub(crate) fn look() {
    if sys::hung_up(socket()) {
        lost();
    }
}

/// The service is gone. Said once.
pub fn lost() {
    if !GONE.swap(true, Ordering::Relaxed) {
        sys::complain(format_args!("the service is gone"));
    }
}

/// # Errors
/// `EOPNOTSUPP` unless the service knows the requests that sockets need.
pub(crate) fn check_sockets() -> Result<()> {
    if SOCKETS.load(Ordering::Relaxed) {
        Ok(())
    } else {
        Err(Error::expected(libc::EOPNOTSUPP))
    }
}

/// # Errors
/// `ECONNRESET` once the service is known to be gone.
pub fn check_alive() -> Result<()> {
    if GONE.load(Ordering::Relaxed) {
        Err(Error::GONE)
    } else {
        Ok(())
    }
}
