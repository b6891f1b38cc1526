//! How a flow is doing, for its application.

use super::flow::Flow;
use super::state::State;
use super::types::TcpParams;
use crate::types::Micros;

/// How a flow is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowInfo {
    /// The state.
    pub state: State,
    /// SRTT; 0: not measured.
    pub rtt_us: u32,
    /// RTTVAR.
    pub rtt_var_us: u32,
    /// The retransmission timeout.
    pub rto: Micros,
    /// What congestion control admits, kilobits per second; 0: everything.
    pub rate_kbps: u32,
    /// What may be under way, bytes.
    pub cwnd: u32,
    /// SND.WND, bytes.
    pub snd_wnd: u32,
    /// Bytes sent and not acknowledged.
    pub in_flight: u32,
    /// Bytes that wait to be sent.
    pub unsent: u32,
    /// Times that something was sent again.
    pub retransmits: u32,
    /// Most data in a segment.
    pub mss: u16,
    /// Largest segment of the peer.
    pub rcv_mss: u16,
    /// Timeouts or probes since the peer last made progress.
    pub retries: u8,
    /// Both sides use timestamps.
    pub timestamps: bool,
    /// Both sides use SACK.
    pub sack: bool,
    /// Both sides use ECN.
    pub ecn: bool,
    /// Shift of the windows that the peer announces.
    pub snd_wscale: u8,
    /// Shift of the windows that we announce.
    pub rcv_wscale: u8,
}

impl Flow<'_> {
    /// How the flow is doing.
    #[cold]
    #[must_use]
    pub fn info(&self, params: &TcpParams) -> FlowInfo {
        let (st, ext) = (&*self.st, &*self.ext);
        let rtt_us = ext.rtt.srtt_us();
        // The rate stands for a window of as much as it lets out in a round trip.
        let by_rate = u64::from(st.tx_rate) * u64::from(rtt_us) / 8000;
        let cwnd = match st.tx_rate {
            0 => st.rx_remote_avail,
            _ => u32::try_from(by_rate)
                .unwrap_or(u32::MAX)
                .max(ext.mss.into())
                .min(st.rx_remote_avail),
        };
        FlowInfo {
            state: ext.state,
            rtt_us,
            rtt_var_us: ext.rtt.rttvar_us(),
            rto: ext.rtt.rto(params),
            rate_kbps: st.tx_rate,
            cwnd,
            snd_wnd: st.rx_remote_avail,
            in_flight: st.tx_sent,
            unsent: st.tx_avail,
            retransmits: ext.liveness.retransmits,
            mss: ext.mss,
            rcv_mss: ext.rcv_mss,
            retries: ext.retries,
            timestamps: ext.timestamps,
            sack: ext.sack,
            ecn: self.ecn(),
            snd_wscale: ext.snd_wscale,
            rcv_wscale: ext.rcv_wscale,
        }
    }
}
