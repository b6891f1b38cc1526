//! How flows change their core while data flow.
//!
//! The slow path begins a round: it changes the steering table and tells every core. Then
//!
//! 1. every core sends a fence to every other one, once it steers by the new table, so that what
//!    comes behind the fence was steered by it. With a port that steers by itself, it first takes
//!    what the port had put into its queue before;
//! 2. a core that has every fence has seen all frames that came to it for flows that leave. It
//!    hands these over, each with a message, a few in every turn, and says when all are;
//! 3. a core to which all have said so has every flow that it is to have, and the round is over
//!    for it.
//!
//! Meanwhile what reaches a flow's new core ahead of the flow waits there: frames, and messages of
//! the slow path, which knows the new core only. So segments are taken in the order of arrival.
//! They are also sent in order, since a flow leaves only when the port has taken what its old core
//! had sent. And its application learns of everything in order: the new core is mute until the
//! application has read what the old one had posted.

use tas_abi::memif::FlowSt;

use super::Core;
use super::flows::Moving;
use super::peers::{Arrived, Mail, Purpose};
use super::slot::{FlowSlot, Owner};
use super::steer::owner_id;
use crate::link::{CloseHow, ToFast, ToSlow};
use crate::nic::NicQueue;
use crate::proto::Flow;
use crate::types::{ContextId, CoreId, FlowGroup, FlowId};

/// Bursts after which what was in the port's queue at the beginning of a round has been taken: as
/// many as the queue holds.
const DRAIN_BURSTS: u16 = 64;
/// Flows that a core looks at in one turn for those that leave.
const SCAN: u32 = 8192;
/// Flows that leave in one turn.
const LEAVING: usize = 64;

/// How far a core is in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// No round is under way, as far as the core has been told.
    Settled,
    /// It empties its queue of the port, in so many bursts at most.
    Draining(u16),
    /// It waits for the others' fences.
    Fenced,
    /// It hands over flows, from this one on.
    Leaving(u32),
    /// It waits for the flows of others.
    Receiving,
}

/// A core's part in rounds.
pub(super) struct Rebalance {
    stage: Stage,
    round: u32,
    completed: u32,
    pub(super) fences: usize,
    pub(super) handed_over: usize,
    /// Flows have arrived in this turn.
    arrived: bool,
    /// Frames received up to the last look.
    received: u64,
    /// The core has flow groups.
    on: bool,
}

impl Rebalance {
    /// No round yet.
    pub(super) fn new() -> Rebalance {
        Rebalance {
            stage: Stage::Settled,
            round: 0,
            completed: 0,
            fences: 0,
            handed_over: 0,
            arrived: false,
            received: 0,
            on: true,
        }
    }
}

/// A flow that has left, and whose application has yet to read what it was told here.
pub(super) struct Departed {
    flow: FlowId,
    to: CoreId,
    context: ContextId,
    position: tas_shm::Position,
    mark: u16,
}

/// A flow for which something waits for updates that were posted to other cores.
pub(super) struct Collecting {
    pub flow: FlowId,
    purpose: Purpose,
    left: usize,
}

impl<Q: NicQueue> Core<Q> {
    /// The slow path has begun a round, of which this core may not know yet.
    pub(super) fn in_round(&self) -> bool {
        self.shared.steering.round() != self.rebalance.completed
    }

    /// Finds out whether the core has flow groups.
    pub(super) fn look_for_groups(&mut self) {
        self.rebalance.on = self.shared.steering.table().contains(&self.id);
    }

    /// The core is off: it has no flows, and no frames come to it.
    pub(super) fn rests(&self) -> bool {
        let reached = self.nic.receives() && !self.shared.steering.by_port();
        !self.rebalance.on && !reached && self.rebalance.stage == Stage::Settled
    }

    /// The slow path says that a round has begun.
    pub(super) fn begin_round(&mut self, round: u32) {
        self.rebalance.round = round;
        self.rebalance.received = self.counters.rx_frames.get();
        let bursts = if self.shared.steering.by_port() {
            DRAIN_BURSTS
        } else {
            0
        };
        self.rebalance.stage = Stage::Draining(bursts);
    }

    /// Goes on with the round at the end of a turn. True when it came further.
    #[inline]
    pub(super) fn continue_round(&mut self) -> bool {
        self.rebalance.stage != Stage::Settled && self.next_stage()
    }

    #[cold]
    fn next_stage(&mut self) -> bool {
        let before = self.rebalance.stage;
        self.rebalance.stage = match before {
            Stage::Settled => Stage::Settled,
            Stage::Draining(bursts) => self.drained(bursts),
            Stage::Fenced if self.rebalance.fences >= self.peers.len() => Stage::Leaving(0),
            Stage::Fenced => Stage::Fenced,
            Stage::Leaving(from) => self.leave(from),
            Stage::Receiving if self.rebalance.handed_over >= self.peers.len() => {
                self.end_round();
                Stage::Settled
            }
            Stage::Receiving => Stage::Receiving,
        };
        before != self.rebalance.stage
    }

