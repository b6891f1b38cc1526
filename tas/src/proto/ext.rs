//! What a flow remembers beyond its public state.

use zerocopy::FromZeros;

use super::cc::CcState;
use super::liveness::Liveness;
use super::path::Path;
use super::patience::Patience;
use super::ranges::Ranges;
use super::recovery::Loss;
use super::rtt::RttEstimator;
use super::sack::Duplicate;
use super::scoreboard::Scoreboard;
use super::state::State;
use crate::types::Micros;

/// Private state of a flow. All zeroes: not in use.
///
/// What an ordinary segment touches comes first. Sequence numbers are kept as bare integers
/// since all-zero memory must be a valid value.
#[derive(Clone, Debug, FromZeros)]
#[repr(C, align(64))]
pub struct FlowExt {
    pub(super) state: State,
    /// Both sides agreed on timestamps.
    pub(super) timestamps: bool,
    /// Who looks after it.
    pub(super) keeper: Keeper,
    /// The peer's FIN is at `fin_seq`, not all before it has come.
    pub(super) fin_held: bool,
    /// An ACK is to be sent at once.
    pub(super) ack_due: bool,
    /// DCTCP.CE: the last data came marked (RFC 8257 §3.2).
    pub(super) ce: bool,
    /// There is something to send again.
    pub(super) rexmit_due: bool,
    /// Probe the closed window.
    pub(super) probe: bool,
    pub(super) recovery: Recovery,
    pub(super) rexmit_mode: RexmitMode,
    pub(super) snd_wscale: u8,
    pub(super) rcv_wscale: u8,
    /// ACKs that go at once, since one was held back for nothing.
    pub(super) quick_acks: u8,
    /// An ACK was held back in vain, and no data of ours went out since.
    pub(super) ack_held: bool,
    /// How long an ACK waits for the application's answer.
    pub(super) ack_patience: Patience,
    /// The next ACK has something to report by SACK.
    pub(super) sack_news: bool,
    /// Most data in a segment: MSS without the options that every segment has.
    pub(super) mss: u16,
    /// Largest segment seen from the peer, at least 536 or the MSS: what counts as full-sized.
    pub(super) rcv_mss: u16,
    /// SND.NXT before any rewind: one beyond the last sequence number ever sent.
    pub(super) snd_max: u32,
    /// SND.WL1 (RFC 9293 §3.3.1).
    pub(super) snd_wl1: u32,
    /// SND.WL2.
    pub(super) snd_wl2: u32,
    /// MAX.SND.WND (RFC 5961 §5.2).
    pub(super) max_wnd: u32,
    /// The window that the last ACK announced, bytes.
    pub(super) last_wnd: u32,
    /// The right edge of the window that was announced.
    pub(super) rcv_adv: u32,
    /// Last.ACK.sent (RFC 7323 §4.3).
    pub(super) last_ack: u32,
    /// A delayed ACK.
    pub(super) ack_timer: Timer,
    /// Retransmission or persist timer, as `rexmit_mode` says.
    pub(super) rexmit_timer: Timer,

    // From here on: what only ACKs of new data, and sending, touch.
    /// End of the control interval.
    pub(super) cc_next: Micros0,
    /// When the segment being timed was sent.
    pub(super) rtt_at: Micros0,
    /// Where it ends.
    pub(super) rtt_seq: u32,
    pub(super) rtt: RttEstimator,
    pub(super) ts_offset: u32,
    /// When TS.Recent was set, in units of 2²⁰ µs.
    pub(super) ts_recent_at: u32,
    /// What is being timed.
    pub(super) timing: Timing,
    /// Timeouts, or probes of a closed window, since the peer last made progress.
    pub(super) retries: u8,
    /// Tell the peer that the rate was reduced (RFC 3168 §6.1.2).
    pub(super) cwr_due: bool,
    /// In this control interval more was to be sent than the rate let out.
    pub(super) backlogged: bool,
    /// As long as no more than so many bytes are under way or to be sent, none but the peer's
    /// window limits them.
    pub(super) unlimited: u32,
    /// When the second segment being timed was sent.
    pub(super) rtt_next_at: Micros0,
    /// Where it ends.
    pub(super) rtt_next_seq: u32,
    /// Round-trip times below this, µs, are news for congestion control.
    pub(super) rtt_watch: u32,

    // From here on: what the end of a control interval needs besides.
    /// Congestion control.
    pub(super) cc: CcState,
    /// Start of the control interval.
    pub(super) cc_start: Micros0,
    /// Shortest round-trip time of this control interval that was news, µs; 0 = none.
    pub(super) rtt_least: u32,
    /// A retransmission timeout in this control interval.
    pub(super) timed_out: bool,
    /// This control interval began with the reaction to a mark or a loss.
    pub(super) cc_reacted: bool,
    /// How large a segment may be.
    pub(super) path: Path,

