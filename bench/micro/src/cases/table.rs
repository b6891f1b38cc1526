//! The flow table.

use tas::flowtable::FlowTable;
use tas::types::FlowId;
use tas_abi::memif::FLEXNIC_PL_FLOWHT_ENTRIES;
use tas_shm::SharedTable;

use super::{Entry, tuple};
use crate::harness::{Run, repeat};

const OPS: u32 = 10_000;
const MANY: u32 = 65_536;

pub const CASES: &[Entry] = &[
    ("table/hit-1", OPS, |ops| find(ops, 1, 0)),
    ("table/hit-65536", OPS, |ops| find(ops, MANY, 0)),
    ("table/miss-65536", OPS, |ops| find(ops, MANY, MANY)),
];

/// Looks up flows from number `first` on, when `installed` are in the table.
fn find(ops: u32, installed: u32, first: u32) -> Run {
    let table = FlowTable::new(SharedTable::private(FLEXNIC_PL_FLOWHT_ENTRIES as u32));
    // A few of many find no place near their home.
    let entered = (0..installed)
        .filter(|number| table.insert(tuple(*number).hash(), FlowId(*number)))
        .count();
    assert!(entered as u32 > installed - installed.min(100));
    let hashes: Vec<u32> = (0..ops)
        .map(|index| tuple(first + index.wrapping_mul(7919) % installed).hash())
        .collect();
    repeat(ops, move |index| {
        let hash = hashes.get(index as usize).copied().unwrap_or(0);
        table.candidates(hash).next()
    })
}
