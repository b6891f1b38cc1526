//! The fast path: one [`Core`] per thread, which owns a queue of the port and its flows outright.
//!
//! A turn of the loop takes what came from the slow path, from the port and from the applications,
//! runs the timers, lets flows send, and last sends the acknowledgements that nothing carried and
//! tells the applications what is new, once per flow and turn.

pub mod counters;
#[doc(hidden)]
pub mod schedule;
pub mod wheel;

mod alarm;
mod contexts;
mod fetch;
mod flows;
mod notices;
mod path;
pub mod peers;
mod rebalance;
mod receive;
mod run;
mod send;
mod slot;
mod slowlink;
mod steer;
mod tail;
mod take;
mod trace;
mod tx;
mod updates;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tas_abi::memif::FlowSt;
use tas_shm::{Arena, FlowSlots, OwnerId, OwnerToken, Placed};
use tas_wire::MacAddr;

use crate::flowtable::FlowTable;
use crate::link::{Ended, ToFast, ToSlow, Waker};
use crate::nic::{NicQueue, PortInfo};
use crate::proto::{End, Flow, TcpParams};
use crate::steering::Steering;
use crate::types::{ContextId, CoreId, FlowId, Micros};

use alarm::PortAlarm;
use contexts::Contexts;
use counters::CoreCounters;
use flows::Moving;
use peers::Peers;
use rebalance::{Collecting, Departed, Rebalance};
use receive::Arrivals;
use schedule::Schedule;
pub use slot::FlowSlot;
use slowlink::SlowLink;
pub use steer::owner_id;
pub use trace::{Trace, Wanted};
use tx::{Checksums, TxPath};
use updates::{Early, Updates};

/// The flow states of all threads.
pub type Flows = FlowSlots<FlowSt, FlowSlot>;

/// How a core waits when nothing is to do.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Cycles without work after which the core blocks; `u64::MAX`: never.
    pub poll_cycle: u64,
    /// Cycles after which applications may block; `u64::MAX`: never.
    pub poll_cycle_app: u64,
}

/// What a core shares with the rest of the service.
pub struct Shared {
    /// The flow states.
    pub flows: Arc<Flows>,
    /// The lookup table.
    pub table: Arc<FlowTable>,
    /// Which core serves which flows.
    pub steering: Arc<Steering>,
    /// All shared memory.
    pub arena: Arc<Arena>,
    /// TCP's parameters.
    pub params: TcpParams,
    /// Addresses that are ours.
    pub addresses: Vec<Ipv4Addr>,
    /// The port.
    pub port: PortInfo,
    /// Use the port's checksum offload where it has one.
    pub checksum_offload: bool,
    /// The owner id of the slow path, to give slots back to.
    pub slow_owner: OwnerId,
    /// How to wait.
    pub idle: Idle,
}

/// What a core has for itself from the start.
pub struct CoreParts<Q: NicQueue> {
    /// Its number.
    pub id: CoreId,
    /// Its queue of the port.
    pub nic: Q,
    /// Its right to flow states.
    pub token: OwnerToken,
    /// The other cores.
    pub peers: Peers<Q::Frame>,
    /// Messages from the slow path.
    pub from_slow: rtrb::Consumer<crate::link::ToFast>,
    /// Messages to the slow path.
    pub to_slow: rtrb::Producer<ToSlow>,
    /// Wakes this core.
    pub waker: Arc<Waker>,
    /// Wakes the slow path.
    pub slow_waker: Arc<Waker>,
    /// Its counters.
    pub counters: Placed<CoreCounters>,
}

/// A fast-path core.
pub struct Core<Q: NicQueue> {
    id: CoreId,
    nic: Q,
    token: OwnerToken,
    shared: Arc<Shared>,
    contexts: Contexts,
    schedule: Schedule,
    tx: TxPath<Q>,
    slow: SlowLink,
    peers: Peers<Q::Frame>,
    rebalance: Rebalance,
    /// Frames, from other cores and from the slow path, that wait for their flows to arrive.
    parked: VecDeque<Q::Frame>,
    parked_bytes: Vec<Box<[u8]>>,
    /// Messages that wait for theirs, or for the end of a round.
    held_back: Vec<ToFast>,
    departed: Vec<Departed>,
    collecting: Vec<Collecting>,
    /// Contexts to let go of once nothing is being collected.
    removals: Vec<ContextId>,
    moving: Vec<Moving>,
    /// Some flow that is about to send has more than is fetched early.
    bulk: bool,
    updates: Updates,
    early: Vec<Early>,
    /// Updates for flows of which a message that is yet to be read may tell, or that have ended.
    unsettled: Vec<Early>,
    /// A message of the slow path is being handled.
    in_message: bool,
    /// The segments of the burst at hand.
    arrivals: Arrivals,
    /// Flows whose timers have run out; empty between turns.
    due: Vec<FlowId>,
    waker: Arc<Waker>,
    counters: Placed<CoreCounters>,
    mac: MacAddr,
    now: Micros,
    stopping: bool,
    port_alarm: PortAlarm,
}

