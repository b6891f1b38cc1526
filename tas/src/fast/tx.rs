//! Sending: frames are filled, collected into bursts and given to the port.

use std::sync::Arc;

use tas_abi::memif::FlowSt;
use tas_shm::{Arena, ShmOffset};
use tas_wire::checksum::Sum;
use tas_wire::{
    ChecksumMode, Ecn, PlainChecksum, PlainFields, SegmentFields, TcpTemplate, ethernet, ipv4,
};

use super::counters::CoreCounters;
use super::fetch;
use super::trace::Trace;
use crate::nic::{Frame, Frames, NicQueue};
use crate::proto::SegmentPlan;

/// How a core's frames get their checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksums {
    /// The port fills in TCP's.
    Offload,
    /// The core does.
    Software,
}

/// Where a segment's payload lies.
#[derive(Clone, Copy)]
pub struct TxRing {
    /// The transmit ring's place.
    pub base: ShmOffset,
    /// Its length in bytes.
    pub len: u32,
}

#[inline]
fn ecn(plan: &SegmentPlan) -> Ecn {
    if plan.ect { Ecn::Ect0 } else { Ecn::NotEct }
}

/// The header fields of a plan. Not kept while data is copied: the processor would move several
/// of them at once, which have just been written one by one, and wait for all stores before.
#[inline(always)]
fn plain_fields(plan: &SegmentPlan) -> PlainFields {
    PlainFields {
        seq: plan.seq,
        ack: plan.ack,
        flags: plan.flags,
        window: plan.window,
        ecn: ecn(plan),
        timestamps: plan.timestamps,
    }
}

/// A core's frames on their way out.
pub struct TxPath<Q: NicQueue> {
    batch: Frames<Q::Frame>,
    /// A frame allocated ahead, so that TCP is only asked for a segment that can be sent.
    spare: Option<Q::Frame>,
    checksums: Checksums,
    arena: Arc<Arena>,
    ip_id: u16,
    /// What the core records.
    pub trace: Trace,
}

impl<Q: NicQueue> TxPath<Q> {
    /// An empty path.
    pub fn new(checksums: Checksums, arena: Arc<Arena>) -> TxPath<Q> {
        TxPath {
            batch: Frames::new(),
            spare: None,
            checksums,
            arena,
            ip_id: 0,
            trace: Trace::none(),
        }
    }

    /// True when a frame can be taken now; gives the port what has been collected if need be.
    pub fn ready(&mut self, nic: &mut Q, counters: &CoreCounters) -> bool {
        if self.batch.is_full() {
            self.flush(nic, counters);
        }
        if self.batch.is_full() {
            return false;
        }
        if self.spare.is_none() {
            self.spare = nic.alloc();
            if self.spare.is_none() {
                counters.no_buffers.add(1);
            }
        }
        self.spare.is_some()
    }

    /// Fetches the beginning of what a flow sends after the segment at hand.
    #[inline(never)]
    pub fn fetch_next(&self, st: &FlowSt) {
        fetch::first_to_send(&self.arena, st);
    }

    /// Records that a segment's data is about to be copied out of its ring.
    #[inline]
    pub fn trace_read(&mut self, plan: &SegmentPlan, ring: TxRing) {
        if self.trace.reads() {
            self.record_read(plan, ring);
        }
    }

    #[cold]
    fn record_read(&mut self, plan: &SegmentPlan, ring: TxRing) {
        let mut data = vec![0; plan.len as usize];
        let read = self
            .arena
            .read_ring(ring.base, ring.len, plan.pos, &mut data);
        if read.is_ok() {
            self.trace.record_read(ring, plan.pos, &data);
        }
    }

