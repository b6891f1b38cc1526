//! Segments, updates of the application and the time, in any order, on a flow.

use std::sync::LazyLock;

use tas::config::Config;
use tas::proto::{
    AppBump, End, Flow, FlowExt, FlowInit, Keepalive, LivenessOptions, PathLimit, Received,
    Segment, SegmentPlan, State, TcpParams, TimestampInit,
};
use tas::service;
use tas::types::Micros;
use tas_abi::memif::{FLEXNIC_PL_FLOWST_RXFIN, FlowSt};
use tas_wire::{
    FlowTuple, Ipv4Addr, MacAddr, SackBlock, SackBlocks, SeqNum, TcpFlags, Timestamps, WindowScale,
};

use crate::bytes::Bytes;

/// Most steps.
const STEPS: usize = 1000;
/// No path's MTU is smaller (RFC 791 §3.2).
const NARROWEST: u16 = 68;
/// Length of the timestamps option with its padding.
const TIMESTAMPS_LEN: u16 = 12;

/// The input is how the flow begins, and what happens to it, one after the other.
///
/// # Panics
/// The flow does, or one of its invariants does not hold.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut world = World::new(&mut bytes);
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        world.step(&mut bytes);
        assert_eq!(world.flow().check(), Ok(()));
    }
    world.end();
}

/// A flow, and what those around it know.
struct World {
    st: FlowSt,
    ext: FlowExt,
    params: TcpParams,
    init: FlowInit,
    now: Micros,
    /// Bytes that were delivered and not read.
    unread: u32,
    /// The right edge of the window announced.
    edge: SeqNum,
    /// Sequence numbers sent, from the initial one on.
    sent: SeqNum,
    ended: bool,
}

/// The service's, with one of the four congestion controls.
pub(crate) fn params(bytes: &mut Bytes<'_>) -> TcpParams {
    static ALL: LazyLock<[TcpParams; 4]> = LazyLock::new(|| {
        ["const-rate", "dctcp-rate", "dctcp-win", "timely"].map(|algorithm| {
            let args = ["tas", "--ip-addr=10.0.0.1/24", "--cc", algorithm];
            service::tcp_params(&Config::parse_from(args).expect("the service's own defaults"))
        })
    });
    let which = usize::from(bytes.u8()) % ALL.len();
    ALL[which].clone()
}

/// Bytes of a ring, at least one.
fn ring(bytes: &mut Bytes<'_>) -> u32 {
    let len = match bytes.u8() % 4 {
        0 => bytes.u8().into(),
        1 => bytes.u16().into(),
        2 => 1 << 20,
        _ => 64 << 20,
    };
    len.max(1)
}

fn init(bytes: &mut Bytes<'_>) -> FlowInit {
    let (rx_len, tx_len) = (ring(bytes), ring(bytes));
    let flags = bytes.u8();
    let (iss, irs) = (SeqNum(bytes.u32()), SeqNum(bytes.u32()));
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
        mss: bytes.u16().clamp(88, 8960),
        snd_wscale: WindowScale::new(bytes.u8() % 15),
        rcv_wscale: WindowScale::new(bytes.u8() % 15),
        timestamps: (flags & 1 != 0).then(|| TimestampInit {
            recent: bytes.u32(),
            offset: iss.0,
        }),
        sack: flags & 2 != 0,
        ecn: flags & 4 != 0,
        iss,
        irs,
        snd_wnd: bytes.u16().into(),
        rcv_wnd: rx_len.min(65_535),
        rx_base: 0,
        rx_len,
        tx_base: 0,
        tx_len,
        rtt: (flags & 8 != 0).then(|| Micros(bytes.u16().into())),
    }
}

/// A difference that is most likely small.
fn near(bytes: &mut Bytes<'_>) -> u32 {
    let by = match bytes.u8() % 8 {
        0..=2 => 0,
        3 | 4 => i32::from(bytes.u8().cast_signed()),
        5 | 6 => i32::from(bytes.u16().cast_signed()),
        _ => bytes.u32().cast_signed(),
    };
    by.cast_unsigned()
}

/// A count that is most likely small.
fn count(bytes: &mut Bytes<'_>) -> u32 {
    match bytes.u8() % 4 {
        0 => 0,
        1 => bytes.u8().into(),
        2 => bytes.u16().into(),
        _ => bytes.u32(),
    }
}

impl World {
    fn new(bytes: &mut Bytes<'_>) -> World {
        let (params, init) = (params(bytes), init(bytes));
        let now = Micros(u64::from(bytes.u8()) << 32 | 1_000_000);
        let mut world = World {
            st: FlowSt::default(),
            ext: FlowExt::default(),
            now,
            unread: 0,
            edge: init.irs + 1 + init.rcv_wnd,
            sent: init.iss + 1,
            ended: false,
            params,
            init,
        };
        let (params, init) = (world.params.clone(), world.init.clone());
        world.flow().install(&init, &params, now);
        assert_eq!(world.flow().check(), Ok(()));
        world
    }

