//! Applications: how they attach over a unix socket, what they hold, how they leave.
//!
//! Two sockets serve two kinds: on `\0flexnic_os` the original's protocol with the shared region,
//! on `\0tas` the same with a region for each application. The steps are in `doc/protocol.md`.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use tas_abi::appif::{UxsockQueue, UxsockRequest, UxsockResponse};
use tas_abi::memif::{Arx, Atx};
use tas_shm::fdpass::{PeerCred, abstract_listen, peer_cred, recv_with_fds, send_with_fds};
use tas_shm::{Arena, Doorbell, EventFd};
use zerocopy::IntoBytes;

use super::access::Access;
use super::contexts::{Context, CoreQueues, NewContext, Queue};
use super::effects::Effects;
use super::regions::RegionId;
use crate::link::{ContextSetup, ToFast};
use crate::types::{ContextId, TenantId};

/// Name of the original's socket.
const LEGACY_SOCKET: &[u8] = b"\0flexnic_os";
/// Name of the socket for applications with regions of their own.
const SOCKET: &[u8] = b"\0tas";
/// Version of the protocol on [`SOCKET`].
const VERSION: u32 = 1;
/// Applications at a time.
const APPS_MAX: usize = 1000;
/// Contexts of one application.
const CONTEXTS_PER_APP: usize = 64;
/// Longest queue between a context and a core, in bytes.
const QUEUE_MAX: u32 = 64 << 20;
/// Descriptors in one message of the second step.
const FDS_PER_MESSAGE: usize = 4;
const REQUEST_LEN: usize = size_of::<UxsockRequest>();

/// What an application needs to know of the service.
pub struct Offer {
    /// The slow path's eventfd.
    pub slow_event: EventFd,
    /// The cores' eventfds.
    pub core_events: Vec<EventFd>,
    /// The info page, to be read only.
    pub info: OwnedFd,
    /// Bytes of the queue application → slow path.
    pub requests_len: u32,
    /// Bytes of the queue slow path → application.
    pub answers_len: u32,
    /// Cycles after which applications may block.
    pub poll_cycle_app: u64,
}

/// An application.
pub struct App {
    stream: UnixStream,
    peer: PeerCred,
    region: RegionId,
    /// May listen on ports below 1024.
    pub low_ports: bool,
    contexts: Vec<ContextId>,
    /// The part of a request that has come, and the descriptor that came with it.
    partial: Vec<u8>,
    event: Option<OwnedFd>,
    leaving: bool,
}

