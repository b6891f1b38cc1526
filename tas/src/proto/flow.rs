//! A flow: its public state and its private one.

use tas_abi::memif::FlowSt;

use super::ext::FlowExt;
use super::state::State;
use super::types::{
    AppBump, BadBump, Bumped, FlowInit, Received, Segment, SegmentPlan, TcpParams, TimerOutcome,
};
use crate::types::Micros;

/// One flow: its public state and what has no room there.
#[derive(Debug)]
pub struct Flow<'a> {
    /// The state that tools see. Between calls only the flow's owner may change it, and only
    /// `opaque`, `db_id`, `flow_group` and `remote_mac`.
    pub st: &'a mut FlowSt,
    /// The rest.
    pub ext: &'a mut FlowExt,
}

impl Flow<'_> {
    /// Begins a flow in ESTABLISHED.
    pub fn install(&mut self, _init: &FlowInit, _params: &TcpParams, _now: Micros) {}

    /// Takes a segment that belongs to this flow and whose checksum is right.
    pub fn on_segment(&mut self, _seg: &Segment, _params: &TcpParams, _now: Micros) -> Received {
        Received::default()
    }

    /// Takes an update from the application.
    pub fn on_app_bump(
        &mut self,
        _bump: &AppBump,
        _params: &TcpParams,
        _now: Micros,
    ) -> Result<Bumped, BadBump> {
        Ok(Bumped::default())
    }

    /// The application let go: the flow finishes by itself.
    pub fn detach(&mut self, _params: &TcpParams, _now: Micros) -> Bumped {
        Bumped::default()
    }

    /// A segment that makes the peer drop the connection. The caller ends the flow after it.
    #[must_use]
    pub fn reset_plan(&self, _now: Micros) -> SegmentPlan {
        SegmentPlan::default()
    }

    /// The next segment with data, FIN or a probe, if one may be sent now.
    pub fn next_segment(&mut self, _params: &TcpParams, _now: Micros) -> Option<SegmentPlan> {
        None
    }

    /// Bytes of sequence space that may be sent now; not 0 exactly if [`Flow::next_segment`]
    /// would return a segment.
    #[must_use]
    pub fn sendable(&self) -> u32 {
        0
    }

    /// The ACK due, unless another segment carried it meanwhile.
    pub fn take_ack(&mut self, _now: Micros) -> Option<SegmentPlan> {
        None
    }

    /// When [`Flow::on_timer`] has something to do; never: [`Micros::NEVER`].
    #[must_use]
    pub fn deadline(&self) -> Micros {
        Micros::NEVER
    }

    /// Runs the timers that are due.
    pub fn on_timer(&mut self, _params: &TcpParams, _now: Micros) -> TimerOutcome {
        TimerOutcome::default()
    }

    /// Received bytes in order that the application did not hand back yet; they end at
    /// `rx_next_pos`.
    #[must_use]
    pub fn rx_unread(&self) -> u32 {
        self.st.rx_len.wrapping_sub(self.st.rx_avail)
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.ext.state
    }
}
