//! The data and the FIN of a segment, and when to acknowledge them.

use tas_abi::memif::FLEXNIC_PL_FLOWST_RXFIN;
use tas_wire::{SeqNum, TcpFlags};

use super::flow::{Flow, ring_add};
use super::patience::Patience;
use super::ranges::Insert;
use super::state::{Event, State};
use super::types::{CopyIn, End, Received, Segment, TcpParams};
use crate::types::Micros;

/// ACKs sent at once after one was held back for nothing. A slow sender's round-trip times would
/// be our delay, and it would stay slow; a bulk sender costs an ACK more for each of its segments
/// for this long.
const QUICK_ACKS: u8 = 64;

impl Flow<'_> {
    /// Data that begins at RCV.NXT and fits: no FIN, the peer has not closed.
    #[inline]
    pub(super) fn receive_in_order(
        &mut self,
        seg: &Segment,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) {
        self.note_marking(seg, now, out);
        out.copy = Some(CopyIn {
            from: 0,
            to: self.st.rx_next_pos,
            len: seg.len,
        });
        self.advance(seg.len, out);
        if self.st.rx_ooo_len > 0 {
            self.fill_hole(out);
        }
        self.schedule_ack(seg.len, params, now);
    }

    /// The data and FIN of any acceptable segment.
    pub(super) fn receive(
        &mut self,
        seg: &Segment,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) {
        let fin = seg.flags.contains(TcpFlags::FIN);
        if seg.len == 0 && !fin {
            return;
        }
        if !self.ext.state.can_receive() {
            // "This should not occur since a FIN has been received": ignore what it carries.
            self.ext.ack_due = true;
            return;
        }
        let Some(part) = self.trim(seg, fin) else {
            self.ext.ack_due = true;
            return;
        };
        if self.ext.detached() && part.len > 0 {
            // RFC 1122 §4.2.2.13: nobody will read it, and the peer should know.
            self.abort();
            out.end = Some(End::DataAfterClose);
            return;
        }
        if part.len > 0 {
            self.note_marking(seg, now, out);
        }
        if part.offset > 0 {
            self.receive_out_of_order(&part, now, out);
        } else {
            self.receive_next(&part, seg, params, now, out);
        }
    }

    /// Cuts off what was received before and what lies beyond the window or a FIN. `None` if
    /// nothing remains.
    fn trim(&mut self, seg: &Segment, fin: bool) -> Option<Part> {
        let rcv_nxt = self.rcv_nxt();
        let old = if seg.seq.lt(rcv_nxt) {
            rcv_nxt.since(seg.seq)
        } else {
            0
        };
        if old > 0 && seg.len > 0 {
            self.note_duplicate_data(seg.seq, seg.seq + old.min(seg.len));
        }
        if old >= seg.len.saturating_add(fin.into()) {
            return None;
        }
        let offset = if old > 0 { 0 } else { seg.seq.since(rcv_nxt) };
        // A FIN held bounds the data.
        let bound = match self.ext.fin_held {
            true => SeqNum(self.ext.fin_seq)
                .since(rcv_nxt)
                .min(self.st.rx_avail),
            false => self.st.rx_avail,
        };
        let room = bound.checked_sub(offset)?;
        let len = seg.len.checked_sub(old)?;
        if old > 0 || len > room {
            self.ext.ack_due = true;
        }
        Some(Part {
            from: old,
            offset,
            len: len.min(room),
            // FIN occupies one more number of the window.
            fin: fin && len < self.st.rx_avail.saturating_sub(offset),
        })
    }

    /// Data or FIN that begins at RCV.NXT.
    fn receive_next(
        &mut self,
        part: &Part,
        seg: &Segment,
        params: &TcpParams,
        now: Micros,
        out: &mut Received,
    ) {
        if part.fin {
            self.hold_fin(self.rcv_nxt() + part.len);
        }
        if part.len > 0 {
            out.copy = Some(CopyIn {
                from: part.from,
                to: self.st.rx_next_pos,
                len: part.len,
            });
            self.advance(part.len, out);
            if self.st.rx_ooo_len > 0 {
                self.fill_hole(out);
            }
            self.schedule_ack(seg.len, params, now);
        }
        if self.ext.fin_held && self.rcv_nxt() == SeqNum(self.ext.fin_seq) {
            self.on_fin(out);
        }
    }

    /// Data or FIN beyond a hole: held, and acknowledged at once (RFC 5681 §4.2).
    fn receive_out_of_order(&mut self, part: &Part, now: Micros, out: &mut Received) {
        self.ext.ack_due = true;
        let start = self.rcv_nxt() + part.offset;
        let end = start + part.len;
        let held = self.ext.ranges.len();
        if part.len > 0 {
            if let Some(block) = self.ext.ranges.overlap(start, end) {
                self.note_duplicate_data(block.left, block.right);
            }
            match self.ext.ranges.insert(start, end) {
                Insert::New => {
                    let to = ring_add(self.st.rx_next_pos, part.offset, self.st.rx_len);
                    out.copy = Some(CopyIn {
                        from: part.from,
                        to,
                        len: part.len,
                    });
                    self.publish_ranges();
                }
                Insert::Duplicate => {}
                Insert::Full => return,
            }
        }
        if part.fin {
            self.hold_fin(end);
        }
        if !self.ext.sack || self.ext.ranges.len() != held {
            self.acknowledge_now(now, out);
        }
    }

    /// Remembers where the peer's FIN is, unless data beyond it shows that it is bogus.
    #[cold]
    fn hold_fin(&mut self, seq: SeqNum) {
        let bogus = self.ext.ranges.end().is_some_and(|end| end.gt(seq));
        if !self.ext.fin_held && !bogus {
            self.ext.fin_held = true;
            self.ext.fin_seq = seq.0;
        }
        self.ext.ack_due = true;
    }

    /// The peer's FIN has come, and all before it.
    #[cold]
    fn on_fin(&mut self, out: &mut Received) {
        self.ext.fin_held = false;
        self.ext.ranges.clear();
        self.publish_ranges();
        self.st.rx_next_seq = self.st.rx_next_seq.wrapping_add(1);
        self.st.rx_base_sp |= FLEXNIC_PL_FLOWST_RXFIN;
        self.ext.state = self.ext.state.next(Event::FinReceived);
        self.ext.ack_due = true;
        out.notice.rx_closed = true;
        if self.ext.state == State::TimeWait {
            self.stop_timers();
            out.end = Some(End::TimeWait);
        }
    }

    /// `len` bytes are in order.
    #[inline]
    fn advance(&mut self, len: u32, out: &mut Received) {
        let st = &mut *self.st;
        st.rx_next_pos = ring_add(st.rx_next_pos, len, st.rx_len);
        st.rx_next_seq = st.rx_next_seq.wrapping_add(len);
        st.rx_avail = st.rx_avail.saturating_sub(len);
        out.notice.rx_bump = out.notice.rx_bump.wrapping_add(len);
    }

    /// Data in order may have joined up with data held.
    #[cold]
    fn fill_hole(&mut self, out: &mut Received) {
        let next = self.rcv_nxt();
        let reached = self.ext.ranges.take_in_order(next);
        self.advance(reached.since(next), out);
        self.publish_ranges();
        // RFC 5681 §4.2: at once when it fills all or part of a gap.
        self.ext.ack_due = true;
    }

    fn publish_ranges(&mut self) {
        let (start, len) = self.ext.ranges.first();
        self.st.rx_ooo_start = start.0;
        self.st.rx_ooo_len = len;
        self.refresh_sack_news();
    }

    /// The receiver's half of DCTCP (RFC 8257 §3.2): every ACK tells of data that was marked
    /// alike.
    #[inline]
    fn note_marking(&mut self, seg: &Segment, now: Micros, out: &mut Received) {
        if seg.ce == self.ext.ce || !self.ecn() {
            return;
        }
        if self.rcv_nxt() != SeqNum(self.ext.last_ack) {
            out.ack_first = Some(self.ack_plan(now));
        }
        self.ext.ce = seg.ce;
        self.ext.ack_due = true;
    }

    /// At once for the second full-sized segment, otherwise soon (RFC 1122 §4.2.3.2): unless
    /// holding back was of no use lately, since no data of ours carried the ACK.
    #[inline]
    fn schedule_ack(&mut self, len: u32, params: &TcpParams, now: Micros) {
        if len > self.ext.rcv_mss.into() {
            self.ext.rcv_mss = u16::try_from(len).unwrap_or(u16::MAX);
        }
        let unacked = self.rcv_nxt().since(SeqNum(self.ext.last_ack));
        if unacked > self.ext.rcv_mss.into() {
            self.ext.ack_due = true;
            return;
        }
        if self.ext.ack_held {
            self.hold_no_more();
        }
        if self.ext.quick_acks > 0 {
            self.ext.quick_acks -= 1;
            self.ext.ack_due = true;
        } else if !self.ext.ack_timer.is_set() {
            let delay = self.ext.ack_patience.delay(params);
            self.ext.ack_timer.set(now + delay);
        }
    }

    /// The application answers nothing: the peer waits for ACKs alone.
    #[cold]
    fn hold_no_more(&mut self) {
        self.ext.ack_held = false;
        self.ext.ack_patience = Patience::default();
        self.ext.quick_acks = QUICK_ACKS;
    }
}

/// What remains of a segment after trimming.
struct Part {
    /// Bytes cut off in front.
    from: u32,
    /// Distance from RCV.NXT.
    offset: u32,
    /// Bytes of data.
    len: u32,
    /// FIN follows the data.
    fin: bool,
}
