//! Listeners: their half-open connections, their backlogs, and who asked to accept.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tas_wire::{FlowTuple, Ipv4Addr};

use super::conn::Owner;
use super::world::{BufferLens, Client, Listen};
use crate::types::{FlowId, TenantId};

/// Longest backlog.
const MAX_BACKLOG: u32 = 4096;
/// Most half-open connections of a listener; beyond it, the oldest gives way (RFC 4987 §3.4).
const MAX_HALF_OPEN: usize = 16_384;
/// Most accept requests of a listener.
const MAX_ACCEPTS: usize = 65536;
/// Most listeners.
const MAX_LISTENERS: usize = 131_072;

/// A listener. Never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct ListenerId(u64);

/// One listener.
pub(super) struct Listener {
    pub client: Client,
    pub opaque: u64,
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

    /// The half-open connection that must give way to another.
    pub(super) fn surplus(&self) -> Option<FlowTuple> {
        if self.half_open.len() < MAX_HALF_OPEN {
            return None;
        }
        self.half_open.first_key_value().map(|(_, tuple)| *tuple)
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
        may_share: impl Fn(Client) -> bool,
    ) -> Result<ListenerId, Refusal> {
        if self.by_id.len() >= MAX_LISTENERS {
            return Err(Refusal::TooMany);
        }
        let shares = |other: &Listener| {
            !other.overlaps(listen.ip)
                || (listen.reuseport && other.reuseport && may_share(other.client))
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
                client,
                opaque: listen.opaque,
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
        if let Some(count) = self.by_tenant.get_mut(&listener.client.tenant) {
            *count -= 1;
            if *count == 0 {
                self.by_tenant.remove(&listener.client.tenant);
            }
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

    /// The listener that an application means: its own context's if there are several of that
    /// name in the tenant.
    pub(super) fn named(&self, client: Client, opaque: u64, port: u16) -> Option<ListenerId> {
        let meant = |id: &&ListenerId| {
            self.by_id
                .get(id)
                .is_some_and(|l| l.opaque == opaque && l.client.tenant == client.tenant)
        };
        let own = |id: &&ListenerId| self.by_id.get(id).is_some_and(|l| l.client == client);
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
