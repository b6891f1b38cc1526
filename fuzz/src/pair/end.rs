//! One end of a connection, with its rings and the application on top of it.

use tas::proto::handshake::timestamp;
use tas::proto::{
    self, AppBump, Flow, FlowExt, FlowInit, PathLimit, Segment, SegmentPlan, State, TcpParams,
};
use tas::types::Micros;
use tas_abi::memif::FlowSt;
use tas_wire::{TcpFlags, Timestamps};

use crate::bytes::Bytes;

/// No path's MTU is smaller (RFC 791 §3.2).
const NARROWEST: u16 = 68;

pub struct End {
    st: FlowSt,
    ext: FlowExt,
    rx: Vec<u8>,
    tx: Vec<u8>,
    /// Offset of our timestamps, if there are any.
    clock: Option<u32>,
    /// What the application has written and read.
    written: u64,
    read: u64,
    /// Bytes that were delivered and not read.
    unread: u32,
    closed: bool,
    peer_closed: bool,
    over: Option<proto::End>,
}

/// The byte at a place of every stream.
fn pattern(at: u64) -> u8 {
    (at ^ at >> 8 ^ at >> 16).wrapping_mul(167) as u8
}

impl End {
    pub fn new(init: &FlowInit, params: &TcpParams, now: Micros) -> End {
        let mut end = End {
            st: FlowSt::default(),
            ext: FlowExt::default(),
            rx: vec![0; init.rx_len as usize],
            tx: vec![0; init.tx_len as usize],
            clock: init.timestamps.map(|timestamps| timestamps.offset),
            written: 0,
            read: 0,
            unread: 0,
            closed: false,
            peer_closed: false,
            over: None,
        };
        end.flow().install(init, params, now);
        end
    }

    pub fn flow(&mut self) -> Flow<'_> {
        Flow {
            st: &mut self.st,
            ext: &mut self.ext,
        }
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub fn has_nothing_to_send(&mut self) -> bool {
        self.flow().sendable() == 0
    }

    fn bump(&mut self, bump: AppBump, params: &TcpParams, now: Micros) {
        let bump = AppBump {
            bump_seq: self.st.bump_seq,
            ..bump
        };
        let out = self.flow().on_app_bump(&bump, params, now);
        assert!(out.is_ok(), "{bump:?}: {out:?}");
    }

    /// The application writes as much as there is room for.
    pub fn write(&mut self, len: u32, params: &TcpParams, now: Micros) {
        if self.closed || !self.flow().state().can_send() {
            return;
        }
        let place = self.flow().place();
        let len = len.min(self.flow().tx_free());
        let ring = self.tx.len();
        for i in 0..len {
            self.tx[(place.tx_pos + i) as usize % ring] = pattern(self.written);
            self.written += 1;
        }
        let bump = AppBump {
            tx_bump: len,
            ..AppBump::default()
        };
        self.bump(bump, params, now);
    }

    /// The application closes.
    pub fn close(&mut self, params: &TcpParams, now: Micros) {
        if self.closed || !self.flow().state().can_send() {
            return;
        }
        self.closed = true;
        let bump = AppBump {
            tx_bump: 1,
            tx_done: true,
            ..AppBump::default()
        };
        self.bump(bump, params, now);
    }

    /// The application reads what was delivered, and sees that it is what was written.
    pub fn read(&mut self, most: u32, params: &TcpParams, now: Micros) {
        let len = most.min(self.unread);
        let place = self.flow().place();
        assert_eq!(place.rx_used, self.unread);
        let ring = self.st.rx_len;
        let begin = (place.rx_pos + ring - self.unread) % ring;
        for i in 0..len {
            let got = self.rx[((begin + i) % ring) as usize];
            assert_eq!(got, pattern(self.read), "at {}", self.read);
            self.read += 1;
        }
        self.unread -= len;
        let bump = AppBump {
            rx_bump: len,
            ..AppBump::default()
        };
        self.bump(bump, params, now);
    }

