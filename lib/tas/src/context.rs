//! A context's queues: requests to the slow path, updates to the cores, and
//! the poll that takes what they send.

use tas_abi::appif::{AppoutMsg, KernelAppout};
use tas_abi::ll::FlextcpContext;
use tas_abi::memif::{ArxConnUpdate, Atx, AtxMsg};
use tas_shm::PushError;

use crate::conn::Status;
use crate::error::{Error, Result};
use crate::events::Sink;
use crate::ffi::{self, ConnRef, queues};
use crate::{conn, core_poll, kernel_poll, pending, service, wait};

/// Bytes of an entry of the slow path's queues.
pub(crate) const KERNEL_ENTRY: u32 = 64;
/// Bytes of an entry of the queues to a core.
const ATX_ENTRY: u32 = Atx::SIZE as u32;
/// Bytes ahead of the next entry that are fetched.
const AHEAD: u32 = 128;
/// Entries looked at when counting room.
const RECOUNT: u32 = 64;

/// Looks at a full queue, each of which lets others run, before it is left to later polls.
const FULL_QUEUE_LOOKS: u32 = 1 << 16;

/// Whether a queue's head entry is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The entry can go.
    Done,
    /// The entry, or the rest of it, stays for the next poll.
    Blocked,
}

/// What became of a connection's update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// Posted, or there was nothing to post.
    Done,
    /// The connection is being moved; its arrival posts it.
    NotNow,
    /// The core's queue is full.
    Full,
}

/// Sends a request to the slow path and wakes it.
///
/// # Errors
/// `EAGAIN` when the queue is full, `ECONNRESET` when the service is gone.
pub fn request(ctx: &mut FlextcpContext, msg: AppoutMsg) -> Result<()> {
    service::check_alive()?;
    let queue = queues::kin(ctx).ok_or(Error::misuse("not a context"))?;
    let mut pos = ctx.kin_head.wrapping_mul(KERNEL_ENTRY);
    match queue.push(&mut pos, &KernelAppout::from(msg).to_bytes()) {
        Ok(()) => {}
        Err(PushError::Full) => return Err(Error::FULL),
        Err(_) => return Err(Error::misuse("not a context")),
    }
    ctx.kin_head = pos / KERNEL_ENTRY;
    ffi::seams::kernel_kick();
    Ok(())
}

/// Whether the queue to `core` has room for an entry.
pub fn has_room(ctx: &FlextcpContext, core: u16) -> bool {
    queues::txq(ctx, core).is_some_and(|(queue, tail)| queue.is_free(tail))
}

/// Posts the connection's update, if it has one and it may be posted.
pub(crate) fn try_post(ctx: &mut FlextcpContext, conn: ConnRef) -> Posted {
    let (moving, core, bump) = conn.with(|c| {
        (
            conn::status(c) == Some(Status::Moving),
            c.fn_core,
            conn::bump(c),
        )
    });
    let Some(bump) = bump else {
        return Posted::Done;
    };
    if moving {
        return Posted::NotNow;
    }
    let Some((queue, mut tail)) = queues::txq(ctx, core) else {
        return Posted::Full;
    };
    let pushed = queue.push(&mut tail, &Atx::from(AtxMsg::ConnUpdate(bump)).to_bytes());
    if pushed.is_err() {
        return Posted::Full;
    }
    conn.with(conn::posted);
    posted_entry(ctx, core, tail);
    Posted::Done
}

/// Moves on past an entry that was published to `core`, and wakes the core.
pub(crate) fn posted_entry(ctx: &mut FlextcpContext, core: u16, tail: u32) {
    if let Some(q) = ctx.queues.get_mut(usize::from(core)) {
        q.txq_tail = tail;
        q.txq_avail = q.txq_avail.saturating_sub(ATX_ENTRY);
        // The core has those lines, having freed their entries. What lies behind the queue's end
        // does no harm.
        let ahead = q
            .txq_base
            .cast::<u8>()
            .wrapping_add((tail + AHEAD) as usize);
        tas_shm::prefetch_write(ahead);
    }
    recount(ctx, core);
    wait::ring_core(ctx, core);
}

