//! Which core serves which connections.
//!
//! Connections fall into groups, and each group belongs to a core. With a port that spreads frames
//! by a redirection table of its own, the groups are that table's buckets, so that frames arrive
//! where their flows are; otherwise they follow from a hash of addresses and ports. The slow path
//! alone changes what belongs to whom, in numbered rounds.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use tas_wire::FlowTuple;

use crate::nic::Rss;
use crate::types::{CoreId, FlowGroup};

/// Groups when the port has no say: enough to share them out evenly among 16 cores.
const SOFTWARE_GROUPS: u16 = 128;

/// The core of each group.
pub struct Steering {
    rss: Option<Rss>,
    cores: Box<[AtomicU8]>,
    /// Number of the latest change; 0 before the first.
    round: AtomicU32,
}

impl Steering {
    /// All groups are core 0's at first. With `rss` they are the buckets of the port.
    #[must_use]
    pub fn new(rss: Option<Rss>) -> Steering {
        let groups = rss
            .as_ref()
            .map_or(SOFTWARE_GROUPS, |rss| rss.buckets.max(1));
        Steering {
            rss,
            cores: (0..groups).map(|_| AtomicU8::new(0)).collect(),
            round: AtomicU32::new(0),
        }
    }

    /// How many groups there are.
    #[must_use]
    pub fn groups(&self) -> u16 {
        self.cores.len() as u16
    }

    /// The groups are those of the port's redirection table.
    #[must_use]
    pub fn by_port(&self) -> bool {
        self.rss.is_some()
    }

    /// The group of a connection.
    #[must_use]
    pub fn group(&self, tuple: &FlowTuple) -> FlowGroup {
        self.group_of_frame(tuple, None)
    }

    /// The same, when the port may have told its hash with a frame of it.
    #[inline]
    #[must_use]
    pub fn group_of_frame(&self, tuple: &FlowTuple, hash: Option<u32>) -> FlowGroup {
        FlowGroup(match &self.rss {
            Some(rss) => rss.bucket(hash.unwrap_or_else(|| rss.hash(tuple))),
            // Other bits than those that say where the flow lies in the lookup table.
            None => ((tuple.hash() >> 16) % u32::from(SOFTWARE_GROUPS)) as u16,
        })
    }

    /// The core that has a group, or is about to get it.
    #[inline]
    #[must_use]
    pub fn core(&self, group: FlowGroup) -> CoreId {
        // Acquire: who sees a new core also sees the round that made it so.
        let core = self.cores.get(usize::from(group.0));
        CoreId(core.map_or(0, |core| core.load(Ordering::Acquire)).into())
    }

    /// Number of the latest change.
    #[must_use]
    pub fn round(&self) -> u32 {
        self.round.load(Ordering::Acquire)
    }

    /// Begins a round; only the slow path may, and only after all cores are through with the one
    /// before. Returns its number, which is not 0.
    pub fn begin_round(&self) -> u32 {
        let next = self.round().wrapping_add(1).max(1);
        self.round.store(next, Ordering::Release);
        next
    }

    /// Gives a group to a core; only the slow path may, at the start or in a round.
    pub fn assign(&self, group: FlowGroup, core: CoreId) {
        if let Some(place) = self.cores.get(usize::from(group.0)) {
            place.store(core.0 as u8, Ordering::Release);
        }
    }

    /// The core of every group.
    #[must_use]
    pub fn table(&self) -> Vec<CoreId> {
        (0..self.groups())
            .map(|group| self.core(FlowGroup(group)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuples() -> impl Iterator<Item = FlowTuple> {
        (0..10_000u16).map(|port| FlowTuple {
            local_ip: [10, 0, 0, 1].into(),
            local_port: 80,
            remote_ip: [10, 0, 0, 2].into(),
            remote_port: 20_000 + port,
        })
    }

    #[test]
    fn software_groups_fill_evenly() {
        let steering = Steering::new(None);
        let mut count = vec![0; steering.groups().into()];
        for tuple in tuples() {
            count[usize::from(steering.group(&tuple).0)] += 1;
        }
        let (least, most) = (count.iter().min(), count.iter().max());
        assert!(*least.unwrap() > 30 && *most.unwrap() < 150, "{count:?}");
    }

    #[test]
    fn groups_of_the_port_are_its_buckets() {
        let rss = Rss {
            key: (1..=40).collect(),
            ports: true,
            buckets: 64,
        };
        let steering = Steering::new(Some(rss.clone()));
        assert_eq!(steering.groups(), 64);
        for tuple in tuples().take(100) {
            let hash = rss.hash(&tuple);
            let group = steering.group(&tuple);
            assert_eq!(u32::from(group.0), hash % 64);
            assert_eq!(steering.group_of_frame(&tuple, Some(hash)), group);
        }
    }

    #[test]
    fn rounds_are_numbered_from_one_and_never_zero() {
        let steering = Steering::new(None);
        assert_eq!((steering.round(), steering.begin_round()), (0, 1));
        steering.round.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(steering.begin_round(), 1);
        steering.assign(FlowGroup(3), CoreId(2));
        assert_eq!(steering.core(FlowGroup(3)), CoreId(2));
        assert_eq!(steering.core(FlowGroup(4)), CoreId(0));
    }
}
