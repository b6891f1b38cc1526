//! What a core records when tracing is on.
//!
//! Each hook is a test of one bit while it is off; a turn begins with one look at the word that
//! switches it. Records have the form of `tas_abi::trace`.

use std::io;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use tas_abi::memif::{Arx, ArxMsg, FlowSt};
use tas_abi::trace::{
    FLEXNIC_PL_TREV_AFLOQMAN, FLEXNIC_PL_TREV_ARX, FLEXNIC_PL_TREV_ATX, FLEXNIC_PL_TREV_REXMIT,
    FLEXNIC_PL_TREV_RXFS, FLEXNIC_PL_TREV_TXACK, FLEXNIC_PL_TREV_TXSEG, FLEXNIC_TRACE_EV_DMARD,
    FLEXNIC_TRACE_EV_DMAWR, FLEXNIC_TRACE_EV_QMEVT, FLEXNIC_TRACE_EV_QMSET, FLEXNIC_TRACE_EV_RXPKT,
    FLEXNIC_TRACE_EV_TXPKT, TraceEntryDma, TraceEntryHead, TraceEntryQmanEvent, TraceEntryQmanSet,
    TraceEntryTail, TrevAfloqman, TrevArx, TrevAtx, TrevRexmit, TrevRxfs, TrevTxack, TrevTxseg,
};
use tas_abi::trace_control::{
    TRACE_ALL, TRACE_CONTROL_MAGIC, TRACE_RING_OFF, TRACE_SNAP_SHIFT, TraceControl, trace_bit,
    trace_control_off, trace_region_len,
};
use tas_shm::{Backing, LogPlaces, LogWriter, Mapping, SharedTable, ShmOffset};
use tas_wire::{Packet, Verify};
use zerocopy::{Immutable, IntoBytes};

use super::tx::TxRing;
use crate::proto::{AppBump, Flow, Segment};
use crate::types::{ContextId, FlowId};

const RXPKT: u16 = trace_bit(FLEXNIC_TRACE_EV_RXPKT);
const TXPKT: u16 = trace_bit(FLEXNIC_TRACE_EV_TXPKT);
const ATX: u16 = trace_bit(FLEXNIC_PL_TREV_ATX);
const ARX: u16 = trace_bit(FLEXNIC_PL_TREV_ARX);
const RXFS: u16 = trace_bit(FLEXNIC_PL_TREV_RXFS);
const TXACK: u16 = trace_bit(FLEXNIC_PL_TREV_TXACK);
const TXSEG: u16 = trace_bit(FLEXNIC_PL_TREV_TXSEG);
const AFLOQMAN: u16 = trace_bit(FLEXNIC_PL_TREV_AFLOQMAN);
const REXMIT: u16 = trace_bit(FLEXNIC_PL_TREV_REXMIT);
const QMSET: u16 = trace_bit(FLEXNIC_TRACE_EV_QMSET);
const QMEVT: u16 = trace_bit(FLEXNIC_TRACE_EV_QMEVT);
const DMARD: u16 = trace_bit(FLEXNIC_TRACE_EV_DMARD);
const DMAWR: u16 = trace_bit(FLEXNIC_TRACE_EV_DMAWR);

/// What a record of a change of the queue manager sets, by the original's bits: the rate, the
/// largest chunk, and the bytes to send.
const QMAN_SET: u8 = 1 | 1 << 1 | 1 << 3;

/// Which events are recorded, and how much of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A bit for each event, by its place in [`tas_abi::trace_control::TRACE_EVENTS`].
    pub events: u16,
    /// Bytes of a frame, or of data copied.
    pub snap: u16,
}

impl Wanted {
    /// Nothing.
    pub const NOTHING: Wanted = Wanted { events: 0, snap: 0 };

    /// As the word that tools write.
    pub fn word(self) -> u64 {
        u64::from(self.snap) << TRACE_SNAP_SHIFT | u64::from(self.events)
    }

    fn from_word(word: u64) -> Wanted {
        Wanted {
            events: word as u16 & TRACE_ALL,
            snap: (word >> TRACE_SNAP_SHIFT) as u16,
        }
    }
}

/// A core's trace, or none.
pub struct Trace {
    /// Bits of the events that are recorded.
    events: u16,
    ring: Option<Box<Ring>>,
}

/// Where the records go.
struct Ring {
    log: LogWriter,
    /// The word that tools write; index 0.
    wanted: SharedTable,
    /// The word as it was when last looked at.
    seen: u64,
    snap: usize,
    seq: u32,
    file: Backing,
}

