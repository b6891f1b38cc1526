//! What goes into a flow and what comes out of it.

use tas_wire::{
    Ecn, FlowTuple, MacAddr, SackBlocks, SeqNum, TcpFlags, TcpPacket, Timestamps, WindowScale,
};

use super::cc::CcParams;
use crate::types::Micros;

/// TCP parameters, the same for every flow.
#[derive(Clone, Debug)]
pub struct TcpParams {
    /// Shortest retransmission timeout.
    pub rto_min: Micros,
    /// Longest retransmission timeout, and longest pause between probes of a closed window.
    pub rto_max: Micros,
    /// How long an ACK may be held back.
    pub delayed_ack: Micros,
    /// First pause before a closed window is probed.
    pub persist_min: Micros,
    /// Retransmission timeouts in a row before the peer is given up.
    pub max_retries: u8,
    /// How long a detached flow waits in FIN-WAIT-2.
    pub fin_wait2: Micros,
    /// Congestion control.
    pub cc: CcParams,
}

/// When an idle peer is probed (RFC 9293 §3.8.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Seconds without a segment of the peer before the first probe.
    pub idle: u32,
    /// Seconds between probes.
    pub interval: u32,
    /// Probes without an answer that end the flow.
    pub count: u8,
}

/// How an application wants to know whether the peer is still there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LivenessOptions {
    /// Probes of an idle peer.
    pub keepalive: Option<Keepalive>,
    /// Milliseconds that something may wait for the peer (RFC 9293 §3.8.3); 0: as many attempts as
    /// usual.
    pub user_timeout_ms: u32,
}

/// What is known of the path to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLimit {
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// When larger ones are to be tried again.
    pub until: Micros,
}

/// State of the timestamps option after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampInit {
    /// TS.Recent: the last TSval of the peer.
    pub recent: u32,
    /// Added to our clock of milliseconds to give TSval (RFC 7323 §5.4).
    pub offset: u32,
}

/// What the handshake agreed on: all that a synchronized flow starts from.
#[derive(Clone, Debug)]
pub struct FlowInit {
    /// Addresses and ports.
    pub tuple: FlowTuple,
    /// Ethernet address of the next hop.
    pub remote_mac: MacAddr,
    /// RSS bucket that the flow's segments arrive in.
    pub flow_group: u16,
    /// The application's context.
    pub db_id: u16,
    /// The application's name for the connection.
    pub opaque: u64,
    /// Largest sum of TCP options and data in a segment that the peer takes and our MTU admits
    /// (RFC 6691), bytes.
    pub mss: u16,
    /// Scale of the windows that the peer announces.
    pub snd_wscale: WindowScale,
    /// Scale of the windows that we announce.
    pub rcv_wscale: WindowScale,
    /// `Some` when both sides agreed on timestamps.
    pub timestamps: Option<TimestampInit>,
    /// Both sides agreed on SACK.
    pub sack: bool,
    /// Both sides agreed on ECN.
    pub ecn: bool,
    /// Our initial sequence number; the SYN has it, data starts one above.
    pub iss: SeqNum,
    /// The peer's initial sequence number.
    pub irs: SeqNum,
    /// The peer's window, bytes (scaling already applied).
    pub snd_wnd: u32,
    /// Receive window that the handshake announced, bytes. More may be free.
    pub rcv_wnd: u32,
    /// Place of the receive buffer; a multiple of 64.
    pub rx_base: u64,
    /// Bytes of the receive buffer.
    pub rx_len: u32,
    /// Place of the transmit buffer.
    pub tx_base: u64,
    /// Bytes of the transmit buffer.
    pub tx_len: u32,
    /// Round-trip time of the handshake, when no segment of it was retransmitted.
    pub rtt: Option<Micros>,
}

/// The parts of a received segment that a flow looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field, not scaled.
    pub window: u16,
    /// Timestamps option.
    pub timestamps: Option<Timestamps>,
    /// The IP packet was marked "congestion experienced".
    pub ce: bool,
    /// There are SACK blocks.
    pub sack: bool,
    /// Bytes of data.
    pub len: u32,
}

impl From<&TcpPacket<'_>> for Segment {
    #[inline]
    fn from(packet: &TcpPacket<'_>) -> Segment {
        Segment {
            seq: packet.tcp.seq,
            ack: packet.tcp.ack,
            flags: packet.tcp.flags,
            window: packet.tcp.window,
            timestamps: packet.options.timestamps,
            ce: packet.ecn == Ecn::Ce,
            sack: !packet.options.sack.is_empty(),
            len: packet.payload.len() as u32,
        }
    }
}

/// Data to copy into the receive ring: `len` bytes from offset `from` of the segment's data to
/// position `to` of the ring, going on at 0 at the ring's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyIn {
    /// Offset in the segment's data.
    pub from: u32,
    /// Position in the receive ring.
    pub to: u32,
    /// Bytes, at least 1.
    pub len: u32,
}

