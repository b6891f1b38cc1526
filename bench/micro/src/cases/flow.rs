//! TCP's pure code: each operation meets a flow of its own, prepared for it.

use tas::proto::{AppBump, Flow, FlowExt, Segment, TcpParams};
use tas::types::Micros;
use tas_abi::memif::FlowSt;
use tas_wire::{SackBlocks, SeqNum, TcpFlags, Timestamps};

use super::{CONST_RATE, DCTCP_WIN, Entry, FULL, START, init, params, tuple};
use crate::harness::{Run, each};

const OPS: u32 = 1000;

pub const CASES: &[Entry] = &[
    ("flow/receive-data", OPS, receive_data),
    ("flow/receive-ack", OPS, receive_ack),
    ("flow/receive-ack-dctcp-win", OPS, receive_ack_dctcp_win),
    ("flow/receive-out-of-order", OPS, receive_out_of_order),
    ("flow/next-segment", OPS, next_segment),
    ("flow/take-ack", OPS, take_ack),
    ("flow/app-bump", OPS, app_bump),
];

/// When what is measured happens: one round trip after the flow began.
const NOW: Micros = Micros(START.0 + 20);

/// The state of a flow.
struct State {
    st: FlowSt,
    ext: FlowExt,
}

impl State {
    fn new(params: &TcpParams) -> State {
        let mut state = State {
            st: FlowSt::default(),
            ext: FlowExt::default(),
        };
        state.flow().install(&init(tuple(0)), params, START);
        state
    }

    fn flow(&mut self) -> Flow<'_> {
        Flow {
            st: &mut self.st,
            ext: &mut self.ext,
        }
    }

    /// The application sends `len` bytes, which leave.
    fn sent(mut self, len: u32, params: &TcpParams) -> State {
        self.queued(len, params);
        let plan = self.flow().next_segment(params, START);
        assert_eq!(plan.map(|plan| plan.len), Some(len));
        self
    }

    fn queued(&mut self, len: u32, params: &TcpParams) {
        let bump = AppBump {
            tx_bump: len,
            ..AppBump::default()
        };
        let bumped = self.flow().on_app_bump(&bump, params, START);
        assert!(bumped.is_ok_and(|bumped| bumped.send));
    }

    fn received(&mut self, segment: &Segment, params: &TcpParams) {
        let received = self
            .flow()
            .on_segment(segment, &SackBlocks::NONE, params, START);
        assert_eq!(received.notice.rx_bump, segment.len);
    }
}

/// A segment of the peer that begins `offset` bytes after the first byte, and acknowledges
/// `acked` bytes of ours.
fn segment(offset: u32, len: u32, acked: u32) -> Segment {
    Segment {
        seq: SeqNum(5001) + offset,
        ack: SeqNum(1001) + acked,
        flags: if len > 0 {
            TcpFlags::ACK | TcpFlags::PSH
        } else {
            TcpFlags::ACK
        },
        window: 16_000,
        timestamps: Some(Timestamps { val: 501, ecr: 500 }),
        ce: false,
        sack: false,
        len,
    }
}

fn states(ops: u32, state: impl Fn() -> State) -> Vec<State> {
    (0..ops).map(|_| state()).collect()
}

/// Flows that have sent 64 bytes take `segment`.
fn receive(ops: u32, params: TcpParams, segment: Segment) -> Run {
    let states = states(ops, || State::new(&params).sent(64, &params));
    each(states, move |state| {
        let none = &SackBlocks::NONE;
        state.flow().on_segment(&segment, none, &params, NOW)
    })
}

fn const_rate() -> TcpParams {
    params(CONST_RATE)
}

/// 64 bytes in order that acknowledge ours: what a request-response consists of.
fn receive_data(ops: u32) -> Run {
    receive(ops, const_rate(), segment(0, 64, 64))
}

/// An acknowledgement of all that was sent.
fn receive_ack(ops: u32) -> Run {
    receive(ops, const_rate(), segment(0, 0, 64))
}

/// The same where congestion control has something to count.
fn receive_ack_dctcp_win(ops: u32) -> Run {
    receive(ops, params(DCTCP_WIN), segment(0, 0, 64))
}

/// A full segment after a gap of one.
fn receive_out_of_order(ops: u32) -> Run {
    receive(ops, const_rate(), segment(FULL as u32, FULL as u32, 0))
}

/// A segment of 64 bytes.
fn next_segment(ops: u32) -> Run {
    let params = const_rate();
    let states = states(ops, || {
        let mut state = State::new(&params);
        state.queued(64, &params);
        state
    });
    each(states, move |state| state.flow().next_segment(&params, NOW))
}

/// The acknowledgement of two full segments.
fn take_ack(ops: u32) -> Run {
    let params = const_rate();
    let full = FULL as u32;
    let states = states(ops, || {
        let mut state = State::new(&params);
        state.received(&segment(0, full, 0), &params);
        state.received(&segment(full, full, 0), &params);
        state
    });
    each(states, move |state| state.flow().take_ack(NOW))
}

/// 64 bytes handed back and 64 to send.
fn app_bump(ops: u32) -> Run {
    let params = const_rate();
    let states = states(ops, || {
        let mut state = State::new(&params);
        state.received(&segment(0, 64, 0), &params);
        state
    });
    let bump = AppBump {
        rx_bump: 64,
        tx_bump: 64,
        ..AppBump::default()
    };
    each(states, move |state| {
        state.flow().on_app_bump(&bump, &params, NOW)
    })
}
