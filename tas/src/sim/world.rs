//! Hosts on a network, and the time.

use std::io;

use super::host::{Host, HostConf};
use crate::nic::sim::Network;
use crate::types::Micros;

/// A host of a [`World`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostIndex(pub usize);

/// What applications did in a step of [`World::run`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing: they wait for the service.
    Idle,
    /// Something, so that no time may be skipped.
    Worked,
    /// All they wanted.
    Done,
}

/// Services on a network.
pub struct World {
    /// The network between the hosts.
    pub network: Network,
    hosts: Vec<Host>,
    now: Micros,
    /// Time that a turn of all threads takes.
    pub tick: Micros,
}

impl World {
    /// A world without hosts.
    #[must_use]
    pub fn new(seed: u64) -> World {
        World {
            network: Network::new(seed),
            hosts: Vec::new(),
            now: Micros(1_000_000),
            tick: Micros(1),
        }
    }

    /// Adds a host, whose service starts.
    ///
    /// # Errors
    /// The system gives no memory or no descriptors.
    pub fn add(&mut self, conf: HostConf) -> io::Result<HostIndex> {
        let index = HostIndex(self.hosts.len());
        let seed = index.0 as u64;
        self.hosts
            .push(Host::new(&self.network, conf, seed, self.now)?);
        Ok(index)
    }

    /// A host.
    ///
    /// # Panics
    /// There is none of this index.
    pub fn host(&mut self, index: HostIndex) -> &mut Host {
        &mut self.hosts[index.0]
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Lets every thread of every service take a turn, after what has arrived until now was
    /// delivered. True when somebody did something or waits for room.
    pub fn turn(&mut self) -> bool {
        let mut worked = self.network.advance(self.now);
        for host in &mut self.hosts {
            worked |= host.turn(self.now);
        }
        worked || self.network.waiting()
    }

    /// Passes time: a tick when somebody is busy, otherwise until something happens by itself,
    /// `until` at the latest.
    pub fn pass(&mut self, busy: bool, until: Micros) {
        let soon = self.now + self.tick;
        let next = if busy { soon } else { self.next_event() };
        self.now = next.max(soon).min(until.max(soon));
    }

    /// Runs for `span` at most. `apps` is called after every turn, with the time. True when it
    /// said [`Step::Done`] before the time was up.
    pub fn run(&mut self, span: Micros, mut apps: impl FnMut(&mut World, Micros) -> Step) -> bool {
        let until = self.now + span;
        while self.now < until {
            let worked = self.turn();
            let step = apps(self, self.now);
            if step == Step::Done {
                return true;
            }
            self.pass(worked || step == Step::Worked, until);
        }
        false
    }

    /// Lets time pass while the applications do nothing.
    pub fn rest(&mut self, span: Micros) {
        self.run(span, |_, _| Step::Idle);
    }

    fn next_event(&self) -> Micros {
        self.hosts
            .iter()
            .map(Host::next_deadline)
            .chain(self.network.next())
            .min()
            .unwrap_or(Micros::NEVER)
    }
}
