//! Updates that the cores send: bytes received, bytes acknowledged, the end.

use tas_abi::ll::{FlextcpConnection, FlextcpContext};
use tas_abi::memif::{
    Arx, ArxConnUpdate, ArxMsg, FLEXTCP_PL_ARX_FLRESET, FLEXTCP_PL_ARX_FLRXDONE,
    FLEXTCP_PL_ARX_FLTIMEDOUT,
};

use crate::calls;
use crate::conn::{self, Acked, EARLY_DATA, EARLY_FIN, EndNeeds, RESET, Status, TIMED_OUT};
use crate::context::Step;
use crate::events::{Event, Sink};
use crate::ffi::{ConnRef, queues};
use crate::{kernel_poll, pending};

/// Bytes in a cache line.
const CACHE_LINE: u32 = 64;

/// The update in a queue entry.
pub(crate) fn update(entry: &[u8; Arx::SIZE]) -> Option<ArxConnUpdate> {
    match ArxMsg::try_from(Arx::from_bytes(entry)) {
        Ok(ArxMsg::ConnUpdate(update)) => Some(update),
        Err(_) => None,
    }
}

/// Delivers the updates of all cores, starting with another one each time.
/// Returns whether there were any.
pub(crate) fn poll(ctx: &mut FlextcpContext, out: &mut impl Sink) -> bool {
    let cores = ctx.num_queues;
    if cores == 0 {
        return false;
    }
    let mut core = if ctx.next_queue < cores {
        ctx.next_queue
    } else {
        0
    };
    let mut busy = false;
    for _ in 0..cores {
        busy |= poll_core(ctx, core, out);
        core = if core + 1 < cores { core + 1 } else { 0 };
    }
    // After a full round `core` is where this one began.
    ctx.next_queue = if core + 1 < cores { core + 1 } else { 0 };
    busy
}

fn poll_core(ctx: &mut FlextcpContext, core: u16, out: &mut impl Sink) -> bool {
    let mut busy = false;
    while let Some((queue, mut pos)) = queues::rxq(ctx, core) {
        let Some(entry) = queue.peek(pos) else { break };
        busy = true;
        if let Some(mut rest) = update(&entry) {
            let whole = rest;
            if deliver(ctx, core, &mut rest, out) == Step::Blocked {
                if rest != whole {
                    queues::rewrite_update(ctx, core, pos, &rest);
                }
                break;
            }
        }
        queue.pop(&mut pos);
        if let Some(q) = ctx.queues.get_mut(usize::from(core)) {
            q.rxq_head = pos;
        }
    }
    busy
}

/// Delivers what `rest` says, part by part, and takes each part out of it.
fn deliver(
    ctx: &mut FlextcpContext,
    core: u16,
    rest: &mut ArxConnUpdate,
    out: &mut impl Sink,
) -> Step {
    let Some(conn) = ConnRef::from_opaque(rest.opaque) else {
        return Step::Done;
    };
    match conn.with(|c| conn::status(c)) {
        Some(Status::OpenRequested | Status::AcceptRequested) => {
            conn.with(|c| keep_early(c, rest));
            Step::Done
        }
        // Updates on the new context come after the answer to the move, which may have come
        // since the answers were looked at.
        Some(Status::Moving) if kernel_poll::answers_wait(ctx) => Step::Blocked,
        // They continue what the answer tells, which is on its way.
        Some(Status::Adopting) => Step::Blocked,
        Some(Status::Open | Status::Moving) => {
            // The connection's core may have changed. An update that is posted to another one is
            // passed on, so this only saves the way.
            conn.with(|c| c.fn_core = core);
            deliver_open(ctx, conn, rest, out)
        }
        _ => Step::Done,
    }
}

/// Keeps what arrived before the answer to open or accept.
fn keep_early(c: &mut FlextcpConnection, update: &ArxConnUpdate) {
    if update.rx_bump > 0 {
        if c.flags & EARLY_DATA == 0 {
            c.rxb_head = update.rx_pos;
        }
        c.rxb_used = c.rxb_used.saturating_add(update.rx_bump);
        c.flags |= EARLY_DATA;
    }
    if update.flags & FLEXTCP_PL_ARX_FLRXDONE != 0 {
        c.flags |= EARLY_FIN;
    }
    if update.flags & FLEXTCP_PL_ARX_FLRESET != 0 {
        c.flags |= EARLY_FIN | cause(update.flags);
    }
}

