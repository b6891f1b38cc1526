//! What the tests share: a flow with its rings and the application on top of it.

use tas_abi::memif::{FLEXNIC_PL_FLOWST_RXFIN, FlowSt};
use tas_wire::{
    FlowTuple, Ipv4Addr, MacAddr, SackBlock, SackBlocks, SeqNum, TcpFlags, WindowScale,
};

use super::cc::CcParams;
use super::invariants;
use super::{
    AppBump, CopyIn, End, Flow, FlowExt, FlowInit, Received, Segment, SegmentPlan, State,
    TcpParams, TimerOutcome, TimestampInit,
};
use crate::config::{CcAlgorithm, ConstRateParams};
use crate::types::Micros;

/// Parameters with which timeouts are easy to count.
pub(super) fn params() -> TcpParams {
    TcpParams {
        rto_min: Micros(1_000),
        rto_max: Micros(60_000_000),
        delayed_ack: Micros(500),
        persist_min: Micros(5_000),
        max_retries: 15,
        fin_wait2: Micros(60_000_000),
        cc: CcParams {
            algorithm: CcAlgorithm::ConstRate(ConstRateParams { rate_kbps: 0 }),
            granularity: Micros(50),
            interval_rtts: 2,
            rexmit_ints: 4,
            rtt_init: Micros(50),
        },
    }
}

/// A handshake without options between sequence numbers 1000 (ours) and 5000 (the peer's), so
/// that data begins at 1001 and 5001.
pub(super) fn init() -> FlowInit {
    FlowInit {
        tuple: FlowTuple {
            local_ip: Ipv4Addr::new(10, 0, 0, 1),
            local_port: 1234,
            remote_ip: Ipv4Addr::new(10, 0, 0, 2),
            remote_port: 80,
        },
        remote_mac: MacAddr([2, 0, 0, 0, 0, 2]),
        flow_group: 0,
        db_id: 0,
        opaque: 7,
        mss: 1000,
        snd_wscale: WindowScale::ZERO,
        rcv_wscale: WindowScale::ZERO,
        timestamps: None,
        sack: false,
        ecn: false,
        iss: SeqNum(1000),
        irs: SeqNum(5000),
        snd_wnd: 10_000,
        rcv_wnd: 8_000,
        rx_base: 0,
        rx_len: 8_000,
        tx_base: 0,
        tx_len: 16_000,
        rtt: Some(Micros(100)),
    }
}

/// The same with timestamps.
pub(super) fn init_timestamps() -> FlowInit {
    FlowInit {
        timestamps: Some(TimestampInit {
            recent: 500,
            offset: 9_000,
        }),
        ..init()
    }
}

/// A flow, its rings, and the application's view of them.
pub(super) struct Host {
    pub(super) st: FlowSt,
    pub(super) ext: FlowExt,
    pub(super) params: TcpParams,
    rx: Vec<u8>,
    tx: Vec<u8>,
    bump_seq: u16,
    /// Where the application writes next.
    tx_head: usize,
    /// What it knows to be free.
    pub(super) tx_free: u32,
    /// Where it reads next.
    rx_tail: usize,
    pub(super) unread: u32,
    /// What it has read.
    pub(super) received: Vec<u8>,
    pub(super) rx_closed: bool,
    pub(super) reset: bool,
    pub(super) end: Option<End>,
    /// The right edge of the window announced.
    edge: Option<SeqNum>,
}

impl Host {
    pub(super) fn new(init: &FlowInit, params: TcpParams, now: Micros) -> Host {
        let mut host = Host {
            st: FlowSt::default(),
            ext: FlowExt::default(),
            params,
            rx: vec![0; init.rx_len as usize],
            tx: vec![0; init.tx_len as usize],
            bump_seq: 0,
            tx_head: 0,
            tx_free: init.tx_len,
            rx_tail: 0,
            unread: 0,
            received: Vec::new(),
            rx_closed: false,
            reset: false,
            end: None,
            edge: None,
        };
        let params = host.params.clone();
        host.flow().install(init, &params, now);
        host
    }

