//! Receiving: from a burst of frames to flows, and up to the slow path for the rest.

use std::net::Ipv4Addr;

use tas_shm::{OwnerToken, ShmOffset};
use tas_wire::{FlowTuple, Packet, ParseError, PlainSegment, SackBlocks, TcpPacket, Verify};

use super::counters::CoreCounters;
use super::slot::{FlowSlot, Owner};
use super::steer::{Stray, Strays};
use super::tx::TxRing;
use super::{Core, Flows, fetch};
use crate::nic::{BURST, Frame, Frames, NicQueue, RxChecksum};
use crate::proto::{End, Flow, Notice, Received, Segment, Signs};
use crate::types::{FlowId, Micros};

/// Bursts in one turn.
pub(super) const BURSTS: usize = 4;
/// Frames ahead whose bytes are fetched while one is parsed, and segments ahead for whose data room
/// is fetched while one is processed.
const AHEAD: usize = 4;
/// Segments that are parsed while an entry of the flow table comes.
const TABLE_AHEAD: usize = 8;
/// Flows ahead that are fetched while the timers of one are looked at.
const TIMERS_AHEAD: usize = 8;

/// Who has looked at a frame before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The port, which may know the checksums.
    Port,
    /// Another core, which has verified them.
    Verified,
}

/// What is known of a segment's TCP checksum.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TcpChecksum {
    /// It is right.
    Right,
    /// It is looked at when the segment's turn comes, just before the data is copied: those of a
    /// burst do not stay in the nearest cache from one loop to the next.
    Open,
}

/// A segment of a burst on its way to its flow.
#[derive(Clone, Copy)]
struct Arrival {
    segment: Segment,
    tuple: FlowTuple,
    hash: u32,
    /// Its frame in the burst.
    frame: u16,
    /// Where the data begins in the frame.
    payload_at: u16,
    checksum: TcpChecksum,
    /// The flow that its hash names.
    flow: Option<FlowId>,
}

/// The segments of a burst. They stay where they are: a flow's segment is looked at three times,
/// and fetched from memory in between.
pub(super) struct Arrivals {
    list: Box<[Arrival; BURST]>,
    len: usize,
}

impl Arrivals {
    pub(super) fn new() -> Arrivals {
        let none = Arrival {
            segment: Segment::default(),
            tuple: FlowTuple {
                local_ip: Ipv4Addr::UNSPECIFIED,
                local_port: 0,
                remote_ip: Ipv4Addr::UNSPECIFIED,
                remote_port: 0,
            },
            hash: 0,
            frame: 0,
            payload_at: 0,
            checksum: TcpChecksum::Open,
            flow: None,
        };
        Arrivals {
            list: Box::new([none; BURST]),
            len: 0,
        }
    }

    /// The next place; a full burst fits.
    #[inline]
    fn place(&mut self) -> Option<&mut Arrival> {
        let place = self.list.get_mut(self.len)?;
        self.len += 1;
        Some(place)
    }
}

impl Arrival {
    /// Field by field: a structure put together elsewhere and moved here would wait for every
    /// store before it, those to the applications' memory included.
    #[inline(always)]
    fn set_plain(&mut self, plain: &PlainSegment, checksum: TcpChecksum) {
        self.checksum = checksum;
        let segment = &mut self.segment;
        segment.seq = plain.seq;
        segment.ack = plain.ack;
        segment.flags = plain.flags;
        segment.window = plain.window;
        segment.timestamps = plain.timestamps;
        segment.ce = plain.ecn == tas_wire::Ecn::Ce;
        segment.sack = false;
        segment.len = plain.payload_len.into();
        self.tuple = plain.tuple;
        self.hash = plain.tuple.hash();
        self.payload_at = plain.payload_at;
    }

    #[cold]
    fn set(&mut self, packet: &TcpPacket<'_>, frame: &[u8]) {
        self.checksum = TcpChecksum::Right;
        self.segment = Segment::from(packet);
        self.tuple = packet.tuple();
        self.hash = self.tuple.hash();
        self.payload_at = payload_at(frame, packet);
    }
}

/// Where a packet's data begins in its frame.
fn payload_at(frame: &[u8], packet: &TcpPacket<'_>) -> u16 {
    let start = frame.as_ptr().addr();
    let distance = packet.payload.as_ptr().addr().wrapping_sub(start);
    u16::try_from(distance).unwrap_or(u16::MAX)
}

/// Flags of the flow state's receive base (`FLEXNIC_PL_FLOWST_RX_MASK` keeps the place).
const RX_BASE_MASK: u64 = !63;