    fn flow(&mut self) -> Flow<'_> {
        Flow {
            st: &mut self.st,
            ext: &mut self.ext,
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.u8() % 16 {
            0..=6 => self.segment(bytes),
            7 | 8 => self.bump(bytes),
            9 | 10 => self.send(bytes.u8() % 32),
            11 => self.acknowledge(),
            12 | 13 => self.wait(bytes),
            14 => self.option(bytes),
            _ => match bytes.u8() {
                0..32 => self.detach(),
                how => self.path(how, bytes),
            },
        }
    }

    /// A report that a packet was too large for its path, or what another flow has learned of it.
    fn path(&mut self, how: u8, bytes: &mut Bytes<'_>) {
        let (params, now) = (self.params.clone(), self.now);
        let limit = PathLimit {
            mtu: bytes.u16().max(NARROWEST),
            until: now + Micros(u64::from(bytes.u16()) << 8),
        };
        let before = self.mss();
        if how & 1 == 0 {
            self.flow().limit_path(limit);
            assert!(self.mss() <= before);
            return;
        }
        let una = SeqNum(self.st.tx_next_seq) - self.st.tx_sent;
        let seq = una + near(bytes);
        let news = self.flow().on_too_big(seq, limit, &params, now);
        assert!(news || self.mss() == before);
        assert!(!news || seq.in_window(una, self.sent.since(una)));
    }

    fn mss(&mut self) -> u16 {
        let params = self.params.clone();
        self.flow().info(&params).mss
    }

    fn segment(&mut self, bytes: &mut Bytes<'_>) {
        let una = SeqNum(self.st.tx_next_seq) - self.st.tx_sent;
        let flags = match bytes.u8() {
            0..=200 => TcpFlags::ACK,
            201..=215 => TcpFlags::ACK | TcpFlags::FIN,
            216..=230 => TcpFlags::ACK | TcpFlags::ECE,
            _ => TcpFlags(bytes.u8()),
        };
        let what = bytes.u8();
        let acked = if what & 1 == 0 { self.sent } else { una };
        let len = count(bytes).min(65_535);
        let seg = Segment {
            seq: SeqNum(self.st.rx_next_seq) + near(bytes),
            ack: acked + near(bytes),
            flags,
            window: if what & 2 == 0 { 65_535 } else { bytes.u16() },
            timestamps: (what & 4 == 0).then(|| Timestamps {
                val: self.st.tx_next_ts.wrapping_add(near(bytes)),
                ecr: bytes.u32(),
            }),
            ce: what & 8 != 0,
            sack: what & 0x30 != 0,
            len,
        };
        let mut sacks = SackBlocks::NONE;
        for _ in 0..what >> 4 & 3 {
            let left = una + near(bytes);
            sacks.push(SackBlock {
                left,
                right: left + near(bytes),
            });
        }
        self.take(&seg, &sacks);
    }

    fn take(&mut self, seg: &Segment, sacks: &SackBlocks) {
        let (params, now) = (self.params.clone(), self.now);
        let was_over = self.flow().state() == State::Closed;
        let was_closed = self.st.rx_base_sp & FLEXNIC_PL_FLOWST_RXFIN != 0;
        let out = self.flow().on_segment(seg, sacks, &params, now);
        assert!(!was_over || out == Received::default());
        if let Some(copy) = out.copy {
            assert!(copy.len > 0 && copy.to < self.st.rx_len);
            assert!(copy.from + copy.len <= seg.len && copy.len <= self.st.rx_len);
        }
        let closed = was_closed && out.notice.rx_bump > 0;
        assert!(!closed, "data behind the peer's end");
        self.unread += out.notice.rx_bump;
        assert!(self.unread <= self.st.rx_len);
        assert!(out.notice.tx_bump <= self.st.tx_len + 1);
        if let Some(plan) = out.ack_first {
            // It tells of what came before this segment.
            self.sends(&plan);
        }
        assert_eq!(out.send, self.flow().sendable() > 0);
        self.ends(out.end);
    }

    fn ends(&mut self, end: Option<End>) {
        if end.is_some() {
            assert!(!self.ended, "it ends a second time");
            assert!(self.flow().state().is_over());
            self.ended = true;
        }
    }

    fn bump(&mut self, bytes: &mut Bytes<'_>) {
        let flags = bytes.u8();
        let late = if flags < 16 { flags.into() } else { 0 };
        let bump = AppBump {
            rx_bump: match bytes.u8() % 4 {
                0 => 0,
                1 => self.unread,
                2 => self.unread / 2,
                _ => bytes.u32(),
            },
            tx_bump: match bytes.u8() % 4 {
                0 => 0,
                1 => self.flow().tx_free(),
                2 => u32::from(bytes.u16()).min(self.flow().tx_free()),
                _ => bytes.u32(),
            },
            bump_seq: self.st.bump_seq.wrapping_add(late),
            tx_done: flags % 16 == 15,
        };
        let (params, now, before) = (self.params.clone(), self.now, self.st);
        match self.flow().on_app_bump(&bump, &params, now) {
            Err(_) => assert_eq!(self.st, before),
            Ok(_) => {
                assert!(bump.rx_bump <= self.unread);
                self.unread -= bump.rx_bump;
            }
        }
    }