impl Trace {
    /// No trace, and no way to switch one on.
    pub fn none() -> Trace {
        Trace {
            events: 0,
            ring: None,
        }
    }

    /// A trace with a ring of `len` bytes in `file`, which is [`trace_region_len`] long and zero.
    /// Its memory is taken when it is first switched on.
    ///
    /// # Errors
    /// The file is too short, cannot be mapped, or is in use.
    pub fn new(file: Backing, len: u32, wanted: Wanted) -> io::Result<Trace> {
        let mapping = Arc::new(Mapping::new(file.fd(), trace_region_len(len), true)?);
        let control = trace_control_off(len);
        mapping.store_u64(TRACE_RING_OFF - 8, len.into())?;
        mapping.store_u64(control, TRACE_CONTROL_MAGIC)?;
        let word = control + std::mem::offset_of!(TraceControl, wanted) as u64;
        mapping.store_u64(word, wanted.word())?;
        let log = LogWriter::map(
            &mapping,
            LogPlaces {
                end: 0,
                ring: TRACE_RING_OFF,
                len,
                claimed: control + std::mem::offset_of!(TraceControl, claimed) as u64,
                written: control + std::mem::offset_of!(TraceControl, written) as u64,
            },
        )?;
        Ok(Trace {
            events: 0,
            ring: Some(Box::new(Ring {
                log,
                wanted: SharedTable::map_table(&mapping, word, 1)?,
                seen: 0,
                snap: 0,
                seq: 0,
                file,
            })),
        })
    }

    /// Looks whether tracing is to be switched; once in a turn.
    #[inline]
    pub fn poll(&mut self) {
        if let Some(ring) = &self.ring
            && ring.wanted.load(0) != ring.seen
        {
            self.switch();
        }
    }

    #[cold]
    fn switch(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        ring.seen = ring.wanted.load(0);
        let wanted = Wanted::from_word(ring.seen);
        ring.snap = wanted.snap.into();
        self.events = wanted.events;
        // What is touched later must be there, or the touch ends the service.
        if self.events != 0
            && let Err(error) = ring.file.populate(0, trace_region_len(ring.log.len()))
        {
            log::warn!("no tracing, since there is no memory for it: {error}");
            self.events = 0;
        }
    }

