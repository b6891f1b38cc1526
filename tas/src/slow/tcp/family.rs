//! Connections that several processes of a family hold: a process has forked, and the child holds
//! what it has inherited beside its parent.
//!
//! A connection has one user at a time, the context that its core tells of news. Another holder
//! becomes the user by adopting it: the core takes it away from the former user, says how far the
//! flow is, and so nothing is lost or told twice, whether or not the former user reads what it was
//! told. When the user lets go or ends, the connection is parked until the next holder adopts it.

use tas_abi::appif::{
    AppinConnAdopted, AppinMsg, AppinStatus, TAS_ADOPTED_RESET, TAS_ADOPTED_RXDONE,
    TAS_ADOPTED_TIMEDOUT, TAS_ADOPTED_TXDONE,
};

use super::TcpControl;
use super::close::answer_closed;
use super::conn::{Finish, FlowRecord, Holder, Named, Owner, Phase, Taking};
use super::heirs::NO_FLOW;
use super::world::{Client, ConnName, Errno, World};
use crate::link::{CloseHow, ToFast};
use crate::proto::{End, FlowPlace};
use crate::types::{ContextId, FlowId, TenantId};

/// No context: stands for all of a tenant.
pub(super) const ANY: ContextId = ContextId(u16::MAX);

/// What a child has inherited.
#[derive(Clone, Debug, Default)]
pub struct Inheritance {
    /// The parent's words for listeners, and their ports.
    pub listeners: Vec<(u64, u16)>,
    /// Connections, as the parent names them.
    pub conns: Vec<(ConnName, FlowId)>,
}

impl TcpControl {
    /// A child holds what its parent does of these; the rest is gone already.
    pub fn inherit(&mut self, parent: TenantId, child: TenantId, inherited: &Inheritance) {
        for (opaque, port) in &inherited.listeners {
            self.listeners.share(parent, child, *opaque, *port);
        }
        for (name, flow) in &inherited.conns {
            if *flow == NO_FLOW {
                self.inherit_opening(parent, child, *name);
                continue;
            }
            let Some(record) = self.flows.get(flow) else {
                continue;
            };
            let (opaque, heir) = (name.opaque, record.holder(child).is_none());
            if record.tuple == name.tuple && record.is_held(parent, opaque) && heir {
                let heir = Holder {
                    tenant: child,
                    opaque,
                };
                self.share(parent, heir, *flow);
            }
        }
    }

    /// Makes the asking context the user of a connection that its tenant holds; answered by
    /// `ConnAdopted`. Of one that was being opened when it was inherited it tells what becomes.
    pub fn adopt(&mut self, w: &mut impl World, client: Client, conn: ConnName, flow: FlowId) {
        let to = Owner {
            client,
            opaque: conn.opaque,
        };
        if flow == NO_FLOW {
            return self.ask_opening(w, to);
        }
        if let Err(errno) = self.begin_adoption(w, flow, conn, to) {
            refuse_adoption(w, to, errno);
        }
    }

    fn begin_adoption(
        &mut self,
        w: &mut impl World,
        flow: FlowId,
        conn: ConnName,
        to: Owner,
    ) -> Result<(), Errno> {
        let record = self.flows.get_mut(&flow).ok_or(Errno::NOTCONN)?;
        let tenant = to.client.tenant;
        if record.tuple != conn.tuple || !record.is_held(tenant, to.opaque) {
            return Err(Errno::NOTCONN);
        }
        let from = match record.phase {
            Phase::Attached(user) | Phase::Moving { to: user, .. } => {
                if user.client.tenant == tenant {
                    return Err(Errno::ALREADY);
                }
                Some(user)
            }
            Phase::Parked => None,
            Phase::Taking(_) => return Err(Errno::AGAIN),
            Phase::Waiting(_) | Phase::Returning { .. } | Phase::Closing(_) => {
                return Err(Errno::NOTCONN);
            }
        };
        let taking = Taking {
            from,
            to: Some(to),
            ..Taking::default()
        };
        self.take(w, flow, taking);
        let key = (to.client.context, to.opaque);
        self.names.insert(key, Named::Flow(flow));
        Ok(())
    }