    fn send(&mut self, times: u8) {
        let (params, now) = (self.params.clone(), self.now);
        for _ in 0..times {
            let sendable = self.flow().sendable();
            let plan = self.flow().next_segment(&params, now);
            assert_eq!(plan.is_some(), sendable > 0);
            let Some(plan) = plan else {
                break;
            };
            assert_eq!(plan.ack, self.flow().rcv_nxt());
            self.sends(&plan);
        }
    }

    fn acknowledge(&mut self) {
        let now = self.now;
        if let Some(plan) = self.flow().take_ack(now) {
            assert_eq!(plan.ack, self.flow().rcv_nxt());
            self.sends(&plan);
        }
    }

    /// A segment goes out.
    fn sends(&mut self, plan: &SegmentPlan) {
        let options = match self.init.timestamps {
            Some(_) => TIMESTAMPS_LEN,
            None => 0,
        };
        assert!(plan.len <= u32::from(self.init.mss - options));
        assert!(plan.len == 0 || (plan.pos < self.st.tx_len && plan.len <= self.st.tx_len));
        assert!(plan.seq.le(self.sent), "numbers are left out");
        self.sent = self.sent.max(plan.seq + plan.len);
        if plan.flags.contains(TcpFlags::FIN) {
            self.sent = self.sent.max(plan.seq + plan.len + 1);
        }
        assert_eq!(self.flow().snd_max(), self.sent, "{plan:?}");
        self.check_window(plan);
        assert_eq!(self.flow().check(), Ok(()));
    }

    /// The window is never shrunk, but for what scaling rounds off (RFC 7323 §2.4).
    fn check_window(&mut self, plan: &SegmentPlan) {
        let scale = self.init.rcv_wscale.bits();
        let edge = plan.ack + (u32::from(plan.window) << scale);
        if self.st.rx_base_sp & FLEXNIC_PL_FLOWST_RXFIN == 0 {
            assert!(edge.le(SeqNum(self.st.rx_next_seq) + self.st.rx_avail));
            assert!(
                (edge + ((1 << scale) - 1)).ge(self.edge),
                "the window shrinks"
            );
        }
        self.edge = self.edge.max(edge);
    }

    fn wait(&mut self, bytes: &mut Bytes<'_>) {
        let deadline = self.flow().deadline();
        self.now = match bytes.u8() % 4 {
            0 => self.now + Micros(bytes.u8().into()),
            1 => self.now + Micros(bytes.u16().into()),
            2 if deadline != Micros::NEVER => self.now.max(deadline),
            _ => self.now + Micros(u64::from(bytes.u32()) << 8),
        };
        self.timers();
    }

    fn timers(&mut self) {
        let (params, now) = (self.params.clone(), self.now);
        let out = self.flow().on_timer(&params, now);
        assert!(self.flow().deadline() > now, "what was due is not done");
        if out.keepalive {
            let plan = self.flow().keepalive_plan(now);
            assert_eq!((plan.len, plan.ack), (0, self.flow().rcv_nxt()));
        }
        assert_eq!(out.send, self.flow().sendable() > 0);
        self.ends(out.end);
    }

    /// The application wants to know of the peer, or somebody of the flow.
    fn option(&mut self, bytes: &mut Bytes<'_>) {
        let (params, now) = (self.params.clone(), self.now);
        match bytes.u8() % 4 {
            0 => self.flow().hold_back(),
            1 => {
                let plans = [
                    Some(self.flow().reset_plan(now)),
                    self.flow().second_reset_plan(now),
                ];
                for plan in plans.into_iter().flatten() {
                    assert!(plan.flags.contains(TcpFlags::RST) && plan.seq.le(self.sent));
                }
                let _ = self.flow().info(&params);
                let place = self.flow().place();
                assert_eq!(place.rx_used, self.unread);
            }
            _ => {
                let flags = bytes.u8();
                let options = LivenessOptions {
                    keepalive: (flags & 1 != 0).then(|| Keepalive {
                        idle: count(bytes),
                        interval: count(bytes),
                        count: bytes.u8(),
                    }),
                    user_timeout_ms: if flags & 2 != 0 { count(bytes) } else { 0 },
                };
                self.flow().set_liveness(&options, now);
            }
        }
    }

    fn detach(&mut self) {
        let (params, now) = (self.params.clone(), self.now);
        self.flow().detach(&params, now);
    }

    /// The peer is gone, and the application too: the flow comes to an end by itself.
    fn end(mut self) {
        self.detach();
        for _ in 0..100 {
            self.send(u8::MAX);
            self.acknowledge();
            let deadline = self.flow().deadline();
            if self.flow().state().is_over() || deadline == Micros::NEVER {
                break;
            }
            self.now = self.now.max(deadline);
            self.timers();
        }
        let (state, deadline) = (self.flow().state(), self.flow().deadline());
        let now = self.now;
        assert!(state.is_over(), "{state:?} at {now:?} until {deadline:?}");
    }
}
