//! Taking a flow away from its application, so that another process can go on with it or it waits
//! for one.

use super::Core;
use super::peers::Purpose;
use super::slot::Owner;
use crate::link::ToSlow;
use crate::nic::NicQueue;
use crate::proto::Flow;
use crate::types::{ContextId, FlowId};

impl<Q: NicQueue> Core<Q> {
    /// Takes a flow away from its application, after all that this one has posted.
    #[cold]
    pub(super) fn take(&mut self, id: FlowId, by: Option<ContextId>) {
        let Some((_, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        let app = &slot.app;
        if !app.installed || app.owner == Owner::Orphan {
            return;
        }
        if app.owner == Owner::Parked || app.ended || !self.collect(id, Purpose::Take(by)) {
            self.finish_take(id, by);
        }
    }

    /// Takes a flow away for which no other core has updates.
    #[cold]
    pub(super) fn finish_take(&mut self, id: FlowId, by: Option<ContextId>) {
        let Some((_, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        let former = (slot.app.owner != Owner::Parked).then(|| slot.app.context());
        // What the new one posted when it had the flow before must not come later.
        for context in former.into_iter().chain(by) {
            self.take_all_of(context);
        }
        self.forget_early(id);
        self.moving.retain(|moving| moving.flow != id);
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        slot.app.park();
        let place = Flow {
            st,
            ext: &mut slot.ext,
        }
        .place();
        self.slow.send(ToSlow::Taken(id, place));
    }

    /// Drops the updates of a flow that came before their turn, which will not come.
    fn forget_early(&mut self, id: FlowId) {
        let contexts = &mut self.contexts;
        self.unsettled.retain(|update| update.flow != id);
        self.early.retain(|update| {
            if update.flow == id
                && let Some(context) = contexts.get(update.context)
            {
                context.early = context.early.saturating_sub(1);
            }
            update.flow != id
        });
    }
}
