//! How connections end or change hands: requests of applications, reports of the cores, and
//! applications that are gone.

use tas_abi::appif::{AppinMsg, AppinStatus};
use tas_wire::FlowTuple;

use super::TcpControl;
use super::conn::{Conn, Inherited, Named, Owner, Phase, Taking};
use super::listeners::ListenerId;
use super::world::{Client, ConnName, Errno, World};
use crate::link::{AppLink, CloseHow, Ended, ToFast};
use crate::types::{ContextId, FlowId, TenantId};

impl TcpControl {
    /// Closes a connection in any state; answered by `StatusConnClose` when no event of it will
    /// follow.
    pub fn close(&mut self, w: &mut impl World, client: Client, conn: ConnName, how: CloseHow) {
        let asker = Owner {
            client,
            opaque: conn.opaque,
        };
        match self.find(client, conn) {
            Some(Named::Opening(tuple)) => {
                self.leave_opening(w, &tuple, &|other| other.tenant == client.tenant);
                answer_closed(w, asker, 0);
            }
            Some(Named::Accepting(id)) => {
                self.withdraw_accept(asker, id);
                answer_closed(w, asker, 0);
            }
            Some(Named::Flow(flow)) if self.begin_return(w, flow, conn, asker) => {}
            Some(Named::Flow(flow)) => self.let_go(w, flow, asker, how),
            None => answer_closed(w, asker, Errno::NOTCONN.status()),
        }
    }

    /// What a client means, if it is its own: first by tuple, then by its word.
    pub(super) fn find(&self, client: Client, conn: ConnName) -> Option<Named> {
        if let Some(Conn::Flow(flow)) = self.conns.get(&conn.tuple)
            && self.owns(client, conn.opaque, *flow)
        {
            return Some(Named::Flow(*flow));
        }
        if let Some(flow) = self.held.get(&(client.tenant, conn.opaque)) {
            return Some(Named::Flow(*flow));
        }
        if let Some(Inherited::Opening(tuple)) = self.inherited.get(&(client.tenant, conn.opaque)) {
            return Some(Named::Opening(*tuple));
        }
        self.names.get(&(client.context, conn.opaque)).copied()
    }

    fn owns(&self, client: Client, opaque: u64, flow: FlowId) -> bool {
        let owner = match self.flows.get(&flow).map(|record| record.phase) {
            Some(Phase::Attached(owner) | Phase::Moving { to: owner, .. }) => owner,
            _ => return false,
        };
        owner.client.tenant == client.tenant && owner.opaque == opaque
    }

    fn withdraw_accept(&mut self, asker: Owner, id: ListenerId) {
        if let Some(listener) = self.listeners.get_mut(id) {
            let position = listener.accepts.iter().position(|accept| {
                accept.client.context == asker.client.context && accept.opaque == asker.opaque
            });
            if let Some(position) = position {
                listener.accepts.remove(position);
            }
        }
        self.forget_name(asker, Named::Accepting(id));
    }

