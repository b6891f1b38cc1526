//! Updates that applications post: taken from their queues, and given to their flows in order.

use tas_abi::memif::{AtxMsg, FLEXTCP_PL_ATX_FLTXDONE};

use super::send::{Sender, fetch_sender};
use super::slot::Owner;
use super::{Core, fetch};
use crate::link::ToSlow;
use crate::nic::NicQueue;
use crate::proto::{AppBump, BadBump, Flow};
use crate::types::{ContextId, FlowId, Micros};

/// Entries of one context in one turn.
const ENTRIES: usize = 32;
/// Bytes to be sent, as entries tell, after which no more of a context are taken in a turn: what a
/// turn sends, and on a port that is looped back receives, ought to stay in the nearest cache.
const BYTES: u32 = 24 * 1024;

/// Entries of one context that are taken at once before a flow is let go: a queue's worth, so
/// that an application that posts without end holds nobody up.
pub(super) const ENTRIES_MAX: usize = 1 << 16;
/// Updates ahead whose flows are fetched while one is handled: what a handful of them takes is
/// what the memory needs.
const FLOWS_AHEAD: usize = 8;
/// Updates ahead whose data is fetched, of flows that have come by then.
const DATA_AHEAD: usize = 4;
/// How far an update's number may be ahead of its flow's.
const AHEAD_MAX: u16 = 1024;
/// Updates of one context that may wait for earlier ones. With so many, the context's queue is not
/// read on: an application that leaves out numbers holds up nobody else's updates.
const EARLY_MAX: usize = 128;
/// Most updates that wait to be settled. An application gets that far only by naming flows that it
/// does not have.
const UNSETTLED_MAX: usize = 1 << 14;
/// How long early updates wait: longer than a core that is to pass them on may be kept from
/// running.
pub(super) const PATIENCE: Micros = Micros::from_millis(1000);

/// An update that may have come before its turn: several threads share a connection, each with
/// a queue of its own, and the queues are read one after the other.
#[derive(Clone, Copy)]
pub(super) struct Early {
    pub context: ContextId,
    pub flow: FlowId,
    pub bump: AppBump,
    /// How long it waits; `None` when it has: it is tried once more, after the queues.
    pub until: Option<Micros>,
}

/// Whether an update came in its turn.
#[derive(PartialEq, Eq)]
pub(super) enum Order {
    /// It did, or is of no use any more.
    Taken,
    /// Another one of its flow comes before it.
    TooEarly,
    /// The flow does not belong to the application, as far as this core knows.
    Unknown,
}

impl<Q: NicQueue> Core<Q> {
    /// Takes what applications have posted.
    pub(super) fn take_bumps(&mut self) -> bool {
        let mut worked = self.retry_early();
        if !self.early.is_empty() {
            self.expire_early();
        }
        if !self.unsettled.is_empty() {
            self.settle();
        }
        for index in 0..self.contexts.len() {
            worked |= self.pop_entries(index, ENTRIES, BYTES) > 0;
            self.give_updates();
        }
        worked
    }

    /// Takes up to `most` entries of the context at a place in the list.
    #[inline]
    pub(super) fn take_entries(&mut self, index: usize, most: usize) -> bool {
        let mut left = most;
        while left > 0 {
            let taken = self.pop_entries(index, left.min(ENTRIES), u32::MAX);
            if taken == 0 {
                break;
            }
            left -= taken;
            self.give_updates();
        }
        left < most
    }

    /// Gives the updates that were taken to their flows.
    #[inline]
    fn give_updates(&mut self) {
        // One by one: a message of the slow path that comes in between may want them all given.
        while let Some(update) = self.updates.next() {
            self.fetch_for_updates();
            self.update(&update);
        }
    }

    /// Fetches what later updates need.
    #[inline]
    fn fetch_for_updates(&mut self) {
        let shared = &self.shared;
        if let Some(later) = self.updates.ahead(FLOWS_AHEAD) {
            fetch_sender(&shared.flows, later.flow);
        }
        if let Some(later) = self.updates.ahead(DATA_AHEAD)
            && let Some((st, _)) = shared.flows.get(&mut self.token, later.flow.0)
        {
            fetch::added(&shared.arena, st, later.bump.tx_bump);
        }
    }

