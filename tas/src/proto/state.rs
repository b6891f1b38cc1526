//! The synchronized states and every transition between them.

use zerocopy::FromZeros;

/// State of a connection (RFC 9293 §3.3.2) from the end of the handshake on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(u8)]
pub enum State {
    /// No connection: not installed, or over.
    #[default]
    Closed,
    /// Data flows both ways.
    Established,
    /// We closed; FIN not yet acknowledged.
    FinWait1,
    /// We closed, FIN acknowledged; the peer may still send.
    FinWait2,
    /// Both closed; our FIN not yet acknowledged.
    Closing,
    /// The peer closed; we may still send.
    CloseWait,
    /// The peer closed, then we; our FIN not yet acknowledged.
    LastAck,
    /// Both closed, ours first: 2 MSL to wait, outside of this code.
    TimeWait,
}

/// What moves a connection from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Our direction was closed: by the application, or for it.
    Close,
    /// The peer's FIN came, everything before it too.
    FinReceived,
    /// The peer acknowledged our FIN.
    FinAcked,
    /// Reset, timeout, or given up.
    Abort,
}

impl State {
    /// The transitions of RFC 9293 §3.3.2, figure 5. Events that mean nothing in a state leave
    /// it unchanged.
    #[must_use]
    pub(super) const fn next(self, event: Event) -> State {
        match (self, event) {
            (_, Event::Abort) => State::Closed,
            (State::Established, Event::Close) => State::FinWait1,
            (State::Established, Event::FinReceived) => State::CloseWait,
            (State::FinWait1, Event::FinAcked) => State::FinWait2,
            (State::FinWait1, Event::FinReceived) => State::Closing,
            (State::FinWait2, Event::FinReceived) => State::TimeWait,
            (State::Closing, Event::FinAcked) => State::TimeWait,
            (State::CloseWait, Event::Close) => State::LastAck,
            (State::LastAck, Event::FinAcked) => State::Closed,
            (state, _) => state,
        }
    }

    /// The peer may still send data.
    #[must_use]
    pub const fn can_receive(self) -> bool {
        matches!(self, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// The application may still add data.
    #[must_use]
    pub const fn can_send(self) -> bool {
        matches!(self, State::Established | State::CloseWait)
    }

    /// The flow has nothing more to do here.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, State::Closed | State::TimeWait)
    }
}