    pub(super) fn flow(&mut self) -> Flow<'_> {
        Flow {
            st: &mut self.st,
            ext: &mut self.ext,
        }
    }

    /// Takes a segment with its data and does what it asks for, except sending.
    pub(super) fn segment(
        &mut self,
        seg: &Segment,
        sacks: &SackBlocks,
        data: &[u8],
        now: Micros,
    ) -> Received {
        let params = self.params.clone();
        let out = self.flow().on_segment(seg, sacks, &params, now);
        if let Some(CopyIn { from, to, len }) = out.copy {
            assert!(len > 0 && from + len <= seg.len && len <= self.st.rx_len);
            for i in 0..len {
                let at = (to as usize + i as usize) % self.rx.len();
                self.rx[at] = data.get((from + i) as usize).copied().unwrap_or(0);
            }
        }
        self.unread += out.notice.rx_bump;
        self.tx_free = self.tx_free.wrapping_add(out.notice.tx_bump);
        self.rx_closed |= out.notice.rx_closed;
        self.reset |= out.notice.reset;
        self.end = self.end.or(out.end);
        self.check();
        out
    }

    /// The application writes as much as there is room for; returns how much.
    pub(super) fn write(&mut self, data: &[u8], now: Micros) -> usize {
        let n = data.len().min(self.tx_free as usize);
        for &byte in &data[..n] {
            self.tx[self.tx_head] = byte;
            self.tx_head = (self.tx_head + 1) % self.tx.len();
        }
        if n > 0 {
            self.tx_free -= n as u32;
            self.bump(
                AppBump {
                    tx_bump: n as u32,
                    ..AppBump::default()
                },
                now,
            );
        }
        n
    }

    /// The application closes. The byte that stands for FIN needs no room, but may have some.
    pub(super) fn close(&mut self, now: Micros) {
        if self.tx_free > 0 {
            self.tx[self.tx_head] = 0xee;
        }
        // Nothing more is written, and its acknowledgement makes up for it.
        self.tx_free = self.tx_free.wrapping_sub(1);
        self.tx_head = (self.tx_head + 1) % self.tx.len();
        self.bump(
            AppBump {
                tx_bump: 1,
                tx_done: true,
                ..AppBump::default()
            },
            now,
        );
    }

    /// The application reads up to `n` bytes; returns whether a window update is due.
    pub(super) fn read(&mut self, n: u32, now: Micros) -> bool {
        let n = n.min(self.unread);
        for _ in 0..n {
            self.received.push(self.rx[self.rx_tail]);
            self.rx_tail = (self.rx_tail + 1) % self.rx.len();
        }
        self.unread -= n;
        self.bump(
            AppBump {
                rx_bump: n,
                ..AppBump::default()
            },
            now,
        )
    }

    fn bump(&mut self, bump: AppBump, now: Micros) -> bool {
        let bump = AppBump {
            bump_seq: self.bump_seq,
            ..bump
        };
        self.bump_seq = self.bump_seq.wrapping_add(1);
        let params = self.params.clone();
        let out = self.flow().on_app_bump(&bump, &params, now).unwrap();
        self.check();
        out.ack
    }

    pub(super) fn detach(&mut self, now: Micros) {
        let params = self.params.clone();
        self.flow().detach(&params, now);
        self.check();
    }

    /// The next segment and its data.
    pub(super) fn next(&mut self, now: Micros) -> Option<(SegmentPlan, Vec<u8>)> {
        let params = self.params.clone();
        let sendable = self.flow().sendable();
        let plan = self.flow().next_segment(&params, now);
        assert_eq!(sendable > 0, plan.is_some());
        let plan = plan?;
        let data = (0..plan.len).map(|i| self.tx[(plan.pos + i) as usize % self.tx.len()]);
        let data = data.collect();
        self.note_sent(&plan);
        Some((plan, data))
    }

    pub(super) fn take_ack(&mut self, now: Micros) -> Option<SegmentPlan> {
        let plan = self.flow().take_ack(now)?;
        self.note_sent(&plan);
        Some(plan)
    }

    pub(super) fn timer(&mut self, now: Micros) -> TimerOutcome {
        let params = self.params.clone();
        let out = self.flow().on_timer(&params, now);
        self.end = self.end.or(out.end);
        self.check();
        out
    }

    /// The window is never shrunk, but for what scaling rounds off (RFC 7323 §2.4).
    pub(super) fn note_sent(&mut self, plan: &SegmentPlan) {
        let scale = self.ext.rcv_wscale;
        let edge = plan.ack + (u32::from(plan.window) << scale);
        let closed = self.st.rx_base_sp & FLEXNIC_PL_FLOWST_RXFIN != 0;
        if let Some(before) = self.edge
            && !closed
        {
            assert!(edge.le(SeqNum(self.st.rx_next_seq) + self.st.rx_avail));
            assert!(
                (edge + ((1 << scale) - 1)).ge(before),
                "shrunk from {before} to {edge}"
            );
        }
        self.edge = Some(self.edge.map_or(edge, |before| before.max(edge)));
        assert!(plan.len <= self.ext.mss.into());
        self.check();
    }

    /// What holds between any two calls.
    pub(super) fn check(&self) {
        assert_eq!(invariants::check(&self.st, &self.ext), Ok(()));
    }
}

