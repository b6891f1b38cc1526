//! Receiving: from a burst of frames to flows, and up to the slow path for the rest.

use arrayvec::ArrayVec;
use tas_shm::ShmOffset;
use tas_wire::{Packet, TcpPacket, Verify};

use super::Core;
use super::counters::CoreCounters;
use super::slot::Owner;
use super::tx::TxRing;
use crate::nic::{BURST, Frame, Frames, NicQueue, RxChecksum};
use crate::proto::{End, Flow, Notice, Received, Segment};
use crate::types::FlowId;

/// A frame of a burst on its way to its flow.
struct Arrival<'a> {
    frame: &'a [u8],
    packet: TcpPacket<'a>,
    hash: u32,
    flow: Option<FlowId>,
}

/// Flags of the flow state's receive base (`FLEXNIC_PL_FLOWST_RX_MASK` keeps the place).
const RX_BASE_MASK: u64 = !63;

impl<Q: NicQueue> Core<Q> {
    /// Takes a burst from the port.
    pub(super) fn receive(&mut self) -> bool {
        let mut frames = Frames::<Q::Frame>::new();
        let count = self.nic.rx_burst(&mut frames);
        if count == 0 {
            return false;
        }
        self.counters.rx_frames.add(count as u64);
        let mut arrivals = ArrayVec::<Arrival<'_>, BURST>::new();
        for frame in &frames {
            self.tx.trace.received(frame.data());
            if let Some(arrival) = self.classify(frame.data(), frame.rx_checksum()) {
                self.shared.table.prefetch(arrival.hash);
                let _ = arrivals.try_push(arrival);
            }
        }
        for arrival in &mut arrivals {
            arrival.flow = self.lookup(&arrival.packet, arrival.hash);
            if let Some(flow) = arrival.flow {
                self.shared.flows.prefetch(flow.0);
            }
        }
        for arrival in &arrivals {
            let taken = arrival
                .flow
                .is_some_and(|flow| self.segment(flow, &arrival.packet));
            if !taken {
                self.punt(arrival.frame, &arrival.packet);
            }
        }
        true
    }

    /// A frame that the slow path found to belong to an installed flow. It is dropped if that
    /// has changed meanwhile: the peer sends it again.
    pub(super) fn reinjected(&mut self, frame: &[u8]) {
        if let Ok(Packet::Tcp(packet)) = tas_wire::parse_with(frame, Verify::NONE)
            && let Some(flow) = self.lookup(&packet, packet.tuple().hash())
        {
            self.segment(flow, &packet);
        }
    }

