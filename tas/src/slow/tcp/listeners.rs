//! Listeners: their half-open connections, their backlogs, and who asked to accept.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tas_wire::{FlowTuple, Ipv4Addr};

use super::conn::Owner;
use super::world::{BufferLens, Client, Listen};
use crate::types::{ContextId, FlowId, TenantId};

/// Longest backlog.
const MAX_BACKLOG: u32 = 4096;
/// Most accept requests of a listener.
const MAX_ACCEPTS: usize = 65536;
/// Most listeners.
const MAX_LISTENERS: usize = 131_072;

/// A listener. Never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct ListenerId(u64);

/// A process that holds a listener: it opened it, or is a child of one that holds it.
pub(super) struct Holder {
    pub tenant: TenantId,
    /// Its word for the listener.
    pub opaque: u64,
    /// The context that opened it.
    opener: Option<ContextId>,
    news: News,
}

/// Which contexts of a holder are told of connections that wait.
enum News {
    /// That which opened the listener, of each connection.
    Opener,
    /// Those that asked, that some wait.
    Watchers(Vec<ContextId>),
}

/// Whom to tell of a connection that waits.
pub(super) struct Watcher {
    pub context: ContextId,
    /// The holder's word for the listener.
    pub opaque: u64,
    /// Of each connection.
    pub counts: bool,
}

impl Holder {
    fn watchers(&self) -> impl Iterator<Item = Watcher> {
        let (contexts, counts) = match &self.news {
            News::Opener => (self.opener.as_slice(), true),
            News::Watchers(contexts) => (contexts.as_slice(), false),
        };
        contexts.iter().map(move |context| Watcher {
            context: *context,
            opaque: self.opaque,
            counts,
        })
    }

    fn is_gone(&self, gone: &impl Fn(Client) -> bool) -> bool {
        gone(Client {
            tenant: self.tenant,
            // A child has the listener in no context.
            context: self.opener.unwrap_or(ContextId(u16::MAX)),
        })
    }
}

/// One listener.
pub(super) struct Listener {
    /// At least one, the first the longest.
    holders: Vec<Holder>,
    /// `None`: all addresses.
    pub ip: Option<Ipv4Addr>,
    pub port: u16,
    /// Of its connections' buffers.
    pub lens: BufferLens,
    backlog: usize,
    reuseport: bool,
    /// Half-open connections, oldest first.
    pub half_open: BTreeMap<u64, FlowTuple>,
    /// Connections that wait to be accepted.
    pub ready: VecDeque<FlowId>,
    /// Requests that wait for a connection. Never both this and `ready` are filled.
    pub accepts: VecDeque<Owner>,
}

impl Listener {
    /// The process whose memory its connections take.
    pub(super) fn tenant(&self) -> Option<TenantId> {
        self.holders.first().map(|holder| holder.tenant)
    }

    /// It is held by several processes.
    pub(super) fn is_shared(&self) -> bool {
        self.holders.len() > 1
    }

    /// All that hold it are gone.
    pub(super) fn is_lost(&self, gone: &impl Fn(Client) -> bool) -> bool {
        self.holders.iter().all(|holder| holder.is_gone(gone))
    }

    /// Whom to tell of a connection that waits.
    pub(super) fn watchers(&self) -> Vec<Watcher> {
        self.holders.iter().flat_map(Holder::watchers).collect()
    }

    /// Has a context of a holder told of connections that wait, or no longer.
    pub(super) fn watch(&mut self, client: Client, opaque: u64, on: bool) {
        let named =
            |holder: &&mut Holder| holder.tenant == client.tenant && holder.opaque == opaque;
        let Some(holder) = self.holders.iter_mut().find(named) else {
            return;
        };
        if let News::Opener = holder.news {
            holder.news = News::Watchers(Vec::new());
        }
        if let News::Watchers(contexts) = &mut holder.news {
            contexts.retain(|context| *context != client.context);
            if on {
                contexts.push(client.context);
            }
        }
    }

    /// The accept requests of a process, which are taken out.
    pub(super) fn withdraw(&mut self, tenant: TenantId) -> Vec<Owner> {
        let (withdrawn, kept): (VecDeque<Owner>, VecDeque<Owner>) = self
            .accepts
            .drain(..)
            .partition(|accept| accept.client.tenant == tenant);
        self.accepts = kept;
        Vec::from(withdrawn)
    }

    /// Whether one more connection can be taken.
    pub(super) fn has_room(&self) -> bool {
        !self.accepts.is_empty() || self.ready.len() < self.backlog
    }

    pub(super) fn set_backlog(&mut self, backlog: u32) {
        self.backlog = backlog.clamp(1, MAX_BACKLOG) as usize;
    }

    /// Some address is of both.
    fn overlaps(&self, ip: Option<Ipv4Addr>) -> bool {
        self.ip.is_none() || ip.is_none() || self.ip == ip
    }

    /// Adds a request; false when there are too many.
    pub(super) fn ask(&mut self, accept: Owner) -> bool {
        if self.accepts.len() >= MAX_ACCEPTS {
            return false;
        }
        self.accepts.push_back(accept);
        true
    }
}

fn discount(by_tenant: &mut HashMap<TenantId, u64>, tenant: TenantId) {
    if let Some(count) = by_tenant.get_mut(&tenant) {
        *count -= 1;
        if *count == 0 {
            by_tenant.remove(&tenant);
        }
    }
}

/// Why a listener cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another has the port.
    InUse,
    /// There are too many.
    TooMany,
}