impl<Q: NicQueue> Core<Q> {
    /// A core at rest at time `now`.
    pub fn new(parts: CoreParts<Q>, shared: Arc<Shared>, now: Micros) -> Core<Q> {
        let offload = shared.checksum_offload && shared.port.tx_checksum_offload;
        let checksums = if offload {
            Checksums::Offload
        } else {
            Checksums::Software
        };
        Core {
            id: parts.id,
            nic: parts.nic,
            token: parts.token,
            contexts: Contexts::new(shared.idle.poll_cycle_app),
            schedule: Schedule::new(shared.flows.count(), now),
            tx: TxPath::new(checksums, Arc::clone(&shared.arena)),
            slow: SlowLink::new(parts.from_slow, parts.to_slow, parts.slow_waker),
            peers: parts.peers,
            rebalance: Rebalance::new(),
            parked: VecDeque::new(),
            parked_bytes: Vec::new(),
            held_back: Vec::new(),
            departed: Vec::new(),
            collecting: Vec::new(),
            removals: Vec::new(),
            moving: Vec::new(),
            bulk: false,
            updates: Updates::new(),
            early: Vec::new(),
            unsettled: Vec::new(),
            in_message: false,
            arrivals: Arrivals::new(),
            due: Vec::new(),
            waker: parts.waker,
            counters: parts.counters,
            mac: shared.port.mac,
            now,
            stopping: false,
            port_alarm: PortAlarm::default(),
            shared,
        }
    }

    /// Records its events and counts where others can see it.
    #[must_use]
    pub fn observed(mut self, trace: Trace, counters: Placed<CoreCounters>) -> Core<Q> {
        self.tx.trace = trace;
        self.counters = counters;
        self
    }

    /// What this core counts.
    pub fn counters(&self) -> Placed<CoreCounters> {
        self.counters.clone()
    }

    /// One turn of the loop at time `now`. True when there was something to do.
    pub fn turn(&mut self, now: Micros) -> bool {
        self.now = now;
        self.tx.trace.poll();
        let mut worked = self.take_messages();
        if !self.peers.is_empty() {
            worked |= self.take_mail();
        }
        worked |= self.receive();
        // Before the core's other work: applications go on meanwhile.
        worked |= self.post_news();
        worked |= self.take_bumps();
        worked |= self.run_timers();
        worked |= self.send();
        worked |= self.send_acks();
        worked |= self.post_notices();
        worked |= self.tx.flush(&mut self.nic, &self.counters);
        if !self.peers.is_empty() {
            worked |= self.continue_round();
            self.peers.flush();
        }
        self.slow.flush();
        worked
    }

    /// Something waits for room rather than for an event.
    pub fn backlogged(&self) -> bool {
        self.schedule.busy()
            || self.tx.backlogged()
            || self.slow.backlogged()
            || self.peers.backlogged()
    }

    /// Something waits for an application to take or post entries, of which nobody may tell.
    pub fn waits_for_apps(&self) -> bool {
        !self.moving.is_empty()
            || !self.departed.is_empty()
            || !self.early.is_empty()
            || !self.unsettled.is_empty()
            || self.contexts.any_delayed()
    }

    /// When time alone gives [`Core::turn`] something to do; may be early.
    pub fn next_deadline(&self) -> Option<Micros> {
        self.schedule.next()
    }

    /// TCP is done with a flow: the application and the slow path are told.
    #[cold]
    fn finish(&mut self, id: FlowId, end: End) {
        if end == End::DataAfterClose {
            self.send_reset(id);
        }
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        if slot.app.ended {
            return;
        }
        slot.app.ended = true;
        // What a last acknowledgement or the news need is still there; timers are not.
        self.schedule.forget(id, &mut slot.app);
        let flow = Flow {
            st,
            ext: &mut slot.ext,
        };
        let ended = Ended {
            end,
            snd_nxt: flow.snd_max(),
            rcv_nxt: flow.rcv_nxt(),
            ts_recent: flow.ts_recent(),
        };
        if slot.app.has_news() {
            self.schedule.notice(id, &mut slot.app);
        }
        let orphan = slot.app.owner == slot::Owner::Orphan;
        self.slow.send(ToSlow::Ended(id, ended));
        if orphan {
            self.send_last_ack(id);
            self.release(id);
        }
    }
}
