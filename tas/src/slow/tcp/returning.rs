//! Accept requests that are withdrawn in the moment in which they are served: the application does
//! not know of the connection yet, which goes back to its listener, and so to the next acceptor.

use super::TcpControl;
use super::close::answer_closed;
use super::conn::{Named, Owner, Phase};
use super::listeners::ListenerId;
use super::world::{ConnName, World};
use crate::link::{CloseHow, ToFast};
use crate::types::FlowId;

impl TcpControl {
    /// Begins to give a connection back that an application closes under the name that it has
    /// before the answer to its accept request. False if it is none such.
    pub(super) fn begin_return(
        &mut self,
        w: &mut impl World,
        flow: FlowId,
        conn: ConnName,
        asker: Owner,
    ) -> bool {
        let Some(record) = self.flows.get_mut(&flow) else {
            return false;
        };
        let unseen = conn.tuple.remote_port == 0 && record.holders.is_empty();
        let (Some(listener), Phase::Attached(owner), true) =
            (record.listener, record.phase, unseen)
        else {
            return false;
        };
        record.phase = Phase::Returning {
            listener,
            asker: Some(asker),
        };
        w.send(w.core(record.group), ToFast::PutBack(flow));
        self.forget_name(owner, Named::Flow(flow));
        true
    }

    /// A core tells the former acceptor nothing more of a flow.
    pub fn on_put_back(&mut self, w: &mut impl World, flow: FlowId) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        let Phase::Returning { listener, asker } = record.phase else {
            return;
        };
        record.phase = Phase::Waiting(listener);
        let over = record.end.is_some();
        if let Some(asker) = asker {
            answer_closed(w, asker, 0);
        }
        if over || self.listeners.get(listener).is_none() {
            // As `on_ended` and a listener's close do with those that wait.
            self.close_flow(w, flow, None, CloseHow::Reset);
        } else {
            self.offer_again(w, flow, listener);
        }
    }

    fn offer_again(&mut self, w: &mut impl World, flow: FlowId, id: ListenerId) {
        let Some(listener) = self.listeners.get_mut(id) else {
            return;
        };
        if let Some(next) = listener.accepts.pop_front() {
            return self.attach(w, flow, next);
        }
        listener.ready.push_front(flow);
        self.account_waiting(flow);
        self.tell_of_waiting(w, flow, id);
    }
}