impl<Q: NicQueue> Core<Q> {
    /// Takes what the port has received. Full bursts are followed by others: more may be sent in
    /// a turn than a burst holds, and on a port that is looped back all of it comes in again.
    pub(super) fn receive(&mut self) -> bool {
        let first = self.receive_burst();
        let mut last = first;
        for _ in 1..BURSTS {
            if last < BURST {
                break;
            }
            last = self.receive_burst();
        }
        first > 0
    }

    /// Takes a burst from the port; returns how many frames.
    #[inline]
    fn receive_burst(&mut self) -> usize {
        let mut frames = Frames::<Q::Frame>::new();
        let count = self.nic.rx_burst(&mut frames);
        if count == 0 {
            return 0;
        }
        self.counters.rx_frames.add(count as u64);
        for frame in frames.iter().take(AHEAD) {
            frame.prefetch();
        }
        self.take_frames(&mut frames, Trust::Port);
        count
    }

    /// Gives the frames of a burst to whom they belong.
    #[inline(never)]
    pub(super) fn take_frames(&mut self, frames: &mut Frames<Q::Frame>, trust: Trust) {
        self.arrivals.len = 0;
        for (index, frame) in frames.iter().enumerate() {
            if let Some(later) = frames.get(index + AHEAD) {
                later.prefetch();
            }
            let checksum = match trust {
                Trust::Port => {
                    self.tx.trace.received(|| frame.data());
                    frame.rx_checksum()
                }
                Trust::Verified => RxChecksum::Good,
            };
            self.classify(frame.data(), checksum, index as u16);
            self.find_flow(self.arrivals.len.wrapping_sub(TABLE_AHEAD));
        }
        for index in self.arrivals.len.saturating_sub(TABLE_AHEAD - 1)..self.arrivals.len {
            self.find_flow(index);
        }
        let mut strays = Strays::new();
        for index in 0..self.arrivals.len {
            self.fetch_target(index + AHEAD);
            let Some(arrival) = self.arrivals.list.get(index) else {
                break;
            };
            let frame = usize::from(arrival.frame);
            if let Some(frame) = frames.get(frame)
                && !self.arrived(index, frame.data())
            {
                self.not_here(index, frame, &mut strays);
            }
        }
        if strays.is_empty() {
            self.nic.recycle(frames);
        } else {
            self.send_on(frames, &strays);
        }
    }

    /// Finds out whose the segment at a place of the burst is, since no flow of this core took
    /// it.
    #[inline]
    fn not_here(&mut self, index: usize, frame: &Q::Frame, strays: &mut Strays) {
        let Some(arrival) = self.arrivals.list.get(index) else {
            return;
        };
        let (tuple, place) = (arrival.tuple, usize::from(arrival.frame));
        match self.stray(&tuple, arrival.hash, frame.rss_hash()) {
            Stray::Up => self.punt(frame.data(), &tuple),
            stray => strays.push((place, stray)),
        }
    }

    /// Fetches the flow of the segment at a place of the burst. One after the other while others
    /// are parsed: all at once would be more than the processor can wait for at a time.
    #[inline]
    fn find_flow(&mut self, index: usize) {
        if let Some(arrival) = self.arrivals.list.get_mut(index) {
            arrival.flow = self.shared.table.candidates(arrival.hash).next();
            if let Some(flow) = arrival.flow {
                self.shared.flows.prefetch(flow.0, FlowSlot::ARRIVING);
            }
        }
    }

    /// Fetches the place where a segment's data will go, and what the end of a control interval
    /// needs.
    #[inline]
    fn fetch_target(&mut self, index: usize) {
        let shared = &self.shared;
        if let Some(arrival) = self.arrivals.list.get(index)
            && index < self.arrivals.len
            && let Some(flow) = arrival.flow
            && let Some((st, slot)) = shared.flows.get(&mut self.token, flow.0)
        {
            if slot.ext.interval_is_over(self.now) {
                shared.flows.prefetch_private(flow.0, FlowSlot::INTERVAL);
            }
            let ring = ShmOffset(st.rx_base_sp & RX_BASE_MASK);
            let (pos, len) = (st.rx_next_pos, arrival.segment.len.min(fetch::FIRST));
            shared.arena.prefetch_ring_write(ring, st.rx_len, pos, len);
        }
    }

