//! What the slow path asks of flows: coming, going, moving.

use tas_abi::memif::FlowSt;
use tas_shm::Position;
use tas_wire::TcpTemplate;
use zerocopy::FromZeros;

use super::Core;
use super::peers::Purpose;
use super::slot::{FlowSlot, Owner};
use super::tail;
use super::updates::ENTRIES_MAX;
use crate::link::{AppLink, CloseHow, FlowSetup, ToFast, ToSlow};
use crate::nic::NicQueue;
use crate::proto::{Flow, LivenessOptions};
use crate::types::{ContextId, FlowId};

/// Messages from the slow path in one turn.
const MESSAGES: usize = 64;

/// A flow that changes its context, and the mark up to which the old one must have read.
pub(super) struct Moving {
    pub flow: FlowId,
    pub to: AppLink,
    pub mark: Option<Position>,
}

impl<Q: NicQueue> Core<Q> {
    /// Does what the slow path asks.
    pub(super) fn take_messages(&mut self) -> bool {
        let worked = self.take_up_to(MESSAGES);
        worked | self.finish_moves()
    }

    #[inline]
    pub(super) fn take_up_to(&mut self, most: usize) -> bool {
        self.in_message = true;
        let mut worked = false;
        for _ in 0..most {
            let Some(message) = self.slow.receive() else {
                break;
            };
            worked = true;
            self.hold_back_or_do(message);
        }
        self.in_message = false;
        worked
    }

    pub(super) fn message(&mut self, message: ToFast) {
        match message {
            ToFast::Transmit(frame) => {
                if !self.tx.raw(&mut self.nic, &frame, &self.counters) {
                    self.counters.control_dropped.add(1);
                }
            }
            ToFast::Install(setup) => self.install(&setup),
            ToFast::Reinject(frame) => self.reinjected(&frame),
            ToFast::Attach(flow, link) => self.attach(flow, link),
            ToFast::Close(flow, how) => self.close(flow, how),
            ToFast::Move(flow, link) => self.begin_move(flow, link),
            ToFast::Take(flow, by) => self.take(flow, by),
            ToFast::RemoteMac(flow, mac) => {
                if let Some((st, slot)) = self.shared.flows.get(&mut self.token, flow.0) {
                    st.remote_mac.addr = mac.0;
                    slot.template.set_dst_mac(mac);
                }
            }
            ToFast::PutBack(flow) => self.put_back(flow),
            ToFast::SetLiveness(flow, options) => self.set_liveness(flow, &options),
            ToFast::LimitPath(flow, limit) => self.limit_path(flow, limit),
            ToFast::TooBig(flow, seq, limit) => self.too_big(flow, seq, limit),
            ToFast::Inspect(flow) => self.inspect(flow),
            ToFast::AddContext(setup) => {
                let id = setup.id;
                if !self.contexts.add(&self.shared.arena, *setup) {
                    self.slow
                        .send(ToSlow::Misbehaved(id, "its queues cannot be used"));
                }
            }
            ToFast::RemoveContext(id) => self.remove_context(id),
            ToFast::Rebalance(round) => self.begin_round(round),
            ToFast::Shutdown => self.stopping = true,
        }
    }