/// All listeners.
#[derive(Default)]
pub(super) struct Listeners {
    by_id: HashMap<ListenerId, Listener>,
    /// In the order of opening; those whose addresses overlap have REUSEPORT.
    by_port: HashMap<u16, Vec<ListenerId>>,
    by_tenant: HashMap<TenantId, u64>,
    next: u64,
}

impl Listeners {
    pub(super) fn open(
        &mut self,
        client: Client,
        listen: &Listen,
        lens: BufferLens,
        may_share: impl Fn(TenantId) -> bool,
    ) -> Result<ListenerId, Refusal> {
        if self.by_id.len() >= MAX_LISTENERS {
            return Err(Refusal::TooMany);
        }
        let shares = |other: &Listener| {
            let shared = listen.reuseport && other.reuseport;
            !other.overlaps(listen.ip) || (shared && other.tenant().is_none_or(&may_share))
        };
        let ids = self.by_port.get(&listen.port).into_iter().flatten();
        if !ids.filter_map(|id| self.by_id.get(id)).all(shares) {
            return Err(Refusal::InUse);
        }
        let id = ListenerId(self.next);
        self.next += 1;
        self.by_port.entry(listen.port).or_default().push(id);
        *self.by_tenant.entry(client.tenant).or_default() += 1;
        self.by_id.insert(
            id,
            Listener {
                holders: vec![Holder {
                    tenant: client.tenant,
                    opaque: listen.opaque,
                    opener: Some(client.context),
                    news: News::Opener,
                }],
                ip: listen.ip,
                port: listen.port,
                lens,
                backlog: listen.backlog.clamp(1, MAX_BACKLOG) as usize,
                reuseport: listen.reuseport,
                half_open: BTreeMap::new(),
                ready: VecDeque::new(),
                accepts: VecDeque::new(),
            },
        );
        Ok(id)
    }

    /// Takes a listener out; what it held is the caller's business.
    pub(super) fn close(&mut self, id: ListenerId) -> Option<Listener> {
        let listener = self.by_id.remove(&id)?;
        for holder in &listener.holders {
            discount(&mut self.by_tenant, holder.tenant);
        }
        if let Some(ids) = self.by_port.get_mut(&listener.port) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_port.remove(&listener.port);
            }
        }
        Some(listener)
    }

    pub(super) fn get(&self, id: ListenerId) -> Option<&Listener> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.by_id.get_mut(&id)
    }

    /// The listener for a new connection: one on the very address comes before those on all.
    /// `hash` chooses among those that share address and port.
    pub(super) fn choose(&self, ip: Ipv4Addr, port: u16, hash: u64) -> Option<ListenerId> {
        let ids = self.by_port.get(&port)?;
        let at = |ip| {
            let with = move |id: &&ListenerId| self.by_id.get(id).is_some_and(|l| l.ip == ip);
            let index = hash.checked_rem(ids.iter().filter(with).count() as u64)?;
            ids.iter().filter(with).nth(index as usize).copied()
        };
        at(Some(ip)).or_else(|| at(None))
    }

    /// A child holds a listener that its parent has by this word.
    pub(super) fn share(&mut self, parent: TenantId, child: TenantId, opaque: u64, port: u16) {
        let holds = |listener: &Listener, tenant: TenantId| {
            let mut holders = listener.holders.iter();
            holders.any(|holder| holder.tenant == tenant && holder.opaque == opaque)
        };
        for id in self.by_port.get(&port).into_iter().flatten() {
            if let Some(listener) = self.by_id.get_mut(id)
                && holds(listener, parent)
                && !holds(listener, child)
            {
                listener.holders.push(Holder {
                    tenant: child,
                    opaque,
                    opener: None,
                    news: News::Watchers(Vec::new()),
                });
                *self.by_tenant.entry(child).or_default() += 1;
            }
        }
    }

    /// A process no longer holds a listener that others hold.
    pub(super) fn drop_holder(&mut self, id: ListenerId, tenant: TenantId) {
        if let Some(listener) = self.by_id.get_mut(&id) {
            listener.holders.retain(|holder| holder.tenant != tenant);
            discount(&mut self.by_tenant, tenant);
        }
    }

    /// Processes are gone, but not all that hold the listeners.
    pub(super) fn drop_holders(&mut self, gone: &impl Fn(Client) -> bool) {
        for listener in self.by_id.values_mut() {
            let by_tenant = &mut self.by_tenant;
            listener.holders.retain(|holder| {
                let gone = holder.is_gone(gone);
                if gone {
                    discount(by_tenant, holder.tenant);
                }
                !gone
            });
        }
    }

    /// The listener that an application means: its own context's if there are several of that
    /// name in the tenant.
    pub(super) fn named(&self, client: Client, opaque: u64, port: u16) -> Option<ListenerId> {
        let holder = |id: &ListenerId| {
            let mut holders = self.by_id.get(id)?.holders.iter();
            holders.find(|holder| holder.opaque == opaque && holder.tenant == client.tenant)
        };
        let meant = |id: &&ListenerId| holder(id).is_some();
        let own = |id: &&ListenerId| holder(id).is_some_and(|h| h.opener == Some(client.context));
        let mut ids = self.by_port.get(&port)?.iter().filter(meant);
        ids.clone().find(own).or_else(|| ids.next()).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many belong to a tenant.
    pub(super) fn of_tenant(&self, tenant: TenantId) -> u64 {
        self.by_tenant.get(&tenant).copied().unwrap_or(0)
    }

    /// All listeners, for the rare need to search.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ListenerId, &mut Listener)> {
        self.by_id.iter_mut().map(|(id, listener)| (*id, listener))
    }
}