    /// Gives the segment at a place of the burst to its flow; false when this core has none.
    #[inline]
    fn arrived(&mut self, index: usize, frame: &[u8]) -> bool {
        let Some(&Arrival {
            ref segment,
            tuple,
            hash,
            payload_at,
            checksum,
            flow,
            ..
        }) = self.arrivals.list.get(index)
        else {
            return true;
        };
        let segment = *segment;
        let end = usize::from(payload_at) + segment.len as usize;
        if checksum == TcpChecksum::Open && !PlainSegment::is_intact(frame, end) {
            self.malformed(ParseError::BadTcpChecksum.index());
            return true;
        }
        let payload = frame.get(usize::from(payload_at)..).unwrap_or_default();
        let flow = match flow {
            Some(flow) if is_flow_of(&self.shared.flows, &mut self.token, flow, &tuple) => {
                Some(flow)
            }
            // Nearly never: two connections of one hash.
            Some(_) => self.lookup(&tuple, hash),
            None => None,
        };
        let Some(flow) = flow else {
            return false;
        };
        if segment.sack {
            return self.segment(flow, &segment, &sacks_of(frame), payload);
        }
        self.segment(flow, &segment, &SackBlocks::NONE, payload)
    }

    /// A frame that the slow path found to belong to an installed flow. It is dropped if that
    /// has changed meanwhile: the peer sends it again.
    pub(super) fn reinjected(&mut self, frame: &[u8]) {
        let Ok(Packet::Tcp(packet)) = tas_wire::parse_with(frame, Verify::NONE) else {
            return;
        };
        let tuple = packet.tuple();
        let hash = tuple.hash();
        if let Some(flow) = self.lookup(&tuple, hash) {
            let sacks = &packet.options.sack;
            self.segment(flow, &Segment::from(&packet), sacks, packet.payload);
        } else if let Stray::Park(_) = self.stray(&tuple, hash, None) {
            self.parked_bytes.push(frame.into());
        }
    }

    /// Parses a frame. Frames other than TCP go to the slow path here, broken ones nowhere.
    #[inline]
    fn classify(&mut self, frame: &[u8], checksum: RxChecksum, index: u16) {
        let (verify, tcp) = match checksum {
            RxChecksum::Good => (Verify::NONE, TcpChecksum::Right),
            RxChecksum::Tcp => (
                Verify {
                    ip: true,
                    transport: false,
                },
                TcpChecksum::Right,
            ),
            // A port that says "bad" is believed only after a look of our own: it may not
            // have understood the frame.
            RxChecksum::Unknown | RxChecksum::Bad => (Verify::ALL, TcpChecksum::Open),
        };
        let first = Verify {
            transport: false,
            ..verify
        };
        match PlainSegment::parse(frame, first) {
            Some(plain) => {
                self.shared.table.prefetch(plain.tuple.hash());
                if let Some(arrival) = self.arrivals.place() {
                    arrival.set_plain(&plain, tcp);
                    arrival.frame = index;
                }
            }
            None => self.classify_any(frame, verify, index),
        }
    }

    #[cold]
    #[inline(never)]
    fn classify_any(&mut self, frame: &[u8], verify: Verify, index: u16) {
        match tas_wire::parse_with(frame, verify) {
            Ok(Packet::Tcp(packet)) => {
                if let Some(arrival) = self.arrivals.place() {
                    arrival.set(&packet, frame);
                    arrival.frame = index;
                }
            }
            Ok(Packet::Arp(_) | Packet::Icmp(_)) => self.pass_up(frame),
            Ok(Packet::Other(_)) => self.counters.unknown_protocol.add(1),
            Err(error) => self.malformed(error.index()),
        }
    }

    #[cold]
    fn malformed(&self, index: usize) {
        if let Some(counter) = self.counters.malformed.get(index) {
            counter.add(1);
        }
    }

    fn lookup(&mut self, tuple: &FlowTuple, hash: u32) -> Option<FlowId> {
        let shared = &self.shared;
        shared
            .table
            .candidates(hash)
            .find(|flow| is_flow_of(&shared.flows, &mut self.token, *flow, tuple))
    }

