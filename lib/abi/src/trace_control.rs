//! What follows a trace buffer: how readers know which records are whole, and the word that
//! switches tracing. The original has no such thing, and its tool does not look at it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::trace::{
    FLEXNIC_PL_TREV_AFLOQMAN, FLEXNIC_PL_TREV_ARX, FLEXNIC_PL_TREV_ATX, FLEXNIC_PL_TREV_REXMIT,
    FLEXNIC_PL_TREV_RXFS, FLEXNIC_PL_TREV_TXACK, FLEXNIC_PL_TREV_TXSEG, FLEXNIC_TRACE_EV_DMARD,
    FLEXNIC_TRACE_EV_DMAWR, FLEXNIC_TRACE_EV_QMEVT, FLEXNIC_TRACE_EV_QMSET, FLEXNIC_TRACE_EV_RXPKT,
    FLEXNIC_TRACE_EV_TXPKT, TraceHeader,
};

/// [`TraceControl::magic`].
pub const TRACE_CONTROL_MAGIC: u64 = u64::from_le_bytes(*b"TAStrace");
/// Where in the region the ring begins.
pub const TRACE_RING_OFF: u64 = size_of::<TraceHeader>() as u64;
/// Bytes that begin a page.
const PAGE: u64 = 4096;

/// Stands on the page behind the ring.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct TraceControl {
    /// [`TRACE_CONTROL_MAGIC`].
    pub magic: u64,
    /// Up to where the core may have written, in bytes since it began.
    pub claimed: u64,
    /// Up to where records are complete, in bytes since it began.
    pub written: u64,
    /// Which events are wanted: bit n for that of index n in [`TRACE_EVENTS`]; from bit
    /// [`TRACE_SNAP_SHIFT`] on how many bytes of a frame, or of data copied. Tools write this word, the service
    /// reads it.
    pub wanted: u64,
}

assert_layout!(TraceControl, size 32, align 8, {
    magic: 0, claimed: 8, written: 16, wanted: 24
});

/// Where in the region [`TraceControl`] is, behind a ring of `len` bytes.
pub const fn trace_control_off(len: u32) -> u64 {
    (TRACE_RING_OFF + len as u64).next_multiple_of(PAGE)
}

/// Bytes of a region with a ring of `len` bytes.
pub const fn trace_region_len(len: u32) -> u64 {
    trace_control_off(len) + PAGE
}

/// See [`TraceControl::wanted`].
pub const TRACE_SNAP_SHIFT: u32 = 32;

/// The events that the service records, by their names in options and their types in records.
pub const TRACE_EVENTS: [(&str, u16); 13] = [
    ("rxpkt", FLEXNIC_TRACE_EV_RXPKT),
    ("txpkt", FLEXNIC_TRACE_EV_TXPKT),
    ("atx", FLEXNIC_PL_TREV_ATX),
    ("arx", FLEXNIC_PL_TREV_ARX),
    ("rxfs", FLEXNIC_PL_TREV_RXFS),
    ("txack", FLEXNIC_PL_TREV_TXACK),
    ("txseg", FLEXNIC_PL_TREV_TXSEG),
    ("afloqman", FLEXNIC_PL_TREV_AFLOQMAN),
    ("rexmit", FLEXNIC_PL_TREV_REXMIT),
    ("qmset", FLEXNIC_TRACE_EV_QMSET),
    ("qmevt", FLEXNIC_TRACE_EV_QMEVT),
    ("dmard", FLEXNIC_TRACE_EV_DMARD),
    ("dmawr", FLEXNIC_TRACE_EV_DMAWR),
];

/// The bit of an event in [`TraceControl::wanted`]; 0 for events that are not recorded.
pub const fn trace_bit(event: u16) -> u16 {
    let mut index = 0;
    while index < TRACE_EVENTS.len() {
        if TRACE_EVENTS[index].1 == event {
            return 1 << index;
        }
        index += 1;
    }
    0
}

/// All bits of events.
pub const TRACE_ALL: u16 = (1 << TRACE_EVENTS.len()) - 1;

/// The bits of events that are named with commas between, or of `all`.
///
/// # Errors
/// The name that is none of an event.
pub fn trace_events(names: &str) -> Result<u16, &str> {
    if names == "all" {
        return Ok(TRACE_ALL);
    }
    names.split(',').try_fold(0, |bits, name| {
        match TRACE_EVENTS.iter().find(|(known, _)| *known == name) {
            Some((_, event)) => Ok(bits | trace_bit(*event)),
            None => Err(name),
        }
    })
}
