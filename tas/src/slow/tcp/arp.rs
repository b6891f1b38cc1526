//! The ARP cache: who is resolved, who is asked for, and who waits for the answer (RFC 826,
//! RFC 1122 §2.3.2).

use std::collections::{BTreeSet, HashMap};

use tas_wire::{FlowTuple, Ipv4Addr, MacAddr};

use crate::types::Micros;

/// An entry not confirmed for this long is asked for again when it is used. It serves meanwhile.
const FRESH: Micros = Micros(60_000_000);
/// An entry does not change its address again within this time: two stations that fight over an
/// address must not keep us busy.
const SETTLED: Micros = Micros(1_000_000);
/// Most resolved entries.
const MAX_KNOWN: usize = 8192;

/// A resolved neighbour.
struct Known {
    mac: MacAddr,
    /// When the neighbour last said so.
    confirmed: Micros,
    /// When the address last changed.
    changed: Micros,
    /// A connection of ours goes or went through it: those that only asked for us make room first.
    used: bool,
}

impl Known {
    /// Its place in the order of making room.
    fn rank(&self, ip: Ipv4Addr) -> Rank {
        (self.used, self.confirmed, ip)
    }
}

type Rank = (bool, Micros, Ipv4Addr);

/// A neighbour that is being asked for.
struct Asked {
    timeout: Micros,
    deadline: Micros,
    waiting: Vec<FlowTuple>,
}

/// The cache.
pub(super) struct ArpCache {
    known: HashMap<Ipv4Addr, Known>,
    /// Those known, who makes room first in front.
    order: BTreeSet<Rank>,
    asked: HashMap<Ipv4Addr, Asked>,
    deadlines: BTreeSet<(Micros, Ipv4Addr)>,
    timeout: Micros,
    timeout_max: Micros,
}

/// Answer to [`ArpCache::lookup`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    /// The address; `None`: the connection was noted down and waits.
    pub mac: Option<MacAddr>,
    /// Send a request.
    pub ask: bool,
}

/// What an ARP packet changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// Connections that can go on.
    pub waiting: Vec<FlowTuple>,
    /// A known neighbour that connections may go through has another address now.
    pub changed: bool,
}

/// What time brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask for this neighbour again.
    Ask(Ipv4Addr),
    /// The neighbour did not answer; these connections waited for it.
    Failed(Vec<FlowTuple>),
}

impl ArpCache {
    /// An empty cache that repeats a request after `timeout`, doubled each time up to
    /// `timeout_max`.
    pub(super) fn new(timeout: Micros, timeout_max: Micros) -> ArpCache {
        ArpCache {
            known: HashMap::new(),
            order: BTreeSet::new(),
            asked: HashMap::new(),
            deadlines: BTreeSet::new(),
            timeout: timeout.max(Micros(1)),
            timeout_max,
        }
    }

    /// The address of a neighbour, if it is known.
    pub(super) fn peek(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        self.known.get(&ip).map(|known| known.mac)
    }

    /// The address of a neighbour for the connection `waiter`, which waits if it is not known.
    pub(super) fn lookup(&mut self, ip: Ipv4Addr, waiter: FlowTuple, now: Micros) -> Lookup {
        self.note_use(ip);
        let known = self.known.get(&ip);
        let mac = known.map(|known| known.mac);
        let stale = known.is_none_or(|known| now.since(known.confirmed) > FRESH);
        if !stale {
            return Lookup { mac, ask: false };
        }
        let ask = !self.asked.contains_key(&ip);
        if ask {
            self.ask(ip, now, self.timeout);
        }
        if let (None, Some(asked)) = (mac, self.asked.get_mut(&ip)) {
            asked.waiting.push(waiter);
        }
        Lookup { mac, ask }
    }

    /// A connection goes through this neighbour.
    pub(super) fn note_use(&mut self, ip: Ipv4Addr) {
        if self.known.get(&ip).is_some_and(|known| !known.used) {
            self.update(ip, |known| known.used = true);
        }
    }

    fn update(&mut self, ip: Ipv4Addr, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known.get_mut(&ip) {
            self.order.remove(&known.rank(ip));
            change(known);
            self.order.insert(known.rank(ip));
        }
    }

    fn ask(&mut self, ip: Ipv4Addr, now: Micros, timeout: Micros) {
        let deadline = now + timeout;
        let waiting = self
            .asked
            .remove(&ip)
            .map_or_else(Vec::new, |old| old.waiting);
        self.deadlines.insert((deadline, ip));
        self.asked.insert(
            ip,
            Asked {
                timeout,
                deadline,
                waiting,
            },
        );
    }

    /// A neighbour told its address. New neighbours are entered only where `create` says so or
    /// somebody waits for them (RFC 826, "packet reception").
    pub(super) fn learn(
        &mut self,
        ip: Ipv4Addr,
        mac: MacAddr,
        create: bool,
        now: Micros,
    ) -> Learned {
        let mut learned = Learned::default();
        match self.known.get(&ip) {
            Some(known) if known.mac == mac => self.update(ip, |known| known.confirmed = now),
            Some(known) => {
                if now.since(known.changed) < SETTLED {
                    return learned;
                }
                learned.changed = known.used;
                self.update(ip, |known| {
                    known.mac = mac;
                    known.confirmed = now;
                    known.changed = now;
                });
            }
            None if create || self.asked.contains_key(&ip) => {
                self.make_room();
                let known = Known {
                    mac,
                    confirmed: now,
                    changed: now,
                    used: self.asked.contains_key(&ip),
                };
                self.order.insert(known.rank(ip));
                self.known.insert(ip, known);
            }
            None => return learned,
        }
        if let Some(asked) = self.asked.remove(&ip) {
            self.deadlines.remove(&(asked.deadline, ip));
            learned.waiting = asked.waiting;
        }
        learned
    }

    /// Forgets an entry when the cache is full: one that no connection has used, if there is such,
    /// and of those the one that has been silent for longest.
    fn make_room(&mut self) {
        if self.known.len() < MAX_KNOWN {
            return;
        }
        if let Some((_, _, ip)) = self.order.pop_first() {
            self.known.remove(&ip);
        }
    }

    fn forget(&mut self, ip: Ipv4Addr) {
        if let Some(known) = self.known.remove(&ip) {
            self.order.remove(&known.rank(ip));
        }
    }

    /// The next thing that is due.
    pub(super) fn poll(&mut self, now: Micros) -> Option<Due> {
        let (deadline, ip) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.remove(&(deadline, ip));
        let timeout = self.asked.get(&ip)?.timeout;
        let next = timeout + timeout;
        if next <= self.timeout_max {
            self.ask(ip, now, next);
            return Some(Due::Ask(ip));
        }
        // The old address is of no use any more, if there was one.
        self.forget(ip);
        Some(Due::Failed(self.asked.remove(&ip)?.waiting))
    }

    /// When [`ArpCache::poll`] has something to do.
    pub(super) fn deadline(&self) -> Micros {
        self.deadlines
            .first()
            .map_or(Micros::NEVER, |first| first.0)
    }
}

#[cfg(test)]
#[path = "arp_tests.rs"]
mod tests;