    /// A frame was received.
    #[inline]
    pub fn received<'a>(&mut self, frame: impl FnOnce() -> &'a [u8]) {
        if self.events & RXPKT != 0 {
            self.frame(FLEXNIC_TRACE_EV_RXPKT, frame());
        }
    }

    /// A frame is given to the port.
    #[inline]
    pub fn sent<'a>(&mut self, frame: impl FnOnce() -> &'a [u8]) {
        if self.events & (TXPKT | TXACK | TXSEG) != 0 {
            self.record_sent(frame());
        }
    }

    /// [`Trace::record_read`] is to be told of data copied out of connections' buffers.
    #[inline]
    pub fn reads(&self) -> bool {
        self.events & DMARD != 0
    }

    /// Data that is to be sent is copied from a place of a connection's buffer.
    #[cold]
    pub fn record_read(&mut self, ring: TxRing, pos: u32, data: &[u8]) {
        self.record_copy(FLEXNIC_TRACE_EV_DMARD, ring.base, ring.len, pos, data);
    }

    /// Data that was received is copied to a place of a connection's buffer.
    #[inline]
    pub fn written(&mut self, base: ShmOffset, len: u32, pos: u32, data: &[u8]) {
        if self.events & DMAWR != 0 {
            self.record_copy(FLEXNIC_TRACE_EV_DMAWR, base, len, pos, data);
        }
    }

    /// A segment came for a flow, which has not seen it yet.
    #[inline]
    pub fn segment(&mut self, id: FlowId, st: &FlowSt, segment: &Segment) {
        if self.events & RXFS != 0 {
            // Of a copy, so that the segment itself need not lie in memory when this is off;
            // the same below.
            let segment = *segment;
            self.record_segment(id, st, &segment);
        }
    }

    /// An update came from an application, and its flow has not seen it yet.
    #[inline]
    pub fn app_update(&mut self, id: FlowId, context: ContextId, st: &FlowSt, bump: &AppBump) {
        if self.events & ATX != 0 {
            let bump = *bump;
            self.record_app_update(id, context, st, &bump);
        }
    }

    /// An application is told of a flow.
    #[inline]
    pub fn app_event(&mut self, id: FlowId, st: &FlowSt, entry: &Arx) {
        if self.events & ARX != 0 {
            let entry = *entry;
            self.record_app_event(id, st, &entry);
        }
    }

    /// A flow comes in line to send, if `sends`.
    #[inline]
    pub fn queued(&mut self, sends: bool, id: FlowId, flow: &Flow<'_>) {
        if self.events & QMSET != 0 && sends {
            self.record_queued(id, flow);
        }
    }

    /// A flow has its turn to send.
    #[inline]
    pub fn turn(&mut self, id: FlowId, flow: &Flow<'_>) {
        if self.events & (QMEVT | AFLOQMAN) != 0 {
            self.record_turn(id, flow);
        }
    }

    /// A flow went back to retransmit.
    #[inline]
    pub fn retransmit(&mut self, id: FlowId, st: &FlowSt) {
        if self.events & REXMIT != 0 {
            self.record_retransmit(id, st);
        }
    }

    #[cold]
    fn frame(&mut self, kind: u16, frame: &[u8]) {
        if let Some(ring) = &mut self.ring {
            let frame = frame.get(..ring.snap).unwrap_or(frame);
            ring.write(kind, frame);
        }
    }

    #[cold]
    fn record_sent(&mut self, frame: &[u8]) {
        if self.events & TXPKT != 0 {
            self.frame(FLEXNIC_TRACE_EV_TXPKT, frame);
        }
        let Ok(Packet::Tcp(packet)) = tas_wire::parse_with(frame, Verify::NONE) else {
            return;
        };
        let (local_ip, remote_ip) = (packet.ip_src.to_bits(), packet.ip_dst.to_bits());
        let tuple = packet.tuple();
        // The tuple of a frame is that of its receiver.
        let (local_port, remote_port) = (tuple.remote_port, tuple.local_port);
        let (flow_seq, flow_ack) = (packet.tcp.seq.0, packet.tcp.ack.0);
        let flow_flags = packet.tcp.flags.0.into();
        if packet.payload.is_empty() {
            let record = TrevTxack {
                local_ip,
                remote_ip,
                local_port,
                remote_port,
                flow_seq,
                flow_ack,
                flow_flags,
            };
            self.record(TXACK, FLEXNIC_PL_TREV_TXACK, &record);
        } else {
            let record = TrevTxseg {
                local_ip,
                remote_ip,
                local_port,
                remote_port,
                flow_seq,
                flow_ack,
                flow_flags,
                flow_len: packet.payload.len() as u16,
            };
            self.record(TXSEG, FLEXNIC_PL_TREV_TXSEG, &record);
        }
    }

    #[cold]
    fn record_segment(&mut self, id: FlowId, st: &FlowSt, segment: &Segment) {
        let record = TrevRxfs {
            local_ip: st.local_ip.get(),
            remote_ip: st.remote_ip.get(),
            local_port: st.local_port.get(),
            remote_port: st.remote_port.get(),
            flow_id: id.0,
            flow_seq: segment.seq.0,
            flow_ack: segment.ack.0,
            flow_flags: segment.flags.0.into(),
            flow_len: segment.len as u16,
            fs_rx_nextpos: st.rx_next_pos,
            fs_rx_nextseq: st.rx_next_seq,
            fs_rx_avail: st.rx_avail,
            fs_tx_nextpos: st.tx_next_pos,
            fs_tx_nextseq: st.tx_next_seq,
            fs_tx_sent: st.tx_sent,
            fs_tx_avail: st.tx_avail,
        };
        self.record(RXFS, FLEXNIC_PL_TREV_RXFS, &record);
    }

    #[cold]
    fn record_app_update(&mut self, id: FlowId, context: ContextId, st: &FlowSt, bump: &AppBump) {
        let record = TrevAtx {
            rx_bump: bump.rx_bump,
            tx_bump: bump.tx_bump,
            bump_seq_ent: bump.bump_seq.into(),
            flags: bump.tx_done.into(),
            local_ip: st.local_ip.get(),
            remote_ip: st.remote_ip.get(),
            local_port: st.local_port.get(),
            remote_port: st.remote_port.get(),
            flow_id: id.0,
            db_id: context.0.into(),
            tx_next_pos: st.tx_next_pos,
            tx_next_seq: st.tx_next_seq,
            tx_avail_prev: st.tx_avail,
            rx_next_pos: st.rx_next_pos,
            rx_avail: st.rx_avail,
            tx_len: st.tx_len,
            rx_len: st.rx_len,
            rx_remote_avail: st.rx_remote_avail,
            tx_sent: st.tx_sent,
            bump_seq_flow: st.bump_seq.into(),
        };
        self.record(ATX, FLEXNIC_PL_TREV_ATX, &record);
    }

    #[cold]
    fn record_app_event(&mut self, id: FlowId, st: &FlowSt, entry: &Arx) {
        let Ok(ArxMsg::ConnUpdate(event)) = ArxMsg::try_from(*entry) else {
            return;
        };
        let record = TrevArx {
            opaque: event.opaque,
            rx_bump: event.rx_bump,
            tx_bump: event.tx_bump,
            rx_pos: event.rx_pos,
            flags: event.flags.into(),
            flow_id: id.0,
            db_id: st.db_id.into(),
            local_ip: st.local_ip.get(),
            remote_ip: st.remote_ip.get(),
            local_port: st.local_port.get(),
            remote_port: st.remote_port.get(),
        };
        self.record(ARX, FLEXNIC_PL_TREV_ARX, &record);
    }

    #[cold]
    fn record_queued(&mut self, id: FlowId, flow: &Flow<'_>) {
        let record = TraceEntryQmanSet {
            id: id.0,
            rate: flow.st.tx_rate,
            avail: flow.sendable(),
            max_chunk: flow.mss(),
            opaque: 0,
            flags: QMAN_SET,
        };
        self.record(QMSET, FLEXNIC_TRACE_EV_QMSET, &record);
    }

    #[cold]
    fn record_turn(&mut self, id: FlowId, flow: &Flow<'_>) {
        let st = &*flow.st;
        let event = TraceEntryQmanEvent {
            id: id.0,
            bytes: u16::try_from(flow.sendable()).unwrap_or(u16::MAX),
            opaque: 0,
            pad: 0,
        };
        self.record(QMEVT, FLEXNIC_TRACE_EV_QMEVT, &event);
        let record = TrevAfloqman {
            tx_base: st.tx_base,
            tx_avail: st.tx_avail,
            tx_next_pos: st.tx_next_pos,
            tx_len: st.tx_len,
            rx_remote_avail: st.rx_remote_avail,
            tx_sent: st.tx_sent,
            flow_id: id.0,
        };
        self.record(AFLOQMAN, FLEXNIC_PL_TREV_AFLOQMAN, &record);
    }

    #[cold]
    fn record_retransmit(&mut self, id: FlowId, st: &FlowSt) {
        let record = TrevRexmit {
            flow_id: id.0,
            tx_avail: st.tx_avail,
            tx_sent: st.tx_sent,
            tx_next_pos: st.tx_next_pos,
            tx_next_seq: st.tx_next_seq,
            rx_remote_avail: st.rx_remote_avail,
        };
        self.record(REXMIT, FLEXNIC_PL_TREV_REXMIT, &record);
    }

    /// Two records if the data goes around the buffer's end.
    #[cold]
    fn record_copy(&mut self, kind: u16, base: ShmOffset, len: u32, pos: u32, data: &[u8]) {
        let Some(ring) = &mut self.ring else { return };
        let to_end = len.saturating_sub(pos) as usize;
        let (first, second) = data.split_at_checked(to_end).unwrap_or((data, &[]));
        for (pos, data) in [(pos, first), (0, second)] {
            if !data.is_empty() {
                ring.write_dma(kind, base + u64::from(pos), data);
            }
        }
    }

    fn record(&mut self, bit: u16, kind: u16, record: &(impl IntoBytes + Immutable)) {
        if self.events & bit != 0
            && let Some(ring) = &mut self.ring
        {
            ring.write(kind, record.as_bytes());
        }
    }
}

impl Ring {
    fn write(&mut self, kind: u16, body: &[u8]) {
        self.write_parts(kind, body, &[]);
    }

    fn write_dma(&mut self, kind: u16, addr: ShmOffset, data: &[u8]) {
        let access = TraceEntryDma {
            addr: addr.0,
            len: data.len() as u64,
            data: [],
        };
        let most = self
            .snap
            .min(usize::from(u16::MAX) - size_of::<TraceEntryDma>());
        let data = data.get(..most).unwrap_or(data);
        self.write_parts(kind, access.as_bytes(), data);
    }

    fn write_parts(&mut self, kind: u16, body: &[u8], data: &[u8]) {
        // Frames were cut to what 16 bits hold, and records are short.
        let length = (body.len() + data.len()) as u16;
        let head = TraceEntryHead {
            ts: monotonic_ns(),
            seq: self.seq,
            type_: kind,
            length,
        };
        self.seq = self.seq.wrapping_add(1);
        let tail = TraceEntryTail { length };
        self.log
            .write(&[head.as_bytes(), body, data, tail.as_bytes()]);
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
