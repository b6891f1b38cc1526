//! The applications' contexts that a core serves.

use std::collections::VecDeque;
use std::sync::Arc;

use tas_abi::memif::{Arx, Atx};
use tas_shm::{Arena, Consumer, Doorbell, Producer};

use crate::link::ContextSetup;
use crate::types::{ContextId, FlowId, TenantId};

/// No context has this index.
const NONE: u16 = u16::MAX;

/// One context: a queue to it and a queue from it.
pub struct Context {
    /// Its id.
    pub id: ContextId,
    /// The application that it belongs to.
    tenant: TenantId,
    /// Events to the application.
    pub events: Producer<Arx>,
    /// Bumps from the application.
    pub bumps: Consumer<Atx>,
    doorbell: Doorbell,
    /// Events were posted since the doorbell was last looked at.
    posted: bool,
    /// Its application has been reported for breaking the rules.
    pub reported: bool,
    /// Its updates that wait for earlier ones.
    pub early: usize,
    /// Flows with news that found the queue full.
    pub delayed: VecDeque<FlowId>,
}

impl Context {
    /// Posts an event; false when the queue is full.
    pub fn post(&mut self, event: &Arx) -> bool {
        let posted = self.events.push(event).is_ok();
        self.events.prefetch_ahead();
        self.posted |= posted;
        posted
    }

    /// The next flow that waits for room, if there is some.
    #[inline]
    pub fn next_delayed(&mut self) -> Option<FlowId> {
        if self.delayed.is_empty() || !self.events.has_room() {
            return None;
        }
        self.delayed.pop_front()
    }
}

/// All contexts of a core.
pub struct Contexts {
    list: Vec<Context>,
    /// Index in `list` by context id.
    by_id: Vec<u16>,
    poll_cycle_app: u64,
}

impl Contexts {
    /// No contexts yet; applications block after `poll_cycle_app` cycles without news.
    pub fn new(poll_cycle_app: u64) -> Contexts {
        Contexts {
            list: Vec::new(),
            by_id: Vec::new(),
            poll_cycle_app,
        }
    }

    /// Starts serving a context. False when its queues cannot be used.
    pub fn add(&mut self, arena: &Arc<Arena>, setup: ContextSetup) -> bool {
        let events = Arena::producer(arena, setup.rxq, setup.rxq_len);
        let bumps = Arena::consumer(arena, setup.txq, setup.txq_len);
        let (Ok(events), Ok(bumps)) = (events, bumps) else {
            return false;
        };
        self.remove(setup.id);
        let doorbell = Doorbell::new(setup.evfd, self.poll_cycle_app);
        let index = usize::from(setup.id.0);
        if self.by_id.len() <= index {
            self.by_id.resize(index + 1, NONE);
        }
        self.by_id[index] = self.list.len() as u16;
        self.list.push(Context {
            id: setup.id,
            tenant: setup.tenant,
            events,
            bumps,
            doorbell,
            posted: false,
            reported: false,
            early: 0,
            delayed: VecDeque::new(),
        });
        true
    }

    /// Stops serving a context.
    pub fn remove(&mut self, id: ContextId) {
        let Some(index) = self.index(id) else { return };
        self.list.swap_remove(index);
        self.by_id[usize::from(id.0)] = NONE;
        if let Some(moved) = self.list.get(index) {
            self.by_id[usize::from(moved.id.0)] = index as u16;
        }
    }

    /// The context with this id.
    #[inline]
    pub fn get(&mut self, id: ContextId) -> Option<&mut Context> {
        let index = self.index(id)?;
        self.list.get_mut(index)
    }

    /// Both contexts exist and belong to one application.
    pub fn same_tenant(&self, one: ContextId, other: ContextId) -> bool {
        let tenant = |id| self.list.get(self.index(id)?).map(|context| context.tenant);
        tenant(one).is_some() && tenant(one) == tenant(other)
    }

    /// The context at a place in the list, for going round all of them.
    #[inline]
    pub fn at(&mut self, index: usize) -> Option<&mut Context> {
        self.list.get_mut(index)
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// News wait for room in the queue of some application.
    pub fn any_delayed(&self) -> bool {
        self.list.iter().any(|context| !context.delayed.is_empty())
    }

    /// Takes the flows for which `keep` does not hold off the lists of those that wait for room.
    pub fn retain_delayed(&mut self, keep: impl Fn(&FlowId) -> bool) {
        for context in &mut self.list {
            context.delayed.retain(&keep);
        }
    }

    /// Wakes the applications that may sleep and have been posted to.
    pub fn ring(&mut self) {
        for context in self.list.iter_mut().filter(|context| context.posted) {
            context.posted = false;
            context.doorbell.ring_if_needed();
        }
    }

    /// The place of a context in the list.
    #[inline]
    pub fn index(&self, id: ContextId) -> Option<usize> {
        let index = *self.by_id.get(usize::from(id.0))?;
        (index != NONE).then_some(usize::from(index))
    }
}