    /// Tells a flow's core to take it from its user.
    pub(super) fn take(&mut self, w: &mut impl World, flow: FlowId, taking: Taking) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        let phase = std::mem::replace(&mut record.phase, Phase::Taking(taking));
        let by = taking.to.map(|to| to.client.context);
        w.send(w.core(record.group), ToFast::Take(flow, by));
        self.forget_owners(flow, phase);
    }

    /// A core has taken a flow from its user.
    pub fn on_taken(&mut self, w: &mut impl World, flow: FlowId, place: FlowPlace) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        let Phase::Taking(taking) = record.phase else {
            return;
        };
        record.phase = Phase::Parked;
        if let Some(from) = taking.from {
            if taking.from_closes {
                answer_closed(w, from, 0);
            } else {
                answer_taken(w, from);
            }
        }
        match (taking.finish, taking.to) {
            (Some(Finish { asker, how }), _) => self.close_flow(w, flow, asker, how),
            (None, Some(to)) => self.give(w, flow, to, place),
            (None, None) => {}
        }
    }

    /// Gives a parked flow to the user that has asked for it.
    fn give(&mut self, w: &mut impl World, flow: FlowId, to: Owner, place: FlowPlace) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        record.phase = Phase::Attached(to);
        // In this order: the core must know who may post before somebody does.
        w.send(w.core(record.group), ToFast::Attach(flow, to.link()));
        let adopted = adopted(w, to.opaque, flow, record, place);
        w.answer(to.client.context, AppinMsg::ConnAdopted(adopted));
        self.settle(flow);
    }

    /// A holder lets go of a flow.
    pub(super) fn let_go(&mut self, w: &mut impl World, flow: FlowId, asker: Owner, how: CloseHow) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        let tenant = asker.client.tenant;
        let last = record.holders.iter().all(|holder| holder.tenant == tenant);
        self.drop_holders(flow, |client| client.tenant == tenant);
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        match record.phase {
            Phase::Taking(_) => self.let_go_while_taken(w, flow, asker, how, last),
            Phase::Parked if last => self.close_flow(w, flow, Some(asker), unused(how)),
            _ if last => self.close_flow(w, flow, Some(asker), how),
            Phase::Attached(user) | Phase::Moving { to: user, .. }
                if user.client.tenant == tenant =>
            {
                let taking = Taking {
                    from: Some(asker),
                    from_closes: true,
                    ..Taking::default()
                };
                self.take(w, flow, taking);
            }
            _ => answer_closed(w, asker, 0),
        }
        self.settle(flow);
    }

    fn let_go_while_taken(
        &mut self,
        w: &mut impl World,
        flow: FlowId,
        asker: Owner,
        how: CloseHow,
        last: bool,
    ) {
        let Some(Phase::Taking(taking)) = self.flows.get_mut(&flow).map(|r| &mut r.phase) else {
            return;
        };
        let own = |owner: &mut Owner| owner.client.tenant == asker.client.tenant;
        let to = taking.to.take_if(own);
        let from = taking.from.take_if(own);
        if last {
            let (asker, how) = (Some(asker), unused(how));
            taking.finish = Some(Finish { asker, how });
        } else if from.is_some() {
            taking.from = Some(asker);
            taking.from_closes = true;
        } else {
            answer_closed(w, asker, 0);
        }
        if let Some(to) = to {
            self.forget_name(to, Named::Flow(flow));
        }
    }

    /// Processes that have part in a shared flow are gone. False if it was not shared, or is no
    /// longer: it ends as any other.
    pub(super) fn lose_holders(
        &mut self,
        w: &mut impl World,
        flow: FlowId,
        how: CloseHow,
        gone: &impl Fn(Client) -> bool,
    ) -> bool {
        self.drop_holders(flow, gone);
        let Some(record) = self.flows.get_mut(&flow) else {
            return false;
        };
        let last = record.holders.is_empty();
        if !last {
            let tail = record.buffers.rx + u64::from(record.buffers.rx_len);
            w.end_turn(tail, gone);
        }
        let is_gone = |owner: &Owner| gone(owner.client);
        match &mut record.phase {
            Phase::Taking(taking) => {
                let to = taking.to.take_if(|to| is_gone(to));
                taking.from.take_if(|from| is_gone(from));
                if last {
                    let finish = taking.finish.get_or_insert(Finish { asker: None, how });
                    finish.asker.take_if(|asker| is_gone(asker));
                }
                if let Some(to) = to {
                    self.forget_name(to, Named::Flow(flow));
                }
            }
            _ if last => return false,
            Phase::Attached(user) | Phase::Moving { to: user, .. } if is_gone(user) => {
                self.take(w, flow, Taking::default());
            }
            _ => {}
        }
        self.settle(flow);
        true
    }

    fn drop_holders(&mut self, flow: FlowId, gone: impl Fn(Client) -> bool) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        let held = &mut self.held;
        record.holders.retain(|holder| {
            let gone = gone(holder.client());
            if gone {
                held.remove(&(holder.tenant, holder.opaque));
            }
            !gone
        });
    }

    /// Whoever holds a flow alone and uses it has it as if it had never been shared; the memory
    /// counts as its user's, or as some holder's.
    fn settle(&mut self, flow: FlowId) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        let user = match record.phase {
            Phase::Attached(user) => Some(user.client.tenant),
            _ => None,
        };
        if let (Some(user), [only]) = (user, record.holders.as_slice())
            && only.tenant == user
        {
            self.held.remove(&(only.tenant, only.opaque));
            record.holders.clear();
        }
        let first = record.holders.first().map(|holder| holder.tenant);
        if let Some(tenant) = user.or(first) {
            self.account(flow, tenant);
        }
    }

    /// A flow's memory counts as this tenant's from now on, which shares the region.
    pub(super) fn account(&mut self, flow: FlowId, tenant: TenantId) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        let former = std::mem::replace(&mut record.tenant, tenant);
        if former != tenant {
            self.count_buffers(tenant);
            self.discount_buffers(former);
        }
    }

    /// A flow that waits in a backlog counts as a tenant's that holds the listener.
    pub(super) fn account_waiting(&mut self, flow: FlowId) {
        if let Some(FlowRecord {
            phase: Phase::Waiting(id),
            ..
        }) = self.flows.get(&flow)
            && let Some(tenant) = self.listeners.get(*id).and_then(|l| l.tenant())
        {
            self.account(flow, tenant);
        }
    }
}