    fn drained(&mut self, bursts: u16) -> Stage {
        let received = self.counters.rx_frames.get();
        let empty = received == self.rebalance.received;
        self.rebalance.received = received;
        if bursts > 0 && !empty {
            return Stage::Draining(bursts - 1);
        }
        self.peers.send_all(|| Mail::Fence);
        Stage::Fenced
    }

    /// Hands over some of the flows that belong to others.
    fn leave(&mut self, from: u32) -> Stage {
        if self.tx.backlogged() {
            return Stage::Leaving(from);
        }
        let count = self.shared.flows.count();
        let end = from.saturating_add(SCAN).min(count);
        let own = Some(owner_id(self.id));
        let mut left = 0;
        for index in from..end {
            if self.shared.flows.owner(index) != own {
                continue;
            }
            if self.hand_over(FlowId(index)) {
                left += 1;
                if left == LEAVING {
                    return Stage::Leaving(index + 1);
                }
            }
        }
        if end < count {
            return Stage::Leaving(end);
        }
        self.forget_departed();
        self.peers.send_all(|| Mail::HandedOver);
        Stage::Receiving
    }

    /// Hands a flow over if it is no longer to be here.
    fn hand_over(&mut self, id: FlowId) -> bool {
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return false;
        };
        let to = self.shared.steering.core(FlowGroup(st.flow_group));
        if to == self.id || !slot.app.installed {
            return false;
        }
        let app = &mut slot.app;
        let arrived = Arrived {
            flow: id,
            ack: app.ack_queued,
            send: app.send_queued,
            moving: self.moving.iter().find(|m| m.flow == id).map(|m| m.to),
            collecting: self
                .collecting
                .iter()
                .find(|c| c.flow == id)
                .map(|c| c.purpose),
        };
        app.ack_queued = false;
        app.send_queued = false;
        app.notice_queued = false;
        // At once: the new core may be asked to close the flow before it looks at its mail.
        app.moved = true;
        let told = app.is_used() && app.mute == 0;
        if told && let Some(context) = self.contexts.get(app.context()) {
            let position = context.events.position();
            if !context.events.consumed_up_to(position) {
                // Not 0, which says that a flow is not mute.
                app.mute = (self.rebalance.round as u16).max(1);
                self.departed.push(Departed {
                    flow: id,
                    to,
                    context: context.id,
                    position,
                    mark: app.mute,
                });
            }
        }
        self.schedule.forget(id, app);
        self.moving.retain(|moving| moving.flow != id);
        self.collecting.retain(|collecting| collecting.flow != id);
        let owner = owner_id(to);
        if self.shared.flows.transfer(&mut self.token, id.0, owner) {
            self.peers.send(to, Mail::Arrived(arrived));
            self.counters.flows_moved.add(1);
        }
        true
    }

    /// Takes flows that have left off the lists: their places there count no more, even if the
    /// flow should come back.
    fn forget_departed(&mut self) {
        let (flows, own) = (&self.shared.flows, Some(owner_id(self.id)));
        let here = |id: &FlowId| flows.owner(id.0) == own;
        self.schedule.retain(here);
        self.contexts.retain_delayed(here);
    }

    /// A flow is this core's now.
    pub(super) fn arrive(&mut self, arrived: &Arrived) {
        let id = arrived.flow;
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        if !slot.app.ended {
            let deadline = deadline(st, slot);
            self.schedule.arm(id, &mut slot.app, deadline);
        }
        if arrived.ack {
            self.schedule.ack(id, &mut slot.app);
        }
        if arrived.send {
            let ext = &mut slot.ext;
            self.tx.trace.queued(true, id, &Flow { st, ext });
            self.schedule.send(id, &mut slot.app);
        }
        if slot.app.owner == Owner::Context && slot.app.has_news() {
            self.schedule.notice(id, &mut slot.app);
        }
        if let Some(to) = arrived.moving {
            self.moving.push(Moving {
                flow: id,
                to,
                mark: None,
            });
        }
        match arrived.collecting {
            Some(Purpose::Close) => self.message(ToFast::Close(id, CloseHow::Graceful)),
            Some(Purpose::Take(by)) => self.message(ToFast::Take(id, by)),
            None => {}
        }
        self.rebalance.arrived = true;
        self.take_held_back(id);
    }

    /// Does what the slow path has asked of a flow that has now arrived.
    fn take_held_back(&mut self, id: FlowId) {
        if self.held_back.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.held_back);
        for message in held {
            if flow_of(&message) == Some(id) {
                self.message(message);
            } else {
                self.held_back.push(message);
            }
        }
    }

    /// Does what the slow path asks, but keeps what is for a flow that is on its way here, or for
    /// after the round.
    #[cold]
    pub(super) fn hold_back_or_do(&mut self, message: ToFast) {
        if self.peers.is_empty() || !self.in_round() {
            return self.message(message);
        }
        let waits = match &message {
            // Flows are let go of before the contexts that they belong to.
            ToFast::RemoveContext(_) => true,
            ToFast::Install(setup) => {
                // A new flow: what is held back was for the last one of this number.
                let id = setup.flow;
                self.held_back.retain(|held| flow_of(held) != Some(id));
                false
            }
            message => flow_of(message).is_some_and(|id| {
                // In order: the flow may be here while its arrival is yet to be read.
                let mut held = self.held_back.iter();
                self.other_owner(id).is_some() || held.any(|held| flow_of(held) == Some(id))
            }),
        };
        if waits {
            self.held_back.push(message);
        } else {
            self.message(message);
        }
    }

    /// Looks at what waited for flows that have arrived.
    pub(super) fn after_mail(&mut self) {
        if self.rebalance.arrived {
            self.rebalance.arrived = false;
            self.unpark();
        }
    }

    fn end_round(&mut self) {
        let round = self.rebalance.round;
        self.rebalance.completed = round;
        self.look_for_groups();
        self.rebalance.fences = 0;
        self.rebalance.handed_over = 0;
        // What is left was for flows that ended on their old core.
        for message in std::mem::take(&mut self.held_back) {
            if matches!(message, ToFast::RemoveContext(_)) {
                self.message(message);
            }
        }
        self.unpark();
        self.slow.send(ToSlow::Rebalanced(self.id, round));
    }

    /// Tells the new cores of flows whose applications have read what was posted here.
    pub(super) fn follow_departed(&mut self) -> bool {
        if self.departed.is_empty() {
            return false;
        }
        let mut index = 0;
        let before = self.departed.len();
        while let Some(departed) = self.departed.get(index) {
            let read = self
                .contexts
                .get(departed.context)
                .is_none_or(|context| context.events.consumed_up_to(departed.position));
            if read {
                let departed = self.departed.swap_remove(index);
                let mail = Mail::Unmute(departed.flow, departed.mark);
                self.peers.send(departed.to, mail);
            } else {
                index += 1;
            }
        }
        self.departed.len() < before
    }

    /// The application has read all that the flow's old core had posted.
    pub(super) fn unmute(&mut self, id: FlowId, mark: u16) {
        if let Some(core) = self.other_owner(id) {
            self.peers.send(core, Mail::Unmute(id, mark));
            return;
        }
        let Some((_, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        if slot.app.mute == mark {
            slot.app.mute = 0;
            if slot.app.owner == Owner::Context && slot.app.has_news() {
                self.schedule.notice(id, &mut slot.app);
            }
        }
    }

    /// Asks the other cores for the updates of a flow that has been on one of them and is to be
    /// closed or taken away. False when it has not.
    pub(super) fn collect(&mut self, id: FlowId, purpose: Purpose) -> bool {
        let Some((_, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return false;
        };
        if !slot.app.moved {
            return false;
        }
        let mut from = vec![slot.app.context()];
        if let Purpose::Take(Some(by)) = purpose {
            // What that one posted when it had the flow before must not come later.
            from.push(by);
        }
        self.collecting.retain(|collecting| collecting.flow != id);
        self.collecting.push(Collecting {
            flow: id,
            purpose,
            left: self.peers.len() * from.len(),
        });
        for context in from {
            self.peers.send_all(|| Mail::Collect(context, id));
        }
        true
    }

    /// Another core has passed on what it had.
    pub(super) fn collected(&mut self, id: FlowId) {
        let found = self.collecting.iter().position(|c| c.flow == id);
        let Some(place) = found else {
            return;
        };
        let left = self.collecting.get_mut(place).map_or(0, |collecting| {
            collecting.left = collecting.left.saturating_sub(1);
            collecting.left
        });
        if left == 0 {
            match self.collecting.swap_remove(place).purpose {
                Purpose::Close => self.finish_close(id, CloseHow::Graceful),
                Purpose::Take(by) => self.finish_take(id, by),
            }
        }
        if self.collecting.is_empty() {
            self.remove_contexts();
        }
    }
}

fn deadline(st: &mut FlowSt, slot: &mut FlowSlot) -> crate::types::Micros {
    Flow {
        st,
        ext: &mut slot.ext,
    }
    .deadline()
}

/// The flow that a message is about, unless it begins there.
fn flow_of(message: &ToFast) -> Option<FlowId> {
    match message {
        ToFast::Attach(flow, _)
        | ToFast::Close(flow, _)
        | ToFast::Move(flow, _)
        | ToFast::Take(flow, _)
        | ToFast::RemoteMac(flow, _)
        | ToFast::SetLiveness(flow, _)
        | ToFast::PutBack(flow)
        | ToFast::LimitPath(flow, _)
        | ToFast::TooBig(flow, ..)
        | ToFast::Inspect(flow) => Some(*flow),
        _ => None,
    }
}
