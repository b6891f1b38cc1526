//! The bytes behind a receive buffer, in which processes tell what they have done with it beside
//! what they post. They are asked for when a process has ended without a word.

use tas_abi::memif::{FLEXNIC_PL_FLOWST_RX_MASK, FlowSt, TAS_RX_TAIL_READ};
use tas_shm::{Arena, ShmOffset};

/// The position up to which the application says that it has read.
#[cold]
pub(super) fn read_up_to(arena: &Arena, st: &FlowSt) -> Option<u32> {
    let tail = ShmOffset(st.rx_base_sp & FLEXNIC_PL_FLOWST_RX_MASK) + u64::from(st.rx_len);
    let mut word = [0; 4];
    arena
        .read(tail + u64::from(TAS_RX_TAIL_READ), &mut word)
        .ok()?;
    u32::from_ne_bytes(word).checked_sub(1)
}
