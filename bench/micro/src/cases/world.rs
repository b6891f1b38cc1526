//! A core with connections to itself over a looped port, and an application that sends back what
//! it receives, on virtual time.

use std::sync::Arc;

use tas::fast::peers::Peers;
use tas::fast::{Core, CoreParts, Flows, Idle, Shared};
use tas::flowtable::FlowTable;
use tas::link::{AppLink, ContextSetup, FlowSetup, ToFast, ToSlow, Waker};
use tas::nic::PortInfo;
use tas::proto::FlowInit;
use tas::steering::Steering;
use tas::types::{ContextId, CoreId, FlowId, Micros, TenantId};
use tas_shm::{Arena, Backing, EventFd, FlowSlots, OwnerId, Placed, SharedTable, ShmOffset};

use super::looped::LoopedQueue;
use super::{BUFFER, IP, MAC, START, init, params, tuple};

/// Bytes of the queue from the core, and of the one to it.
pub const EVENTS: u32 = 256 * 1024;
pub const UPDATES: u32 = 128 * 1024;
/// Where they lie, and where the buffers begin.
pub const EVENTS_AT: ShmOffset = ShmOffset(0);
pub const UPDATES_AT: ShmOffset = ShmOffset(EVENTS as u64);
const BUFFERS_AT: u64 = (EVENTS + UPDATES) as u64;

/// What an application does.
#[derive(Clone, Copy)]
pub struct Load {
    /// Bytes of a message.
    pub bytes: u32,
    /// Connections.
    pub connections: u32,
    /// Messages in flight on each, which are sent together.
    pub in_flight: u32,
}

impl Load {
    pub fn new(bytes: u32, connections: u32) -> Load {
        Load {
            bytes,
            connections,
            in_flight: 1,
        }
    }

    pub fn pipelined(self, in_flight: u32) -> Load {
        Load { in_flight, ..self }
    }

    /// Flows: both ends of every connection.
    pub fn flows(self) -> u32 {
        self.connections * 2
    }
}

/// The application's side.
pub trait Application {
    /// Its word for the flow of this number.
    fn opaque(&self, flow: u32) -> u64;
    /// Sends so many bytes.
    fn send(&mut self, flow: u32, bytes: u32);
    /// Sends back all that has come; says how much that was.
    fn answer(&mut self) -> u64;
}

/// Memory as applications share it.
pub fn arena(len: u64) -> Arc<Arena> {
    let arena = Arena::reserve(len).expect("addresses");
    let backing = Backing::memfd("microbench", len, false).expect("memory");
    arena.map(ShmOffset(0), &backing, len).expect("a mapping");
    // Pages come at the first touch, which is not what is to be measured.
    arena.zero(ShmOffset(0), len).expect("inside the arena");
    arena
}

/// Memory with the queues, and the buffers of so many flows.
pub fn memory(flows: u32) -> Arc<Arena> {
    let len = BUFFERS_AT + u64::from(flows) * u64::from(BUFFER) * 2;
    arena(len.next_multiple_of(1 << 21))
}

/// Where the receive buffer of a flow lies, and the transmit buffer.
pub fn buffers(flow: u32) -> (ShmOffset, ShmOffset) {
    let place = BUFFERS_AT + u64::from(flow) * u64::from(BUFFER) * 2;
    (ShmOffset(place), ShmOffset(place + u64::from(BUFFER)))
}

/// A core and its application.
pub struct World<A> {
    core: Core<LoopedQueue>,
    now: Micros,
    pub app: A,
    _from_core: rtrb::Consumer<ToSlow>,
}

impl<A: Application> World<A> {
    /// A core that has the flows of `load`, with TCP as `options` say.
    pub fn new(arena: &Arc<Arena>, app: A, load: Load, options: &[&str]) -> World<A> {
        let flows = load.flows();
        let slots: Arc<Flows> = Arc::new(FlowSlots::private(flows).expect("memory"));
        let table = Arc::new(FlowTable::new(SharedTable::private(flows * 16)));
        let mut tokens = slots.tokens(1).into_iter();
        let shared = Shared {
            flows: slots,
            table: Arc::clone(&table),
            steering: Arc::new(Steering::new(None)),
            arena: Arc::clone(arena),
            params: params(options),
            addresses: vec![IP],
            port: PortInfo {
                mac: MAC,
                mtu: 1500,
                queues: 1,
                rss: None,
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
        let (mut to_core, from_slow) = rtrb::RingBuffer::new(flows as usize + 1);
        let (to_slow, from_core) = rtrb::RingBuffer::new(16);
        let parts = CoreParts {
            id: CoreId(0),
            nic: LoopedQueue::default(),
            token: tokens.next().expect("the first token"),
            peers: Peers::default(),
            from_slow,
            to_slow,
            waker: waker(),
            slow_waker: waker(),
            counters: Placed::default(),
        };
        let mut tell = |message| assert!(to_core.push(message).is_ok());
        tell(ToFast::AddContext(Box::new(context())));
        for number in 0..flows {
            let init = end(number);
            assert!(table.insert(init.tuple.hash(), FlowId(number)));
            tell(ToFast::Install(Box::new(FlowSetup {
                flow: FlowId(number),
                init,
                app: Some(AppLink {
                    context: ContextId(0),
                    opaque: app.opaque(number),
                }),
            })));
        }
        let mut world = World {
            core: Core::new(parts, Arc::new(shared), START),
            now: START,
            app,
            _from_core: from_core,
        };
        // Until all messages have been taken.
        while world.turn() {}
        world
    }

    /// A microsecond passes, and the core takes a turn.
    pub fn turn(&mut self) -> bool {
        self.now += Micros(1);
        self.core.turn(self.now)
    }

    /// Begins with requests on all connections, and goes on until what allocates has done so, and
    /// ACKs are held back.
    pub fn start(&mut self, load: Load) {
        for connection in 0..load.connections {
            self.app.send(connection * 2, load.bytes * load.in_flight);
        }
        let messages = load.connections * load.in_flight * 16;
        self.echo(u64::from(load.bytes) * u64::from(messages));
    }

    /// Takes turns until so many bytes have arrived.
    pub fn echo(&mut self, bytes: u64) {
        let (mut arrived, mut turns) = (0, 0u64);
        while arrived < bytes {
            self.turn();
            arrived += self.app.answer();
            turns += 1;
            assert!(turns < bytes, "the connections stand still");
        }
    }
}

fn waker() -> Arc<Waker> {
    Arc::new(Waker::new(EventFd::new().expect("an eventfd")))
}

/// The application's only context.
fn context() -> ContextSetup {
    ContextSetup {
        id: ContextId(0),
        tenant: TenantId(0),
        rxq: EVENTS_AT,
        rxq_len: EVENTS,
        txq: UPDATES_AT,
        txq_len: UPDATES,
        evfd: EventFd::new().expect("an eventfd"),
    }
}

/// Flow `number`: the side of its connection that opened it when even, else the other one.
fn end(number: u32) -> FlowInit {
    let opener = tuple(number / 2);
    let (rx, tx) = buffers(number);
    let mut init = FlowInit {
        rx_base: rx.0,
        tx_base: tx.0,
        ..init(opener)
    };
    if number % 2 == 1 {
        init.tuple = opener.reversed();
        std::mem::swap(&mut init.iss, &mut init.irs);
    }
    init
}
