//! The applications as the slow path knows them, without their sockets: what they hold, and how
//! that comes back when they leave.

use std::collections::HashMap;

use tas_abi::appif::{AppoutMsg, KernelAppout, UxsockQueue, UxsockRequest, UxsockResponse};
use tas_abi::memif::{Arx, Atx};
use tas_shm::{Arena, Doorbell, EventFd};
use zerocopy::IntoBytes;

use super::contexts::{Context, CoreQueues, NewContext, Queue};
use super::effects::Effects;
use super::regions::RegionId;
use crate::link::{ContextSetup, ToFast};
use crate::types::{ContextId, TenantId};

/// Applications at a time.
pub const TENANTS_MAX: usize = 1000;
/// Contexts of one application.
const CONTEXTS_PER_TENANT: usize = 64;
/// Longest queue between a context and a core, in bytes.
const QUEUE_MAX: u32 = 64 << 20;

/// What the queues of a context are like.
#[derive(Clone, Copy, Debug)]
pub struct QueueConf {
    /// Bytes of the queue application → slow path.
    pub requests_len: u32,
    /// Bytes of the queue slow path → application.
    pub answers_len: u32,
    /// Cycles after which applications may block.
    pub poll_cycle_app: u64,
}

/// An application, as the kernel describes it.
#[derive(Clone, Copy, Debug)]
pub struct Newcomer {
    /// Shares the legacy region.
    pub legacy: bool,
    /// Its process, for messages.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// May listen on ports below 1024.
    pub low_ports: bool,
}

/// An application.
struct Tenant {
    who: Newcomer,
    region: RegionId,
    contexts: Vec<ContextId>,
    leaving: bool,
    /// Its connections end as those of sockets do.
    sockets: bool,
    /// What its children name it by, once it has asked.
    token: Option<u64>,
    /// Times that it was complained of.
    offences: u64,
}

/// An application in numbers.
pub struct TenantInfo {
    /// Its id.
    pub id: TenantId,
    /// Who it is.
    pub who: Newcomer,
    /// Where its memory is.
    pub region: RegionId,
    /// Its contexts.
    pub contexts: usize,
    /// Times that it was complained of.
    pub offences: u64,
}

/// All applications.
pub struct Tenants {
    list: HashMap<TenantId, Tenant>,
    next: u32,
    /// Applications that are gone and whose memory cores may still touch.
    leaving: Vec<TenantId>,
    queues: QueueConf,
}

impl Tenants {
    /// None yet.
    pub fn new(queues: QueueConf) -> Tenants {
        Tenants {
            list: HashMap::new(),
            next: 0,
            leaving: Vec::new(),
            queues,
        }
    }

    /// There are none, nor any that are leaving.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are, those that are leaving included.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Requests that a context's queue holds.
    pub fn requests_max(&self) -> usize {
        self.queues.requests_len as usize / size_of::<KernelAppout>()
    }

    /// Any legacy application is attached; only those ring the slow path sparingly.
    pub fn has_legacy(&self) -> bool {
        self.list
            .values()
            .any(|tenant| tenant.who.legacy && !tenant.leaving)
    }

    /// An application has sockets. False if it may not say so.
    pub fn declare_sockets(&mut self, tenant: TenantId) -> bool {
        let tenant = self.list.get_mut(&tenant);
        match tenant.filter(|tenant| !tenant.who.legacy && !tenant.leaving) {
            Some(tenant) => {
                tenant.sockets = true;
                true
            }
            None => false,
        }
    }

    /// An application's connections end as those of sockets do.
    pub fn has_sockets(&self, tenant: TenantId) -> bool {
        self.list.get(&tenant).is_some_and(|tenant| tenant.sockets)
    }

    /// The applications that are gone and have something left, the oldest first.
    pub fn leaving(&self) -> impl DoubleEndedIterator<Item = TenantId> {
        self.leaving.iter().copied()
    }

    /// The contexts of an application.
    pub fn contexts(&self, tenant: TenantId) -> &[ContextId] {
        self.list
            .get(&tenant)
            .map_or(&[], |tenant| tenant.contexts.as_slice())
    }

    /// Whether an application may send a request: the original's libraries know only the original's.
    pub fn speaks(&self, tenant: TenantId, request: &AppoutMsg) -> bool {
        let legacy = |tenant: &Tenant| tenant.who.legacy;
        request.is_original() || !self.list.get(&tenant).is_some_and(legacy)
    }

    /// Whether an application may listen on ports below 1024.
    pub fn low_ports(&self, tenant: TenantId) -> bool {
        self.list
            .get(&tenant)
            .is_some_and(|tenant| tenant.who.low_ports)
    }

    /// What an application's children name it by. None for one that shares its region with
    /// strangers, or when the system gives no random numbers.
    pub fn token(&mut self, tenant: TenantId) -> Option<u64> {
        let tenant = self.list.get_mut(&tenant)?;
        if tenant.who.legacy || tenant.leaving {
            return None;
        }
        if tenant.token.is_none() {
            tenant.token = getrandom::u64().ok();
        }
        tenant.token
    }

