//! What the slow path acts on: the cores, the contexts, the regions, the flow table.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use tas_abi::appif::AppinMsg;
use tas_abi::memif::TAS_RX_TAIL_TURN;
use tas_shm::{OwnerId, OwnerToken, ShmOffset};
use tas_wire::FlowTuple;

use super::complaints::Complaints;
use super::contexts::Contexts;
use super::regions::{RegionId, Regions};
use super::tcp::{Client, World};
use crate::fast::Flows;
use crate::flowtable::FlowTable;
use crate::link::{ToFast, ToSlow, Waker};
use crate::steering::Steering;
use crate::types::{ContextId, CoreId, FlowGroup, FlowId, Micros, TenantId};

/// The slow path's end of the rings to and from a core.
pub struct CoreLink {
    /// Messages to the core.
    pub to_fast: rtrb::Producer<ToFast>,
    /// Messages from the core.
    pub from_fast: rtrb::Consumer<ToSlow>,
    /// Wakes the core.
    pub waker: Arc<Waker>,
    /// Whose flows the core may touch.
    pub owner: OwnerId,
    /// Frames that found no room.
    pub frames_dropped: u64,
    waiting: VecDeque<ToFast>,
    sent: bool,
}

impl CoreLink {
    /// A link with nothing under way.
    pub fn new(
        to_fast: rtrb::Producer<ToFast>,
        from_fast: rtrb::Consumer<ToSlow>,
        waker: Arc<Waker>,
        owner: OwnerId,
    ) -> CoreLink {
        CoreLink {
            to_fast,
            from_fast,
            waker,
            owner,
            frames_dropped: 0,
            waiting: VecDeque::new(),
            sent: false,
        }
    }

    /// Sends a message, now or when there is room. A frame that finds no room is dropped, as in
    /// any full queue on its way: its sender repeats it, and a flood cannot take up all memory.
    pub fn send(&mut self, message: ToFast) {
        self.sent = true;
        let message = match self.waiting.is_empty() {
            true => match self.to_fast.push(message) {
                Ok(()) => return,
                Err(rtrb::PushError::Full(message)) => message,
            },
            false => message,
        };
        match message {
            ToFast::Transmit(_) | ToFast::Reinject(_) => self.frames_dropped += 1,
            message => self.waiting.push_back(message),
        }
    }

    /// Sends what waits for room and wakes the core. True when something still waits.
    pub fn flush(&mut self) -> bool {
        while let Some(message) = self.waiting.pop_front() {
            if let Err(rtrb::PushError::Full(message)) = self.to_fast.push(message) {
                self.waiting.push_front(message);
                break;
            }
        }
        if self.sent {
            self.sent = false;
            self.waker.wake();
        }
        !self.waiting.is_empty()
    }
}

/// Which region a tenant's memory comes from, and which user it runs as.
#[derive(Default)]
pub struct TenantRegions(Vec<(TenantId, Belonging)>);

/// What a tenant has, and whose it is.
#[derive(Clone, Copy)]
struct Belonging {
    region: RegionId,
    uid: u32,
}

impl TenantRegions {
    /// Enters a tenant, which runs as a user.
    pub fn add(&mut self, tenant: TenantId, region: RegionId, uid: u32) {
        let place = self.0.partition_point(|(known, _)| *known < tenant);
        self.0.insert(place, (tenant, Belonging { region, uid }));
    }

    /// Removes a tenant.
    pub fn remove(&mut self, tenant: TenantId) {
        if let Ok(place) = self.0.binary_search_by_key(&tenant, |(known, _)| *known) {
            self.0.remove(place);
        }
    }

    /// The tenants of a region.
    pub fn of_region(&self, region: RegionId) -> Vec<TenantId> {
        self.0
            .iter()
            .filter(|(_, of)| of.region == region)
            .map(|(tenant, _)| *tenant)
            .collect()
    }

    /// The region of a tenant.
    pub fn get(&self, tenant: TenantId) -> Option<RegionId> {
        self.find(tenant).map(|of| of.region)
    }

    /// The user of a tenant.
    pub fn uid(&self, tenant: TenantId) -> Option<u32> {
        self.find(tenant).map(|of| of.uid)
    }

    fn find(&self, tenant: TenantId) -> Option<&Belonging> {
        let place = self
            .0
            .binary_search_by_key(&tenant, |(known, _)| *known)
            .ok()?;
        self.0.get(place).map(|(_, of)| of)
    }
}

