//! What a flow remembers beyond its public state.

use zerocopy::FromZeros;

use super::cc::CcState;
use super::state::State;

/// Private state of a flow. All zeroes: not in use.
#[derive(Clone, Debug, FromZeros)]
pub struct FlowExt {
    pub(super) state: State,
    /// Congestion control.
    pub(super) cc: CcState,
}

impl Default for FlowExt {
    fn default() -> FlowExt {
        FlowExt::new_zeroed()
    }
}
