//! The library that applications use: alone, and on top of a core.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::Arc;

use tas_abi::ll::{FlextcpConnection, FlextcpContext, FlextcpEvent};
use tas_abi::memif::{Arx, ArxConnUpdate, ArxMsg, Atx};
use tas_ll::conn::Status;
use tas_ll::{ConnRef, Events, calls, conn, context};
use tas_shm::{Arena, ShmOffset};
use zerocopy::FromZeros;

use super::world::{
    Application, EVENTS, EVENTS_AT, Load, UPDATES, UPDATES_AT, World, arena, buffers, memory,
};
use super::{BUFFER, CONST_RATE, Entry};
use crate::harness::{Run, repeat};

const OPS: u32 = 10_000;
/// Events of a poll.
const EVENTS_MAX: usize = 64;
/// Bytes and entries of each queue to and from the slow path, which never carries anything.
const SLOW_QUEUE: u32 = 4096;
const SLOW_ENTRIES: u32 = SLOW_QUEUE / 64;

pub const CASES: &[Entry] = &[
    ("library/poll-nothing", OPS, poll_nothing),
    ("library/echo-64", OPS, echo_alone),
    ("whole/echo-64-1", OPS, |ops| echo(ops, Load::new(64, 1))),
    ("whole/echo-64-64", OPS, |ops| echo(ops, Load::new(64, 64))),
    ("whole/echo-64-64-pipelined", OPS, |ops| {
        echo(ops, Load::new(64, 64).pipelined(16))
    }),
];

/// An application on the library.
struct Program {
    context: FlextcpContext,
    /// By flow. The library knows them by address.
    connections: Box<[Cell<FlextcpConnection>]>,
    /// Where the addresses above lead.
    _memory: [Arc<Arena>; 2],
}

impl Program {
    fn new(memory: &Arc<Arena>, flows: u32) -> Program {
        let address = |arena: &Arena, at, len: u32| {
            let place = arena.as_ptr(at, len.into()).expect("inside the arena");
            place.as_ptr()
        };
        let slow = arena(1 << 21);
        let mut context = FlextcpContext::new_zeroed();
        context.kin_base = address(&slow, ShmOffset(0), SLOW_QUEUE).cast();
        context.kin_len = SLOW_ENTRIES;
        context.kout_base = address(&slow, ShmOffset(SLOW_QUEUE.into()), SLOW_QUEUE).cast();
        context.kout_len = SLOW_ENTRIES;
        context.rxq_len = EVENTS;
        context.txq_len = UPDATES;
        context.num_queues = 1;
        let [queue, ..] = &mut context.queues;
        queue.rxq_base = address(memory, EVENTS_AT, EVENTS).cast();
        queue.txq_base = address(memory, UPDATES_AT, UPDATES).cast();
        queue.txq_avail = UPDATES;
        let connection = |flow| {
            let (rx, tx) = buffers(flow);
            let mut connection = FlextcpConnection::new_zeroed();
            connection.rxb_base = address(memory, rx, BUFFER);
            connection.rxb_len = BUFFER;
            connection.txb_base = address(memory, tx, BUFFER);
            connection.txb_len = BUFFER;
            connection.flow_id = flow;
            connection.status = Status::Open as u8;
            Cell::new(connection)
        };
        Program {
            context,
            connections: (0..flows).map(connection).collect(),
            _memory: [Arc::clone(memory), slow],
        }
    }

    fn name(&self, flow: u32) -> Option<ConnRef> {
        ConnRef::new(self.connections.get(flow as usize)?.as_ptr())
    }

    fn poll(&mut self) -> usize {
        let mut slots = [const { MaybeUninit::<FlextcpEvent>::uninit() }; EVENTS_MAX];
        context::poll(&mut self.context, &mut Events::new(&mut slots)).unwrap_or(0)
    }
}

impl Application for Program {
    fn opaque(&self, flow: u32) -> u64 {
        self.name(flow).map_or(0, ConnRef::opaque)
    }

    fn send(&mut self, flow: u32, bytes: u32) {
        let Some(cell) = self.connections.get(flow as usize) else {
            return;
        };
        let mut connection = cell.get();
        let allocated = conn::tx_alloc(&mut connection, bytes as usize, true);
        cell.set(connection);
        // Pieces at the ring's end would take a second call.
        assert!(allocated.is_ok_and(|(_, len)| len == bytes));
        let sent = self
            .name(flow)
            .map(|name| calls::tx_send(&mut self.context, name, bytes as usize));
        assert!(matches!(sent, Some(Ok(()))), "the library sends");
    }

    fn answer(&mut self) -> u64 {
        let mut total = 0;
        while self.poll() > 0 {
            // The connections say what has come as well as the events do, and can be read
            // without trusting an address.
            for flow in 0..self.connections.len() {
                let bytes = self.connections.get(flow).map_or(0, |c| c.get().rxb_used);
                if let (1.., Some(name)) = (bytes, self.name(flow as u32)) {
                    let done = calls::rx_done(&mut self.context, name, bytes as usize);
                    assert!(done.is_ok(), "the library takes bytes back");
                    self.send(flow as u32, bytes);
                    total += u64::from(bytes);
                }
            }
        }
        total
    }
}

/// A poll that finds nothing.
fn poll_nothing(ops: u32) -> Run {
    let memory = memory(1);
    let mut program = Program::new(&memory, 1);
    repeat(ops, move |_| program.poll())
}

/// A message arrives and is sent back; that before is acknowledged.
fn echo_alone(ops: u32) -> Run {
    let memory = memory(1);
    let mut program = Program::new(&memory, 1);
    let mut events = memory.producer::<Arx>(EVENTS_AT, EVENTS).expect("a queue");
    let mut updates = memory
        .consumer::<Atx>(UPDATES_AT, UPDATES)
        .expect("a queue");
    let (mut pos, mut tx_bump) = (0, 0);
    repeat(ops, move |_| {
        let news = ArxConnUpdate {
            opaque: program.opaque(0),
            rx_bump: 64,
            rx_pos: pos,
            tx_bump,
            flags: 0,
        };
        assert!(events.push(&ArxMsg::ConnUpdate(news).into()).is_ok());
        (pos, tx_bump) = ((pos + 64) % BUFFER, 64);
        assert_eq!(program.answer(), 64);
        updates.pop()
    })
}

/// Requests and their responses, as `core/echo`.
fn echo(ops: u32, load: Load) -> Run {
    let memory = memory(load.flows());
    let program = Program::new(&memory, load.flows());
    let mut world = World::new(&memory, program, load, CONST_RATE);
    world.start(load);
    let bytes = u64::from(load.bytes) * 2 * u64::from(ops);
    Box::new(move || world.echo(bytes))
}
