//! The slow path without its sockets: messages of the cores, requests of the applications, TCP
//! control and the time. Nothing here blocks or reads a clock.

use std::fmt::Display;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use tas_abi::appif::UxsockRequest;
use tas_shm::{EventFd, Mapping, OwnerToken, ShmOffset};

use super::complaints::Complaints;
use super::contexts::Contexts;
use super::effects::{CoreLink, Effects, FlowMemory, TenantRegions};
use super::regions::{RegionId, Regions};
use super::scale::Scaler;
use super::tcp::{self, Counts, Inheritance, TcpControl};
use super::tenants::{Newcomer, QueueConf, TenantInfo, Tenants};
use crate::fast::Flows;
use crate::flowtable::FlowTable;
use crate::link::{ToFast, ToSlow};
use crate::stats::AppValues;
use crate::steering::Steering;
use crate::types::{CoreId, Micros, TenantId};

/// Messages of one core in one turn.
const MESSAGES: usize = 256;
/// Applications that are gone and whose connections finish in the background.
const LEAVING_MAX: usize = 256;
/// Requests of applications in one turn.
const REQUESTS: usize = 256;

/// What the slow path works with.
pub struct ControlParts {
    /// TCP control.
    pub tcp: TcpControl,
    /// The ends of the rings.
    pub cores: Vec<CoreLink>,
    /// The applications' memory.
    pub regions: Regions,
    /// The flow states.
    pub flows: Arc<Flows>,
    /// The right to flow states.
    pub token: OwnerToken,
    /// The lookup table.
    pub table: Arc<FlowTable>,
    /// Which core has which flows.
    pub steering: Arc<Steering>,
    /// How many cores are on.
    pub scaler: Scaler,
    /// What the queues of a context are like.
    pub queues: QueueConf,
    /// Where tools look for contexts, if anywhere.
    pub internal: Option<Arc<Mapping>>,
}

/// The slow path without its sockets.
pub struct Control {
    pub(super) tcp: TcpControl,
    pub(super) effects: Effects,
    pub(super) tenants: Tenants,
    pub(super) scaler: Scaler,
    pub(super) internal: Option<Arc<Mapping>>,
    /// Frames that ask for a connection, and the cores that received them.
    knocks: Vec<(CoreId, Box<[u8]>)>,
    /// Applications that were made to leave since the last look.
    expelled: Vec<TenantId>,
    /// Times that somebody was refused.
    refused: u64,
    /// Messages to a core wait for room.
    backlogged: bool,
}

impl Control {
    /// A slow path without applications.
    pub fn new(parts: ControlParts) -> Control {
        Control {
            tcp: parts.tcp,
            effects: Effects {
                now: Micros(0),
                cores: parts.cores,
                contexts: Contexts::default(),
                regions: parts.regions,
                tenants: TenantRegions::default(),
                flows: parts.flows,
                flow_memory: FlowMemory::default(),
                token: parts.token,
                table: parts.table,
                steering: parts.steering,
                complaints: Complaints::default(),
            },
            scaler: parts.scaler,
            tenants: Tenants::new(parts.queues),
            internal: parts.internal,
            knocks: Vec::new(),
            expelled: Vec::new(),
            refused: 0,
            backlogged: false,
        }
    }

    /// Tells the network that we are there.
    pub fn start(&mut self, now: Micros) {
        self.effects.now = now;
        self.tcp.start(&mut self.effects);
    }

    /// One turn of the loop. True when something was to do.
    pub fn turn(&mut self, now: Micros) -> bool {
        self.begin_turn(now) | self.finish_turn()
    }

    /// Takes what the cores have passed up. Peers that want to connect wait for the rest of the
    /// turn.
    pub fn begin_turn(&mut self, now: Micros) -> bool {
        self.effects.now = now;
        self.take_messages()
    }

    /// A peer wants to connect. It may know of the end of an application that listens: before the
    /// rest of the turn is the time to look for that.
    pub fn is_knocked_at(&self) -> bool {
        !self.knocks.is_empty()
    }

    /// The rest of the turn.
    pub fn finish_turn(&mut self) -> bool {
        let now = self.effects.now;
        for (core, frame) in std::mem::take(&mut self.knocks) {
            self.tcp.on_frame(&mut self.effects, core, &frame);
        }
        let mut worked = self.take_requests(REQUESTS);
        if self.tcp.next_deadline() <= now {
            self.tcp.poll_timers(&mut self.effects);
            worked = true;
        }
        worked |= self.scaler.turn(now, &mut self.effects.cores);
        worked |= self.effects.contexts.flush();
        self.backlogged = self.flush_cores();
        let tcp = &self.tcp;
        self.tenants
            .reclaim(&mut self.effects, |tenant| tcp.tenant_idle(tenant));
        worked
    }

