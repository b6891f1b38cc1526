//! A flow: its beginning, the application's side of it, and its end.

use tas_abi::be::{BeU16, BeU32};
use tas_abi::memif::{
    FLEXNIC_PL_FLOWST_ECN, FLEXNIC_PL_FLOWST_RX_MASK, FLEXNIC_PL_FLOWST_RXFIN,
    FLEXNIC_PL_FLOWST_TXFIN, FlowSt,
};
use tas_abi::packet::EthAddr;
use tas_wire::SeqNum;

use super::cc;
use super::ext::{FlowExt, Keeper, RexmitMode};
use super::state::{Event, State};
use super::types::{AppBump, BadBump, Bumped, FlowInit, FlowPlace, TcpParams};
use crate::types::Micros;

/// Bytes that timestamps take in every segment, padding included (RFC 7323 appendix A).
pub(super) const TIMESTAMPS_LEN: u16 = 12;
/// What counts as full-sized before larger segments were seen: the default MSS (RFC 9293
/// §3.7.1).
const RCV_MSS_INITIAL: u16 = 536;

/// One flow: its public state and what has no room there.
///
/// Meaning of the public fields, where their names leave it open:
///
/// - `tx_next_seq`, `tx_next_pos`: what is sent next; a retransmission timeout moves them back.
///   SND.UNA is always `tx_next_seq - tx_sent`.
/// - `tx_avail`: bytes to be sent next, those to be sent again included. With the `TXFIN` flag
///   the last of `tx_avail + tx_sent` bytes is not data: it stands for FIN.
/// - `rx_remote_avail`: bytes from SND.UNA on that the peer accepts, SND.WND.
/// - `rx_avail`: free bytes of the receive ring, counted from RCV.NXT; out-of-order data lies in
///   them. It is the window for arriving segments; less may be announced.
/// - `rx_next_seq` counts the peer's FIN once `RXFIN` is set.
/// - `bump_seq`: the number that the application's next update must have.
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
    pub fn install(&mut self, init: &FlowInit, params: &TcpParams, now: Micros) {
        *self.ext = FlowExt::default();
        let ecn = if init.ecn { FLEXNIC_PL_FLOWST_ECN } else { 0 };
        *self.st = FlowSt {
            opaque: init.opaque,
            rx_base_sp: (init.rx_base & FLEXNIC_PL_FLOWST_RX_MASK) | ecn,
            tx_base: init.tx_base,
            rx_len: init.rx_len,
            tx_len: init.tx_len,
            local_ip: BeU32::new(init.tuple.local_ip.to_bits()),
            remote_ip: BeU32::new(init.tuple.remote_ip.to_bits()),
            local_port: BeU16::new(init.tuple.local_port),
            remote_port: BeU16::new(init.tuple.remote_port),
            remote_mac: EthAddr {
                addr: init.remote_mac.0,
            },
            db_id: init.db_id,
            flow_group: init.flow_group,
            rx_avail: init.rx_len,
            rx_next_seq: (init.irs + 1).0,
            rx_remote_avail: init.snd_wnd,
            tx_next_seq: (init.iss + 1).0,
            tx_next_ts: init.timestamps.map_or(0, |ts| ts.recent),
            tx_rate: cc::start(&params.cc, &mut self.ext.cc),
            ..FlowSt::default()
        };

        let ext = &mut *self.ext;
        ext.state = State::Established;
        ext.timestamps = init.timestamps.is_some();
        ext.ts_offset = init.timestamps.map_or(0, |ts| ts.offset);
        ext.ts_recent_at = coarse(now);
        let options = if ext.timestamps { TIMESTAMPS_LEN } else { 0 };
        let mss = init.mss.saturating_sub(options).max(1);
        ext.rcv_mss = mss.min(RCV_MSS_INITIAL);
        ext.sack = init.sack;
        ext.snd_wscale = init.snd_wscale.bits();
        ext.rcv_wscale = init.rcv_wscale.bits();
        ext.snd_max = (init.iss + 1).0;
        ext.snd_wl1 = init.irs.0;
        ext.snd_wl2 = (init.iss + 1).0;
        ext.max_wnd = init.snd_wnd;
        ext.last_wnd = init.snd_wnd;
        ext.rcv_adv = (init.irs + 1 + init.rcv_wnd.min(init.rx_len)).0;
        ext.last_ack = (init.irs + 1).0;
        if let Some(rtt) = init.rtt {
            ext.rtt.sample(rtt);
        }
        self.begin_path(mss);
        self.ext.review_window();
        self.st.rtt_est = self.ext.rtt.srtt_us();
        self.begin_interval(params, now);
    }

    /// Most bytes of data in a segment to the peer.
    #[must_use]
    pub fn mss(&self) -> u16 {
        self.ext.mss
    }

    /// Takes an update from the application. An error leaves the flow as it was.
    #[inline]
    pub fn on_app_bump(
        &mut self,
        bump: &AppBump,
        params: &TcpParams,
        now: Micros,
    ) -> Result<Bumped, BadBump> {
        if bump.bump_seq != self.st.bump_seq {
            return Err(BadBump::Stale);
        }
        if bump.rx_bump > self.rx_unread() {
            return Err(BadBump::RxTooLarge);
        }
        if self.ext.state == State::Closed {
            // The application could not know yet.
            self.st.bump_seq = self.st.bump_seq.wrapping_add(1);
            self.st.rx_avail += bump.rx_bump;
            return Ok(Bumped::default());
        }
        let free = self.tx_free();
        // The byte that stands for FIN is never read: it needs no room.
        if bump.tx_bump > free && !(bump.tx_done && bump.tx_bump - 1 == free) {
            return Err(BadBump::TxTooLarge);
        }
        if bump.tx_bump > 0 || bump.tx_done {
            let byte_for_fin = !bump.tx_done || bump.tx_bump > 0;
            if !self.ext.state.can_send() || !byte_for_fin {
                return Err(BadBump::AfterClose);
            }
        }

        self.st.bump_seq = self.st.bump_seq.wrapping_add(1);
        self.st.rx_avail += bump.rx_bump;
        self.st.tx_avail += bump.tx_bump;
        if bump.tx_done {
            self.close();
        }
        if bump.rx_bump > 0 && self.window_update_due() {
            self.ext.ack_due = true;
        }
        self.arm(params, now);
        Ok(Bumped {
            send: self.sendable() > 0,
            ack: self.ext.ack_due,
        })
    }

    /// The application let go of the flow, which finishes by itself: it sends what is queued,
    /// then FIN if the application did not close. Data that still arrives ends it (RFC 1122
    /// §4.2.2.13), and it does not wait for the peer for ever.
    #[cold]
    pub fn detach(&mut self, params: &TcpParams, now: Micros) -> Bumped {
        if self.ext.detached() || self.ext.state.is_over() {
            return Bumped::default();
        }
        self.stop_watching();
        self.ext.keeper = Keeper::Nobody;
        if self.ext.state.can_send() {
            // The byte that stands for FIN is never read, so there is room for it in any ring.
            self.st.tx_avail = self.st.tx_avail.saturating_add(1);
            self.close();
        }
        if self.ext.state == State::FinWait2 {
            self.ext.linger.set(now + params.fin_wait2);
        }
        self.arm(params, now);
        Bumped {
            send: self.sendable() > 0,
            ack: false,
        }
    }

    /// No more data after what is queued.
    fn close(&mut self) {
        self.st.rx_base_sp |= FLEXNIC_PL_FLOWST_TXFIN;
        self.ext.state = self.ext.state.next(Event::Close);
    }

    /// Ends the flow at once.
    #[cold]
    pub(super) fn abort(&mut self) {
        self.ext.state = self.ext.state.next(Event::Abort);
        self.stop_timers();
        self.ext.ack_due = false;
        self.ext.rexmit_due = false;
        self.ext.probe = false;
    }

    /// Stops everything that would happen later by itself.
    #[cold]
    pub(super) fn stop_timers(&mut self) {
        self.ext.ack_timer.stop();
        self.ext.rexmit_timer.stop();
        self.ext.rexmit_mode = RexmitMode::Off;
        self.ext.linger.stop();
    }

    /// Received bytes in order that the application did not hand back yet; they end at
    /// `rx_next_pos`.
    #[inline]
    #[must_use]
    pub fn rx_unread(&self) -> u32 {
        self.st.rx_len.saturating_sub(self.st.rx_avail)
    }

    /// Received bytes in order that the application has not read, which says that it has read up
    /// to this position. What makes no sense says nothing.
    #[cold]
    #[must_use]
    pub fn rx_left(&self, read: Option<u32>) -> u32 {
        let (unread, len) = (self.rx_unread(), self.st.rx_len);
        let Some(read) = read.filter(|read| *read < len) else {
            return unread;
        };
        match ring_add(self.st.rx_next_pos, len - read, len) {
            // Of a full ring, this is the position with nothing read, too. An application hands
            // bytes back long before it has read so many.
            0 if unread == len => unread,
            left if left <= unread => left,
            _ => unread,
        }
    }

    /// Free bytes of the transmit ring.
    #[inline]
    #[must_use]
    pub fn tx_free(&self) -> u32 {
        let used = self.st.tx_avail.saturating_add(self.st.tx_sent);
        self.st.tx_len.saturating_sub(used)
    }

    /// How far it is.
    #[cold]
    #[must_use]
    pub fn place(&self) -> FlowPlace {
        FlowPlace {
            rx_pos: self.st.rx_next_pos,
            rx_used: self.rx_unread(),
            tx_pos: ring_add(self.st.tx_next_pos, self.st.tx_avail, self.st.tx_len),
            tx_used: self.st.tx_avail.saturating_add(self.st.tx_sent),
            bump_seq: self.st.bump_seq,
            rx_closed: self.rx_fin(),
            tx_closed: self.tx_fin(),
        }
    }

    /// TS.Recent, when timestamps are in use.
    #[must_use]
    pub fn ts_recent(&self) -> Option<u32> {
        self.ext.timestamps.then_some(self.st.tx_next_ts)
    }

    /// The state.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        self.ext.state
    }

    /// The application let go of the flow.
    #[inline]
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.ext.detached()
    }

    /// RCV.NXT.
    #[inline]
    #[must_use]
    pub fn rcv_nxt(&self) -> SeqNum {
        SeqNum(self.st.rx_next_seq)
    }

    /// SND.UNA.
    #[inline]
    pub(super) fn snd_una(&self) -> SeqNum {
        SeqNum(self.st.tx_next_seq) - self.st.tx_sent
    }

    /// One beyond the last sequence number ever sent.
    #[inline]
    #[must_use]
    pub fn snd_max(&self) -> SeqNum {
        SeqNum(self.ext.snd_max)
    }

    #[inline]
    pub(super) fn ecn(&self) -> bool {
        self.st.rx_base_sp & FLEXNIC_PL_FLOWST_ECN != 0
    }

    /// Our direction is closed: the last byte queued stands for FIN.
    #[inline]
    pub(super) fn tx_fin(&self) -> bool {
        self.st.rx_base_sp & FLEXNIC_PL_FLOWST_TXFIN != 0
    }

    /// The peer's direction is closed.
    #[inline]
    pub(super) fn rx_fin(&self) -> bool {
        self.st.rx_base_sp & FLEXNIC_PL_FLOWST_RXFIN != 0
    }
}

