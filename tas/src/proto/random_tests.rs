//! Whatever segments, updates and timers come, in whatever order: a flow never panics, and its
//! invariants hold.

use proptest::prelude::*;
use tas_wire::{SackBlock, SackBlocks, SeqNum, TcpFlags, Timestamps, WindowScale};

use super::tests::{Host, init, params};
use super::{AppBump, FlowInit, PathLimit, Segment, State, TcpParams, TimestampInit};
use crate::types::Micros;

/// Something that happens to a flow. Numbers are mostly near those that matter.
#[derive(Clone, Debug)]
enum Input {
    Segment {
        seq: i32,
        ack: i32,
        flags: u8,
        window: u16,
        ts: Option<(i32, u32)>,
        ce: bool,
        len: u32,
        /// Blocks of SACK: first and one beyond the last, from SND.UNA on.
        sacks: Vec<(i32, i32)>,
    },
    Bump {
        rx_bump: u32,
        tx_bump: u32,
        seq: u16,
        tx_done: bool,
    },
    Send,
    Ack,
    Wait(u64),
    Detach,
    /// Somebody says that the segment with this number, from SND.UNA on, was too large.
    TooBig(i32, u16),
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![4 => -3i32..3, 4 => -3000i32..3000, 1 => any::<i32>()]
}

fn length() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0u32..3, 4 => 0u32..3000, 1 => 0u32..=65_535]
}