    /// When time alone gives [`Control::turn`] something to do; may be early.
    pub fn next_deadline(&self) -> Micros {
        self.tcp.next_deadline().min(self.scaler.next_deadline())
    }

    /// Something waits for a core to make room, which it does as soon as it runs.
    pub fn backlogged(&self) -> bool {
        self.backlogged
    }

    /// Something waits for an application to make room, of which it does not tell.
    pub fn waits_for_apps(&self) -> bool {
        self.effects.contexts.any_waiting()
    }

    /// Numbers for the statistics.
    pub fn counts(&self) -> Counts {
        self.tcp.counts()
    }

    /// Cores that are on.
    pub fn active_cores(&self) -> u16 {
        self.scaler.active()
    }

    /// The applications in numbers, the oldest first.
    pub fn app_values(&self) -> Vec<AppValues> {
        let mut infos: Vec<TenantInfo> = self.tenants.infos().collect();
        infos.sort_by_key(|info| info.id);
        let regions = &self.effects.regions;
        let values = infos.into_iter().map(|info| {
            let size = regions.share(info.region).map_or(0, |(len, _)| len);
            let free = regions.available(info.region).unwrap_or(0);
            AppValues {
                pid: info.who.pid.into(),
                id: info.id.0.into(),
                uid: info.who.uid.into(),
                legacy: info.who.legacy.into(),
                contexts: info.contexts as u64,
                connections: self.tcp.connections_of(info.id),
                listeners: self.tcp.listeners_of(info.id),
                memory_used: size.saturating_sub(free),
                memory_size: size,
                offences: info.offences,
            }
        });
        values.collect()
    }

    /// The applications.
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Takes an application in, with a region of its own unless it is a legacy one.
    ///
    /// # Errors
    /// There is no memory, or no place for another region.
    pub fn join(&mut self, who: Newcomer) -> io::Result<TenantId> {
        let region = if who.legacy {
            RegionId::Legacy
        } else {
            self.effects
                .regions
                .create()?
                .ok_or_else(|| io::Error::other("no place for another region"))?
        };
        Ok(self.tenants.add(who, region, &mut self.effects))
    }

    /// What an application's children name it by.
    pub fn token(&mut self, tenant: TenantId) -> Option<u64> {
        self.tenants.token(tenant)
    }

    /// Takes a child of an application in, which shares its region and inherits its part in
    /// listeners and connections. None when the parent is gone.
    pub fn fork(
        &mut self,
        parent: TenantId,
        child: Newcomer,
        inherited: &Inheritance,
    ) -> Option<TenantId> {
        // What the parent has asked for so far comes first.
        self.take_requests_of(parent);
        let child = self.tenants.fork(parent, child, &mut self.effects)?;
        self.tcp.inherit(parent, child, inherited);
        Some(child)
    }

    /// An application says which process it is, for messages.
    pub fn set_process(&mut self, tenant: TenantId, pid: u32) {
        self.tenants.set_process(tenant, pid);
    }

    /// Length and descriptor of the region that an application has to itself.
    pub fn share(&self, tenant: TenantId) -> Option<(u64, BorrowedFd<'_>)> {
        match self.tenants.region(tenant)? {
            RegionId::Legacy => None,
            region @ RegionId::Own(_) => self.effects.regions.share(region),
        }
    }

    /// Where an application's region lies in the arena.
    pub fn region_base(&self, tenant: TenantId) -> Option<ShmOffset> {
        self.effects.regions.base(self.tenants.region(tenant)?)
    }

    /// Bytes of an application's region that are free.
    pub fn region_free(&self, tenant: TenantId) -> Option<u64> {
        self.effects.regions.available(self.tenants.region(tenant)?)
    }

    /// Makes a context; the answer to the application's request is returned.
    pub fn open_context(
        &mut self,
        tenant: TenantId,
        request: UxsockRequest,
        event: &EventFd,
    ) -> Vec<u8> {
        let (context, answer) =
            self.tenants
                .open_context(tenant, request, event, &mut self.effects);
        if let Some(context) = context {
            self.show_context(context);
        }
        answer
    }

    /// An application has sockets. False if it may not say so.
    pub fn declare_sockets(&mut self, tenant: TenantId) -> bool {
        self.tenants.declare_sockets(tenant)
    }

    /// An application is gone.
    pub fn leave(&mut self, tenant: TenantId) {
        if !self.tenants.has_sockets(tenant) {
            return self.remove(tenant);
        }
        self.take_last_requests(tenant);
        // Unless it was made to leave for one of them.
        if self.tenants.region(tenant).is_some() {
            self.tcp.sockets_gone(&mut self.effects, tenant);
            self.tenants.leave(tenant, &mut self.effects);
            self.limit_leaving();
        }
    }

