//! The list of connections whose updates found their core's queue full.

use tas_abi::ll::{FLEXTCP_MAX_FTCPCORES, FlextcpContext};

use crate::context::{self, Posted};
use crate::ffi::ConnRef;

/// Adds a connection at the end, unless it is on the list.
pub(crate) fn link(ctx: &mut FlextcpContext, conn: ConnRef) {
    let last = ConnRef::new(ctx.bump_pending_last);
    let added = conn.with(|c| {
        if c.bump_pending != 0 {
            return false;
        }
        c.bump_pending = 1;
        c.bump_next = std::ptr::null_mut();
        c.bump_prev = ctx.bump_pending_last;
        true
    });
    if !added {
        return;
    }
    match last {
        Some(last) => last.with(|c| c.bump_next = conn.as_ptr()),
        None => ctx.bump_pending_first = conn.as_ptr(),
    }
    ctx.bump_pending_last = conn.as_ptr();
}

/// Takes a connection off the list, if it is on it.
pub(crate) fn unlink(ctx: &mut FlextcpContext, conn: ConnRef) {
    let Some((prev, next)) = conn.with(|c| {
        if c.bump_pending == 0 {
            return None;
        }
        c.bump_pending = 0;
        let ends = (c.bump_prev, c.bump_next);
        c.bump_prev = std::ptr::null_mut();
        c.bump_next = std::ptr::null_mut();
        Some(ends)
    }) else {
        return;
    };
    match ConnRef::new(prev) {
        Some(prev) => prev.with(|c| c.bump_next = next),
        None => ctx.bump_pending_first = next,
    }
    match ConnRef::new(next) {
        Some(next) => next.with(|c| c.bump_prev = prev),
        None => ctx.bump_pending_last = prev,
    }
}

/// Posts what has room now.
pub(crate) fn flush(ctx: &mut FlextcpContext) {
    let cores = usize::from(ctx.num_queues).min(FLEXTCP_MAX_FTCPCORES);
    let mut full = [false; FLEXTCP_MAX_FTCPCORES];
    let mut full_num = 0;
    let mut next = ConnRef::new(ctx.bump_pending_first);
    while let Some(conn) = next {
        let (after, core) = conn.with(|c| (c.bump_next, usize::from(c.fn_core)));
        next = ConnRef::new(after);
        if full.get(core).copied().unwrap_or(false) {
            continue;
        }
        match context::try_post(ctx, conn) {
            Posted::Done => unlink(ctx, conn),
            Posted::NotNow => {}
            Posted::Full => {
                if let Some(full) = full.get_mut(core) {
                    *full = true;
                }
                full_num += 1;
                if full_num >= cores {
                    return;
                }
            }
        }
    }
}

/// Whether nothing waits to be posted.
pub(crate) fn is_empty(ctx: &FlextcpContext) -> bool {
    ctx.bump_pending_first.is_null()
}

/// Posts the connection's updates now, or as soon as the queue has room.
pub(crate) fn post(ctx: &mut FlextcpContext, conn: ConnRef) {
    match context::try_post(ctx, conn) {
        Posted::Done => unlink(ctx, conn),
        Posted::Full => link(ctx, conn),
        Posted::NotNow => {}
    }
}
