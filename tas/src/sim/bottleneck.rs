//! Senders that always have more to send, and one receiver behind a wire that is too slow for all.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;

use super::app::{App, Event, ListenerName, Queues};
use super::conn::ConnName;
use super::host::HostConf;
use super::world::{HostIndex, World};
use crate::nic::sim::{DownlinkState, Path};
use crate::types::Micros;

const PORT: u16 = 5001;
const RECEIVER: [u8; 4] = [10, 0, 0, 1];
/// Bytes of an entry in the longer of an application's queues.
const ENTRY: u32 = 32;
/// Most bytes that a sender writes at one time.
const CHUNK: usize = 1 << 16;

/// How a [`Bottleneck`] is made.
#[derive(Clone, Debug)]
pub struct BottleneckConf {
    /// Options of all services, as on the command line.
    pub options: Vec<String>,
    /// Hosts that send.
    pub senders: u8,
    /// Flows of each.
    pub flows: u32,
    /// The wire to the receiver.
    pub wire: Path,
    /// The wires from all hosts to the switch.
    pub access: Path,
    /// Time that a turn of all threads takes.
    pub tick: Micros,
}

impl BottleneckConf {
    /// Two senders of one flow each, whose congestion control is `cc`. The wire to the receiver
    /// carries `kbps`; before it is a queue for `queue` bytes, which marks packets while more than
    /// `mark_above` bytes wait. Each of the three wires that data and acknowledgements take adds
    /// `delay`.
    #[must_use]
    pub fn new(cc: &str, kbps: u32, queue: u32, mark_above: u32, delay: Micros) -> BottleneckConf {
        let access = Path {
            delay,
            ..Path::default()
        };
        BottleneckConf {
            options: vec![
                format!("--cc={cc}"),
                format!("--tcp-link-bw={}", kbps.div_ceil(1_000_000).max(1)),
                "--app-shm-len=268435456".to_owned(),
                "--app-shm-total=8589934592".to_owned(),
                "--tcp-rxbuf-len=1048576".to_owned(),
                "--tcp-txbuf-len=1048576".to_owned(),
            ],
            senders: 2,
            flows: 1,
            wire: Path {
                rate_kbps: kbps,
                queue,
                mark_above,
                ..access
            },
            access,
            tick: Micros(1),
        }
    }

    /// Adds an option of the services, or replaces it.
    #[must_use]
    pub fn with(mut self, option: &str) -> BottleneckConf {
        let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
        self.options.retain(|other| name(other) != name(option));
        self.options.push(option.to_owned());
        self
    }

    /// So many senders, and flows of each.
    #[must_use]
    pub fn of(mut self, senders: u8, flows: u32) -> BottleneckConf {
        self.senders = senders;
        self.flows = flows;
        self
    }
}

/// A host that sends.
struct Sender {
    host: HostIndex,
    app: App,
    /// Its connections, and which flows they are.
    flows: HashMap<ConnName, usize>,
}

/// A flow.
#[derive(Clone, Default)]
struct FlowState {
    name: Option<ConnName>,
    /// It sends.
    begun: bool,
    /// Bytes handed to its sender.
    written: u64,
}

/// Senders, a receiver and the wire between them. Flows are numbered: those of the first sender
/// first.
pub struct Bottleneck {
    world: World,
    receiver: HostIndex,
    sink: App,
    listener: ListenerName,
    senders: Vec<Sender>,
    per_sender: u32,
    flows: Vec<FlowState>,
    events: Vec<Event>,
    filler: Vec<u8>,
}

/// What can be seen at a time.
#[derive(Clone, Debug)]
pub struct Sight {
    /// When.
    pub at: Micros,
    /// The wire to the receiver.
    pub wire: DownlinkState,
    /// Bytes of each flow that were acknowledged so far.
    pub acked: Vec<u64>,
}

impl Bottleneck {
    /// Starts the services. No flow is open yet.
    ///
    /// # Errors
    /// The system gives no memory, or an option is wrong.
    pub fn new(conf: &BottleneckConf) -> io::Result<Bottleneck> {
        let mut world = World::new(1);
        world.tick = conf.tick;
        let flows = u32::from(conf.senders) * conf.flows;
        let receiver = world.add(host(RECEIVER, flows, conf))?;
        let sink = attach(&mut world, receiver, flows)?;
        let mut senders = Vec::new();
        for index in 0..conf.senders {
            let host = world.add(host([10, 0, 0, 10 + index], conf.flows, conf))?;
            let app = attach(&mut world, host, conf.flows)?;
            let port = world.host(host).port();
            world.network.set_path(port, conf.access);
            senders.push(Sender {
                host,
                app,
                flows: HashMap::new(),
            });
        }
        let port = world.host(receiver).port();
        world.network.set_path(port, conf.access);
        world.network.set_downlink(port, conf.wire);
        let mut bottleneck = Bottleneck {
            world,
            receiver,
            sink,
            listener: ListenerName(0),
            senders,
            per_sender: conf.flows,
            flows: vec![FlowState::default(); flows as usize],
            events: Vec::new(),
            filler: vec![0; CHUNK],
        };
        bottleneck.listener = bottleneck.sink.listen(0, PORT, flows);
        bottleneck.run(Micros::from_millis(1), Micros::from_millis(1));
        Ok(bottleneck)
    }