    /// Ends all that an application has.
    fn remove(&mut self, tenant: TenantId) {
        if self.tenants.region(tenant).is_some() {
            // In this order: cores let go of its flows before they let go of its contexts.
            self.tcp.tenant_gone(&mut self.effects, tenant);
            self.tenants.leave(tenant, &mut self.effects);
        }
    }

    /// Cuts short those that have been leaving the longest, if they are too many.
    fn limit_leaving(&mut self) {
        let tcp = &mut self.tcp;
        let surplus = self.tenants.leaving().rev().skip(LEAVING_MAX);
        for tenant in surplus {
            tcp.cut_short(&mut self.effects, tenant);
        }
    }

    /// Notes what an application did wrong.
    pub(super) fn complain(&mut self, tenant: TenantId, why: &str) {
        if let Some(pid) = self.tenants.offend(tenant) {
            self.say(format_args!("application with pid {pid}: {why}"));
        }
    }

    /// Somebody who wanted to be an application, or to have a child that is one, may not.
    pub(super) fn refuse(&mut self, what: &str, why: &io::Error) {
        self.refused += 1;
        self.say(format_args!("{what} refused: {why}"));
    }

    fn say(&mut self, line: impl Display) {
        self.effects.complaints.say(self.effects.now, line);
    }

    /// How often somebody was refused, and lines about applications that were not logged.
    pub fn complaints(&self) -> [u64; 2] {
        [self.refused, self.effects.complaints.withheld()]
    }

    /// Makes an application leave that broke the rules.
    pub(super) fn expel(&mut self, tenant: TenantId, why: &str) {
        self.complain(tenant, why);
        self.remove(tenant);
        self.expelled.push(tenant);
    }

    /// An application took the page at `place` away from under the service.
    pub fn vanished(&mut self, place: ShmOffset) {
        const WHY: &str = "took away memory that the service uses";
        let Some(region) = self.effects.regions.at(place) else {
            return;
        };
        for tenant in self.effects.tenants.of_region(region) {
            // In the shared region nobody knows who did it.
            if region == RegionId::Legacy {
                self.complain(tenant, WHY);
            } else {
                self.expel(tenant, WHY);
            }
        }
    }

    /// The applications that were made to leave since the last call.
    pub fn expelled(&mut self) -> Vec<TenantId> {
        std::mem::take(&mut self.expelled)
    }

    /// Tells the cores to stop.
    pub fn stop(&mut self) {
        for core in &mut self.effects.cores {
            core.send(ToFast::Shutdown);
        }
    }

    /// Gives the cores what waits for room. True when some still waits.
    pub fn flush_cores(&mut self) -> bool {
        self.effects
            .cores
            .iter_mut()
            .map(CoreLink::flush)
            .fold(false, |any, waits| any | waits)
    }

    fn take_messages(&mut self) -> bool {
        let mut worked = false;
        for index in 0..self.effects.cores.len() {
            for _ in 0..MESSAGES {
                let Some(core) = self.effects.cores.get_mut(index) else {
                    break;
                };
                let Ok(message) = core.from_fast.pop() else {
                    break;
                };
                self.message(message);
                worked = true;
            }
        }
        worked
    }

    fn message(&mut self, message: ToSlow) {
        let effects = &mut self.effects;
        match message {
            ToSlow::Frame(core, frame) if tcp::is_knock(&frame) => self.knocks.push((core, frame)),
            ToSlow::Frame(core, frame) => self.tcp.on_frame(effects, core, &frame),
            ToSlow::Ended(flow, ended) => self.tcp.on_ended(effects, flow, ended),
            ToSlow::Detached(flow) => self.tcp.on_detached(effects, flow),
            ToSlow::Released(flow) => self.tcp.on_released(effects, flow),
            ToSlow::Moved(flow, link) => self.tcp.on_moved(effects, flow, link),
            ToSlow::Taken(flow, place) => self.tcp.on_taken(effects, flow, place),
            ToSlow::PutBack(flow) => self.tcp.on_put_back(effects, flow),
            ToSlow::Inspected(flow, info) => self.tcp.on_inspected(effects, flow, &info),
            ToSlow::PathLimited(flow, limit) => self.tcp.on_path_limited(effects, flow, limit),
            ToSlow::ContextRemoved(_, context) => {
                self.tenants.context_removed(context, effects);
                self.hide_context(context);
            }
            ToSlow::Rebalanced(..) => self.scaler.rebalanced(),
            ToSlow::Misbehaved(context, why) => {
                let tenant = effects.contexts.get(context).map(|context| context.tenant);
                if let Some(tenant) = tenant {
                    self.complain(tenant, why);
                }
            }
        }
    }
}
