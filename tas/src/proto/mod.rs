//! TCP in the synchronized states (RFC 9293), as pure code.
//!
//! A [`Flow`] takes segments, updates from the application and the passing of time, changes its
//! state, and answers what there is to do; the caller alone acts. Nothing here does I/O, reads a
//! clock or allocates, so the fast path, the simulation and the fuzzers run the same code.
//!
//! How a caller drives a flow:
//!
//! - [`Flow::install`] after the handshake.
//! - For every segment [`Flow::on_segment`]; then do what [`Received`] says, in the order of its
//!   fields. At the end of the batch [`Flow::take_ack`] for every flow that asked for it.
//! - For every update from the application [`Flow::on_app_bump`].
//! - While [`Flow::sendable`] is not 0, and as fast as `tx_rate` admits,
//!   [`Flow::next_segment`]. Only segments that it returned count as sent.
//! - At [`Flow::deadline`], which every call above may change, [`Flow::on_timer`].
#![forbid(unsafe_code)]

pub mod cc;
pub mod handshake;
pub mod isn;

mod ack;
mod ext;
mod flow;
mod info;
mod invariants;
mod liveness;
mod path;
mod patience;
mod ranges;
mod receive;
mod recovery;
mod rtt;
mod sack;
mod scoreboard;
mod segment;
mod send;
mod state;
mod timer;
mod types;

#[cfg(test)]
mod liveness_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod receive_tests;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod sack_tests;
#[cfg(test)]
mod segment_tests;
#[cfg(test)]
mod send_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transfer_tests;

pub use ext::FlowExt;
pub use flow::Flow;
pub use info::FlowInfo;
pub use invariants::Broken;
pub use state::State;
pub use types::{
    AppBump, BadBump, Bumped, CopyIn, End, FlowInit, FlowPlace, Keepalive, LivenessOptions, Notice,
    PathLimit, Received, Segment, SegmentPlan, Signs, TcpParams, TimerOutcome, TimestampInit,
};