    /// Passes a segment without a flow up, if it is for one of our addresses.
    #[cold]
    fn punt(&mut self, frame: &[u8], tuple: &FlowTuple) {
        if self.shared.addresses.contains(&tuple.local_ip) {
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

    /// Gives a segment to its flow and does what the flow says; `payload` begins with the
    /// segment's data. False when the flow has ended and the segment is the slow path's.
    fn segment(
        &mut self,
        id: FlowId,
        segment: &Segment,
        sacks: &SackBlocks,
        payload: &[u8],
    ) -> bool {
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
        self.tx.trace.segment(id, flow.st, segment);
        let mut received = Received::default();
        flow.take_segment(segment, sacks, &shared.params, self.now, &mut received);
        if !received.signs.is_empty() {
            if received.signs.contains(Signs::LOSS) {
                self.tx.trace.retransmit(id, flow.st);
            }
            count_signs(&self.counters, received.signs);
        }
        self.tx.trace.queued(received.send, id, &flow);
        let deadline = flow.deadline();

        if let Some(plan) = &received.ack_first
            && self.tx.ready(&mut self.nic, &self.counters)
        {
            self.tx.segment(&slot.template, plan, ring);
            self.counters.acks_sent.add(1);
        }
        if let Some(copy) = &received.copy {
            let from = copy.from as usize;
            let data = payload
                .get(from..from + copy.len as usize)
                .unwrap_or_default();
            self.tx.trace.written(rx_base, rx_len, copy.to, data);
            // The place is the slow path's choice, inside the arena.
            let _ = shared.arena.write_ring(rx_base, rx_len, copy.to, data);
        }
        count(&self.counters, &received.notice, segment);
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
        self.schedule.arm(id, &mut slot.app, deadline);
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
        for (index, id) in due.iter().enumerate() {
            if let Some(later) = due.get(index + TIMERS_AHEAD) {
                self.shared
                    .flows
                    .prefetch_private(later.0, FlowSlot::TIMERS);
            }
            self.timer(*id);
        }
        due.clear();
        self.due = due;
        worked
    }

    fn timer(&mut self, id: FlowId) {
        let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
            return;
        };
        slot.app.armed = Micros(0);
        if slot.app.ended || !slot.app.installed {
            return;
        }
        if slot.app.deadline > self.now {
            // Put off since, as nearly always.
            let deadline = slot.app.deadline;
            self.schedule.arm(id, &mut slot.app, deadline);
            return;
        }
        let mut flow = Flow {
            st,
            ext: &mut slot.ext,
        };
        let mut end: Option<End> = None;
        let mut keepalive = false;
        let mut lowered = None;
        if flow.deadline() <= self.now {
            let outcome = flow.on_timer(&self.shared.params, self.now);
            if outcome.ack {
                self.schedule.ack(id, &mut slot.app);
            }
            if outcome.send {
                self.tx.trace.queued(true, id, &flow);
                self.schedule.send(id, &mut slot.app);
            }
            count_signs(&self.counters, outcome.signs);
            if outcome.signs.contains(Signs::PATH) {
                lowered = Some(flow.path_limit());
            }
            if outcome.retransmit {
                self.tx.trace.retransmit(id, flow.st);
                self.counters.timeouts.add(1);
            }
            keepalive = outcome.keepalive;
            end = outcome.end;
            if end == Some(End::TimedOut) {
                slot.app.timed_out = true;
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
        self.schedule.arm(id, &mut slot.app, deadline);
        if keepalive {
            self.send_keepalive(id);
        }
        if let Some(limit) = lowered {
            self.path_lowered(id, limit);
        }
        if let Some(end) = end {
            self.finish(id, end);
        }
    }
}

/// Whether a flow is installed here for these addresses and ports.
#[inline]
fn is_flow_of(flows: &Flows, token: &mut OwnerToken, flow: FlowId, tuple: &FlowTuple) -> bool {
    flows.get(token, flow.0).is_some_and(|(st, slot)| {
        slot.app.installed
            && st.remote_ip.get() == tuple.remote_ip.to_bits()
            && st.local_ip.get() == tuple.local_ip.to_bits()
            && st.remote_port.get() == tuple.remote_port
            && st.local_port.get() == tuple.local_port
    })
}

/// The SACK blocks of a frame that is known to be a TCP segment.
#[cold]
fn sacks_of(frame: &[u8]) -> SackBlocks {
    match tas_wire::parse_with(frame, Verify::NONE) {
        Ok(Packet::Tcp(packet)) => packet.options.sack,
        _ => SackBlocks::NONE,
    }
}

#[cold]
fn count_signs(counters: &CoreCounters, signs: Signs) {
    let counted = [
        (Signs::LOSS, &counters.recoveries),
        (Signs::SPURIOUS, &counters.recoveries_undone),
        (Signs::PROBE, &counters.tail_probes),
        (Signs::BAD_SACK, &counters.bad_sacks),
        (Signs::BLACK_HOLE, &counters.black_holes),
        (Signs::CHALLENGE, &counters.challenges),
    ];
    for (sign, counter) in counted {
        if signs.contains(sign) {
            counter.add(1);
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