    /// Tells a flow's core that the application lets go.
    pub(super) fn close_flow(
        &mut self,
        w: &mut impl World,
        flow: FlowId,
        asker: Option<Owner>,
        how: CloseHow,
    ) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        let (core, phase) = (w.core(record.group), record.phase);
        if matches!(phase, Phase::Closing(_)) {
            return;
        }
        record.phase = Phase::Closing(asker);
        self.forget_owners(flow, phase);
        w.send(core, ToFast::Close(flow, how));
    }

    pub(super) fn forget_owners(&mut self, flow: FlowId, phase: Phase) {
        self.forget_former(flow, |_| true);
        match phase {
            Phase::Waiting(id) => {
                if let Some(listener) = self.listeners.get_mut(id) {
                    listener.ready.retain(|other| *other != flow);
                }
            }
            Phase::Attached(owner) => self.forget_name(owner, Named::Flow(flow)),
            Phase::Moving { from, to } => {
                self.forget_name(from, Named::Flow(flow));
                self.forget_name(to, Named::Flow(flow));
            }
            Phase::Taking(Taking { to: Some(to), .. }) => self.forget_name(to, Named::Flow(flow)),
            Phase::Taking(_) | Phase::Parked | Phase::Returning { .. } | Phase::Closing(_) => {}
        }
    }

    /// Forgets whose a flow was before it moved, if that is a client for which `gone` holds.
    fn forget_former(&mut self, flow: FlowId, gone: impl Fn(Client) -> bool) {
        if let Some(record) = self.flows.get_mut(&flow)
            && let Some(former) = record.former.take_if(|former| gone(former.client))
        {
            self.forget_name(former, Named::Flow(flow));
        }
    }

    /// Moves a connection to the context `to`, which the caller knows to be of the same tenant;
    /// answered there by `StatusConnMove`.
    pub fn move_conn(&mut self, w: &mut impl World, client: Client, conn: ConnName, to: ContextId) {
        let new = Owner {
            client: Client {
                context: to,
                tenant: client.tenant,
            },
            opaque: conn.opaque,
        };
        let moved = match self.find(client, conn) {
            Some(Named::Flow(flow)) => self.begin_move(w, flow, new),
            _ => Err(Errno::NOTCONN),
        };
        if let Err(errno) = moved {
            answer_moved(w, new, errno.status());
        }
    }

    fn begin_move(&mut self, w: &mut impl World, flow: FlowId, to: Owner) -> Result<(), Errno> {
        let record = self.flows.get_mut(&flow).ok_or(Errno::NOTCONN)?;
        let Phase::Attached(from) = record.phase else {
            return Err(Errno::INVAL);
        };
        record.phase = Phase::Moving { from, to };
        w.send(w.core(record.group), ToFast::Move(flow, to.link()));
        let key = (to.client.context, to.opaque);
        self.names.insert(key, Named::Flow(flow));
        Ok(())
    }

    /// A flow has moved.
    pub fn on_moved(&mut self, w: &mut impl World, flow: FlowId, link: AppLink) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        // A close overtakes a move: then nobody waits for this any more.
        let Phase::Moving { from, to } = record.phase else {
            return;
        };
        if to.link() != link {
            return;
        }
        record.phase = Phase::Attached(to);
        let core = w.core(record.group);
        if from.link() != link {
            let before = record.former.replace(from);
            let others = |former: &Owner| former.link() != link && former.link() != from.link();
            if let Some(before) = before.filter(others) {
                self.forget_name(before, Named::Flow(flow));
            }
        }
        answer_moved(w, to, 0);
        w.send(core, ToFast::Attach(flow, link));
    }

    /// A core is done with a flow. The application may hold on to it.
    pub fn on_ended(&mut self, w: &mut impl World, flow: FlowId, ended: Ended) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        if record.end.is_some() {
            return;
        }
        record.end = Some(ended.end);
        let (tuple, phase) = (record.tuple, record.phase);
        self.free_tuple(w, &tuple, flow);
        self.begin_time_wait(&tuple, &ended, w.now());
        if let Phase::Waiting(_) = phase {
            // Reset before anybody accepted it: it never was.
            self.close_flow(w, flow, None, CloseHow::Reset);
        }
    }

    /// Takes a flow off its tuple.
    fn free_tuple(&mut self, w: &mut impl World, tuple: &FlowTuple, flow: FlowId) {
        if matches!(self.conns.get(tuple), Some(Conn::Flow(current)) if *current == flow) {
            self.conns.remove(tuple);
        }
        w.table_remove(tuple, flow);
    }

    /// A flow finishes in the background: the application hears no more of it.
    pub fn on_detached(&mut self, w: &mut impl World, flow: FlowId) {
        if let Some(record) = self.flows.get_mut(&flow)
            && let Phase::Closing(asker) = &mut record.phase
            && let Some(asker) = asker.take()
        {
            answer_closed(w, asker, 0);
        }
    }

    /// A flow's slot is back, and nothing uses its buffers.
    pub fn on_released(&mut self, w: &mut impl World, flow: FlowId) {
        self.on_detached(w, flow);
        self.end_inspections(w, flow);
        self.forget_former(flow, |_| true);
        let Some(record) = self.flows.remove(&flow) else {
            return;
        };
        if record.end.is_none() {
            self.free_tuple(w, &record.tuple, flow);
        }
        self.forget_owners(flow, record.phase);
        for holder in &record.holders {
            self.held.remove(&(holder.tenant, holder.opaque));
        }
        self.release(w, record.tenant, flow, &record.buffers);
    }

    /// A context is gone: resets its connections and closes its listeners. Its memory is in use
    /// until [`TcpControl::tenant_idle`].
    pub fn context_gone(&mut self, w: &mut impl World, context: ContextId) {
        self.clients_gone(w, CloseHow::Reset, |client| client.context == context);
    }

    /// A tenant is gone: the same for all its contexts.
    pub fn tenant_gone(&mut self, w: &mut impl World, tenant: TenantId) {
        self.clients_gone(w, CloseHow::Reset, |client| client.tenant == tenant);
    }

    /// A tenant whose connections are sockets is gone: they finish in the background, unless
    /// there was something left to read.
    pub fn sockets_gone(&mut self, w: &mut impl World, tenant: TenantId) {
        self.clients_gone(w, CloseHow::Abandon, |client| client.tenant == tenant);
    }

    /// A tenant that is gone has finished for long enough: what it has left is reset.
    pub fn cut_short(&mut self, w: &mut impl World, tenant: TenantId) {
        for (flow, record) in &self.flows {
            if record.tenant == tenant && record.phase == Phase::Closing(None) {
                w.send(w.core(record.group), ToFast::Close(*flow, CloseHow::Reset));
            }
        }
    }

    fn clients_gone(&mut self, w: &mut impl World, how: CloseHow, gone: impl Fn(Client) -> bool) {
        let mut closed = Vec::new();
        let mut withdrawn = Vec::new();
        for (id, listener) in self.listeners.iter_mut() {
            listener.accepts.retain(|accept| {
                if gone(accept.client) {
                    withdrawn.push((id, *accept));
                }
                !gone(accept.client)
            });
            if listener.is_lost(&gone) {
                closed.push(id);
            }
        }
        for (id, accept) in withdrawn {
            self.forget_name(accept, Named::Accepting(id));
        }
        for id in closed {
            self.close_listener(w, id);
        }
        self.listeners.drop_holders(&gone);
        self.leave_openings(w, &gone);
        let moved: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(_, record)| record.former.is_some_and(|former| gone(former.client)))
            .map(|(flow, _)| *flow)
            .collect();
        for flow in moved {
            self.forget_former(flow, &gone);
        }
        let flows: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(_, record)| record.concerns(&gone))
            .map(|(flow, _)| *flow)
            .collect();
        for flow in flows {
            self.lose_application(w, flow, how, &gone);
        }
    }

    /// A client with part in this flow is gone.
    fn lose_application(
        &mut self,
        w: &mut impl World,
        flow: FlowId,
        how: CloseHow,
        gone: &impl Fn(Client) -> bool,
    ) {
        if self.lose_holders(w, flow, how, gone) {
            return;
        }
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        if let Phase::Waiting(_) = record.phase {
            return self.account_waiting(flow);
        }
        if let Phase::Closing(asker) | Phase::Returning { asker, .. } = &mut record.phase {
            // Already on its way: there is only nobody left to be answered.
            *asker = None;
            return;
        }
        if let Phase::Moving { to, .. } = record.phase
            && !gone(to.client)
        {
            answer_moved(w, to, Errno::CONNABORTED.status());
        }
        self.close_flow(w, flow, None, how);
    }
}

pub(super) fn answer_closed(w: &mut impl World, asker: Owner, status: i32) {
    let answer = AppinStatus {
        opaque: asker.opaque,
        status,
    };
    w.answer(asker.client.context, AppinMsg::StatusConnClose(answer));
}

fn answer_moved(w: &mut impl World, owner: Owner, status: i32) {
    let answer = AppinStatus {
        opaque: owner.opaque,
        status,
    };
    w.answer(owner.client.context, AppinMsg::StatusConnMove(answer));
}
