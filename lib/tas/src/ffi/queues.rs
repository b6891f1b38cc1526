//! The queues that a context's fields describe.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use tas_abi::ll::FlextcpContext;
use tas_abi::memif::{Arx, ArxConnUpdate, Atx};
use tas_shm::{RawSlots, Slot};

use crate::context::KERNEL_ENTRY;

/// Requests to the slow path.
pub(crate) fn kin(ctx: &FlextcpContext) -> Option<RawSlots<[u8; 64]>> {
    slots(ctx.kin_base, ctx.kin_len.checked_mul(KERNEL_ENTRY)?)
}

/// Answers of the slow path.
pub(crate) fn kout(ctx: &FlextcpContext) -> Option<RawSlots<[u8; 64]>> {
    slots(ctx.kout_base, ctx.kout_len.checked_mul(KERNEL_ENTRY)?)
}

/// Updates to a core, and the position of the next.
pub(crate) fn txq(ctx: &FlextcpContext, core: u16) -> Option<(RawSlots<[u8; Atx::SIZE]>, u32)> {
    let q = used(ctx, core)?;
    Some((slots(q.txq_base, ctx.txq_len)?, q.txq_tail))
}

/// Updates of a core, and the position of the next.
pub(crate) fn rxq(ctx: &FlextcpContext, core: u16) -> Option<(RawSlots<[u8; Arx::SIZE]>, u32)> {
    let q = used(ctx, core)?;
    Some((slots(q.rxq_base, ctx.rxq_len)?, q.rxq_head))
}

fn used(ctx: &FlextcpContext, core: u16) -> Option<&tas_abi::ll::FlextcpQueue> {
    if core >= ctx.num_queues {
        return None;
    }
    ctx.queues.get(usize::from(core))
}

fn slots<S: Slot>(base: *mut c_void, bytes: u32) -> Option<RawSlots<S>> {
    let base = NonNull::new(base.cast())?;
    // SAFETY: `flextcp_kernel_newctx` filled in the bases and lengths of queues
    // that stay mapped as long as the process uses the context; everybody
    // accesses their memory by atomics or copies.
    unsafe { RawSlots::from_raw(base, bytes) }.ok()
}

/// Replaces what a queued update says. The consumer owns an entry until it
/// marks it free, so the producer does not look at it.
pub(crate) fn rewrite_update(ctx: &FlextcpContext, core: u16, pos: u32, update: &ArxConnUpdate) {
    let Some((queue, _)) = rxq(ctx, core) else {
        return;
    };
    let in_queue = pos < queue.bytes() && (pos as usize).is_multiple_of(Arx::SIZE);
    let (true, Some(q)) = (in_queue, used(ctx, core)) else {
        return;
    };
    let words = [
        update.opaque,
        u64::from(update.rx_bump) | u64::from(update.rx_pos) << 32,
        u64::from(update.tx_bump) | u64::from(update.flags) << 32,
    ];
    let entry = q
        .rxq_base
        .cast::<u8>()
        .wrapping_add(pos as usize)
        .cast::<AtomicU64>();
    for (index, word) in words.into_iter().enumerate() {
        // SAFETY: the entry lies in the queue (checked above), which `slots`
        // found to be 8-byte aligned, and these are the three words before the
        // one that holds the type; all accesses to them are atomic.
        unsafe { &*entry.add(index) }.store(word, Ordering::Relaxed);
    }
}
