//! How much of the data is fetched before it is copied, and when.
//!
//! The first lines of a stretch show the processor where it leads, and it fetches what follows into
//! the next level's cache by itself. It can have more lines on their way there than to the first
//! level, where those go that are asked for, and where requests wait for each other.

use tas_abi::memif::FlowSt;
use tas_shm::{Arena, ShmOffset};

/// Bytes in a cache line.
const CACHE_LINE: u32 = 64;
/// So much of a stretch is asked for early, in bytes.
pub(super) const FIRST: u32 = 10 * CACHE_LINE;
/// So much of a stretch is asked for when its turn is next: what has come to the next level, and
/// what has not.
const REST: u32 = 24 * CACHE_LINE;

/// Fetches the beginning of what a flow sends next.
#[inline]
pub(super) fn first_to_send(arena: &Arena, st: &FlowSt) {
    fetch(arena, st, st.tx_avail.min(FIRST));
}

/// Fetches what an update adds to what a flow sends, if it is little.
#[inline]
pub(super) fn added(arena: &Arena, st: &FlowSt, count: u32) {
    if count <= FIRST {
        let to_end = st.tx_len.saturating_sub(st.tx_next_pos);
        let pos = if st.tx_avail < to_end {
            st.tx_next_pos + st.tx_avail
        } else {
            st.tx_avail - to_end
        };
        arena.prefetch_ring(ShmOffset(st.tx_base), st.tx_len, pos, count);
    }
}

/// Fetches what a flow sends next, if that is more than its beginning.
#[inline(never)]
pub(super) fn rest_to_send(arena: &Arena, st: &FlowSt) {
    if st.tx_avail > FIRST {
        fetch(arena, st, st.tx_avail.min(REST));
    }
}

#[inline]
fn fetch(arena: &Arena, st: &FlowSt, count: u32) {
    arena.prefetch_ring(ShmOffset(st.tx_base), st.tx_len, st.tx_next_pos, count);
}