    /// The next segment, with its data.
    pub fn next(&mut self, params: &TcpParams, now: Micros) -> Option<(SegmentPlan, Vec<u8>)> {
        let plan = self.flow().next_segment(params, now)?;
        let ring = self.tx.len();
        let data = (0..plan.len).map(|i| self.tx[(plan.pos + i) as usize % ring]);
        Some((plan, data.collect()))
    }

    /// A segment arrives; what is to be answered at once.
    pub fn arrive(
        &mut self,
        plan: &SegmentPlan,
        data: &[u8],
        mark: bool,
        params: &TcpParams,
        now: Micros,
    ) -> Option<SegmentPlan> {
        match self.flow().state() {
            State::Closed => return None,
            State::TimeWait => return self.repeated(plan, now),
            _ => {}
        }
        let seg = Segment {
            seq: plan.seq,
            ack: plan.ack,
            flags: plan.flags,
            window: plan.window,
            timestamps: plan.timestamps,
            ce: mark && plan.ect,
            sack: !plan.sack.is_empty(),
            len: plan.len,
        };
        let out = self.flow().on_segment(&seg, &plan.sack, params, now);
        if let Some(copy) = out.copy {
            let ring = self.rx.len();
            for i in 0..copy.len {
                self.rx[(copy.to + i) as usize % ring] = data[(copy.from + i) as usize];
            }
        }
        self.unread += out.notice.rx_bump;
        assert!(self.unread <= self.st.rx_len);
        self.peer_closed |= out.notice.rx_closed;
        assert!(!out.notice.reset, "nobody has reset it");
        self.ends(out.end);
        out.ack_first
    }

    /// The slow path's part: in TIME-WAIT, what comes again is acknowledged again.
    fn repeated(&mut self, plan: &SegmentPlan, now: Micros) -> Option<SegmentPlan> {
        if plan.len == 0 && !plan.flags.contains(TcpFlags::FIN) {
            return None;
        }
        let ecr = self.flow().ts_recent();
        let timestamps = self.clock.zip(ecr).map(|(offset, ecr)| Timestamps {
            val: timestamp(now, offset),
            ecr,
        });
        Some(SegmentPlan {
            seq: self.flow().snd_max(),
            ack: self.flow().rcv_nxt(),
            flags: TcpFlags::ACK,
            timestamps,
            ..SegmentPlan::default()
        })
    }

    fn ends(&mut self, end: Option<proto::End>) {
        if end.is_some() {
            assert_eq!(self.over, None, "it ends a second time");
            self.over = end;
        }
    }

    /// Runs the timers that are due; a probe to be sent, if there is one.
    pub fn timers(&mut self, params: &TcpParams, now: Micros) -> Option<SegmentPlan> {
        let out = self.flow().on_timer(params, now);
        assert!(self.flow().deadline() > now, "what was due is not done");
        self.ends(out.end);
        out.keepalive.then(|| self.flow().keepalive_plan(now))
    }

    /// A router, or whoever says so, could not pass on a segment in flight or another one; or
    /// another connection has learned of the path.
    pub fn path_report(&mut self, bytes: &mut Bytes<'_>, params: &TcpParams, now: Micros) {
        let how = bytes.u8();
        let limit = PathLimit {
            mtu: bytes.u16().max(NARROWEST),
            until: now + Micros(u64::from(how >> 2) << 16),
        };
        if how & 1 == 0 {
            self.flow().limit_path(limit);
        } else {
            let back = if how & 2 == 0 { 1 } else { bytes.u16().into() };
            let seq = self.flow().snd_max() - back;
            self.flow().on_too_big(seq, limit, params, now);
        }
    }

    /// All is over and as it should be.
    pub fn finish(&mut self, written: u64) {
        let state = self.flow().state();
        assert!(self.is_over(), "{state:?} {:?}", self.st);
        assert!(matches!(
            self.over,
            Some(proto::End::Closed | proto::End::TimeWait)
        ));
        assert!(self.closed && self.peer_closed);
        assert_eq!(self.read, written, "bytes are missing");
    }
}
