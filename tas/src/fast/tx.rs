//! Sending: frames are filled, collected into bursts and given to the port.

use std::sync::Arc;

use tas_shm::{Arena, ShmOffset};
use tas_wire::{ChecksumMode, Ecn, SegmentFields, TcpTemplate, ethernet, ipv4};

use super::counters::CoreCounters;
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

    /// Builds a segment in the frame that [`TxPath::ready`] found. False when it does not fit
    /// in a frame, or its payload not in the ring.
    pub fn segment(&mut self, template: &TcpTemplate, plan: &SegmentPlan, ring: TxRing) -> bool {
        let Some(mut frame) = self.spare.take() else {
            return false;
        };
        let fields = SegmentFields {
            seq: plan.seq,
            ack: plan.ack,
            flags: plan.flags,
            window: plan.window,
            ecn: if plan.ect { Ecn::Ect0 } else { Ecn::NotEct },
            timestamps: plan.timestamps,
            sack: plan.sack.as_slice(),
            mss: None,
            window_scale: None,
            sack_permitted: false,
        };
        let header = fields.header_len();
        let payload = plan.len as usize;
        if !frame.set_len(header + payload) {
            self.spare = Some(frame);
            return false;
        }
        let data = frame.data_mut();
        let filled = payload == 0
            || data.get_mut(header..).is_some_and(|to| {
                self.arena
                    .read_ring(ring.base, ring.len, plan.pos, to)
                    .is_ok()
            });
        let mode = match self.checksums {
            Checksums::Offload => ChecksumMode::Offload,
            Checksums::Software => ChecksumMode::Full,
        };
        self.ip_id = self.ip_id.wrapping_add(1);
        if !filled
            || template
                .emit(data, &fields, payload, self.ip_id, mode)
                .is_err()
        {
            self.spare = Some(frame);
            return false;
        }
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
        self.trace.sent(frame.data());
        // There is room: `ready` said so for the one spare frame that exists.
        let _ = self.batch.try_push(frame);
    }
}
