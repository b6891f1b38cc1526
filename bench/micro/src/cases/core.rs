//! A core as a whole, with connections to itself over a looped port, and an application that
//! sends back what it receives.

use std::sync::Arc;

use tas::fast::counters::CoreCounters;
use tas::fast::{Core, CoreParts, Flows, Idle, Shared};
use tas::flowtable::FlowTable;
use tas::link::{AppLink, ContextSetup, FlowSetup, ToFast, ToSlow, Waker};
use tas::nic::PortInfo;
use tas::proto::FlowInit;
use tas::types::{ContextId, CoreId, FlowId, Micros, TenantId};
use tas_abi::memif::{Arx, ArxMsg, Atx, AtxConnUpdate, AtxMsg};
use tas_shm::{Consumer, EventFd, FlowSlots, OwnerId, Producer, SharedTable, ShmOffset};

use super::looped::LoopedQueue;
use super::{BUFFER, Entry, FULL, IP, MAC, START, init, params, rings, tuple};
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

const CONST_RATE: &[&str] = &["--cc=const-rate"];
const DCTCP_WIN: &[&str] = &["--cc=dctcp-win"];
/// A rate that makes every segment wait some 50 µs for its turn.
const PACED: &[&str] = &["--cc=const-rate", "--cc-const-rate=10000"];

/// Bytes of the queue from the core, and of the one to it.
const EVENTS: u32 = 256 * 1024;
const UPDATES: u32 = 128 * 1024;

/// What an application does.
#[derive(Clone, Copy)]
struct Load {
    /// Bytes of a message.
    bytes: u32,
    /// Connections.
    connections: u32,
    /// Messages in flight on each, which the application posts together.
    in_flight: u32,
}

impl Load {
    fn new(bytes: u32, connections: u32) -> Load {
        Load {
            bytes,
            connections,
            in_flight: 1,
        }
    }

    fn pipelined(self, in_flight: u32) -> Load {
        Load { in_flight, ..self }
    }
}

/// A core and its application, on virtual time.
struct World {
    core: Core<LoopedQueue>,
    now: Micros,
    events: Consumer<Arx>,
    updates: Producer<Atx>,
    /// The number of each flow's next update.
    bump_seqs: Vec<u16>,
    _from_core: rtrb::Consumer<ToSlow>,
}

impl World {
    fn new(connections: u32, options: &[&str]) -> World {
        let flows = connections * 2;
        let queues = u64::from(EVENTS + UPDATES);
        let arena =
            rings::arena((queues + u64::from(flows * BUFFER) * 2).next_multiple_of(1 << 21));
        let slots: Arc<Flows> = Arc::new(FlowSlots::private(flows).expect("memory"));
        let table = Arc::new(FlowTable::new(SharedTable::private(flows * 16)));
        let mut tokens = slots.tokens(1).into_iter();
        let shared = Shared {
            flows: slots,
            table: Arc::clone(&table),
            arena: Arc::clone(&arena),
            params: params(options),
            addresses: vec![IP],
            port: PortInfo {
                mac: MAC,
                mtu: 1500,
                queues: 1,
                tx_checksum_offload: false,
                rx_checksum_offload: false,
                driver: "looped".to_owned(),
            },
            checksum_offload: false,
            // No flow ever goes back.
            slow_owner: OwnerId(1),
            idle: Idle {
                poll_cycle: u64::MAX,
                poll_cycle_app: u64::MAX,
            },
        };
        let waker = || Arc::new(Waker::new(EventFd::new().expect("an eventfd")));
        let (mut to_core, from_slow) = rtrb::RingBuffer::new(flows as usize + 1);
        let (to_slow, from_core) = rtrb::RingBuffer::new(16);
        let parts = CoreParts {
            id: CoreId(0),
            nic: LoopedQueue::default(),
            token: tokens.next().expect("the first token"),
            from_slow,
            to_slow,
            waker: waker(),
            slow_waker: waker(),
            counters: Arc::new(CoreCounters::default()),
        };
        let mut tell = |message| assert!(to_core.push(message).is_ok());
        tell(ToFast::AddContext(Box::new(ContextSetup {
            id: ContextId(0),
            tenant: TenantId(0),
            rxq: ShmOffset(0),
            rxq_len: EVENTS,
            txq: ShmOffset(EVENTS.into()),
            txq_len: UPDATES,
            evfd: EventFd::new().expect("an eventfd"),
        })));
        for number in 0..flows {
            let init = end(number, queues);
            assert!(table.insert(init.tuple.hash(), FlowId(number)));
            tell(ToFast::Install(Box::new(FlowSetup {
                flow: FlowId(number),
                init,
                app: Some(AppLink {
                    context: ContextId(0),
                    opaque: number.into(),
                }),
            })));
        }
        let mut world = World {
            core: Core::new(parts, Arc::new(shared), START),
            now: START,
            events: arena.consumer(ShmOffset(0), EVENTS).expect("a queue"),
            updates: arena
                .producer(ShmOffset(EVENTS.into()), UPDATES)
                .expect("a queue"),
            bump_seqs: vec![0; flows as usize],
            _from_core: from_core,
        };
        // Until all messages have been taken.
        while world.turn() {}
        world
    }

    fn turn(&mut self) -> bool {
        self.now += Micros(1);
        self.core.turn(self.now)
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

    /// The application sends back all that has come; says how much that was.
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

    /// Takes turns until so many bytes have arrived.
    fn echo(&mut self, bytes: u64) {
        let (mut arrived, mut turns) = (0, 0u64);
        while arrived < bytes {
            self.turn();
            arrived += self.answer();
            turns += 1;
            assert!(turns < bytes, "the connections stand still");
        }
    }
}

/// Flow `number`: the side of its connection that opened it when even, else the other one.
fn end(number: u32, buffers: u64) -> FlowInit {
    let opener = tuple(number / 2);
    let place = buffers + u64::from(number) * u64::from(2 * BUFFER);
    let mut init = FlowInit {
        rx_base: place,
        tx_base: place + u64::from(BUFFER),
        ..init(opener)
    };
    if number % 2 == 1 {
        init.tuple = opener.reversed();
        std::mem::swap(&mut init.iss, &mut init.irs);
    }
    init
}

/// A turn in which nothing is to do.
fn idle(ops: u32) -> Run {
    let mut world = World::new(1, CONST_RATE);
    repeat(ops, move |_| world.turn())
}

/// Requests and their responses. One operation is both, so two segments sent and received.
fn echo(ops: u32, load: Load, options: &[&str]) -> Run {
    let mut world = World::new(load.connections, options);
    for connection in 0..load.connections {
        world.post(connection * 2, 0, load.bytes * load.in_flight);
    }
    let request = u64::from(load.bytes) * 2;
    // What allocates has done so, and ACKs are held back, after some rounds.
    world.echo(request * u64::from(load.connections * load.in_flight) * 8);
    let bytes = request * u64::from(ops);
    Box::new(move || world.echo(bytes))
}