    /// Builds a segment in the frame that [`TxPath::ready`] found. False when it does not fit
    /// in a frame, or its payload not in the ring.
    pub fn segment(&mut self, template: &TcpTemplate, plan: &SegmentPlan, ring: TxRing) -> bool {
        let Some(mut frame) = self.spare.take() else {
            return false;
        };
        self.ip_id = self.ip_id.wrapping_add(1);
        let header = if plan.sack.is_empty() {
            self.plain(&mut frame, template, plan, ring)
        } else {
            self.with_sack(&mut frame, template, plan)
        };
        let Some(header) = header else {
            self.spare = Some(frame);
            return false;
        };
        if self.checksums == Checksums::Offload {
            let tcp_len = header - ethernet::HEADER_LEN - ipv4::HEADER_LEN;
            frame.offload_checksums(
                ethernet::HEADER_LEN as u8,
                ipv4::HEADER_LEN as u8,
                tcp_len as u8,
            );
        }
        self.push(frame);
        true
    }

    /// Fills in a segment without options other than timestamps; returns its headers' length.
    #[inline]
    fn plain(
        &self,
        frame: &mut Q::Frame,
        template: &TcpTemplate,
        plan: &SegmentPlan,
        ring: TxRing,
    ) -> Option<usize> {
        let header = plain_fields(plan).header_len();
        let len = plan.len as usize;
        if !frame.set_len(header + len) {
            return None;
        }
        let data = frame.data_mut();
        let mut sum = Sum::ZERO;
        if len > 0 {
            let payload = data.get_mut(header..)?;
            if self.checksums == Checksums::Software {
                let words = self
                    .arena
                    .read_ring_sum(ring.base, ring.len, plan.pos, payload);
                sum = Sum::of_words(words.ok()?);
            } else {
                let read = self.arena.read_ring(ring.base, ring.len, plan.pos, payload);
                read.ok()?;
            }
        }
        let mode = match self.checksums {
            Checksums::Offload => PlainChecksum::Offload,
            Checksums::Software => PlainChecksum::Data(sum),
        };
        template
            .emit_plain(data, &plain_fields(plan), len, self.ip_id, mode)
            .ok()
    }

    /// Fills in an acknowledgement with SACK blocks; returns its headers' length.
    #[cold]
    fn with_sack(
        &self,
        frame: &mut Q::Frame,
        template: &TcpTemplate,
        plan: &SegmentPlan,
    ) -> Option<usize> {
        let fields = SegmentFields {
            seq: plan.seq,
            ack: plan.ack,
            flags: plan.flags,
            window: plan.window,
            ecn: ecn(plan),
            timestamps: plan.timestamps,
            sack: plan.sack.as_slice(),
            ..SegmentFields::default()
        };
        if plan.len > 0 || !frame.set_len(fields.header_len()) {
            return None;
        }
        let mode = match self.checksums {
            Checksums::Offload => ChecksumMode::Offload,
            Checksums::Software => ChecksumMode::Full,
        };
        template
            .emit(frame.data_mut(), &fields, 0, self.ip_id, mode)
            .ok()
    }

    /// Sends a frame that is complete.
    pub fn raw(&mut self, nic: &mut Q, bytes: &[u8], counters: &CoreCounters) -> bool {
        if !self.ready(nic, counters) {
            return false;
        }
        let Some(mut frame) = self.spare.take() else {
            return false;
        };
        if !frame.set_len(bytes.len()) {
            self.spare = Some(frame);
            return false;
        }
        frame.data_mut().copy_from_slice(bytes);
        self.push(frame);
        true
    }

    /// Gives the port what has been collected. What it does not take waits for the next time.
    pub fn flush(&mut self, nic: &mut Q, counters: &CoreCounters) -> bool {
        if self.batch.is_empty() {
            return false;
        }
        let sent = nic.tx_burst(&mut self.batch);
        counters.tx_frames.add(sent as u64);
        sent > 0
    }

    /// Frames wait for the port.
    pub fn backlogged(&self) -> bool {
        !self.batch.is_empty()
    }

    fn push(&mut self, frame: Q::Frame) {
        // There is room: `ready` said so for the one spare frame that exists.
        let _ = self.batch.try_push(frame);
        self.trace
            .sent(|| self.batch.last().map(Frame::data).unwrap_or_default());
    }
}