/// Everything that TCP control acts on.
pub struct Effects {
    /// The time of this turn.
    pub now: Micros,
    /// The cores.
    pub cores: Vec<CoreLink>,
    /// The contexts.
    pub contexts: Contexts,
    /// The regions.
    pub regions: Regions,
    /// The tenants' regions.
    pub tenants: TenantRegions,
    /// The flow states.
    pub flows: Arc<Flows>,
    /// Their memory.
    pub flow_memory: FlowMemory,
    /// The slow path's right to flow states.
    pub token: OwnerToken,
    /// The lookup table.
    pub table: Arc<FlowTable>,
    /// Which core has which flows.
    pub steering: Arc<Steering>,
    /// What is logged about applications.
    pub complaints: Complaints,
}

/// Flows for which the service takes memory at its start.
pub const FLOWS_AT_START: u32 = 4096;
/// How many free ones have memory at least.
const FLOWS_AHEAD: u32 = 1024;

/// Memory of the flow states, taken here and not by the cores that touch them first: clearing a
/// huge page would keep a core from all its other flows.
pub struct FlowMemory {
    /// Flows below this have it.
    taken: u32,
}

impl Default for FlowMemory {
    fn default() -> FlowMemory {
        FlowMemory {
            taken: FLOWS_AT_START,
        }
    }
}

impl FlowMemory {
    /// Which flows to take memory for before `flow` is used. Numbers that were never used follow
    /// each other.
    fn before(&mut self, flow: FlowId) -> Option<Range<u32>> {
        let needed = flow.0.saturating_add(FLOWS_AHEAD);
        if needed < self.taken {
            return None;
        }
        let first = self.taken;
        self.taken = needed.saturating_add(FLOWS_AT_START);
        Some(first..self.taken)
    }
}

impl World for Effects {
    fn now(&self) -> Micros {
        self.now
    }

    fn send(&mut self, core: CoreId, msg: ToFast) {
        if let Some(core) = self.cores.get_mut(usize::from(core.0)) {
            core.send(msg);
        }
    }

    fn group(&self, tuple: &FlowTuple) -> FlowGroup {
        self.steering.group(tuple)
    }

    fn core(&self, group: FlowGroup) -> CoreId {
        self.steering.core(group)
    }

    fn pass_slot(&mut self, flow: FlowId, core: CoreId) {
        if let Some(flows) = self.flow_memory.before(flow) {
            self.flows.take_memory(flows);
        }
        if let Some(core) = self.cores.get(usize::from(core.0)) {
            self.flows.transfer(&mut self.token, flow.0, core.owner);
        }
    }

    fn answer(&mut self, ctx: ContextId, msg: AppinMsg) {
        self.contexts.answer(ctx, msg);
    }

    fn tell_once(&mut self, ctx: ContextId, msg: AppinMsg) {
        self.contexts.tell_once(ctx, msg);
    }

    fn is_behind(&mut self, ctx: ContextId) -> bool {
        self.contexts.get(ctx).is_some_and(|c| c.is_behind())
    }

    fn has_plenty(&self, tenant: TenantId) -> bool {
        let region = self.tenants.get(tenant);
        region.is_some_and(|region| self.regions.has_plenty(region))
    }

    fn alloc(&mut self, tenant: TenantId, len: u32, zeroed: u32) -> Option<ShmOffset> {
        let region = self.tenants.get(tenant)?;
        self.regions.alloc(region, len.into(), zeroed.into())
    }

    fn free(&mut self, tenant: TenantId, at: ShmOffset, len: u32) {
        if let Some(region) = self.tenants.get(tenant) {
            self.regions.free(region, at, u64::from(len));
        }
    }

    fn relative(&self, tenant: TenantId, at: ShmOffset) -> u64 {
        match self.tenants.get(tenant) {
            Some(region) => self.regions.relative(region, at),
            None => 0,
        }
    }

    fn end_turn(&mut self, tail: ShmOffset, gone: &dyn Fn(Client) -> bool) {
        let contexts = &mut self.contexts;
        let is_gone = |word: u32| {
            let id = word.checked_sub(1).and_then(|id| u16::try_from(id).ok());
            let Some(context) = id.map(ContextId) else {
                return false;
            };
            let tenant = contexts.get(context).map(|context| context.tenant);
            tenant.is_some_and(|tenant| gone(Client { tenant, context }))
        };
        let at = tail + u64::from(TAS_RX_TAIL_TURN);
        // The tail lies in the arena.
        let _ = self.regions.arena().replace_word(at, 0, is_gone);
    }

    fn table_insert(&mut self, tuple: &FlowTuple, flow: FlowId) -> bool {
        self.table.insert(tuple.hash(), flow)
    }

    fn table_remove(&mut self, tuple: &FlowTuple, flow: FlowId) {
        self.table.remove(tuple.hash(), flow);
    }

    fn may_share_port(&self, a: TenantId, b: TenantId) -> bool {
        let uid = self.tenants.uid(a);
        a == b || (uid.is_some() && uid == self.tenants.uid(b))
    }
}

#[cfg(test)]
#[path = "effects_tests.rs"]
mod tests;