    fn install(&mut self, setup: &FlowSetup) {
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, setup.flow.0) else {
            // The slot was not passed on: the slow path must not wait for it for ever.
            self.slow.send(ToSlow::Released(setup.flow));
            return;
        };
        slot.zero();
        slot.template = TcpTemplate::new(self.mac, setup.init.remote_mac, &setup.init.tuple);
        let mut flow = Flow {
            st,
            ext: &mut slot.ext,
        };
        flow.install(&setup.init, &self.shared.params, self.now);
        let deadline = flow.deadline();
        if let Some(link) = setup.app {
            set_link(st, slot, link);
        }
        slot.app.installed = true;
        self.schedule.arm(setup.flow, &mut slot.app, deadline);
    }

    fn attach(&mut self, id: FlowId, link: AppLink) {
        if let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0)
            && slot.app.installed
            && slot.app.owner != Owner::Orphan
        {
            set_link(st, slot, link);
            // It may be in an old context's list of flows that wait for room: that entry counts
            // no more.
            slot.app.notice_queued = false;
            if slot.app.has_news() {
                self.schedule.notice(id, &mut slot.app);
            }
        }
    }

    fn close(&mut self, id: FlowId, how: CloseHow) {
        let Some((_, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        if !slot.app.installed {
            return;
        }
        let how = match how {
            CloseHow::Abandon => {
                slot.app.abandoned = true;
                CloseHow::Graceful
            }
            how => how,
        };
        let updates_count = how == CloseHow::Graceful && slot.app.is_used() && !slot.app.ended;
        if !updates_count || !self.collect(id, Purpose::Close) {
            self.finish_close(id, how);
        }
    }

    /// Closes a flow for which no other core has updates.
    pub(super) fn finish_close(&mut self, id: FlowId, how: CloseHow) {
        let Some((_, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        let unaccepted = slot.app.owner == Owner::Backlog;
        if how == CloseHow::Graceful && slot.app.is_used() && !slot.app.ended {
            let context = slot.app.context();
            self.take_all_of(context);
        }
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        let unread = slot.app.abandoned && {
            let read = tail::read_up_to(&self.shared.arena, st);
            let ext = &mut slot.ext;
            Flow { st, ext }.rx_left(read) > 0
        };
        if slot.app.ended {
            self.release(id);
        } else if how == CloseHow::Reset || unaccepted || unread {
            self.send_reset(id);
            self.release(id);
        } else {
            let mut flow = Flow {
                st,
                ext: &mut slot.ext,
            };
            let bumped = flow.detach(&self.shared.params, self.now);
            slot.app.orphan();
            // A move under way must not give it an application again.
            self.moving.retain(|moving| moving.flow != id);
            if bumped.send {
                self.tx.trace.queued(true, id, &flow);
                self.schedule.send(id, &mut slot.app);
            }
            if bumped.ack {
                self.schedule.ack(id, &mut slot.app);
            }
            let deadline = Flow {
                st,
                ext: &mut slot.ext,
            }
            .deadline();
            self.schedule.arm(id, &mut slot.app, deadline);
            self.slow.send(ToSlow::Detached(id));
        }
    }

    /// Keeps what a flow's application was told, which did not know of the flow, for another one.
    #[cold]
    fn put_back(&mut self, id: FlowId) {
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        let place = Flow {
            st,
            ext: &mut slot.ext,
        }
        .place();
        if slot.app.installed && slot.app.owner != Owner::Orphan {
            slot.app.put_back(place.rx_used, place.rx_closed);
            self.slow.send(ToSlow::PutBack(id));
        }
    }

    #[cold]
    fn set_liveness(&mut self, id: FlowId, options: &LivenessOptions) {
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        if !slot.app.installed || slot.app.ended {
            return;
        }
        let mut flow = Flow {
            st,
            ext: &mut slot.ext,
        };
        flow.set_liveness(options, self.now);
        let deadline = flow.deadline();
        self.schedule.arm(id, &mut slot.app, deadline);
    }

    #[cold]
    fn inspect(&mut self, id: FlowId) {
        if let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0)
            && slot.app.installed
        {
            let ext = &mut slot.ext;
            let info = Flow { st, ext }.info(&self.shared.params);
            self.slow.send(ToSlow::Inspected(id, Box::new(info)));
        }
    }

    /// Lets go of a context whose application is gone. What it had posted is passed on first: some
    /// of its flows may be on other cores, which ask for that when they close them.
    #[cold]
    fn remove_context(&mut self, id: ContextId) {
        if let Some(index) = self.contexts.index(id)
            && !self.peers.is_empty()
        {
            self.take_entries(index, ENTRIES_MAX);
        }
        // What other cores pass on is taken only from an application that is known.
        if self.collecting.is_empty() {
            self.contexts.remove(id);
            self.slow.send(ToSlow::ContextRemoved(self.id, id));
        } else {
            self.removals.push(id);
        }
    }

    /// Lets go of the contexts that were waited with.
    #[cold]
    pub(super) fn remove_contexts(&mut self) {
        for id in std::mem::take(&mut self.removals) {
            self.remove_context(id);
        }
    }

    /// Gives a flow's slot back to the slow path.
    pub(super) fn release(&mut self, id: FlowId) {
        if let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) {
            self.schedule.forget(id, &mut slot.app);
            slot.zero();
            // Tools take a flow without buffers for a free one.
            st.rx_len = 0;
            st.tx_len = 0;
        }
        self.moving.retain(|moving| moving.flow != id);
        self.collecting.retain(|collecting| collecting.flow != id);
        let owner = self.shared.slow_owner;
        if self.shared.flows.transfer(&mut self.token, id.0, owner) {
            self.slow.send(ToSlow::Released(id));
        }
    }

    /// Stops telling a flow's old context, until it has read what it was told.
    fn begin_move(&mut self, id: FlowId, to: AppLink) {
        let Some((_, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        if !slot.app.installed || slot.app.owner == Owner::Orphan {
            return;
        }
        let mark = match slot.app.owner {
            Owner::Context => self
                .contexts
                .get(slot.app.context())
                .map(|old| old.events.position()),
            _ => None,
        };
        slot.app.owner = Owner::Moving;
        self.moving.retain(|moving| moving.flow != id);
        self.moving.push(Moving { flow: id, to, mark });
    }

    /// Reports the flows whose old context has read all. The slow path answers the application
    /// and attaches them, so that the answer comes before the first news.
    fn finish_moves(&mut self) -> bool {
        let mut moved = false;
        let mut index = 0;
        while let Some(Moving { flow, to, mark }) = self.moving.get(index) {
            let (id, to, mark) = (*flow, *to, *mark);
            let Some((_, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
                self.moving.swap_remove(index);
                continue;
            };
            let mute = slot.app.mute != 0;
            let read = match (mark, self.contexts.get(slot.app.context())) {
                (Some(mark), Some(old)) => old.events.consumed_up_to(mark),
                _ => true,
            };
            if !read || mute {
                index += 1;
                continue;
            }
            self.moving.swap_remove(index);
            self.slow.send(ToSlow::Moved(id, to));
            moved = true;
        }
        moved
    }
}

fn set_link(st: &mut FlowSt, slot: &mut FlowSlot, link: AppLink) {
    st.db_id = link.context.0;
    st.opaque = link.opaque;
    slot.app.attach(link.context);
}
