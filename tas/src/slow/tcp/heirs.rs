//! Connections that are being opened when a process forks. The child, and its own children, hold
//! them beside whoever has begun: once a connection is open it is one that all of them hold; if it
//! fails, each is told.

use tas_wire::FlowTuple;

use super::TcpControl;
use super::conn::{Conn, Heir, Holder, Inherited, Named, Opening, Owner, Phase, Taking};
use super::family::ANY;
use super::open::answer_failure;
use super::world::{Client, ConnName, Errno, World};
use crate::types::{FlowId, TenantId};

/// The flow of a connection that the application knows no flow of yet.
pub(super) const NO_FLOW: FlowId = FlowId(u32::MAX);

impl TcpControl {
    /// A child holds a connection that its parent was opening when it was last told of it.
    pub(super) fn inherit_opening(&mut self, parent: TenantId, child: TenantId, name: ConnName) {
        let opaque = name.opaque;
        let holder = Holder {
            tenant: child,
            opaque,
        };
        let inherited = self.inherited.get(&(parent, opaque)).copied();
        let tuple = match inherited {
            Some(Inherited::Opening(tuple)) => Some(tuple),
            Some(Inherited::Failed(_)) => {
                self.inherited
                    .extend(inherited.map(|failed| ((child, opaque), failed)));
                return;
            }
            None => self.opened_by(parent, opaque),
        };
        if let Some(tuple) = tuple
            && let Some(Conn::Opening(opening)) = self.conns.get_mut(&tuple)
        {
            opening.heirs.push(Heir {
                holder,
                asker: None,
            });
            let opening = Inherited::Opening(tuple);
            self.inherited.insert((child, opaque), opening);
        } else if let Some(flow) = self.opened_flow(parent, name) {
            self.share(parent, holder, flow);
        }
    }

    /// The connection that a tenant opens under this name.
    fn opened_by(&self, tenant: TenantId, opaque: u64) -> Option<FlowTuple> {
        let opens = |opening: &Opening| {
            let owner = opening.owner;
            owner.is_some_and(|owner| owner.client.tenant == tenant && owner.opaque == opaque)
        };
        let mut conns = self.conns.iter();
        conns
            .find(|(_, conn)| matches!(conn, Conn::Opening(opening) if opens(opening)))
            .map(|(tuple, _)| *tuple)
    }

    /// The flow that a tenant has opened under this name, and has not been told of yet.
    fn opened_flow(&self, tenant: TenantId, name: ConnName) -> Option<FlowId> {
        let remote = (name.tuple.remote_ip, name.tuple.remote_port);
        let mut flows = self.flows.iter();
        flows
            .find(|(_, record)| {
                (record.tuple.remote_ip, record.tuple.remote_port) == remote
                    && record.is_held(tenant, name.opaque)
            })
            .map(|(flow, _)| *flow)
    }

    /// An heir asks what becomes of the connection; answered by `ConnOpened`, at once or later.
    pub(super) fn ask_opening(&mut self, w: &mut impl World, asker: Owner) {
        let key = (asker.client.tenant, asker.opaque);
        match self.inherited.get(&key).copied() {
            Some(Inherited::Opening(tuple)) => {
                if let Some(Conn::Opening(opening)) = self.conns.get_mut(&tuple) {
                    let mut heirs = opening.heirs.iter_mut();
                    let heir = heirs.find(|heir| heir.holder.tenant == key.0);
                    if let Some(heir) = heir {
                        heir.asker = Some(asker);
                    }
                }
            }
            Some(Inherited::Failed(errno)) => {
                self.inherited.remove(&key);
                answer_failure(w, asker, errno);
            }
            None => match self.held.get(&key).copied() {
                Some(flow) => self.tell_opened(w, flow, asker),
                None => answer_failure(w, asker, Errno::CONNABORTED),
            },
        }
    }