fn deliver_open(
    ctx: &mut FlextcpContext,
    conn: ConnRef,
    rest: &mut ArxConnUpdate,
    out: &mut impl Sink,
) -> Step {
    if conn.with(|c| conn::has(c, EARLY_DATA | EARLY_FIN)) {
        // What came first is delivered first.
        return Step::Blocked;
    }
    if rest.rx_bump > 0 {
        if received(conn, rest.rx_pos, rest.rx_bump, out) == Step::Blocked {
            return Step::Blocked;
        }
        rest.rx_bump = 0;
    }
    if rest.tx_bump > 0 {
        if acknowledged(ctx, conn, rest.tx_bump, out) == Step::Blocked {
            return Step::Blocked;
        }
        rest.tx_bump = 0;
    }
    let reset = rest.flags & FLEXTCP_PL_ARX_FLRESET != 0;
    if reset {
        // Ahead of the events, whose readers may ask why.
        mark_reset(ctx, conn, rest.flags);
    }
    if rest.flags & (FLEXTCP_PL_ARX_FLRXDONE | FLEXTCP_PL_ARX_FLRESET) != 0
        && conn.with(|c| c.rx_closed == 0)
    {
        if peer_closed(conn, out) == Step::Blocked {
            return Step::Blocked;
        }
        rest.flags &= !FLEXTCP_PL_ARX_FLRXDONE;
        if reset {
            // The buffers go with the close, and the application has not yet
            // seen the events of this poll: it is requested in the next one.
            return Step::Blocked;
        }
    }
    if reset {
        return calls::close_after_reset(ctx, conn);
    }
    Step::Done
}

fn mark_reset(ctx: &mut FlextcpContext, conn: ConnRef, flags: u8) {
    conn.with(|c| c.flags |= cause(flags));
    pending::unlink(ctx, conn);
}

/// The flags of a connection that a core's update says is over.
fn cause(update_flags: u8) -> u8 {
    if update_flags & FLEXTCP_PL_ARX_FLTIMEDOUT != 0 {
        RESET | TIMED_OUT
    } else {
        RESET
    }
}

/// Delivers `len` bytes at `pos`, if both pieces have room.
fn received(conn: ConnRef, pos: u32, len: u32, out: &mut impl Sink) -> Step {
    conn.with(|c| {
        if c.rx_closed != 0 || pos >= c.rxb_len || len > c.rxb_len {
            return Step::Done;
        }
        let (first, second) = conn::pieces(pos, len, c.rxb_len);
        let events = if second.1 > 0 { 2 } else { 1 };
        if !out.has_room(events) {
            return Step::Blocked;
        }
        c.rxb_head = conn::ring_add(pos, len, c.rxb_len);
        c.rxb_used = c.rxb_used.saturating_add(len);
        for (pos, len) in [first, second].into_iter().take(events) {
            let buf = c.rxb_base.wrapping_add(pos as usize);
            // The application will look at it once it has gone through the events before.
            tas_shm::prefetch(buf);
            tas_shm::prefetch(buf.wrapping_add(len.saturating_sub(1).min(CACHE_LINE) as usize));
            out.push(Event::Received(conn, buf.cast(), len as usize));
        }
        Step::Done
    })
}

fn acknowledged(ctx: &mut FlextcpContext, conn: ConnRef, len: u32, out: &mut impl Sink) -> Step {
    let event = match conn.with(|c| conn::acked(c, len)) {
        Acked::Silent => None,
        Acked::Sendbuf => Some(Event::Sendbuf(conn)),
        Acked::TxClosed => Some(Event::TxClosed(conn)),
    };
    if event.is_some() && !out.has_room(1) {
        return Step::Blocked;
    }
    let eos_placed = conn.with(|c| {
        conn::take_ack(c, len);
        let before = c.flags;
        conn::place_eos(c, EndNeeds::Room);
        c.flags != before
    });
    if let Some(event) = event {
        out.push(event);
    }
    if eos_placed {
        pending::post(ctx, conn);
    }
    Step::Done
}

/// Tells of the peer's end.
fn peer_closed(conn: ConnRef, out: &mut impl Sink) -> Step {
    if !out.has_room(1) {
        return Step::Blocked;
    }
    conn.with(|c| c.rx_closed = 1);
    out.push(Event::RxClosed(conn));
    Step::Done
}

/// Delivers what was kept from before the answer to open or accept.
pub(crate) fn deliver_early(ctx: &mut FlextcpContext, conn: ConnRef, out: &mut impl Sink) -> Step {
    let (flags, pos, len) = conn.with(|c| (c.flags, c.rxb_head, c.rxb_used));
    if flags & EARLY_DATA != 0 {
        conn.with(|c| c.rxb_used = 0);
        if received(conn, pos, len, out) == Step::Blocked {
            conn.with(|c| c.rxb_used = len);
            return Step::Blocked;
        }
        conn.with(|c| c.flags &= !EARLY_DATA);
    }
    if flags & EARLY_FIN != 0 {
        if peer_closed(conn, out) == Step::Blocked {
            return Step::Blocked;
        }
        conn.with(|c| c.flags &= !EARLY_FIN);
        if flags & RESET != 0 {
            // As in `deliver_open`: requested in the next poll.
            return Step::Blocked;
        }
    }
    if flags & RESET != 0 {
        return calls::close_after_reset(ctx, conn);
    }
    Step::Done
}