    /// Opens a connection for a flow.
    pub fn open(&mut self, flow: usize) {
        self.sink.accept(0, self.listener);
        if let Some(sender) = self.senders.get_mut(flow / self.per_sender as usize) {
            let name = sender.app.open(0, Ipv4Addr::from(RECEIVER), PORT);
            sender.flows.insert(name, flow);
            self.flows[flow].name = Some(name);
        }
    }

    /// A flow begins to send: now, or once it is open.
    pub fn begin(&mut self, flow: usize) {
        self.flows[flow].begun = true;
        let sender = self.senders.get_mut(flow / self.per_sender as usize);
        if let (Some(sender), Some(name)) = (sender, self.flows[flow].name) {
            self.flows[flow].written += fill(&mut sender.app, name, &self.filler);
        }
    }

    /// Opens a flow that sends from then on.
    pub fn start(&mut self, flow: usize) {
        self.open(flow);
        self.begin(flow);
    }

    /// The services, for those who want more.
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// The hosts: the receiver, then the senders.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostIndex> {
        let senders = self.senders.iter().map(|sender| sender.host);
        [self.receiver].into_iter().chain(senders).collect()
    }

    /// Runs for `span`, looking `every` so often.
    pub fn run(&mut self, span: Micros, every: Micros) -> Vec<Sight> {
        let mut sights = Vec::new();
        let until = self.world.now() + span;
        let mut next = self.world.now() + every;
        while self.world.now() < until {
            let mut worked = self.world.turn();
            worked |= self.consume() | self.produce();
            if self.world.now() >= next {
                next += every;
                sights.push(self.look());
            }
            self.world.pass(worked, until.min(next));
        }
        sights
    }

    fn look(&mut self) -> Sight {
        let port = self.world.host(self.receiver).port();
        let senders = &self.senders;
        let unacknowledged = |index: usize, name| {
            let sender = senders.get(index / self.per_sender as usize)?;
            let conn = sender.app.conn(name)?;
            Some(u64::from(conn.unacknowledged()))
        };
        let acked = self.flows.iter().enumerate().map(|(index, flow)| {
            let waiting = flow.name.and_then(|name| unacknowledged(index, name));
            flow.written.saturating_sub(waiting.unwrap_or(0))
        });
        let acked = acked.collect();
        Sight {
            at: self.world.now(),
            wire: self.world.network.downlink(port),
            acked,
        }
    }

    /// The receiver takes what has come.
    fn consume(&mut self) -> bool {
        self.sink.poll_context(0, &mut self.events);
        let worked = !self.events.is_empty();
        for event in self.events.drain(..) {
            if let Event::Updated(name) | Event::Accepted(name) = event {
                self.sink.receive(name, usize::MAX);
            }
        }
        worked
    }

    /// The senders fill what has become free.
    fn produce(&mut self) -> bool {
        let mut worked = false;
        for sender in &mut self.senders {
            sender.app.poll_context(0, &mut self.events);
            worked |= !self.events.is_empty();
            for event in self.events.drain(..) {
                let (Event::Updated(name) | Event::Opened(name)) = event else {
                    continue;
                };
                let Some(flow) = sender.flows.get(&name) else {
                    continue;
                };
                let flow = &mut self.flows[*flow];
                if flow.begun {
                    flow.written += fill(&mut sender.app, name, &self.filler);
                }
            }
        }
        worked
    }
}

/// Writes as much as there is room for; returns how many bytes.
fn fill(app: &mut App, name: ConnName, filler: &[u8]) -> u64 {
    let mut written = 0;
    loop {
        let taken = app.write_only(name, filler);
        written += taken as u64;
        if taken < filler.len() {
            break;
        }
    }
    app.flush_conn(name);
    written
}

fn host(ip: [u8; 4], flows: u32, conf: &BottleneckConf) -> HostConf {
    let mut host = HostConf::new(ip);
    host.flows = flows + 16;
    host.kernel_queue = 1 << 16;
    // Nothing but the wire is to be the bottleneck.
    host.port.ring = 1 << 16;
    host.port.buffers = 1 << 16;
    for option in &conf.options {
        host = host.with(option);
    }
    host
}

fn attach(world: &mut World, host: HostIndex, flows: u32) -> io::Result<App> {
    // A flow has one entry at a time, or few.
    let entries = (flows * 4).next_power_of_two().max(512);
    let queues = Queues {
        rx: entries * ENTRY,
        tx: entries * ENTRY / 2,
    };
    world.host(host).attach_with(1, queues)
}