/// A time in units of 2²⁰ µs, about a second, modulo 2³².
#[inline]
pub(super) fn coarse(now: Micros) -> u32 {
    (now.0 >> 20) as u32
}

/// The position `n` bytes after `pos` in a ring of `len` bytes; `n` is at most `len + 1`, since a
/// full ring may be followed by FIN.
#[inline]
pub(super) fn ring_add(pos: u32, n: u32, len: u32) -> u32 {
    let to_end = len.saturating_sub(pos);
    if n < to_end {
        return pos.wrapping_add(n);
    }
    let over = n - to_end;
    if over < len { over } else { over - len }
}

/// The position `n` bytes before `pos` in a ring of `len` bytes; `n` is at most `len + 1`.
#[inline]
pub(super) fn ring_sub(pos: u32, n: u32, len: u32) -> u32 {
    if n <= pos {
        return pos - n;
    }
    let back = n - pos;
    if back <= len {
        len - back
    } else {
        len.saturating_sub(back - len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_positions_go_round() {
        assert_eq!(ring_add(0, 0, 8), 0);
        assert_eq!(ring_add(5, 2, 8), 7);
        assert_eq!(ring_add(5, 3, 8), 0);
        assert_eq!(ring_add(5, 8, 8), 5);
        assert_eq!(ring_add(u32::MAX - 1, u32::MAX, u32::MAX), u32::MAX - 1);
        assert_eq!(ring_sub(5, 5, 8), 0);
        assert_eq!(ring_sub(5, 6, 8), 7);
        assert_eq!(ring_sub(0, 8, 8), 0);
        assert_eq!(ring_add(7, 9, 8), 0);
        assert_eq!(ring_sub(0, 9, 8), 7);
        assert_eq!(ring_add(0, 2, 1), 0);
        assert_eq!(ring_sub(0, 2, 1), 0);
    }
}