impl Holder {
    /// The tenant in whichever context.
    pub(super) fn client(&self) -> Client {
        Client {
            tenant: self.tenant,
            context: ANY,
        }
    }
}

impl FlowRecord {
    /// The tenant's part in a shared flow.
    fn holder(&self, tenant: TenantId) -> Option<&Holder> {
        self.holders.iter().find(|holder| holder.tenant == tenant)
    }

    /// The tenant holds the flow, and by this word.
    pub(super) fn is_held(&self, tenant: TenantId, opaque: u64) -> bool {
        match (self.holders.is_empty(), self.phase) {
            (true, Phase::Attached(user) | Phase::Moving { to: user, .. }) => {
                user.client.tenant == tenant && user.opaque == opaque
            }
            (true, _) => false,
            (false, _) => self
                .holder(tenant)
                .is_some_and(|holder| holder.opaque == opaque),
        }
    }
}

/// How the last holder closes a connection that it does not use: only the core can tell whether
/// something is left to read, of which the peer should know.
fn unused(how: CloseHow) -> CloseHow {
    match how {
        CloseHow::Graceful => CloseHow::Abandon,
        how => how,
    }
}

fn answer_taken(w: &mut impl World, from: Owner) {
    let answer = AppinStatus {
        opaque: from.opaque,
        status: 0,
    };
    w.answer(from.client.context, AppinMsg::ConnTaken(answer));
}

fn refuse_adoption(w: &mut impl World, to: Owner, errno: Errno) {
    let answer = AppinConnAdopted {
        opaque: to.opaque,
        status: errno.status(),
        ..AppinConnAdopted::default()
    };
    w.answer(to.client.context, AppinMsg::ConnAdopted(answer));
}

fn adopted(
    w: &impl World,
    opaque: u64,
    flow: FlowId,
    record: &FlowRecord,
    place: FlowPlace,
) -> AppinConnAdopted {
    let mut flags = 0;
    let mut set = |holds: bool, flag: u8| {
        if holds {
            flags |= flag;
        }
    };
    set(place.rx_closed, TAS_ADOPTED_RXDONE);
    set(place.tx_closed, TAS_ADOPTED_TXDONE);
    let failed = matches!(record.end, Some(End::Reset | End::TimedOut));
    set(failed, TAS_ADOPTED_RESET);
    set(record.end == Some(End::TimedOut), TAS_ADOPTED_TIMEDOUT);
    AppinConnAdopted {
        opaque,
        rx_off: w.relative(record.tenant, record.buffers.rx),
        tx_off: w.relative(record.tenant, record.buffers.tx),
        rx_len: record.buffers.rx_len,
        tx_len: record.buffers.tx_len,
        status: 0,
        flow_id: flow.0,
        rx_pos: place.rx_pos,
        rx_used: place.rx_used,
        tx_pos: place.tx_pos,
        tx_used: place.tx_used,
        bump_seq: place.bump_seq,
        fn_core: w.core(record.group).0,
        flags,
    }
}