    /// Clients have no part any more in a connection that is being opened. Without any the open
    /// ends.
    pub(super) fn leave_opening(
        &mut self,
        w: &mut impl World,
        tuple: &FlowTuple,
        gone: &impl Fn(Client) -> bool,
    ) {
        let Some(Conn::Opening(opening)) = self.conns.get_mut(tuple) else {
            return;
        };
        let inherited = &mut self.inherited;
        opening.heirs.retain(|heir| {
            let left = gone(heir.holder.client());
            if left {
                inherited.remove(&(heir.holder.tenant, heir.holder.opaque));
            }
            !left
        });
        for heir in &mut opening.heirs {
            heir.asker.take_if(|asker| gone(asker.client));
        }
        let first = opening.heirs.first().map(|heir| heir.holder.tenant);
        let former = opening.owner.take_if(|owner| gone(owner.client));
        let (owner, tenant) = (opening.owner, opening.tenant);
        if let Some(former) = former {
            self.forget_name(former, Named::Opening(*tuple));
        }
        match owner.map(|owner| owner.client.tenant).or(first) {
            None => {
                self.abandon_open(w, tuple);
            }
            Some(next) if next != tenant => {
                self.count_buffers(next);
                self.discount_buffers(tenant);
                if let Some(Conn::Opening(opening)) = self.conns.get_mut(tuple) {
                    opening.tenant = next;
                }
            }
            Some(_) => {}
        }
    }

    /// The same, of all that are being opened, and of those that have failed.
    pub(super) fn leave_openings(&mut self, w: &mut impl World, gone: &impl Fn(Client) -> bool) {
        let opening: Vec<FlowTuple> = self
            .conns
            .iter()
            .filter(|(_, conn)| matches!(conn, Conn::Opening(opening) if opening.concerns(gone)))
            .map(|(tuple, _)| *tuple)
            .collect();
        for tuple in opening {
            self.leave_opening(w, &tuple, gone);
        }
        self.inherited.retain(|(tenant, _), _| {
            !gone(Client {
                tenant: *tenant,
                context: ANY,
            })
        });
    }

    /// The connection is open: all hold it, and those that have asked are told.
    pub(super) fn settle_heirs(&mut self, w: &mut impl World, flow: FlowId, opening: &Opening) {
        for heir in &opening.heirs {
            let key = (heir.holder.tenant, heir.holder.opaque);
            self.inherited.remove(&key);
            match opening.owner {
                Some(owner) => self.share(owner.client.tenant, heir.holder, flow),
                None => self.hold(heir.holder, flow),
            }
            if let Some(asker) = heir.asker {
                self.tell_opened(w, flow, asker);
            }
        }
        if opening.owner.is_none() {
            self.take(w, flow, Taking::default());
        }
    }

    /// The connection has failed: those that have asked are told, the others when they ask.
    pub(super) fn fail_heirs(&mut self, w: &mut impl World, heirs: &[Heir], errno: Errno) {
        for heir in heirs {
            let key = (heir.holder.tenant, heir.holder.opaque);
            match heir.asker {
                Some(asker) => {
                    self.inherited.remove(&key);
                    answer_failure(w, asker, errno);
                }
                None => {
                    self.inherited.insert(key, Inherited::Failed(errno));
                }
            }
        }
    }

    /// A process holds a flow beside its parent.
    pub(super) fn share(&mut self, parent: TenantId, heir: Holder, flow: FlowId) {
        let Some(record) = self.flows.get(&flow) else {
            return;
        };
        if record.holders.is_empty() {
            let opaque = match record.phase {
                Phase::Attached(user) | Phase::Moving { to: user, .. } => user.opaque,
                _ => heir.opaque,
            };
            let parent = Holder {
                tenant: parent,
                opaque,
            };
            self.hold(parent, flow);
        }
        self.hold(heir, flow);
    }

    fn hold(&mut self, holder: Holder, flow: FlowId) {
        if let Some(record) = self.flows.get_mut(&flow) {
            record.holders.push(holder);
            self.held.insert((holder.tenant, holder.opaque), flow);
        }
    }
}

impl Opening {
    /// Whether a client for which `gone` holds has part in it.
    fn concerns(&self, gone: &impl Fn(Client) -> bool) -> bool {
        let asks = |heir: &Heir| heir.asker.is_some_and(|asker| gone(asker.client));
        self.owner.is_some_and(|owner| gone(owner.client))
            || self
                .heirs
                .iter()
                .any(|heir| gone(heir.holder.client()) || asks(heir))
    }
}

#[cfg(test)]
#[path = "heirs_tests.rs"]
mod tests;