    /// The application with this token.
    pub fn by_token(&self, token: u64) -> Option<TenantId> {
        let mut there = self.list.iter().filter(|(_, tenant)| !tenant.leaving);
        there
            .find(|(_, tenant)| tenant.token == Some(token))
            .map(|(id, _)| *id)
    }

    /// An application has this process.
    pub fn has_process(&self, pid: u32) -> bool {
        self.list.values().any(|tenant| tenant.who.pid == pid)
    }

    /// An application says which process it is, for messages.
    pub fn set_process(&mut self, tenant: TenantId, pid: u32) {
        if let Some(tenant) = self.list.get_mut(&tenant) {
            tenant.who.pid = pid;
        }
    }

    /// The region of an application that is not leaving.
    pub fn region(&self, tenant: TenantId) -> Option<RegionId> {
        let tenant = self.list.get(&tenant)?;
        (!tenant.leaving).then_some(tenant.region)
    }

    /// Takes an application in, whose region exists, and may be that of others.
    pub fn add(&mut self, who: Newcomer, region: RegionId, effects: &mut Effects) -> TenantId {
        while self.list.contains_key(&TenantId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = TenantId(self.next);
        self.next = self.next.wrapping_add(1);
        effects.tenants.add(id, region, who.uid);
        let tenant = Tenant {
            who,
            region,
            contexts: Vec::new(),
            leaving: false,
            sockets: false,
            token: None,
            offences: 0,
        };
        self.list.insert(id, tenant);
        id
    }

    /// Takes a child of an application in.
    pub fn fork(
        &mut self,
        parent: TenantId,
        child: Newcomer,
        effects: &mut Effects,
    ) -> Option<TenantId> {
        let parent = self.list.get(&parent).filter(|parent| !parent.leaving)?;
        let (region, sockets) = (parent.region, parent.sockets);
        let child = self.add(child, region, effects);
        if let Some(child) = self.list.get_mut(&child) {
            child.sockets = sockets;
        }
        Some(child)
    }

    /// The applications that are not leaving, in no order.
    pub fn infos(&self) -> impl Iterator<Item = TenantInfo> {
        let there = self.list.iter().filter(|(_, tenant)| !tenant.leaving);
        there.map(|(id, tenant)| TenantInfo {
            id: *id,
            who: tenant.who,
            region: tenant.region,
            contexts: tenant.contexts.len(),
            offences: tenant.offences,
        })
    }

    /// Counts that an application broke the rules; its process.
    pub fn offend(&mut self, tenant: TenantId) -> Option<u32> {
        let tenant = self.list.get_mut(&tenant)?;
        tenant.offences += 1;
        Some(tenant.who.pid)
    }

    /// Makes a context. The answer that describes it, or that says that there is none, is
    /// returned.
    pub fn open_context(
        &mut self,
        id: TenantId,
        request: UxsockRequest,
        event: &EventFd,
        effects: &mut Effects,
    ) -> (Option<ContextId>, Vec<u8>) {
        let tenant = self.list.get_mut(&id).filter(|tenant| !tenant.leaving);
        let Some(tenant) = tenant else {
            return (None, refusal());
        };
        match new_context(tenant, id, request, event, self.queues, effects) {
            Some((context, answer)) => {
                tenant.contexts.push(context);
                (Some(context), answer)
            }
            None => (None, refusal()),
        }
    }

    /// Begins to take an application down. TCP has been told.
    pub fn leave(&mut self, id: TenantId, effects: &mut Effects) {
        let tenant = self.list.get_mut(&id).filter(|tenant| !tenant.leaving);
        let Some(tenant) = tenant else {
            return;
        };
        tenant.leaving = true;
        self.leaving.push(id);
        for id in &tenant.contexts {
            if let Some(context) = effects.contexts.get(*id) {
                context.leaving = true;
            }
            for core in &mut effects.cores {
                core.send(ToFast::RemoveContext(*id));
            }
        }
    }

    /// Finishes with the applications that nothing uses any more, as `idle` tells of TCP.
    pub fn reclaim(&mut self, effects: &mut Effects, idle: impl Fn(TenantId) -> bool) {
        let list = &mut self.list;
        self.leaving.retain(|id| {
            let Some(tenant) = list.get_mut(id) else {
                return false;
            };
            tenant.contexts.retain(|context| {
                effects
                    .contexts
                    .get(*context)
                    .is_some_and(|context| context.cores_left > 0)
            });
            if !tenant.contexts.is_empty() || !idle(*id) {
                return true;
            }
            effects.tenants.remove(*id);
            if effects.tenants.of_region(tenant.region).is_empty() {
                effects.regions.remove(tenant.region);
            }
            list.remove(id);
            false
        });
    }

    /// A core has let go of a context; after the last one its memory and id come back.
    pub fn context_removed(&mut self, id: ContextId, effects: &mut Effects) {
        let Some(context) = effects.contexts.get(id) else {
            return;
        };
        context.cores_left = context.cores_left.saturating_sub(1);
        if context.cores_left > 0 {
            return;
        }
        let Some(context) = effects.contexts.remove(id) else {
            return;
        };
        if let Some(region) = effects.tenants.get(context.tenant) {
            let cores = context
                .core_queues
                .iter()
                .flat_map(|queues| [queues.rx, queues.tx]);
            for queue in context.kernel_queues.into_iter().chain(cores) {
                effects.regions.free(region, queue.at, u64::from(queue.len));
            }
        }
    }
}

/// Makes a context and the answer that describes it; `None`: there is no room for it.
fn new_context(
    app: &Tenant,
    tenant: TenantId,
    request: UxsockRequest,
    event: &EventFd,
    queues: QueueConf,
    effects: &mut Effects,
) -> Option<(ContextId, Vec<u8>)> {
    let (rx_len, tx_len) = (request.rxq_len, request.txq_len);
    let valid = |len: u32, entry: usize| {
        len > 0 && len <= QUEUE_MAX && (len as usize).is_multiple_of(entry)
    };
    let sensible = valid(rx_len, size_of::<Arx>()) && valid(tx_len, size_of::<Atx>());
    if !sensible || app.contexts.len() >= CONTEXTS_PER_TENANT {
        return None;
    }
    let mut taken = Vec::new();
    let context = allocate(
        app.region, tenant, request, event, queues, effects, &mut taken,
    );
    let id = context.and_then(|context| effects.contexts.add(context));
    let Some(id) = id else {
        for queue in taken {
            effects
                .regions
                .free(app.region, queue.at, u64::from(queue.len));
        }
        return None;
    };
    if introduce_to_cores(id, event, effects).is_none() {
        // The application ran the service out of descriptors: the cores that know the context
        // already let go of it when the application is dropped.
        let line = format_args!("out of file descriptors for context {id}");
        effects.complaints.say(effects.now, line);
    }
    Some((id, describe(id, app.region, effects)))
}

fn allocate(
    region: RegionId,
    tenant: TenantId,
    request: UxsockRequest,
    event: &EventFd,
    queues: QueueConf,
    effects: &mut Effects,
    taken: &mut Vec<Queue>,
) -> Option<Context> {
    let mut take = |len: u32| {
        let at = effects.regions.alloc(region, len.into(), len.into())?;
        taken.push(Queue { at, len });
        Some(Queue { at, len })
    };
    let requests = take(queues.requests_len)?;
    let answers = take(queues.answers_len)?;
    let mut core_queues = Vec::new();
    for _ in 0..effects.cores.len() {
        core_queues.push(CoreQueues {
            rx: take(request.rxq_len)?,
            tx: take(request.txq_len)?,
        });
    }
    let doorbell = Doorbell::new(event.try_clone().ok()?, queues.poll_cycle_app);
    let arena: std::sync::Arc<Arena> = effects.regions.arena();
    Context::new(
        &arena,
        NewContext {
            tenant,
            requests,
            answers,
            core_queues,
            doorbell,
        },
    )
}

fn introduce_to_cores(id: ContextId, event: &EventFd, effects: &mut Effects) -> Option<()> {
    let context = effects.contexts.get(id)?;
    let (tenant, queues) = (context.tenant, context.core_queues.clone());
    for (core, queues) in effects.cores.iter_mut().zip(queues) {
        core.send(ToFast::AddContext(Box::new(ContextSetup {
            id,
            tenant,
            rxq: queues.rx.at,
            rxq_len: queues.rx.len,
            txq: queues.tx.at,
            txq_len: queues.tx.len,
            evfd: event.try_clone().ok()?,
        })));
    }
    Some(())
}

/// The answer to a request that was granted.
fn describe(id: ContextId, region: RegionId, effects: &mut Effects) -> Vec<u8> {
    let Some(context) = effects.contexts.get(id) else {
        return refusal();
    };
    let ([requests, answers], queues) = (context.kernel_queues, context.core_queues.clone());
    let offset = |at| effects.regions.relative(region, at);
    let response = UxsockResponse {
        app_out_off: offset(requests.at),
        app_in_off: offset(answers.at),
        app_out_len: requests.len,
        app_in_len: answers.len,
        status: 0,
        flexnic_db_id: id.0,
        flexnic_qs_num: queues.len() as u16,
        flexnic_qs: [],
    };
    let mut bytes = response.as_bytes().to_vec();
    for queues in queues {
        let pair = UxsockQueue {
            rxq_off: offset(queues.rx.at),
            txq_off: offset(queues.tx.at),
        };
        bytes.extend_from_slice(pair.as_bytes());
    }
    bytes
}

/// The answer to a request that cannot be granted.
fn refusal() -> Vec<u8> {
    let response = UxsockResponse {
        app_out_off: 0,
        app_in_off: 0,
        app_out_len: 0,
        app_in_len: 0,
        status: 1,
        flexnic_db_id: 0,
        flexnic_qs_num: 0,
        flexnic_qs: [],
    };
    response.as_bytes().to_vec()
}