/// News for the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// Bytes newly in order. They end at `rx_next_pos` of the flow.
    pub rx_bump: u32,
    /// Bytes newly acknowledged, the byte that stands for FIN included.
    pub tx_bump: u32,
    /// The peer will send no more.
    pub rx_closed: bool,
    /// The connection is over by reset or timeout.
    pub reset: bool,
}

impl Notice {
    /// There is nothing to tell.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Notice::default()
    }
}

/// How far a flow is, as its application needs to know to go on with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowPlace {
    /// Position in the receive ring of the next byte to arrive.
    pub rx_pos: u32,
    /// Bytes before it that were not handed back.
    pub rx_used: u32,
    /// Position in the transmit ring of the next byte to add.
    pub tx_pos: u32,
    /// Bytes before it that are not acknowledged, the FIN's included.
    pub tx_used: u32,
    /// Number that the next update must have.
    pub bump_seq: u16,
    /// The peer has closed its direction.
    pub rx_closed: bool,
    /// Our direction is closed.
    pub tx_closed: bool,
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both directions closed and ours was acknowledged last; or a detached flow waited for the
    /// peer's FIN long enough.
    Closed,
    /// Both directions closed: 2 MSL to wait, after the ACK that is due.
    TimeWait,
    /// The peer reset the connection.
    Reset,
    /// The peer does not answer.
    TimedOut,
    /// Data arrived that nobody will read: send [`super::Flow::reset_plan`].
    DataAfterClose,
}

/// What a segment or a timer was a sign of, for counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs(u8);

impl Signs {
    /// Something was lost, as ACKs tell.
    pub const LOSS: Signs = Signs(1);
    /// A recovery had no reason: all had arrived.
    pub const SPURIOUS: Signs = Signs(2);
    /// The tail is probed.
    pub const PROBE: Signs = Signs(4);
    /// SACK blocks made no sense, and were ignored.
    pub const BAD_SACK: Signs = Signs(8);
    /// Full segments got lost until smaller ones were sent.
    pub const BLACK_HOLE: Signs = Signs(16);
    /// The segment does not fit, and may be forged (RFC 5961).
    pub const CHALLENGE: Signs = Signs(32);
    /// A report that the path admits smaller segments only has come true: see
    /// [`super::Flow::path_limit`].
    pub const PATH: Signs = Signs(64);

    /// There is none.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Every one of `other` is there.
    #[must_use]
    pub const fn contains(self, other: Signs) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds `other`.
    pub(super) fn add(&mut self, other: Signs) {
        self.0 |= other.0;
    }
}

/// What a segment asks of the caller, to be done in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Send this ACK at once, before those due at the end of the batch: the marking of arriving
    /// packets changed, and this ACK tells of those before the change (RFC 8257 §3.2).
    pub ack_first: Option<SegmentPlan>,
    /// Data to copy before the notice is posted.
    pub copy: Option<CopyIn>,
    /// News for the application; may be empty.
    pub notice: Notice,
    /// An ACK is due at the end of this batch: call [`super::Flow::take_ack`] then.
    pub ack: bool,
    /// Something can be sent now.
    pub send: bool,
    /// What it was a sign of.
    pub signs: Signs,
    /// The flow is over (after the ACK due, if any).
    pub end: Option<End>,
}

/// An update from the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppBump {
    /// Received bytes handed back.
    pub rx_bump: u32,
    /// Bytes added to the transmit ring, with `tx_done` one more that stands for FIN.
    pub tx_bump: u32,
    /// Running number of the update.
    pub bump_seq: u16,
    /// The application sends no more.
    pub tx_done: bool,
}

/// Why an update was not taken; the flow is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBump {
    /// Not the update expected next: to be ignored.
    Stale,
    /// Hands back more than was delivered.
    RxTooLarge,
    /// Adds more than the transmit ring has room for.
    TxTooLarge,
    /// Adds data after closing, or closes without the byte that stands for FIN.
    AfterClose,
}

/// What an update from the application asks of the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bumped {
    /// Something can be sent now.
    pub send: bool,
    /// The window opened: send [`super::Flow::take_ack`].
    pub ack: bool,
}

/// A segment to build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentPlan {
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgment number.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window field, already scaled.
    pub window: u16,
    /// Mark the IP packet ECT(0), otherwise not-ECT.
    pub ect: bool,
    /// Timestamps option.
    pub timestamps: Option<Timestamps>,
    /// SACK option.
    pub sack: SackBlocks,
    /// Position of the data in the transmit ring; it goes on at 0 at the ring's end.
    pub pos: u32,
    /// Bytes of data.
    pub len: u32,
}

/// What the timers that ran out ask of the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerOutcome {
    /// An ACK is due: send [`super::Flow::take_ack`].
    pub ack: bool,
    /// Something can be sent now.
    pub send: bool,
    /// The flow is over.
    pub end: Option<End>,
    /// The retransmission timer ran out.
    pub retransmit: bool,
    /// The peer is to be probed: send [`super::Flow::keepalive_plan`].
    pub keepalive: bool,
    /// What else happened to loss recovery.
    pub signs: Signs,
}
