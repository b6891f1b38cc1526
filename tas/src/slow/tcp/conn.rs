//! What TCP control remembers of a connection, by stage of its life.

use tas_shm::ShmOffset;
use tas_wire::{FlowTuple, Ipv4Addr, MacAddr, SeqNum};

use super::listeners::ListenerId;
use super::world::{Client, Errno};
use crate::link::CloseHow;
use crate::proto::End;
use crate::proto::handshake::Handshake;
use crate::types::{CoreId, FlowGroup, FlowId, Micros, TenantId};

/// What a four-tuple stands for.
pub(super) enum Conn {
    /// An application connects.
    Opening(Box<Opening>),
    /// A peer connects.
    HalfOpen(Box<HalfOpen>),
    /// Installed on a core; see [`FlowRecord`].
    Flow(FlowId),
    /// Closed, and waiting for old segments to die out.
    TimeWait(TimeWait),
}

impl Conn {
    /// When time alone changes something.
    pub(super) fn deadline(&self) -> Micros {
        match self {
            Conn::Opening(opening) => match &opening.step {
                Step::Resolving => Micros::NEVER,
                Step::Shaking { handshake, .. } => handshake.deadline(),
            },
            Conn::HalfOpen(half) => half.handshake.deadline(),
            Conn::Flow(_) => Micros::NEVER,
            Conn::TimeWait(wait) => wait.expires,
        }
    }
}

/// The buffers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffers {
    pub rx: ShmOffset,
    pub rx_len: u32,
    pub tx: ShmOffset,
    pub tx_len: u32,
}

/// Whose connection it is, and the application's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub client: Client,
    pub opaque: u64,
}

/// An active open.
pub(super) struct Opening {
    /// Who is told; none any more if only processes are left that have inherited it.
    pub owner: Option<Owner>,
    /// Processes that have inherited it.
    pub heirs: Vec<Heir>,
    /// Whose memory its buffers count as.
    pub tenant: TenantId,
    /// Held from the beginning, so that no open fails once the peer has agreed.
    pub flow: FlowId,
    pub buffers: Buffers,
    /// Where the sequence numbers of the connection ended that had the same addresses and ports.
    pub previous: Option<SeqNum>,
    /// The core that sends our segments.
    pub core: CoreId,
    /// The neighbour on the way; `None` for one of our own addresses.
    pub neighbour: Option<Ipv4Addr>,
    pub step: Step,
}

/// How far an active open is.
pub(super) enum Step {
    /// The neighbour's Ethernet address is asked for.
    Resolving,
    /// SYN sent.
    Shaking { handshake: Handshake, mac: MacAddr },
}

/// A passive open.
pub(super) struct HalfOpen {
    pub listener: ListenerId,
    /// Key in the listener's list.
    pub serial: u64,
    pub handshake: Handshake,
    pub mac: MacAddr,
    pub core: CoreId,
}

/// The end of a connection that we closed first (RFC 9293 §3.6.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeWait {
    pub expires: Micros,
    /// When a segment of it was sent last, at the latest.
    pub since: Micros,
    pub snd_nxt: SeqNum,
    pub rcv_nxt: SeqNum,
    pub ts_recent: Option<u32>,
}

/// An installed flow, until its slot comes back.
pub(super) struct FlowRecord {
    pub tuple: FlowTuple,
    pub tenant: TenantId,
    /// Says which core has it.
    pub group: FlowGroup,
    pub buffers: Buffers,
    pub mac: MacAddr,
    pub neighbour: Option<Ipv4Addr>,
    pub iss: SeqNum,
    pub irs: SeqNum,
    /// TCP is done with it and the tuple may belong to another connection.
    pub end: Option<End>,
    pub phase: Phase,
    /// Whose it was before it moved: the application may still ask through that context, as long
    /// as it has not seen the answer.
    pub former: Option<Owner>,
    /// Whose connection it was before it was accepted.
    pub listener: Option<ListenerId>,
    /// The processes that hold it, if a process that held it has forked. Otherwise none: the
    /// phase says whose it is.
    pub holders: Vec<Holder>,
}

impl FlowRecord {
    /// Whether a client for which `gone` holds has part in the flow, or its memory counts as that
    /// client's while it waits to be accepted.
    pub(super) fn concerns(&self, gone: impl Fn(Client) -> bool) -> bool {
        let waits = matches!(self.phase, Phase::Waiting(_));
        let memory = Holder {
            tenant: self.tenant,
            opaque: 0,
        };
        self.phase.concerns(&gone)
            || self.holders.iter().any(|holder| gone(holder.client()))
            || waits && gone(memory.client())
    }
}

/// A process that holds a shared connection, and its word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub tenant: TenantId,
    pub opaque: u64,
}

/// A process that holds a connection which was being opened when its parent forked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heir {
    pub holder: Holder,
    /// Who is told, once the process has asked.
    pub asker: Option<Owner>,
}

/// What became of a connection that was being opened when a process forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inherited {
    /// It still is.
    Opening(FlowTuple),
    /// It failed, and the heir has not asked yet.
    Failed(Errno),
}

/// How an installed flow and its application stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In a listener's backlog.
    Waiting(ListenerId),
    /// The application's.
    Attached(Owner),
    /// On its way from one context to another.
    Moving { from: Owner, to: Owner },
    /// On its way from one process to another, or to none.
    Taking(Taking),
    /// Held, and used by nobody.
    Parked,
    /// On its way back to its listener: the owner, if any is left, waits for the answer.
    Returning {
        listener: ListenerId,
        asker: Option<Owner>,
    },
    /// The core was told to close it; the owner, if any is left, waits for the answer.
    Closing(Option<Owner>),
}

/// A shared flow that its core takes from its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taking {
    /// The former user, if it is there to be told.
    pub from: Option<Owner>,
    /// It has let go, and waits for the answer to that.
    pub from_closes: bool,
    /// Who is to use it.
    pub to: Option<Owner>,
    /// All have let go meanwhile.
    pub finish: Option<Finish>,
}

/// A close that waits for the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finish {
    pub asker: Option<Owner>,
    pub how: CloseHow,
}

impl Taking {
    fn owners(&self) -> impl Iterator<Item = Owner> {
        let asker = self.finish.and_then(|finish| finish.asker);
        [self.from, self.to, asker].into_iter().flatten()
    }
}

impl Phase {
    /// Whether a client for which `gone` holds has part in the flow.
    fn concerns(&self, gone: impl Fn(Client) -> bool) -> bool {
        match self {
            Phase::Waiting(_) | Phase::Parked | Phase::Closing(None) => false,
            Phase::Returning { asker, .. } => asker.is_some_and(|asker| gone(asker.client)),
            Phase::Taking(taking) => taking.owners().any(|owner| gone(owner.client)),
            Phase::Attached(owner) | Phase::Closing(Some(owner)) => gone(owner.client),
            Phase::Moving { from, to } => gone(from.client) || gone(to.client),
        }
    }
}

/// What an application's word stands for in a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Opening(FlowTuple),
    Accepting(ListenerId),
    Flow(FlowId),
}