/// A host and a clock, for tests that read like packet traces. The peer's segments say what the
/// macros [`recv`], [`sends`] and [`acks`] say; what they leave out is as in [`Trace::segment`].
pub(super) struct Trace {
    pub(super) host: Host,
    pub(super) now: Micros,
    /// The ACK that the last segment had sent at once.
    at_once: Option<SegmentPlan>,
}

impl Trace {
    pub(super) fn new(init: FlowInit) -> Trace {
        Trace::with_params(init, params())
    }

    pub(super) fn with_params(init: FlowInit, params: TcpParams) -> Trace {
        let now = Micros(1_000_000);
        Trace {
            host: Host::new(&init, params, now),
            now,
            at_once: None,
        }
    }

    /// A pure ACK at the beginning of the connection.
    pub(super) fn segment(&self) -> Segment {
        Segment {
            seq: SeqNum(5001),
            ack: SeqNum(1001),
            flags: TcpFlags::ACK,
            window: 10_000,
            timestamps: None,
            ce: false,
            sack: false,
            len: 0,
        }
    }

    pub(super) fn recv(&mut self, seg: Segment, sacks: &[(u32, u32)]) -> Received {
        let mut blocks = SackBlocks::default();
        for &(left, right) in sacks {
            blocks.push(SackBlock {
                left: SeqNum(left),
                right: SeqNum(right),
            });
        }
        let seg = Segment {
            sack: !sacks.is_empty(),
            ..seg
        };
        let out = self.host.segment(&seg, &blocks, &[], self.now);
        if let Some(ack) = out.ack_first {
            self.host.note_sent(&ack);
        }
        self.at_once = out.ack_first;
        out
    }

    /// The ACK that is due, or else was sent at once.
    pub(super) fn ack(&mut self) -> Option<SegmentPlan> {
        let due = self.host.take_ack(self.now);
        due.or_else(|| self.at_once.take())
    }

    /// Lets time pass up to the next timer, which runs; returns how long it took.
    pub(super) fn timer(&mut self) -> (u64, TimerOutcome) {
        let at = self.host.flow().deadline();
        assert_ne!(at, Micros::NEVER, "no timer is running");
        let waited = at.since(self.now);
        self.now = self.now.max(at);
        (waited.0, self.host.timer(self.now))
    }

    /// Lets time pass without running timers.
    pub(super) fn wait(&mut self, us: u64) {
        self.now += Micros(us);
    }