    /// Takes entries out of a context's queue, and fetches the flows that they are for. Returns
    /// how many: up to `most`, and no more after `most_bytes` to be sent.
    #[inline]
    fn pop_entries(&mut self, index: usize, most: usize, most_bytes: u32) -> usize {
        let until = Some(self.now + PATIENCE);
        let Some(context) = self.contexts.at(index) else {
            return 0;
        };
        let id = context.id;
        // Each may have to wait.
        let most = most.min(EARLY_MAX.saturating_sub(context.early));
        let (mut taken, mut bad, mut bytes) = (0, 0, 0u32);
        while taken < most
            && bytes < most_bytes
            && let Some(entry) = context.bumps.pop()
        {
            taken += 1;
            let Ok(AtxMsg::ConnUpdate(update)) = AtxMsg::try_from(entry) else {
                bad += 1;
                continue;
            };
            let flow = FlowId(update.flow_id);
            if self.updates.waiting() < FLOWS_AHEAD {
                fetch_sender(&self.shared.flows, flow);
            }
            bytes = bytes.saturating_add(update.tx_bump);
            self.updates.push(Early {
                context: id,
                flow,
                bump: AppBump {
                    rx_bump: update.rx_bump,
                    tx_bump: update.tx_bump,
                    bump_seq: update.bump_seq,
                    tx_done: update.flags & FLEXTCP_PL_ATX_FLTXDONE != 0,
                },
                until,
            });
        }
        self.counters.app_entries.add(taken as u64);
        for _ in 0..bad {
            self.bad_entry(id, "unknown queue entry type");
        }
        taken
    }

    /// Gives an update to its flow, now or when its turn comes.
    #[inline]
    fn update(&mut self, update: &Early) {
        match self.bump_or_look_again(update) {
            Order::Taken => {}
            Order::TooEarly => self.keep_early(update, usize::MAX),
            Order::Unknown if self.in_message && self.unsettled.len() < UNSETTLED_MAX => {
                self.unsettled.push(*update);
            }
            Order::Unknown => self.counters.app_stale_entries.add(1),
        }
    }

    /// Gives updates to flows that were unknown while messages were read. Those that still are
    /// have ended.
    #[cold]
    fn settle(&mut self) {
        for update in std::mem::take(&mut self.unsettled) {
            self.update(&update);
        }
    }

    /// Gives an update to its flow, also if the messages tell only now that there is one: the slow
    /// path tells this core of a flow before it tells the application, but both may have happened
    /// since the messages were read.
    #[inline]
    pub(super) fn bump_or_look_again(&mut self, update: &Early) -> Order {
        match self.bump(update) {
            Order::Unknown if !self.in_message => self.look_again(update),
            order => order,
        }
    }

    #[cold]
    fn look_again(&mut self, update: &Early) -> Order {
        // One by one: the next message may take the flow away again.
        while self.take_up_to(1) {
            let order = self.bump(update);
            if order != Order::Unknown {
                return order;
            }
        }
        Order::Unknown
    }

    /// Keeps an update that came before its turn, unless its context has so many already.
    #[cold]
    pub(super) fn keep_early(&mut self, update: &Early, most: usize) {
        if let Some(context) = self.contexts.get(update.context)
            && context.early < most
        {
            context.early += 1;
            self.early.push(*update);
        }
    }

    /// Takes all that the application of a context has posted so far. What it asks of the slow
    /// path overtakes its updates, which it posted before.
    #[cold]
    pub(super) fn take_all_of(&mut self, owner: ContextId) {
        self.give_updates();
        // The message before may have told of their flows.
        self.settle();
        for index in 0..self.contexts.len() {
            let Some(id) = self.contexts.at(index).map(|context| context.id) else {
                break;
            };
            if self.contexts.same_tenant(owner, id) {
                self.take_entries(index, ENTRIES_MAX);
            }
        }
        // They wait in the order in which they came, which need not be theirs.
        while self.retry_early() {}
    }

    /// Tries again the updates that came before their turn.
    #[inline]
    fn retry_early(&mut self) -> bool {
        !self.early.is_empty() && self.retry_all_early()
    }

    #[cold]
    fn retry_all_early(&mut self) -> bool {
        let mut early = std::mem::take(&mut self.early);
        let before = early.len();
        early.retain(|update| {
            let waits = self.bump(update) != Order::Taken;
            if !waits {
                self.uncount_early(update);
            }
            waits
        });
        let worked = early.len() < before;
        self.early = early;
        worked
    }

