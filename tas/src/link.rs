//! What the slow path and the fast-path cores say to each other.
//!
//! Between the slow path and every core lie two single-producer single-consumer rings of typed
//! messages. A core drains its ring before it receives frames, so that a flow's installation is
//! seen before the segments that the slow path hands on for it.
//!
//! The life of a flow: the slow path finishes the handshake, passes the slot to the core and sends
//! [`ToFast::Install`]. The core reports [`ToSlow::Ended`] when TCP is done with it; the slot stays
//! with the core until the application has let go too ([`ToFast::Close`]), and comes back with
//! [`ToSlow::Released`].

pub use tas_shm::Waker;
use tas_shm::{EventFd, ShmOffset};
use tas_wire::{MacAddr, SeqNum};

use crate::proto::{End, FlowInfo, FlowInit, FlowPlace, LivenessOptions, PathLimit};
use crate::types::{ContextId, CoreId, FlowId, TenantId};

/// From the slow path to a core.
pub enum ToFast {
    /// Sends a complete frame as it is.
    Transmit(Box<[u8]>),
    /// Starts a flow whose slot has been passed to the core.
    Install(Box<FlowSetup>),
    /// A frame that the core had passed up and that belongs to an installed flow.
    Reinject(Box<[u8]>),
    /// Gives an accepted flow, or one that has moved, to a context.
    Attach(FlowId, AppLink),
    /// The application lets go of a flow.
    Close(FlowId, CloseHow),
    /// Gives a flow to another context of its application.
    Move(FlowId, AppLink),
    /// Takes a flow away from its application, at the request of another one's context if there
    /// is one; answered by [`ToSlow::Taken`]. The flow stays without an application until it is
    /// attached to one.
    Take(FlowId, Option<ContextId>),
    /// The peer's Ethernet address has changed.
    RemoteMac(FlowId, MacAddr),
    /// Takes a flow from an application that has not heard of it, and keeps its news for the next;
    /// answered by [`ToSlow::PutBack`].
    PutBack(FlowId),
    /// How an application wants to know whether the peer is still there.
    SetLiveness(FlowId, LivenessOptions),
    /// The path to a flow's peer is known to have this limit.
    LimitPath(FlowId, PathLimit),
    /// Somebody says that the segment with this number was larger than the path admits; answered
    /// by [`ToSlow::PathLimited`] if that can be so.
    TooBig(FlowId, SeqNum, PathLimit),
    /// Asks how a flow is doing; answered by [`ToSlow::Inspected`] unless the flow is gone.
    Inspect(FlowId),
    /// Starts serving a context.
    AddContext(Box<ContextSetup>),
    /// Stops serving a context; answered by [`ToSlow::ContextRemoved`].
    RemoveContext(ContextId),
    /// Begins a round with this number, in which flows go to where the steering table says;
    /// answered by [`ToSlow::Rebalanced`].
    Rebalance(u32),
    /// Ends the core's loop.
    Shutdown,
}

/// A flow to install.
pub struct FlowSetup {
    /// The slot; owned by the core already.
    pub flow: FlowId,
    /// What the handshake agreed on.
    pub init: FlowInit,
    /// Who gets the events; `None` for a connection that waits in a backlog.
    pub app: Option<AppLink>,
}

/// Where a flow's events go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppLink {
    /// The context.
    pub context: ContextId,
    /// The application's word for the connection, echoed in every event.
    pub opaque: u64,
}

/// How an application lets go of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseHow {
    /// Send what is queued and a FIN, then finish in the background.
    Graceful,
    /// Reset the peer and forget the flow.
    Reset,
    /// The application is gone: as [`CloseHow::Graceful`], but if there are received bytes that it
    /// had not handed back, as [`CloseHow::Reset`] (RFC 9293 §3.6, RFC 1122 §4.2.2.13).
    Abandon,
}

/// A context that a core is to serve.
pub struct ContextSetup {
    /// Its id.
    pub id: ContextId,
    /// The application that it belongs to.
    pub tenant: TenantId,
    /// The queue core → application, of `Arx` entries.
    pub rxq: ShmOffset,
    /// Its length in bytes.
    pub rxq_len: u32,
    /// The queue application → core, of `Atx` entries.
    pub txq: ShmOffset,
    /// Its length in bytes.
    pub txq_len: u32,
    /// The application's eventfd, for this core alone.
    pub evfd: EventFd,
}

/// From a core to the slow path.
pub enum ToSlow {
    /// A frame that the core has no flow for; its checksums are right.
    Frame(CoreId, Box<[u8]>),
    /// TCP is done with a flow: it is out of every timer, answers nothing, and may leave the
    /// lookup table.
    Ended(FlowId, Ended),
    /// The application no longer hears of this flow, which finishes in the background.
    Detached(FlowId),
    /// The slot is the slow path's again, and no event of the flow will follow.
    Released(FlowId),
    /// The old context has read all; the flow waits to be attached to the one asked for.
    Moved(FlowId, AppLink),
    /// The application hears nothing more of this flow, and everything that it had posted is
    /// taken.
    Taken(FlowId, FlowPlace),
    /// The flow waits to be attached to another application.
    PutBack(FlowId),
    /// How a flow is doing.
    Inspected(FlowId, Box<FlowInfo>),
    /// The path of this flow has this limit: a segment in flight was quoted.
    PathLimited(FlowId, PathLimit),
    /// The core touches nothing of this context any more.
    ContextRemoved(CoreId, ContextId),
    /// The core has all flows that this round was to bring it, and is rid of all others.
    Rebalanced(CoreId, u32),
    /// An application broke the rules on this context.
    Misbehaved(ContextId, &'static str),
}

/// How a flow ended, with what TIME-WAIT needs (RFC 9293 §3.6.1).
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Why.
    pub end: End,
    /// Our next sequence number.
    pub snd_nxt: SeqNum,
    /// The peer's next sequence number.
    pub rcv_nxt: SeqNum,
    /// The peer's most recent timestamp, when timestamps were in use.
    pub ts_recent: Option<u32>,
}
