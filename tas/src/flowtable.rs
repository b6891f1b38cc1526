//! The flow lookup table: from a connection's addresses and ports to its flow id.
//!
//! It lies in `tas_internal` in the layout that tools know (`flextcp_pl_flowhte`): an entry is the
//! flow id with a valid bit and its distance from the hash's home position, and the hash. A flow
//! lies within four entries of its home; the slow path, the only writer, moves others to make
//! room (hopscotch hashing). Where none can be made, which at a quarter of the table happens to one
//! flow in ten thousand, the flow goes into a small table beside, of the service alone. Cores read
//! without locks. A reader that misses an entry under way passes the frame to the slow path, which
//! hands it back.

use std::iter;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tas_shm::SharedTable;

use crate::types::FlowId;

/// Entries in which a flow may lie, counted from its home.
const NEIGHBOURHOOD: u32 = 4;
/// How far to look for an entry to move into the neighbourhood.
const SEARCH: u32 = 512;
const VALID: u32 = 1 << 31;
const POSITION_SHIFT: u32 = 29;
const ID_MASK: u32 = (1 << POSITION_SHIFT) - 1;

/// An entry as it lies in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    id: u32,
    distance: u32,
    hash: u32,
}

impl Entry {
    fn decode(raw: u64) -> Option<Entry> {
        let word = raw as u32;
        (word & VALID != 0).then_some(Entry {
            id: word & ID_MASK,
            distance: (word & !VALID) >> POSITION_SHIFT,
            hash: (raw >> 32) as u32,
        })
    }

    fn encode(self) -> u64 {
        let word = VALID | (self.distance << POSITION_SHIFT) | self.id;
        u64::from(word) | (u64::from(self.hash) << 32)
    }
}

/// The table, shared by all threads of the service.
pub struct FlowTable {
    entries: SharedTable,
    mask: u32,
    overflow: Overflow,
}

impl FlowTable {
    /// A table over `entries`, whose number is rounded down to a power of two.
    pub fn new(entries: SharedTable) -> FlowTable {
        let len = entries.count().max(1);
        let mask = (1u32 << (31 - len.leading_zeros())) - 1;
        FlowTable {
            entries,
            mask,
            overflow: Overflow::new(),
        }
    }

    /// The flows whose hash is `hash`: almost always one, and the caller compares addresses.
    #[inline]
    pub fn candidates(&self, hash: u32) -> impl Iterator<Item = FlowId> + '_ {
        let near = (0..NEIGHBOURHOOD).map(move |d| self.entries.load(self.index(hash, d)));
        // Looked at only when the neighbourhood is exhausted.
        let beside = iter::once(()).flat_map(move |()| self.overflow.load(hash));
        near.chain(beside).filter_map(move |raw| {
            let entry = Entry::decode(raw)?;
            (entry.hash == hash).then_some(FlowId(entry.id))
        })
    }

    /// Asks the processor for the entries of `hash`.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        self.entries.prefetch(self.index(hash, 0));
    }

    /// Enters a flow; only the slow path may. False when there is no room.
    pub fn insert(&self, hash: u32, flow: FlowId) -> bool {
        self.insert_near(hash, flow) || self.overflow.insert(hash, flow)
    }

    fn insert_near(&self, hash: u32, flow: FlowId) -> bool {
        let Some(mut free) = (0..SEARCH).find(|d| self.entry(hash, *d).is_none()) else {
            return false;
        };
        while free >= NEIGHBOURHOOD {
            match self.move_closer(hash, free) {
                Some(closer) => free = closer,
                None => return false,
            }
        }
        let entry = Entry {
            id: flow.0,
            distance: free,
            hash,
        };
        self.entries.store(self.index(hash, free), entry.encode());
        true
    }

    /// Removes a flow; only the slow path may. False when it was not there.
    pub fn remove(&self, hash: u32, flow: FlowId) -> bool {
        let found = (0..NEIGHBOURHOOD).find(|d| {
            self.entry(hash, *d)
                .is_some_and(|e| e.hash == hash && e.id == flow.0)
        });
        if let Some(distance) = found {
            self.entries.store(self.index(hash, distance), 0);
        }
        found.is_some() || self.overflow.remove(hash, flow)
    }

    /// How many flows are entered. Looks at the whole table.
    pub fn occupied(&self) -> usize {
        (0..=self.mask)
            .filter(|index| Entry::decode(self.entries.load(*index)).is_some())
            .count()
            + self.overflow.used.load(Ordering::Relaxed) as usize
    }

    /// Moves an entry that may lie at `free` there, and returns the distance that it left free.
    fn move_closer(&self, hash: u32, free: u32) -> Option<u32> {
        (1..NEIGHBOURHOOD).rev().find_map(|back| {
            let from = free - back;
            let entry = self.entry(hash, from)?;
            let distance = entry.distance + back;
            if distance >= NEIGHBOURHOOD {
                return None;
            }
            self.entries
                .store(self.index(hash, free), Entry { distance, ..entry }.encode());
            self.entries.store(self.index(hash, from), 0);
            Some(from)
        })
    }

    fn entry(&self, hash: u32, distance: u32) -> Option<Entry> {
        Entry::decode(self.entries.load(self.index(hash, distance)))
    }

    fn index(&self, hash: u32, distance: u32) -> u32 {
        hash.wrapping_add(distance) & self.mask
    }
}

/// Flows for which there is no room near their home.
struct Overflow {
    used: AtomicU32,
    buckets: Box<[Bucket]>,
}

