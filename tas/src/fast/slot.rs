//! What a core keeps of a flow beside the public flow state.

use std::mem::offset_of;
use std::ops::Range;

use tas_wire::TcpTemplate;
use zerocopy::FromZeros;

use crate::proto::{FlowExt, Notice};
use crate::types::{ContextId, Micros};

/// The private part of a flow: the application's side, TCP's own extension, the headers to send.
///
/// What a segment touches comes first: processors fetch cache lines in pairs.
#[derive(FromZeros)]
#[repr(C, align(128))]
pub struct FlowSlot {
    /// Headers of the segments to send.
    pub template: TcpTemplate,
    /// How the flow stands with its application and in the core's lists.
    pub app: AppState,
    /// TCP state that the public flow state has no room for.
    pub ext: FlowExt,
}

/// Cache lines to be fetched, by their places in the structure.
impl FlowSlot {
    /// What a segment touches that arrives.
    pub const ARRIVING: Range<usize> = 1..4;
    /// What a segment touches that is sent.
    pub const SENT: Range<usize> = 0..4;
    /// What a look at the timers touches.
    pub const TIMERS: Range<usize> = 1..2;
    /// What the end of a control interval needs besides.
    pub const INTERVAL: Range<usize> = 4..7;
}

const _: () = assert!(offset_of!(FlowSlot, app) == 64 && offset_of!(FlowSlot, ext) == 128);
const _: () =
    assert!(offset_of!(FlowSlot, ext) + FlowExt::INTERVAL == FlowSlot::INTERVAL.start * 64);

/// Whom a flow's events are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(u8)]
pub enum Owner {
    /// Nobody yet: the connection waits in a backlog, and its news are kept.
    Backlog,
    /// An application's context.
    Context,
    /// A context that is being exchanged for another one: news are kept.
    Moving,
    /// An application that has not said by which context it goes on, if any: news are kept, and
    /// updates refused.
    Parked,
    /// Nobody any more: the flow finishes by itself.
    Orphan,
}

/// How a flow stands with its application and in the core's lists.
#[derive(FromZeros)]
#[repr(C, align(64))]
pub struct AppState {
    /// Earliest time for the next segment of a rate-limited flow, in nanoseconds.
    pub pace_next: u64,
    /// When the earliest of its timers runs out.
    pub deadline: Micros,
    /// When the wheel looks at it, not after the deadline; 0: never.
    pub armed: Micros,
    /// Bytes received and not yet reported.
    pub rx_bump: u32,
    /// Bytes acknowledged and not yet reported.
    pub tx_bump: u32,
    context: u16,
    /// Whom the events are for.
    pub owner: Owner,
    /// The flow came from another core, in the round with this mark, and its application has yet
    /// to read what that core told it: news are kept. 0: it has.
    pub mute: u16,
    /// The flow has been on another core.
    pub moved: bool,
    /// The slot holds a flow.
    pub installed: bool,
    /// TCP is done; only the application has not let go yet.
    pub ended: bool,
    /// The peer's FIN is to be reported.
    pub rx_closed: bool,
    /// A reset is to be reported.
    pub reset: bool,
    /// It is because the peer does not answer.
    pub timed_out: bool,
    /// The application is gone, and what it had not read decides how the flow is closed.
    pub abandoned: bool,
    /// The flow is in the list of acknowledgements due.
    pub ack_queued: bool,
    /// The flow is in the list of news to report.
    pub notice_queued: bool,
    /// The flow is in the list of flows ready to send, or waits for its pace.
    pub send_queued: bool,
}

impl AppState {
    /// The context that gets the events; meaningful unless in a backlog or orphaned.
    pub fn context(&self) -> ContextId {
        ContextId(self.context)
    }

    /// An application may post updates.
    pub fn is_used(&self) -> bool {
        matches!(self.owner, Owner::Context | Owner::Moving)
    }

    /// No application has it, but one may come.
    pub fn awaits_user(&self) -> bool {
        matches!(self.owner, Owner::Backlog | Owner::Parked)
    }

    /// Gives the flow to a context.
    pub fn attach(&mut self, context: ContextId) {
        self.context = context.0;
        self.owner = Owner::Context;
    }

    /// Takes the flow away from its application, which has been told all or will be told anew.
    pub fn park(&mut self) {
        self.owner = Owner::Parked;
        self.mute = 0;
        self.clear_news();
    }

    /// Takes the flow from an application that has done nothing with it: so many bytes came, and
    /// maybe the peer's end.
    pub fn put_back(&mut self, received: u32, rx_closed: bool) {
        self.owner = Owner::Backlog;
        self.clear_news();
        self.rx_bump = received;
        self.rx_closed = rx_closed;
    }

    /// Lets the flow finish by itself: its news interest nobody.
    pub fn orphan(&mut self) {
        self.owner = Owner::Orphan;
        self.clear_news();
    }

    /// Adds to what the application is to be told.
    #[inline]
    pub fn note(&mut self, notice: &Notice) {
        self.rx_bump = self.rx_bump.wrapping_add(notice.rx_bump);
        self.tx_bump = self.tx_bump.wrapping_add(notice.tx_bump);
        self.rx_closed |= notice.rx_closed;
        self.reset |= notice.reset;
    }

    /// Something waits to be told.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.rx_bump != 0 || self.tx_bump != 0 || self.rx_closed || self.reset
    }

    /// Everything has been told.
    #[inline]
    pub fn clear_news(&mut self) {
        self.rx_bump = 0;
        self.tx_bump = 0;
        self.rx_closed = false;
        self.reset = false;
    }
}