fn flags() -> impl Strategy<Value = u8> {
    prop_oneof![
        20 => Just(TcpFlags::ACK.0),
        4 => Just(TcpFlags::ACK.0 | TcpFlags::FIN.0),
        4 => Just(TcpFlags::ACK.0 | TcpFlags::ECE.0),
        1 => any::<u8>(),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let ts = prop_oneof![1 => Just(None), 5 => (near(), any::<u32>()).prop_map(Some)];
    let window = prop_oneof![Just(0u16), 0u16..3, any::<u16>()];
    let sacks = prop_oneof![
        1 => Just(Vec::new()),
        2 => prop::collection::vec((near(), near()), 0..5),
        2 => prop::collection::vec((0i32..3000, 0i32..2000).prop_map(|(l, n)| (l, l + n)), 1..4),
    ];
    let segment = (
        near(),
        near(),
        flags(),
        window,
        ts,
        any::<bool>(),
        length(),
        sacks,
    )
        .prop_map(
            |(seq, ack, flags, window, ts, ce, len, sacks)| Input::Segment {
                seq,
                ack,
                flags,
                window,
                ts,
                ce,
                len,
                sacks,
            },
        );
    let bump = (length(), length(), 0u16..20, 0u8..20).prop_map(|(rx_bump, tx_bump, seq, done)| {
        Input::Bump {
            rx_bump,
            tx_bump,
            seq: seq / 19,
            tx_done: done == 0,
        }
    });
    prop_oneof![
        40 => segment,
        20 => bump,
        20 => Just(Input::Send),
        10 => Just(Input::Ack),
        10 => prop_oneof![0u64..2_000, any::<u64>().prop_map(|us| us >> 20)].prop_map(Input::Wait),
        1 => Just(Input::Detach),
        2 => (near(), 0u16..3000).prop_map(|(seq, mtu)| Input::TooBig(seq, mtu)),
    ]
}

fn start() -> impl Strategy<Value = FlowInit> {
    let lens = prop_oneof![Just(1u32), 1u32..100, 100u32..10_000, Just(1 << 20)];
    (
        any::<u32>(),
        any::<u32>(),
        lens.clone(),
        lens,
        0u8..15,
        0u8..15,
        any::<(bool, bool, bool)>(),
        0u16..3000,
    )
        .prop_map(
            |(iss, irs, rx_len, tx_len, snd, rcv, (ts, sack, ecn), mss)| FlowInit {
                iss: SeqNum(iss),
                irs: SeqNum(irs),
                rx_len,
                rcv_wnd: rx_len.min(65_535),
                tx_len,
                snd_wscale: WindowScale::new(snd),
                rcv_wscale: WindowScale::new(rcv),
                timestamps: ts.then_some(TimestampInit {
                    recent: irs,
                    offset: iss,
                }),
                sack,
                ecn,
                mss,
                ..init()
            },
        )
}

fn apply(host: &mut Host, now: &mut Micros, input: &Input) {
    let params = TcpParams {
        max_retries: 4,
        ..params()
    };
    match *input {
        Input::Segment {
            seq,
            ack,
            flags,
            window,
            ts,
            ce,
            len,
            ref sacks,
        } => {
            let near = |base: u32, by: i32| base.wrapping_add(by.cast_unsigned());
            let seg = Segment {
                seq: SeqNum(near(host.st.rx_next_seq, seq)),
                ack: SeqNum(near(host.st.tx_next_seq, ack)),
                flags: TcpFlags(flags),
                window,
                timestamps: ts.map(|(val, ecr)| Timestamps {
                    val: near(host.st.tx_next_ts, val),
                    ecr,
                }),
                ce,
                sack: !sacks.is_empty(),
                len,
            };
            let before = host.flow().state();
            let una = host.flow().snd_una().0;
            let mut blocks = SackBlocks::default();
            for &(left, right) in sacks {
                blocks.push(SackBlock {
                    left: SeqNum(near(una, left)),
                    right: SeqNum(near(una, right)),
                });
            }
            let out = host.segment(&seg, &blocks, &[], *now);
            if let Some(ack) = out.ack_first {
                host.note_sent(&ack);
            }
            assert!(before != State::Closed || out == Default::default());
            assert!(out.end.is_none() || host.flow().state().is_over());
            assert_eq!(out.send, host.flow().sendable() > 0);
        }
        Input::Bump {
            rx_bump,
            tx_bump,
            seq,
            tx_done,
        } => {
            let bump_seq = host.st.bump_seq.wrapping_add(seq);
            let bump = AppBump {
                rx_bump,
                tx_bump,
                bump_seq,
                tx_done,
            };
            let before = host.st;
            match host.flow().on_app_bump(&bump, &params, *now) {
                Err(_) => assert_eq!(host.st, before),
                Ok(_) => {
                    assert!(rx_bump <= before.rx_len - before.rx_avail);
                    host.unread -= rx_bump;
                }
            }
            host.check();
        }
        Input::Send => {
            for _ in 0..4 {
                host.next(*now);
            }
        }
        Input::Ack => {
            host.take_ack(*now);
        }
        Input::Wait(us) => {
            *now += Micros(us);
            host.timer(*now);
            // What was due is done.
            assert!(host.flow().deadline() > *now);
        }
        Input::Detach => host.detach(*now),
        Input::TooBig(seq, mtu) => {
            let seq = host.flow().snd_una() + seq.cast_unsigned();
            let until = *now + Micros(10_000);
            let limit = PathLimit { mtu, until };
            if host.flow().on_too_big(seq, limit, &params, *now) {
                assert!(host.flow().snd_max().gt(seq));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_invariants_hold(
        start in start(),
        inputs in prop::collection::vec(input(), 1..120),
    ) {
        let mut now = Micros(5_000_000);
        let mut host = Host::new(&start, params(), now);
        host.tx_free = 0;
        for input in &inputs {
            apply(&mut host, &mut now, input);
        }
    }

    /// The same at every step, with what concerns timers: nobody waits for ever.
    #[test]
    fn data_that_waits_has_a_timer(
        start in start(),
        inputs in prop::collection::vec(input(), 1..60),
    ) {
        let mut now = Micros(5_000_000);
        let mut host = Host::new(&start, params(), now);
        host.tx_free = 0;
        for input in &inputs {
            apply(&mut host, &mut now, input);
            prop_assert_eq!(host.flow().check(), Ok(()));
        }
    }
}