/// Counts room again once the last count is used up.
fn recount(ctx: &mut FlextcpContext, core: u16) {
    let Some((queue, tail)) = queues::txq(ctx, core) else {
        return;
    };
    let Some(q) = ctx.queues.get_mut(usize::from(core)) else {
        return;
    };
    if q.txq_avail >= ATX_ENTRY {
        return;
    }
    let most = RECOUNT.min(queue.capacity());
    let mut pos = tail;
    let mut free = 0;
    while free < most && queue.is_free(pos) {
        free += 1;
        pos = conn::ring_add(pos, ATX_ENTRY, queue.bytes());
    }
    q.txq_avail = free * ATX_ENTRY;
}

/// Takes an entry for an update by hand: the position of a free entry in the
/// queue to `core`.
pub fn tx_entry(ctx: &FlextcpContext, core: u16) -> Result<u32> {
    let (queue, tail) = queues::txq(ctx, core).ok_or(Error::misuse("no such core"))?;
    if queue.is_free(tail) {
        Ok(tail)
    } else {
        Err(Error::FULL)
    }
}

/// The entry of [`tx_entry`] was filled in.
pub fn tx_entry_done(ctx: &mut FlextcpContext, core: u16) -> Result<()> {
    let (queue, tail) = queues::txq(ctx, core).ok_or(Error::misuse("no such core"))?;
    let next = conn::ring_add(tail, ATX_ENTRY, queue.bytes());
    posted_entry(ctx, core, next);
    Ok(())
}

/// Fills `out` with what happened: the slow path's answers, then the cores'
/// updates round robin. Then posts updates that had found no room. Never
/// blocks.
///
/// # Errors
/// `ECONNRESET` when the service is gone and everything it sent is delivered.
pub fn poll(ctx: &mut FlextcpContext, out: &mut impl Sink) -> Result<usize> {
    if take(ctx, out) {
        wait::let_others_run();
    }
    if out.is_empty() {
        service::check_alive()?;
    }
    Ok(out.len())
}

/// As [`poll`], for callers that hold a lock: others run when they say so, by
/// [`wait::let_others_run`], for which it is time if this returns true.
pub fn take(ctx: &mut FlextcpContext, out: &mut impl Sink) -> bool {
    let mut busy = kernel_poll::poll(ctx, out);
    busy |= core_poll::poll(ctx, out);
    if !pending::is_empty(ctx) {
        pending::flush(ctx);
    }
    wait::polled(ctx, busy)
}

/// Posts updates that had found no room, waiting until the cores have made some: a program that
/// never calls again may leave nothing here.
///
/// # Errors
/// `ECONNRESET` when the service is gone.
pub fn post_all(ctx: &mut FlextcpContext) -> Result<()> {
    // Updates of a connection that is being moved go with the move.
    for _ in 0..FULL_QUEUE_LOOKS {
        if pending::is_empty(ctx) {
            break;
        }
        pending::flush(ctx);
        std::thread::yield_now();
    }
    service::check_alive()
}

/// Removes every queued update for a connection that is about to be forgotten.
/// The service posts none after its answer to the close, so what is queued now
/// is all there will be.
pub(crate) fn forget_updates(ctx: &mut FlextcpContext, conn: ConnRef) {
    for core in 0..ctx.num_queues {
        let Some((queue, mut pos)) = queues::rxq(ctx, core) else {
            continue;
        };
        for _ in 0..queue.capacity() {
            let Some(entry) = queue.peek(pos) else { break };
            let stale = core_poll::update(&entry).is_some_and(|u| u.opaque == conn.opaque());
            if stale {
                queues::rewrite_update(ctx, core, pos, &ArxConnUpdate::default());
            }
            pos = conn::ring_add(pos, entry.len() as u32, queue.bytes());
        }
    }
}
