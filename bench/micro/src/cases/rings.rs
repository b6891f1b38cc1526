//! Rings in shared memory: queue entries and data.

use tas_abi::memif::{Arx, ArxConnUpdate, ArxMsg, Atx, AtxConnUpdate, AtxMsg};
use tas_shm::{ShmOffset, Slot};

use super::world::arena;
use super::{BUFFER, Entry, FULL};
use crate::harness::{Run, repeat};

const OPS: u32 = 10_000;
const QUEUE: u32 = 16 * 1024;

pub const CASES: &[Entry] = &[
    ("rings/event", OPS, |ops| queue(ops, event)),
    ("rings/update", OPS, |ops| queue(ops, update)),
    ("rings/empty", OPS, empty),
    ("rings/write-64", OPS, |ops| write(ops, 64)),
    ("rings/write-1448", OPS, |ops| write(ops, FULL)),
    ("rings/read-64", OPS, |ops| read(ops, 64)),
    ("rings/read-1448", OPS, |ops| read(ops, FULL)),
];

fn event(index: u32) -> Arx {
    ArxMsg::ConnUpdate(ArxConnUpdate {
        opaque: index.into(),
        rx_bump: 64,
        rx_pos: index,
        tx_bump: 64,
        flags: 0,
    })
    .into()
}

fn update(index: u32) -> Atx {
    AtxMsg::ConnUpdate(AtxConnUpdate {
        rx_bump: 64,
        tx_bump: 64,
        flow_id: index,
        bump_seq: index as u16,
        flags: 0,
    })
    .into()
}

/// An entry goes in at one end and out at the other.
fn queue<S: Slot + 'static>(ops: u32, entry: fn(u32) -> S) -> Run {
    let arena = arena(1 << 21);
    let mut producer = arena.producer::<S>(ShmOffset(0), QUEUE).expect("a queue");
    let mut consumer = arena.consumer::<S>(ShmOffset(0), QUEUE).expect("a queue");
    repeat(ops, move |index| {
        let pushed = producer.push(&entry(index)).is_ok();
        (pushed, consumer.pop())
    })
}

/// Nothing waits in the queue.
fn empty(ops: u32) -> Run {
    let arena = arena(1 << 21);
    let mut consumer = arena.consumer::<Atx>(ShmOffset(0), QUEUE).expect("a queue");
    repeat(ops, move |_| consumer.pop())
}

/// Data is copied in, going round.
fn write(ops: u32, len: usize) -> Run {
    let arena = arena(1 << 21);
    let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
    let mut pos = 0;
    repeat(ops, move |_| {
        let written = arena.write_ring(ShmOffset(64), BUFFER, pos, &data);
        pos = (pos + len as u32) % BUFFER;
        written
    })
}

/// Data is copied out, going round.
fn read(ops: u32, len: usize) -> Run {
    let arena = arena(1 << 21);
    let mut data = vec![0; len];
    let mut pos = 0;
    repeat(ops, move |_| {
        let read = arena.read_ring(ShmOffset(64), BUFFER, pos, &mut data);
        pos = (pos + len as u32) % BUFFER;
        read
    })
}