/// A cache line of entries.
#[derive(Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; 8]);

impl Overflow {
    /// With all flow states in use, one flow in 250 has no room near its home: one in a bucket on
    /// average.
    const BUCKETS: usize = 512;

    fn new() -> Overflow {
        Overflow {
            used: AtomicU32::new(0),
            buckets: (0..Overflow::BUCKETS).map(|_| Bucket::default()).collect(),
        }
    }

    fn bucket(&self, hash: u32) -> &[AtomicU64] {
        // The upper bits: flows that crowd at one home agree in the lower ones.
        let index = (hash >> 20) as usize % Overflow::BUCKETS;
        self.buckets.get(index).map_or(&[], |bucket| &bucket.0)
    }

    fn load(&self, hash: u32) -> impl Iterator<Item = u64> + '_ {
        let bucket = match self.used.load(Ordering::Acquire) {
            0 => &[],
            _ => self.bucket(hash),
        };
        bucket.iter().map(|entry| entry.load(Ordering::Acquire))
    }

    fn insert(&self, hash: u32, flow: FlowId) -> bool {
        let free = |entry: &&AtomicU64| entry.load(Ordering::Relaxed) == 0;
        let Some(entry) = self.bucket(hash).iter().find(free) else {
            return false;
        };
        let id = flow.0;
        let distance = 0;
        entry.store(Entry { id, distance, hash }.encode(), Ordering::Release);
        self.used.fetch_add(1, Ordering::Release);
        true
    }

    fn remove(&self, hash: u32, flow: FlowId) -> bool {
        let here = |raw| Entry::decode(raw).is_some_and(|e| e.hash == hash && e.id == flow.0);
        let found = self
            .bucket(hash)
            .iter()
            .find(|entry| here(entry.load(Ordering::Relaxed)));
        if let Some(entry) = found {
            entry.store(0, Ordering::Release);
            self.used.fetch_sub(1, Ordering::Release);
        }
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn table(entries: u32) -> FlowTable {
        FlowTable::new(SharedTable::private(entries))
    }

    fn find(table: &FlowTable, hash: u32) -> Vec<u32> {
        let mut ids: Vec<u32> = table.candidates(hash).map(|flow| flow.0).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn equal_hashes_share_a_neighbourhood() {
        let table = table(64);
        for id in 0..4 {
            assert!(table.insert(7, FlowId(id)));
        }
        assert_eq!(find(&table, 7), [0, 1, 2, 3]);
        assert!(table.remove(7, FlowId(2)));
        assert!(!table.remove(7, FlowId(2)));
        assert_eq!(find(&table, 7), [0, 1, 3]);
    }

    #[test]
    fn a_crowd_at_one_home_overflows() {
        let table = table(64);
        let entered = (0..20).filter(|id| table.insert(7, FlowId(*id))).count();
        assert_eq!(entered, 12);
        assert_eq!(table.occupied(), 12);
        assert_eq!(find(&table, 7), (0..12).collect::<Vec<_>>());
        // Another home, and another hash with the same bucket.
        assert_eq!(find(&table, 9), []);
        assert_eq!(find(&table, 8), []);
        for id in (0..12).rev() {
            assert!(table.remove(7, FlowId(id)));
            assert!(!table.remove(7, FlowId(id)));
        }
        assert_eq!(find(&table, 7), []);
        assert_eq!(table.occupied(), 0);
    }

    #[test]
    fn takes_all_flows_that_there_are_states_for() {
        let table = table(1 << 18);
        let mut seed = 1u64;
        let mut hashes = Vec::new();
        for id in 0..1 << 17 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            let hash = (seed >> 32) as u32;
            hashes.push(hash);
            assert!(table.insert(hash, FlowId(id)), "flow {id}");
        }
        for (id, hash) in hashes.iter().enumerate() {
            assert!(table.candidates(*hash).any(|flow| flow.0 == id as u32));
        }
    }

    #[test]
    fn makes_room_by_moving_others() {
        let table = table(64);
        for (id, hash) in [
            (0, 10),
            (1, 11),
            (2, 12),
            (3, 13),
            (4, 10),
            (5, 10),
            (6, 10),
        ] {
            assert!(table.insert(hash, FlowId(id)), "flow {id}");
        }
        assert_eq!(find(&table, 10), [0, 4, 5, 6]);
        for (id, hash) in [(1, 11), (2, 12), (3, 13)] {
            assert_eq!(find(&table, hash), [id]);
        }
    }

    #[test]
    fn half_full_table_takes_every_flow() {
        let table = table(1 << 14);
        for id in 0..(1 << 13) {
            let hash = u32::wrapping_mul(id, 0x9e37_79b1).rotate_left(11);
            assert!(table.insert(hash, FlowId(id)), "flow {id}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec((any::<bool>(), 0u32..40, 0u32..24), 1..300)) {
            let table = table(32);
            let mut model: HashMap<u32, u32> = HashMap::new();
            for (insert, id, hash) in steps {
                if insert && !model.contains_key(&id) {
                    if table.insert(hash, FlowId(id)) {
                        model.insert(id, hash);
                    }
                } else if !insert && let Some(hash) = model.remove(&id) {
                    prop_assert!(table.remove(hash, FlowId(id)));
                }
                for hash in 0..24 {
                    let mut ids: Vec<u32> = model.iter().filter(|(_, h)| **h == hash).map(|(id, _)| *id).collect();
                    ids.sort_unstable();
                    prop_assert_eq!(find(&table, hash), ids);
                }
            }
        }
    }
}