    pub(super) fn write(&mut self, len: usize) {
        assert_eq!(self.host.write(&vec![b'x'; len], self.now), len);
    }

    pub(super) fn close(&mut self) {
        self.host.close(self.now);
    }

    pub(super) fn state(&mut self) -> State {
        self.host.flow().state()
    }

    /// Nothing is to be sent.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.host.next(self.now).is_none() && self.host.take_ack(self.now).is_none()
    }
}

/// `recv!(trace, seq: 5001, len: 100, flags: FIN)`: a segment arrives. `flags` adds to ACK,
/// `only` replaces it, `ts` is TSval and TSecr, `sack` are blocks.
macro_rules! recv {
    (@set $seg:ident seq $v:expr) => { $seg.seq = tas_wire::SeqNum($v) };
    (@set $seg:ident ack $v:expr) => { $seg.ack = tas_wire::SeqNum($v) };
    (@set $seg:ident len $v:expr) => { $seg.len = $v };
    (@set $seg:ident window $v:expr) => { $seg.window = $v };
    (@set $seg:ident flags $v:expr) => { $seg.flags |= $v };
    (@set $seg:ident only $v:expr) => { $seg.flags = $v };
    (@set $seg:ident ce $v:expr) => { $seg.ce = $v };
    (@set $seg:ident sack $v:expr) => {};
    (@blocks sack $v:expr) => { $v };
    (@blocks $field:ident $v:expr) => { [(0u32, 0u32); 0] };
    (@set $seg:ident ts $v:expr) => {
        $seg.timestamps = Some(tas_wire::Timestamps { val: $v.0, ecr: $v.1 })
    };
    ($trace:ident $(, $field:ident: $v:expr)*) => {{
        #[allow(unused_mut)]
        let mut seg = $trace.segment();
        #[allow(unused_mut)]
        let mut sacks: Vec<(u32, u32)> = Vec::new();
        $(
            $crate::proto::tests::recv!(@set seg $field $v);
            sacks.extend($crate::proto::tests::recv!(@blocks $field $v));
        )*
        $trace.recv(seg, &sacks)
    }};
}

/// Checks the named fields of a segment. `flags` are those besides ACK.
macro_rules! check {
    (@is $plan:ident seq $v:expr) => { assert_eq!($plan.seq, tas_wire::SeqNum($v), "seq") };
    (@is $plan:ident ack $v:expr) => { assert_eq!($plan.ack, tas_wire::SeqNum($v), "ack") };
    (@is $plan:ident flags $v:expr) => {
        assert_eq!($plan.flags, tas_wire::TcpFlags::ACK | $v, "flags")
    };
    (@is $plan:ident ts $v:expr) => {
        let expected = tas_wire::Timestamps { val: $v.0, ecr: $v.1 };
        assert_eq!($plan.timestamps, Some(expected), "timestamps")
    };
    (@is $plan:ident $field:ident $v:expr) => { assert_eq!($plan.$field, $v, stringify!($field)) };
    ($plan:expr $(, $field:ident: $v:expr)*) => {{
        let plan = $plan;
        $( $crate::proto::tests::check!(@is plan $field $v); )*
        plan
    }};
}

/// `sends!(trace, seq: 1001, len: 1000)`: the next segment sent is this one.
macro_rules! sends {
    ($trace:ident $(, $field:ident: $v:expr)*) => {
        $crate::proto::tests::check!(
            $trace.host.next($trace.now).expect("something to send").0 $(, $field: $v)*
        )
    };
}

/// `acks!(trace, ack: 5101)`: this ACK is due, or was sent at once.
macro_rules! acks {
    ($trace:ident $(, $field:ident: $v:expr)*) => {
        $crate::proto::tests::check!(
            $trace.ack().expect("an ACK is due") $(, $field: $v)*
        )
    };
}

pub(super) use {acks, check, recv, sends};