    /// Parses a frame. Frames other than TCP go to the slow path here, broken ones nowhere.
    fn classify<'a>(&mut self, frame: &'a [u8], checksum: RxChecksum) -> Option<Arrival<'a>> {
        let verify = match checksum {
            RxChecksum::Good => Verify::NONE,
            // A port that says "bad" is believed only after a look of our own: it may not
            // have understood the frame.
            RxChecksum::Unknown | RxChecksum::Bad => Verify::ALL,
        };
        match tas_wire::parse_with(frame, verify) {
            Ok(Packet::Tcp(packet)) => {
                let hash = packet.tuple().hash();
                Some(Arrival {
                    frame,
                    packet,
                    hash,
                    flow: None,
                })
            }
            Ok(Packet::Arp(_) | Packet::Icmp(_)) => {
                self.pass_up(frame);
                None
            }
            Ok(Packet::Other(_)) => {
                self.counters.unknown_protocol.add(1);
                None
            }
            Err(error) => {
                self.malformed(error.index());
                None
            }
        }
    }

    #[cold]
    fn malformed(&self, index: usize) {
        if let Some(counter) = self.counters.malformed.get(index) {
            counter.add(1);
        }
    }

    #[inline]
    fn lookup(&mut self, packet: &TcpPacket<'_>, hash: u32) -> Option<FlowId> {
        let tuple = packet.tuple();
        let shared = &self.shared;
        shared.table.candidates(hash).find(|flow| {
            shared
                .flows
                .get(&mut self.token, flow.0)
                .is_some_and(|(st, slot)| {
                    slot.app.installed
                        && st.remote_ip.get() == tuple.remote_ip.to_bits()
                        && st.local_ip.get() == tuple.local_ip.to_bits()
                        && st.remote_port.get() == tuple.remote_port
                        && st.local_port.get() == tuple.local_port
                })
        })
    }

    /// Passes a segment without a flow up, if it is for one of our addresses.
    #[cold]
    fn punt(&mut self, frame: &[u8], packet: &TcpPacket<'_>) {
        if self.shared.addresses.contains(&packet.ip_dst) {
            self.pass_up(frame);
        } else {
            self.counters.foreign_address.add(1);
        }
    }

    #[cold]
    fn pass_up(&mut self, frame: &[u8]) {
        if self.slow.punt(self.id, frame) {
            self.counters.to_slow.add(1);
        } else {
            self.counters.to_slow_dropped.add(1);
        }
    }

    /// Gives a segment to its flow and does what the flow says. False when the flow has ended
    /// and the segment is the slow path's.
    fn segment(&mut self, id: FlowId, packet: &TcpPacket<'_>) -> bool {
        let shared = &self.shared;
        let Some((st, slot)) = shared.flows.get(&mut self.token, id.0) else {
            return false;
        };
        if slot.app.ended {
            return false;
        }
        let rx_base = ShmOffset(st.rx_base_sp & RX_BASE_MASK);
        let ring = TxRing {
            base: ShmOffset(st.tx_base),
            len: st.tx_len,
        };
        let rx_len = st.rx_len;
        let mut flow = Flow {
            st,
            ext: &mut slot.ext,
        };
        let segment = Segment::from(packet);
        self.tx.trace.segment(id, flow.st, &segment);
        let received = flow.on_segment(&segment, &shared.params, self.now);
        if received.loss {
            self.tx.trace.retransmit(id, flow.st);
        }
        let deadline = flow.deadline();

        if let Some(plan) = &received.ack_first
            && self.tx.ready(&mut self.nic, &self.counters)
        {
            self.tx.segment(&slot.template, plan, ring);
            self.counters.acks_sent.add(1);
        }
        if let Some(copy) = received.copy {
            let from = copy.from as usize;
            let data = packet
                .payload
                .get(from..from + copy.len as usize)
                .unwrap_or_default();
            // The place is the slow path's choice, inside the arena.
            let _ = shared.arena.write_ring(rx_base, rx_len, copy.to, data);
        }
        count(&self.counters, &received.notice, &segment);
        if !received.notice.is_empty() {
            slot.app.note(&received.notice);
            if slot.app.owner == Owner::Context {
                self.schedule.notice(id, &mut slot.app);
            }
        }
        if received.ack {
            self.schedule.ack(id, &mut slot.app);
        }
        if received.send {
            self.schedule.send(id, &mut slot.app);
        }
        self.schedule.timers.arm_by(id.0, deadline);
        self.act_on_end(id, &received);
        true
    }

    #[inline]
    fn act_on_end(&mut self, id: FlowId, received: &Received) {
        if let Some(end) = received.end {
            self.finish(id, end);
        }
    }

    /// Runs the timers that are due.
    pub(super) fn run_timers(&mut self) -> bool {
        let mut due = std::mem::take(&mut self.due);
        self.schedule
            .timers
            .advance(self.now, |id| due.push(FlowId(id)));
        let worked = !due.is_empty();
        for id in due.drain(..) {
            self.timer(id);
        }
        self.due = due;
        worked
    }

    fn timer(&mut self, id: FlowId) {
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        if slot.app.ended || !slot.app.installed {
            return;
        }
        let mut flow = Flow {
            st,
            ext: &mut slot.ext,
        };
        let mut end: Option<End> = None;
        if flow.deadline() <= self.now {
            let outcome = flow.on_timer(&self.shared.params, self.now);
            if outcome.ack {
                self.schedule.ack(id, &mut slot.app);
            }
            if outcome.send {
                self.schedule.send(id, &mut slot.app);
            }
            if outcome.retransmit {
                self.tx.trace.retransmit(id, flow.st);
                self.counters.timeouts.add(1);
            }
            end = outcome.end;
            if end == Some(End::TimedOut) {
                slot.app.note(&Notice {
                    rx_closed: true,
                    reset: true,
                    ..Notice::default()
                });
            }
        }
        let deadline = Flow {
            st,
            ext: &mut slot.ext,
        }
        .deadline();
        self.schedule.timers.arm_by(id.0, deadline);
        if let Some(end) = end {
            self.finish(id, end);
        }
    }
}

#[inline]
fn count(counters: &CoreCounters, notice: &Notice, segment: &Segment) {
    counters.rx_bytes.add(u64::from(notice.rx_bump));
    if notice.tx_bump != 0 {
        counters.acks_received.add(1);
    }
    if segment.flags.contains(tas_wire::TcpFlags::ECE) {
        counters.ecn_echoes.add(1);
    }
}