    /// Gives up the updates that have waited long enough and were tried once more since: those
    /// before them may be in queues that this core could not look at meanwhile.
    #[cold]
    fn expire_early(&mut self) {
        let mut early = std::mem::take(&mut self.early);
        early.retain_mut(|update| {
            let waits = update.until.is_some();
            update.until = update.until.filter(|until| *until > self.now);
            if !waits {
                self.uncount_early(update);
            }
            waits
        });
        self.early = early;
    }

    fn uncount_early(&mut self, update: &Early) {
        if let Some(context) = self.contexts.get(update.context) {
            context.early = context.early.saturating_sub(1);
        }
    }

    /// Gives an update to its flow, if it comes from the flow's application.
    fn bump(&mut self, update: &Early) -> Order {
        let Early {
            context,
            flow: id,
            bump,
            ..
        } = update;
        let shared = &self.shared;
        let Some((st, slot)) = shared.flows.get(&mut self.token, id.0) else {
            return self.pass_on(update);
        };
        // Any context of the application may post: several threads share connections, and move
        // them.
        let owner = slot.app.context();
        let known = match slot.app.owner {
            Owner::Context | Owner::Moving => {
                owner == *context || self.contexts.same_tenant(owner, *context)
            }
            Owner::Backlog | Owner::Parked | Owner::Orphan => false,
        };
        if !slot.app.installed || !known {
            return Order::Unknown;
        }
        if slot.app.ended {
            self.counters.app_stale_entries.add(1);
            return Order::Taken;
        }
        let ahead = bump.bump_seq.wrapping_sub(st.bump_seq);
        if ahead != 0 && ahead < AHEAD_MAX {
            return Order::TooEarly;
        }
        let mut flow = Flow {
            st,
            ext: &mut slot.ext,
        };
        self.tx.trace.app_update(*id, *context, flow.st, bump);
        match flow.on_app_bump(bump, &shared.params, self.now) {
            Ok(bumped) => {
                if bumped.ack {
                    self.schedule.ack(*id, &mut slot.app);
                }
                self.tx.trace.queued(bumped.send, *id, &flow);
                let little = flow.st.tx_avail <= fetch::FIRST;
                if bumped.send && little && self.schedule.goes_next(&slot.app) {
                    let mut sender = Sender {
                        tx: &mut self.tx,
                        nic: &mut self.nic,
                        schedule: &mut self.schedule,
                        counters: &self.counters,
                        now: self.now,
                    };
                    sender.give_turn(*id, st, slot, &shared.params);
                    return Order::Taken;
                }
                let deadline = flow.deadline();
                if bumped.send {
                    fetch::first_to_send(&shared.arena, st);
                    self.bulk |= !little;
                    self.schedule.send(*id, &mut slot.app);
                }
                self.schedule.arm(*id, &mut slot.app, deadline);
            }
            Err(BadBump::Stale) => self.counters.app_stale_entries.add(1),
            Err(BadBump::RxTooLarge) => {
                self.bad_entry(*context, "handed back more than it received")
            }
            Err(BadBump::TxTooLarge) => self.bad_entry(*context, "sent more than its buffer holds"),
            Err(BadBump::AfterClose) => self.bad_entry(*context, "sent after closing"),
        }
        Order::Taken
    }

    #[cold]
    fn bad_entry(&mut self, id: ContextId, what: &'static str) {
        self.counters.app_bad_entries.add(1);
        if let Some(context) = self.contexts.get(id)
            && !context.reported
        {
            context.reported = true;
            self.slow.send(ToSlow::Misbehaved(id, what));
        }
    }
}

/// Updates that were taken from a context, on their way to their flows.
pub(super) struct Updates {
    list: Vec<Early>,
    /// How many of them have been given.
    given: usize,
}

impl Updates {
    pub(super) const fn new() -> Updates {
        Updates {
            list: Vec::new(),
            given: 0,
        }
    }

    #[inline]
    fn push(&mut self, update: Early) {
        self.list.push(update);
    }

    /// How many are still to be given.
    #[inline]
    fn waiting(&self) -> usize {
        self.list.len() - self.given
    }

    #[inline]
    fn next(&mut self) -> Option<Early> {
        let update = self.list.get(self.given).copied();
        match update {
            Some(_) => self.given += 1,
            None => {
                self.list.clear();
                self.given = 0;
            }
        }
        update
    }

    /// The one that is so many ahead of the one given last.
    #[inline]
    fn ahead(&self, ahead: usize) -> Option<&Early> {
        self.list.get(self.given + ahead - 1)
    }
}
