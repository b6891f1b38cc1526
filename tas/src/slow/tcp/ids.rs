//! Flow ids, local ports, random numbers and timers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tas_wire::{FlowTuple, Ipv4Addr};

use crate::types::{FlowId, Micros};

/// First and last port for active opens, as on Linux.
const EPHEMERAL: (u16, u16) = (32768, 60999);

/// The free flow ids, first in, first out: an id rests as long as possible before it names
/// another flow, so that a late message cannot mean the wrong one.
pub(super) struct FlowIds {
    returned: VecDeque<FlowId>,
    /// Ids from here up to `total` were never used.
    fresh: u32,
    total: u32,
}

impl FlowIds {
    pub(super) fn new(total: u32) -> FlowIds {
        FlowIds {
            returned: VecDeque::new(),
            fresh: 0,
            total,
        }
    }

    pub(super) fn take(&mut self) -> Option<FlowId> {
        if self.fresh < self.total {
            self.fresh += 1;
            return Some(FlowId(self.fresh - 1));
        }
        self.returned.pop_front()
    }

    pub(super) fn give_back(&mut self, flow: FlowId) {
        self.returned.push_back(flow);
    }
}

/// Random numbers that need not resist prediction by who sees them, and keyed hashes that must.
pub(super) struct Random {
    key: [u8; 16],
    drawn: u64,
}

impl Random {
    pub(super) fn new(key: [u8; 16]) -> Random {
        Random { key, drawn: 0 }
    }

    pub(super) fn next_u32(&mut self) -> u32 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u8(b'r');
        hasher.write_u64(self.drawn);
        hasher.finish() as u32
    }

    /// A hash of a connection that its peer cannot aim.
    pub(super) fn hash(&self, tuple: &FlowTuple) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u8(b'f');
        hasher.write_u32(tuple.local_ip.to_bits());
        hasher.write_u32(tuple.remote_ip.to_bits());
        hasher.write_u16(tuple.local_port);
        hasher.write_u16(tuple.remote_port);
        hasher.finish()
    }
}

/// Local ports for active opens.
#[derive(Default)]
pub(super) struct Ports {
    /// Advances with every open, so that consecutive opens try different ports.
    next: u16,
}

impl Ports {
    /// The tuple with a local port that is not `taken`, tried from a place that depends on the
    /// peer and our secret (RFC 6056 §3.3.3).
    pub(super) fn choose(
        &mut self,
        random: &Random,
        local_ip: Ipv4Addr,
        remote_ip: Ipv4Addr,
        remote_port: u16,
        taken: impl Fn(&FlowTuple) -> bool,
    ) -> Option<FlowTuple> {
        let mut tuple = FlowTuple {
            local_ip,
            local_port: 0,
            remote_ip,
            remote_port,
        };
        let (first, last) = EPHEMERAL;
        let count = u64::from(last - first) + 1;
        let start = random.hash(&tuple) % count + u64::from(self.next);
        for tried in 0..count {
            tuple.local_port = first + ((start + tried) % count) as u16;
            if !taken(&tuple) {
                self.next = self.next.wrapping_add(1 + tried as u16);
                return Some(tuple);
            }
        }
        None
    }
}

/// A point in time at which a connection is to be looked at.
struct Timer {
    at: Micros,
    tuple: FlowTuple,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Timer) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Timer) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Timer) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// Timers of connections. They are not removed when a connection goes or its deadline moves back:
/// whoever takes one out compares with the connection and sets it again.
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Micros, tuple: FlowTuple) {
        self.heap.push(Reverse(Timer { at, tuple }));
    }

    pub(super) fn take_due(&mut self, now: Micros) -> Option<FlowTuple> {
        let due = self.heap.peek().is_some_and(|timer| timer.0.at <= now);
        due.then(|| self.heap.pop())
            .flatten()
            .map(|timer| timer.0.tuple)
    }

    pub(super) fn next(&self) -> Micros {
        self.heap.peek().map_or(Micros::NEVER, |timer| timer.0.at)
    }
}
