//! What the slow path and the applications ask of flows: coming, going, moving, bumps and news.

use tas_abi::memif::{AtxMsg, FLEXTCP_PL_ATX_FLTXDONE, FlowSt};
use tas_shm::{Arena, Position, ShmOffset};
use tas_wire::TcpTemplate;
use zerocopy::FromZeros;

use super::Core;
use super::peers::Purpose;
use super::send::fetch_sender;
use super::slot::{FlowSlot, Owner};
use super::tail;
use crate::link::{AppLink, CloseHow, FlowSetup, ToFast, ToSlow};
use crate::nic::NicQueue;
use crate::proto::{AppBump, BadBump, Flow, LivenessOptions};
use crate::types::{ContextId, FlowId, Micros};

/// Messages from the slow path in one turn.
const MESSAGES: usize = 64;
/// Entries of one context in one turn.
const ENTRIES: usize = 32;

/// Entries of one context that are taken at once before a flow is let go: a queue's worth, so
/// that an application that posts without end holds nobody up.
const ENTRIES_MAX: usize = 1 << 16;
/// Bytes in a cache line.
const CACHE_LINE: u32 = 64;
/// Bytes to be sent that are fetched before the flow's turn.
const FETCH_AHEAD: u32 = 1536;
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
    fn take_up_to(&mut self, most: usize) -> bool {
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
        tail::clear(&self.shared.arena, &setup.init);
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
            let bumped = Flow {
                st,
                ext: &mut slot.ext,
            }
            .detach(&self.shared.params, self.now);
            slot.app.orphan();
            // A move under way must not give it an application again.
            self.moving.retain(|moving| moving.flow != id);
            if bumped.send {
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
            worked |= self.take_entries(index, ENTRIES);
        }
        worked
    }

    /// Takes up to `most` entries of the context at a place in the list.
    #[inline]
    fn take_entries(&mut self, index: usize, most: usize) -> bool {
        let mut left = most;
        while left > 0 {
            let taken = self.pop_entries(index, left.min(ENTRIES));
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
        while let Some(update) = self.updates.pop_front() {
            self.update(&update);
        }
    }

    /// Takes entries out of a context's queue, and fetches the flows that they are for. Returns
    /// how many.
    #[inline]
    fn pop_entries(&mut self, index: usize, most: usize) -> usize {
        let until = Some(self.now + PATIENCE);
        let Some(context) = self.contexts.at(index) else {
            return 0;
        };
        let id = context.id;
        // Each may have to wait.
        let most = most.min(EARLY_MAX.saturating_sub(context.early));
        let (mut taken, mut bad) = (0, 0);
        while taken < most
            && let Some(entry) = context.bumps.pop()
        {
            taken += 1;
            let Ok(AtxMsg::ConnUpdate(update)) = AtxMsg::try_from(entry) else {
                bad += 1;
                continue;
            };
            fetch_sender(&self.shared.flows, FlowId(update.flow_id));
            self.updates.push_back(Early {
                context: id,
                flow: FlowId(update.flow_id),
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
                let deadline = flow.deadline();
                if bumped.send {
                    fetch_data(&shared.arena, st);
                    self.schedule.send(*id, &mut slot.app);
                }
                if bumped.ack {
                    self.schedule.ack(*id, &mut slot.app);
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

/// Fetches the beginning of what is to be sent next; the processor then sees where this leads.
#[inline]
fn fetch_data(arena: &Arena, st: &FlowSt) {
    let within = st.tx_next_pos % CACHE_LINE;
    let start = ShmOffset(st.tx_base) + u64::from(st.tx_next_pos - within);
    let lines = (within + st.tx_avail.min(FETCH_AHEAD)).div_ceil(CACHE_LINE);
    for line in 0..lines {
        arena.prefetch(start + u64::from(line * CACHE_LINE));
    }
}

fn set_link(st: &mut FlowSt, slot: &mut FlowSlot, link: AppLink) {
    st.db_id = link.context.0;
    st.opaque = link.opaque;
    slot.app.attach(link.context);
}
