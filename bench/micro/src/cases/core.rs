//! A core as a whole, with an application that works on the queues itself and costs little.

use std::sync::Arc;

use tas_abi::memif::{Arx, ArxMsg, Atx, AtxConnUpdate, AtxMsg};
use tas_shm::{Arena, Consumer, Producer};

use super::world::{Application, EVENTS, EVENTS_AT, Load, UPDATES, UPDATES_AT, World, memory};
use super::{CONST_RATE, DCTCP_WIN, Entry, FULL, PACED};
use crate::harness::{Run, repeat};

const OPS: u32 = 10_000;

pub const CASES: &[Entry] = &[
    ("core/idle", OPS, idle),
    ("core/echo-64-1", OPS, |ops| {
        echo(ops, Load::new(64, 1), CONST_RATE)
    }),
    ("core/echo-64-64", OPS, |ops| {
        echo(ops, Load::new(64, 64), CONST_RATE)
    }),
    ("core/echo-64-64-pipelined", OPS, |ops| {
        echo(ops, Load::new(64, 64).pipelined(16), CONST_RATE)
    }),
    ("core/echo-1448-64", OPS, |ops| {
        echo(ops, Load::new(FULL as u32, 64), CONST_RATE)
    }),
    ("core/echo-64-64-dctcp-win", OPS, |ops| {
        echo(ops, Load::new(64, 64), DCTCP_WIN)
    }),
    ("core/echo-64-64-paced", OPS, |ops| {
        echo(ops, Load::new(64, 64), PACED)
    }),
];

/// The application's ends of the queues. A flow's number is also the application's word for it.
struct Queues {
    events: Consumer<Arx>,
    updates: Producer<Atx>,
    /// The number of each flow's next update.
    bump_seqs: Vec<u16>,
}

impl Queues {
    fn new(arena: &Arc<Arena>, flows: u32) -> Queues {
        Queues {
            events: arena.consumer(EVENTS_AT, EVENTS).expect("a queue"),
            updates: arena.producer(UPDATES_AT, UPDATES).expect("a queue"),
            bump_seqs: vec![0; flows as usize],
        }
    }

    fn post(&mut self, flow: u32, rx_bump: u32, tx_bump: u32) {
        let Some(bump_seq) = self.bump_seqs.get_mut(flow as usize) else {
            return;
        };
        let update = AtxConnUpdate {
            rx_bump,
            tx_bump,
            flow_id: flow,
            bump_seq: *bump_seq,
            flags: 0,
        };
        *bump_seq = bump_seq.wrapping_add(1);
        assert!(
            self.updates
                .push(&AtxMsg::ConnUpdate(update).into())
                .is_ok()
        );
    }
}

impl Application for Queues {
    fn opaque(&self, flow: u32) -> u64 {
        flow.into()
    }

    fn send(&mut self, flow: u32, bytes: u32) {
        self.post(flow, 0, bytes);
    }

    fn answer(&mut self) -> u64 {
        let mut bytes = 0;
        while let Some(entry) = self.events.pop() {
            let Ok(ArxMsg::ConnUpdate(news)) = ArxMsg::try_from(entry) else {
                continue;
            };
            if news.rx_bump > 0 {
                bytes += u64::from(news.rx_bump);
                self.post(news.opaque as u32, news.rx_bump, news.rx_bump);
            }
        }
        bytes
    }
}

fn world(load: Load, options: &[&str]) -> World<Queues> {
    let arena = memory(load.flows());
    World::new(&arena, Queues::new(&arena, load.flows()), load, options)
}

/// A turn in which nothing is to do.
fn idle(ops: u32) -> Run {
    let mut world = world(Load::new(64, 1), CONST_RATE);
    repeat(ops, move |_| world.turn())
}

/// Requests and their responses. One operation is both, so two segments sent and received.
fn echo(ops: u32, load: Load, options: &[&str]) -> Run {
    let mut world = world(load, options);
    world.start(load);
    let bytes = u64::from(load.bytes) * 2 * u64::from(ops);
    Box::new(move || world.echo(bytes))
}