impl App {
    /// The application's socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Why an application was dropped.
type Refusal = &'static str;

/// All applications and the sockets on which they come.
pub struct Apps {
    listener: UnixListener,
    legacy_listener: Option<UnixListener>,
    access: Access,
    offer: Offer,
    apps: HashMap<TenantId, App>,
    next_tenant: u32,
    /// Applications that are gone and whose memory cores may still touch.
    leaving: Vec<TenantId>,
}

impl Apps {
    /// Listens for applications.
    pub fn new(offer: Offer, access: Access, legacy: bool) -> io::Result<Apps> {
        let listen = |name| -> io::Result<UnixListener> {
            let listener = abstract_listen(name)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let legacy_listener = if legacy {
            Some(listen(LEGACY_SOCKET)?)
        } else {
            None
        };
        Ok(Apps {
            listener: listen(SOCKET)?,
            legacy_listener,
            access,
            offer,
            apps: HashMap::new(),
            next_tenant: 0,
            leaving: Vec::new(),
        })
    }

    /// The sockets on which applications come.
    pub fn listeners(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [Some(&self.listener), self.legacy_listener.as_ref()]
            .into_iter()
            .flatten()
            .map(AsFd::as_fd)
    }

    /// Any legacy application is attached; only those ring the slow path sparingly.
    pub fn has_legacy(&self) -> bool {
        self.apps
            .values()
            .any(|app| app.region == RegionId::Legacy && !app.leaving)
    }

    /// The application of a tenant.
    pub fn get(&self, tenant: TenantId) -> Option<&App> {
        self.apps.get(&tenant)
    }

    /// The contexts of an application, the newest last.
    pub fn contexts(&self, tenant: TenantId) -> &[ContextId] {
        self.apps.get(&tenant).map_or(&[], |app| &app.contexts)
    }

    /// Takes in the applications that knock. The new ones' tenants are returned.
    pub fn accept(&mut self, effects: &mut Effects) -> Vec<TenantId> {
        let mut new = Vec::new();
        while let Some((stream, legacy)) = self.knock() {
            match self.greet(stream, legacy, effects) {
                Ok(tenant) => new.push(tenant),
                Err(error) => log::warn!("application refused: {error}"),
            }
        }
        new
    }

    fn knock(&self) -> Option<(UnixStream, bool)> {
        let legacy = || {
            self.legacy_listener
                .as_ref()?
                .accept()
                .ok()
                .map(|(stream, _)| (stream, true))
        };
        self.listener
            .accept()
            .ok()
            .map(|(stream, _)| (stream, false))
            .or_else(legacy)
    }

    /// The first two steps: what the application needs to know, and the cores' eventfds.
    fn greet(
        &mut self,
        stream: UnixStream,
        legacy: bool,
        effects: &mut Effects,
    ) -> io::Result<TenantId> {
        stream.set_nonblocking(true)?;
        let peer = peer_cred(stream.as_fd())?;
        if !self.access.admits(peer) {
            return Err(io::Error::other(format!(
                "pid {} of user {} may not attach; see --shm-group, --shm-mode and --allow-uid",
                peer.pid, peer.uid
            )));
        }
        if self.apps.len() >= APPS_MAX {
            return Err(io::Error::other(format!(
                "{APPS_MAX} applications are attached"
            )));
        }
        let region = if legacy {
            RegionId::Legacy
        } else {
            effects
                .regions
                .create()?
                .ok_or_else(|| io::Error::other("no place for another region"))?
        };
        if let Err(error) = self.introduce(&stream, region, effects) {
            effects.regions.remove(region);
            return Err(error);
        }
        let tenant = self.new_tenant();
        effects.tenants.add(tenant, region);
        let app = App {
            stream,
            low_ports: self.access.low_ports(peer),
            peer,
            region,
            contexts: Vec::new(),
            partial: Vec::new(),
            event: None,
            leaving: false,
        };
        self.apps.insert(tenant, app);
        Ok(tenant)
    }

    fn introduce(
        &self,
        stream: &UnixStream,
        region: RegionId,
        effects: &Effects,
    ) -> io::Result<()> {
        let offer = &self.offer;
        let cores = offer.core_events.len() as u32;
        let sent = match (region, effects.regions.share(region)) {
            (RegionId::Own(_), Some((len, fd))) => {
                let mut hello = [0; 16];
                hello[..4].copy_from_slice(&cores.to_le_bytes());
                hello[4..8].copy_from_slice(&VERSION.to_le_bytes());
                hello[8..].copy_from_slice(&len.to_le_bytes());
                let fds = [offer.slow_event.as_fd(), offer.info.as_fd(), fd];
                send_with_fds(stream.as_fd(), &hello, &fds)? == hello.len()
            }
            _ => {
                let hello = cores.to_ne_bytes();
                send_with_fds(stream.as_fd(), &hello, &[offer.slow_event.as_fd()])? == hello.len()
            }
        };
        if !sent {
            return Err(io::ErrorKind::WriteZero.into());
        }
        for events in offer.core_events.chunks(FDS_PER_MESSAGE) {
            let fds: Vec<BorrowedFd<'_>> = events.iter().map(AsFd::as_fd).collect();
            send_with_fds(stream.as_fd(), &[0], &fds)?;
        }
        Ok(())
    }

    fn new_tenant(&mut self) -> TenantId {
        loop {
            let tenant = TenantId(self.next_tenant);
            self.next_tenant = self.next_tenant.wrapping_add(1);
            if !self.apps.contains_key(&tenant) {
                return tenant;
            }
        }
    }

    /// Reads what an application has written. False: it is gone, or broke the rules.
    pub fn read(&mut self, tenant: TenantId, effects: &mut Effects) -> bool {
        loop {
            let Some(app) = self.apps.get_mut(&tenant) else {
                return true;
            };
            if app.leaving {
                return true;
            }
            match read_request(app) {
                Ok(Progress::Nothing) => return true,
                Ok(Progress::Gone) => return false,
                Ok(Progress::Request(request, event)) => {
                    if let Err(why) = self.open_context(tenant, request, event, effects) {
                        self.complain(tenant, why);
                        return false;
                    }
                }
                Err(why) => {
                    self.complain(tenant, why);
                    return false;
                }
            }
        }
    }

    /// Says once what an application did wrong.
    pub fn complain(&self, tenant: TenantId, why: &str) {
        if let Some(app) = self.apps.get(&tenant) {
            log::warn!("application with pid {}: {why}", app.peer.pid);
        }
    }

    /// The third and fourth step: a context. An answer that tells of refusal is no error.
    fn open_context(
        &mut self,
        tenant: TenantId,
        request: UxsockRequest,
        event: OwnedFd,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let event =
            EventFd::from_peer(event).map_err(|_| "sent a descriptor that is no eventfd")?;
        let Some(app) = self.apps.get_mut(&tenant) else {
            return Ok(());
        };
        let answer = match new_context(app, tenant, request, &event, &self.offer, effects) {
            Some((id, answer)) => {
                app.contexts.push(id);
                answer
            }
            None => refusal(),
        };
        match send_with_fds(app.stream.as_fd(), &answer, &[]) {
            Ok(sent) if sent == answer.len() => Ok(()),
            _ => Err("does not read its answers"),
        }
    }

    /// Begins to take an application down. Its contexts are returned: TCP is to be told first.
    pub fn leave(&mut self, tenant: TenantId, effects: &mut Effects) {
        let Some(app) = self.apps.get_mut(&tenant) else {
            return;
        };
        if app.leaving {
            return;
        }
        app.leaving = true;
        self.leaving.push(tenant);
        for id in &app.contexts {
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
        let apps = &mut self.apps;
        self.leaving.retain(|tenant| {
            let Some(app) = apps.get_mut(tenant) else {
                return false;
            };
            let mut left = std::mem::take(&mut app.contexts);
            left.retain(|id| {
                effects
                    .contexts
                    .get(*id)
                    .is_some_and(|context| context.cores_left > 0)
            });
            app.contexts = left;
            if !app.contexts.is_empty() || !idle(*tenant) {
                return true;
            }
            let region = app.region;
            effects.tenants.remove(*tenant);
            effects.regions.remove(region);
            apps.remove(tenant);
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

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }
}

enum Progress {
    Nothing,
    Gone,
    Request(UxsockRequest, OwnedFd),
}

/// Reads until a request is complete. One descriptor belongs to it, no more and no less.
fn read_request(app: &mut App) -> Result<Progress, Refusal> {
    let mut buffer = [0; REQUEST_LEN];
    let room = REQUEST_LEN.saturating_sub(app.partial.len());
    let Some(buffer) = buffer.get_mut(..room) else {
        return Ok(Progress::Nothing);
    };
    let received = match recv_with_fds(app.stream.as_fd(), buffer, 1) {
        Ok(received) => received,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Nothing),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Progress::Nothing),
        Err(_) => return Ok(Progress::Gone),
    };
    if received.truncated || (!received.fds.is_empty() && app.event.is_some()) {
        return Err("sent more descriptors than belong to its request");
    }
    if let Some(fd) = received.fds.into_iter().next() {
        app.event = Some(fd);
    }
    if received.len == 0 {
        return Ok(Progress::Gone);
    }
    app.partial
        .extend_from_slice(buffer.get(..received.len).unwrap_or_default());
    let Ok(bytes) = <[u8; REQUEST_LEN]>::try_from(app.partial.as_slice()) else {
        return read_request(app);
    };
    app.partial.clear();
    match app.event.take() {
        Some(event) => Ok(Progress::Request(zerocopy::transmute!(bytes), event)),
        None => Err("sent a request without a descriptor"),
    }
}

/// Makes a context and the answer that describes it; `None`: there is no room for it.
fn new_context(
    app: &App,
    tenant: TenantId,
    request: UxsockRequest,
    event: &EventFd,
    offer: &Offer,
    effects: &mut Effects,
) -> Option<(ContextId, Vec<u8>)> {
    let (rx_len, tx_len) = (request.rxq_len, request.txq_len);
    let valid = |len: u32, entry: usize| len > 0 && len <= QUEUE_MAX && len as usize % entry == 0;
    let sensible = valid(rx_len, size_of::<Arx>()) && valid(tx_len, size_of::<Atx>());
    if !sensible || app.contexts.len() >= CONTEXTS_PER_APP {
        return None;
    }
    let mut taken = Vec::new();
    let context = allocate(
        app.region, tenant, request, event, offer, effects, &mut taken,
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
        log::warn!("out of file descriptors for context {id}");
    }
    Some((id, describe(id, app.region, effects)))
}

fn allocate(
    region: RegionId,
    tenant: TenantId,
    request: UxsockRequest,
    event: &EventFd,
    offer: &Offer,
    effects: &mut Effects,
    taken: &mut Vec<Queue>,
) -> Option<Context> {
    let mut take = |len: u32| {
        let at = effects.regions.alloc(region, u64::from(len), true)?;
        taken.push(Queue { at, len });
        Some(Queue { at, len })
    };
    let requests = take(offer.requests_len)?;
    let answers = take(offer.answers_len)?;
    let mut core_queues = Vec::new();
    for _ in 0..offer.core_events.len() {
        core_queues.push(CoreQueues {
            rx: take(request.rxq_len)?,
            tx: take(request.txq_len)?,
        });
    }
    let doorbell = Doorbell::new(event.try_clone().ok()?, offer.poll_cycle_app);
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
