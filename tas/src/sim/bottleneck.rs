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

impl Default for BottleneckConf {
    /// Two senders of one flow each, a wire without limit.
    fn default() -> BottleneckConf {
        BottleneckConf {
            options: Vec::new(),
            senders: 2,
            flows: 1,
            wire: Path::default(),
            access: Path::default(),
            tick: Micros(1),
        }
    }
}

/// A host that sends.
struct Sender {
    host: HostIndex,
    app: App,
    /// Its connections, and whose bytes they carry.
    flows: HashMap<ConnName, usize>,
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
    /// Bytes sent and acknowledged, of each flow.
    acked: Vec<u64>,
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
            acked: vec![0; flows as usize],
            events: Vec::new(),
            filler: vec![0; CHUNK],
        };
        bottleneck.listener = bottleneck.sink.listen(0, PORT, flows);
        bottleneck.run(Micros::from_millis(1), Micros::from_millis(1));
        Ok(bottleneck)
    }

    /// Opens a flow, which sends from then on.
    pub fn open(&mut self, flow: usize) {
        self.sink.accept(0, self.listener);
        let sender = flow / self.per_sender as usize;
        if let Some(sender) = self.senders.get_mut(sender) {
            let name = sender.app.open(0, Ipv4Addr::from(RECEIVER), PORT);
            sender.flows.insert(name, flow);
        }
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
        Sight {
            at: self.world.now(),
            wire: self.world.network.downlink(port),
            acked: self.acked.clone(),
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
                let mut taken = 0;
                loop {
                    let bytes = sender.app.write_only(name, &self.filler);
                    taken += bytes;
                    if bytes < self.filler.len() {
                        break;
                    }
                }
                sender.app.flush_conn(name);
                if let (Event::Updated(_), Some(flow)) = (event, sender.flows.get(&name)) {
                    self.acked[*flow] += taken as u64;
                }
            }
        }
        worked
    }
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