    // From here on: what is rare.
    /// Recovery ends when this is acknowledged.
    pub(super) recover: u32,
    /// After a timeout or probe: when what it was for was sent again; 0 = not to be timed.
    pub(super) rexmit_at: Micros0,
    /// In recovery after a timeout, or by SACK: what may be under way, bytes.
    pub(super) rexmit_wnd: u32,
    /// A partial ACK came in this recovery.
    pub(super) partial_acked: bool,
    /// Both sides agreed on SACK.
    pub(super) sack: bool,
    /// Challenge ACKs sent in `challenge_epoch`.
    pub(super) challenges: u8,
    pub(super) challenge_epoch: u32,
    pub(super) fin_seq: u32,
    /// End of a detached flow's stay in FIN-WAIT-2; of others what `liveness` waits for.
    pub(super) linger: Timer,
    /// Keepalive and user timeout.
    pub(super) liveness: Liveness,
    /// Data that came twice.
    pub(super) duplicate: Duplicate,
    /// Out-of-order data.
    pub(super) ranges: Ranges,
    /// Loss recovery by SACK.
    pub(super) loss: Loss,
    /// What the peer has reported; meaningful unless `recovery` is none.
    pub(super) board: Scoreboard,
}

/// What an ordinary segment touches is one cache line.
const _: () = assert!(std::mem::offset_of!(FlowExt, cc_next) == 64);
/// And one more where data is sent or acknowledged.
const _: () = assert!(std::mem::offset_of!(FlowExt, cc) == 128);
/// And three more at the end of a control interval.
const _: () = assert!(std::mem::offset_of!(FlowExt, recover) <= 320);

impl Default for FlowExt {
    fn default() -> FlowExt {
        FlowExt::new_zeroed()
    }
}

/// Who looks after a flow, and so what its timer `linger` is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(u8)]
pub(super) enum Keeper {
    /// Its application. The timer is not set.
    #[default]
    App,
    /// Its application, which wants to know whether the peer is there.
    Watching,
    /// Nobody: the application let go.
    Nobody,
}

impl FlowExt {
    /// Where the three cache lines begin that the end of a control interval needs besides, in bytes.
    pub const INTERVAL: usize = std::mem::offset_of!(FlowExt, cc);

    /// The control interval is over: the next segment that acknowledges something ends it.
    #[inline]
    pub fn interval_is_over(&self, now: Micros) -> bool {
        now >= self.cc_next.into()
    }

    /// The application let go.
    #[inline]
    pub(super) fn detached(&self) -> bool {
        self.keeper == Keeper::Nobody
    }

    /// Most bytes that congestion control lets be under way.
    pub(super) fn cwnd(&self) -> u32 {
        self.cc.window(self.mss)
    }

    /// Loss recovery begins or ends.
    pub(super) fn set_recovery(&mut self, recovery: Recovery) {
        self.recovery = recovery;
        self.review_window();
    }

    /// What may be under way has changed.
    pub(super) fn review_window(&mut self) {
        self.unlimited = match self.recovery {
            Recovery::None => self.cwnd(),
            // Limited transmit (RFC 3042), and what duplicates say has left the network.
            Recovery::Disorder | Recovery::Probe | Recovery::Fast => u32::MAX,
            Recovery::Sack | Recovery::Timeout => 0,
        };
    }
}

/// What is being timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(u8)]
pub(super) enum Timing {
    #[default]
    Nothing,
    /// The segment that ends at `rtt_seq`.
    One,
    /// That one, and the one after it, which ends at `rtt_next_seq`.
    Two,
}

/// Loss recovery under way. From [`Recovery::Sack`] on, what may be under way is limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromZeros)]
#[repr(u8)]
pub(super) enum Recovery {
    /// None.
    #[default]
    None,
    /// Something is missing, but may only be late (RFC 8985 §6.2).
    Disorder,
    /// The tail is being probed (RFC 8985 §7).
    Probe,
    /// Fast recovery without SACK (RFC 6582).
    Fast,
    /// Fast recovery with SACK (RFC 6675).
    Sack,
    /// All that is not acknowledged was lost.
    Timeout,
}

/// What the retransmission timer is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromZeros)]
#[repr(u8)]
pub(super) enum RexmitMode {
    /// Not running.
    #[default]
    Off,
    /// The window is closed or too small (RFC 9293 §3.8.6.1).
    Persist,
    /// Something is outstanding (RFC 6298).
    Retransmit,
    /// Something outstanding is missing, and lost if it does not come soon (RFC 8985 §6.3).
    Reorder,
}

/// A [`Micros`] in memory that may be all zeroes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(transparent)]
pub(super) struct Micros0(u64);

impl From<Micros> for Micros0 {
    fn from(at: Micros) -> Micros0 {
        Micros0(at.0)
    }
}

impl From<Micros0> for Micros {
    fn from(at: Micros0) -> Micros {
        Micros(at.0)
    }
}

/// A point in time at which something is to be done; 0 = not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(transparent)]
pub(super) struct Timer(u64);

impl Timer {
    #[inline]
    pub(super) fn set(&mut self, at: Micros) {
        self.0 = at.0.max(1);
    }

    #[inline]
    pub(super) fn stop(&mut self) {
        self.0 = 0;
    }

    #[inline]
    pub(super) fn is_set(self) -> bool {
        self.0 != 0
    }

    /// When; [`Micros::NEVER`] if not set.
    #[inline]
    pub(super) fn at(self) -> Micros {
        // 0 wraps around to the largest value: one comparison less for whoever takes minima.
        Micros(self.0.wrapping_sub(1)).max(Micros(self.0))
    }

    #[inline]
    pub(super) fn is_due(self, now: Micros) -> bool {
        self.is_set() && self.0 <= now.0
    }
}
