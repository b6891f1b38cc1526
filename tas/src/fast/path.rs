//! What the slow path says of the paths to flows' peers.

use tas_wire::SeqNum;

use super::Core;
use crate::link::ToSlow;
use crate::nic::NicQueue;
use crate::proto::{Flow, PathLimit};
use crate::types::FlowId;

impl<Q: NicQueue> Core<Q> {
    #[cold]
    pub(super) fn limit_path(&mut self, id: FlowId, limit: PathLimit) {
        if let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0)
            && slot.app.installed
        {
            let ext = &mut slot.ext;
            Flow { st, ext }.limit_path(limit);
        }
    }

    /// A segment of a flow was too large for a router, as somebody says.
    #[cold]
    pub(super) fn too_big(&mut self, id: FlowId, seq: SeqNum, limit: PathLimit) {
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        if !slot.app.installed || slot.app.ended {
            return;
        }
        let mut flow = Flow {
            st,
            ext: &mut slot.ext,
        };
        if !flow.on_too_big(seq, limit, &self.shared.params, self.now) {
            return;
        }
        let (sends, deadline) = (flow.sendable() > 0, flow.deadline());
        let limit = flow.path_limit();
        if sends {
            self.tx.trace.queued(true, id, &flow);
            self.schedule.send(id, &mut slot.app);
        }
        self.schedule.arm(id, &mut slot.app, deadline);
        self.path_lowered(id, limit);
    }

    /// A flow keeps to a lower limit.
    #[cold]
    pub(super) fn path_lowered(&mut self, id: FlowId, limit: PathLimit) {
        self.counters.path_mtu_lowered.add(1);
        self.slow.send(ToSlow::PathLimited(id, limit));
    }
}
