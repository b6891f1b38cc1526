//! Sleeping and waking.
//!
//! A producer kicks a sleeper's eventfd only if its last kick is longer ago
//! than the sleeper's poll interval. So a context may sleep only if it has
//! found nothing for that interval after it last had work or drained its
//! eventfd, and nothing once more after that.

use std::cell::Cell;

use tas_abi::ll::FlextcpContext;
use tas_shm::{Slices, Yielder};

use crate::error::{Error, Result};
use crate::ffi::{seams, sys};
use crate::{pending, service};

/// A poll interval that means: never sleeps.
const NEVER: u64 = u64::MAX;

/// Flag of a context: it had work in its last poll, or was just made.
const ACTIVE: u32 = 1;
/// Flag of a context: the interval passed, one more poll decides.
const LAST_POLL_DUE: u32 = 2;
/// Flag of a context: that poll found nothing.
const LAST_POLL_EMPTY: u32 = 4;
/// Polls without work are counted above the flags.
const IDLE_POLL: u32 = 8;
/// Polls without work after which the service's socket is looked at.
const IDLE_POLLS: u32 = 1 << 14;

/// Polls without work before the CPU is offered to others: work that comes back
/// to back is waited for.
const PATIENCE: u32 = 3;

thread_local! {
    /// Of the thread, whichever contexts it polls: they share its CPU.
    static YIELDER: Cell<Yielder> = const { Cell::new(Yielder::new()) };
}

/// The context was just made.
pub(crate) fn start(ctx: &mut FlextcpContext) {
    ctx.flags = ACTIVE;
}

/// The context was polled and did or did not find work. Returns whether it has found none for so
/// long that others should run.
pub(crate) fn polled(ctx: &mut FlextcpContext, busy: bool) -> bool {
    if busy {
        ctx.flags = ACTIVE;
        return false;
    }
    if ctx.flags & ACTIVE != 0 {
        ctx.last_inev_ts = sys::ordered_tsc();
        ctx.flags = 0;
    } else if ctx.flags & LAST_POLL_DUE != 0 {
        ctx.flags |= LAST_POLL_EMPTY;
    }
    ctx.flags = ctx.flags.wrapping_add(IDLE_POLL);
    if ctx.flags / IDLE_POLL >= IDLE_POLLS {
        ctx.flags = ctx.flags % IDLE_POLL + PATIENCE * IDLE_POLL;
        service::look();
    }
    ctx.flags / IDLE_POLL >= PATIENCE
}

/// The service may share this CPU, and then nothing happens until it runs.
pub fn let_others_run() {
    // A thread that is about to end polls without yielding.
    let _ = YIELDER.try_with(|cell| {
        let mut yielder = cell.get();
        yielder.idle();
        cell.set(yielder);
    });
}

/// Sleeps by a call that blocks. A CPU that others are using meanwhile is this thread's again at
/// once when it wakes up.
pub fn asleep<R>(block: impl FnOnce() -> R) -> R {
    let mut slices = Slices::new();
    slices.shorten();
    let result = block();
    // Now and not later: whoever the program starts would inherit them.
    slices.restore();
    result
}

/// Wakes `core` unless it was woken so recently that it must still be polling.
/// The entry for it is published already; the fence in the clock makes it
/// visible before the time is taken.
pub(crate) fn ring_core(ctx: &mut FlextcpContext, core: u16) {
    let cycle = seams::poll_cycle_tas();
    if cycle == NEVER {
        return;
    }
    let now = sys::ordered_tsc();
    let Some(q) = ctx.queues.get_mut(usize::from(core)) else {
        return;
    };
    if q.last_ts != 0 && now.wrapping_sub(q.last_ts) <= cycle {
        return;
    }
    q.last_ts = now;
    sys::notify(seams::core_evfd(core));
}

/// Whether the context may sleep now.
///
/// # Errors
/// `EAGAIN` while it may not, `ECONNRESET` when the service is gone.
pub fn can_wait(ctx: &mut FlextcpContext) -> Result<()> {
    const NOT_YET: Error = Error::expected(libc::EAGAIN);
    service::check_alive()?;
    let cycle = seams::poll_cycle_app();
    if cycle == NEVER || ctx.flags & ACTIVE != 0 || !pending::is_empty(ctx) {
        return Err(NOT_YET);
    }
    if ctx.flags & LAST_POLL_DUE == 0 {
        if sys::ordered_tsc().wrapping_sub(ctx.last_inev_ts) >= cycle {
            ctx.flags |= LAST_POLL_DUE;
        }
        return Err(NOT_YET);
    }
    if ctx.flags & LAST_POLL_EMPTY == 0 {
        return Err(NOT_YET);
    }
    Ok(())
}

/// Begins a sleep that the caller does by itself, on [`FlextcpContext::evfd`] and
/// others: as [`can_wait`], and the next sleep takes another poll before it.
///
/// # Errors
/// As [`can_wait`].
pub fn begin(ctx: &mut FlextcpContext) -> Result<()> {
    can_wait(ctx)?;
    ctx.flags &= !LAST_POLL_EMPTY;
    Ok(())
}

/// Restarts the time before the next sleep, without draining the eventfd.
pub fn restart(ctx: &mut FlextcpContext) {
    ctx.last_inev_ts = sys::ordered_tsc();
    ctx.flags = 0;
}

/// Sleeps until the context is woken or `timeout_ms` milliseconds have passed
/// (negative: for ever).
///
/// # Errors
/// `EAGAIN` when the context may not sleep yet, `ECONNRESET` at once when the
/// service is gone or goes.
pub fn wait(ctx: &mut FlextcpContext, timeout_ms: i32) -> Result<()> {
    begin(ctx)?;
    let woken = asleep(|| sys::wait_readable(ctx.evfd, service::socket(), timeout_ms))
        .map_err(|error| Error::io("cannot wait", &error))?;
    if woken.hangup {
        service::lost();
        return Err(Error::GONE);
    }
    if woken.readable {
        clear(ctx);
    }
    Ok(())
}

/// Drains the eventfd and restarts the time before the next sleep.
pub fn clear(ctx: &mut FlextcpContext) {
    sys::drain(ctx.evfd);
    restart(ctx);
}
