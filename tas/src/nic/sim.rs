//! Ports in memory, for tests: a switch between them that delays, loses, repeats, reorders and
//! damages frames as a seed says, on virtual time.
//!
//! Everything is the same for the same seed and the same calls, so a failure can be repeated.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tas_wire::MacAddr;

use super::{Frames, NicQueue, PortInfo, PortStats, Redirect, Rss};
use crate::types::{CoreId, Micros};

mod frame;
mod middlebox;
mod network;
mod random;
mod router;

#[cfg(test)]
mod tests;

pub use frame::SimFrame;
pub use middlebox::EcnPath;
pub use random::Random;
pub use router::TooLarge;

use network::{Net, PortState};

/// Headers, on top of the MTU.
const FRAME_EXTRA: usize = 18;

/// A port of a [`Network`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PortId(usize);

/// Which receive queue a frame goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steering {
    /// By a hash of the connection that nobody knows, as Linux does it for packet sockets.
    Hash,
    /// By receive-side scaling with a redirection table, as hardware does it.
    Table,
    /// Always this one.
    Queue(u16),
    /// Any: even segments of one connection come on different queues.
    Random,
}

/// How a port is made.
#[derive(Clone, Debug)]
pub struct PortConf {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// Receive queues, and transmit queues.
    pub queues: u16,
    /// Cores that want queues; those beyond the number of queues have none to receive from.
    pub cores: u16,
    /// Which queue a frame goes to.
    pub steering: Steering,
    /// Frames that a receive queue holds; those beyond are lost.
    pub ring: usize,
    /// Buffers for frames that the service holds at one time.
    pub buffers: usize,
    /// The port fills in checksums.
    pub tx_checksum_offload: bool,
    /// The checksums that the port checks.
    pub rx_checks: RxChecks,
}

impl PortConf {
    /// An ordinary port with this address.
    #[must_use]
    pub fn new(mac: MacAddr) -> PortConf {
        PortConf {
            mac,
            mtu: 1500,
            queues: 1,
            cores: 1,
            steering: Steering::Hash,
            ring: 4096,
            buffers: 4096,
            tx_checksum_offload: false,
            rx_checks: RxChecks::None,
        }
    }
}

/// Which checksums of received frames a port checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecks {
    /// None.
    None,
    /// TCP's, as a port of a virtual machine: what comes from the same host has none filled in.
    Tcp,
    /// Those of IPv4's header and of TCP.
    All,
}

/// What happens to frames on a wire between a port and the switch. The default is an ideal wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// Time from port to port.
    pub delay: Micros,
    /// More of it, at random, without changing the order.
    pub jitter: Micros,
    /// Frames lost, of a thousand.
    pub loss: u32,
    /// Frames repeated, of a thousand.
    pub duplicate: u32,
    /// Frames held back, of a thousand.
    pub reorder: u32,
    /// How long they, and repetitions, are held back at most.
    pub reorder_by: Micros,
    /// Frames with a wrong bit, of a thousand.
    pub corrupt: u32,
    /// Speed of the wire, kbit/s; 0: no limit.
    pub rate_kbps: u32,
    /// Bytes that may wait for the wire; 0: no limit.
    pub queue: u32,
    /// Packets are marked "congestion experienced" when more bytes wait; 0: never.
    pub mark_above: u32,
    /// Largest IP packet, bytes; 0: any.
    pub mtu: u16,
    /// What becomes of larger ones.
    pub too_large: TooLarge,
    /// What becomes of ECN.
    pub ecn: EcnPath,
}

/// How the wire from the switch to a port is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DownlinkState {
    /// Bytes that wait for it.
    pub waiting: u64,
    /// Packets that were marked "congestion experienced".
    pub marked: u64,
    /// Frames for which the queue had no room.
    pub overflows: u64,
}

/// A frame that was sent, before anything happened to it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub at: Micros,
    /// The sender.
    pub from: PortId,
    /// The frame.
    pub frame: Vec<u8>,
}

impl Seen {
    /// Whether it went to this address.
    #[must_use]
    pub fn is_to(&self, mac: MacAddr) -> bool {
        network::is_to(&self.frame, mac)
    }
}

/// A frame that a port has received.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The receiver.
    pub at: PortId,
    /// The frame, with whatever happened to it.
    pub frame: Vec<u8>,
}

/// A handle on a network. Clones are handles on the same one.
#[derive(Clone)]
pub struct Network(Arc<Mutex<Net>>);

impl Network {
    /// A network without ports; what happens by chance follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Network {
        Network(Arc::new(Mutex::new(Net::new(seed))))
    }

    fn net(&self) -> MutexGuard<'_, Net> {
        // A panic elsewhere ends the test anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a port, with an ideal wire.
    #[must_use]
    pub fn add(&self, conf: PortConf) -> SimPort {
        let mut net = self.net();
        let id = PortId(net.ports.len());
        let info = PortInfo {
            mac: conf.mac,
            mtu: conf.mtu,
            queues: conf.queues,
            rss: (conf.steering == Steering::Table).then(rss),
            tx_checksum_offload: conf.tx_checksum_offload,
            rx_checksum_offload: conf.rx_checks != RxChecks::None,
            driver: "sim".to_owned(),
        };
        let queues = (0..conf.cores.max(conf.queues))
            .map(|queue| SimQueue {
                network: self.clone(),
                port: id,
                queue: queue.into(),
                receives: queue < conf.queues,
            })
            .collect();
        net.ports.push(PortState::new(conf));
        SimPort { id, info, queues }
    }

    /// Says what happens to frames that a port sends from now on.
    pub fn set_path(&self, port: PortId, path: Path) {
        self.net().set_path(port, path);
    }

    /// Says what happens to frames that the switch sends to a port from now on. Here the frames of
    /// several senders meet.
    pub fn set_downlink(&self, port: PortId, path: Path) {
        self.net().set_downlink(port, path);
    }

    /// How the wire to a port is doing.
    #[must_use]
    pub fn downlink(&self, port: PortId) -> DownlinkState {
        self.net().downlink(port)
    }

    /// Lets a port take only this many more frames; `None`: as many as come.
    pub fn set_takes(&self, port: PortId, frames: Option<usize>) {
        if let Some(port) = self.net().ports.get_mut(port.0) {
            port.takes = frames;
        }
    }

    /// Makes a port refuse a buffer in `per_mille` of a thousand cases.
    pub fn set_alloc_failures(&self, port: PortId, per_mille: u32) {
        if let Some(port) = self.net().ports.get_mut(port.0) {
            port.alloc_failures = per_mille;
        }
    }

    /// Delivers everything that arrives until `now`. True when something did.
    pub fn advance(&self, now: Micros) -> bool {
        self.net().advance(now)
    }

    /// When the next frame arrives.
    #[must_use]
    pub fn next(&self) -> Option<Micros> {
        self.net().next()
    }

    /// Frames wait in receive queues.
    #[must_use]
    pub fn waiting(&self) -> bool {
        self.net().waiting()
    }

    /// Puts a frame into a port's receive queue, whoever it is for.
    pub fn inject(&self, port: PortId, frame: &[u8]) {
        self.net().deliver(port.0, frame.to_vec());
    }

    /// Begins to record what is sent.
    pub fn record(&self) {
        self.net().seen = Some(Vec::new());
    }

    /// What was sent since the last call, if it is recorded.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.net()
            .seen
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Begins to record what is received.
    pub fn record_arrivals(&self) {
        self.net().arrived = Some(Vec::new());
    }

    /// What was received since the last call, if it is recorded.
    #[must_use]
    pub fn arrived(&self) -> Vec<Arrived> {
        self.net()
            .arrived
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The redirection table of a port that has one.
    #[must_use]
    pub fn redirect(&self, port: PortId) -> Option<SimRedirect> {
        let has = self.net().ports.get(port.0)?.conf.steering == Steering::Table;
        has.then(|| SimRedirect {
            network: self.clone(),
            port,
        })
    }

    /// A port's counters.
    #[must_use]
    pub fn stats(&self, port: PortId) -> PortStats {
        self.net()
            .ports
            .get(port.0)
            .map(|port| port.stats)
            .unwrap_or_default()
    }

    /// Buffers that a port has left.
    #[must_use]
    pub fn buffers(&self, port: PortId) -> usize {
        self.net()
            .ports
            .get(port.0)
            .map_or(0, |port| port.pool.left())
    }
}

/// A port of a network, with its queues.
pub struct SimPort {
    /// Which it is.
    pub id: PortId,
    /// What a service needs to know of it.
    pub info: PortInfo,
    /// The queues, one for each core.
    pub queues: Vec<SimQueue>,
}

/// A receive and a transmit queue of a simulated port.
pub struct SimQueue {
    network: Network,
    port: PortId,
    queue: usize,
    receives: bool,
}

/// The redirection table of a simulated port.
pub struct SimRedirect {
    network: Network,
    port: PortId,
}

impl Redirect for SimRedirect {
    fn redirect(&mut self, cores: &[CoreId]) -> Result<(), String> {
        if let Some(port) = self.network.net().ports.get_mut(self.port.0) {
            port.table = cores.iter().map(|core| core.0).collect();
        }
        Ok(())
    }
}

/// How simulated ports hash connections.
fn rss() -> Rss {
    Rss {
        key: (0..40u8).map(|n| n.wrapping_mul(151) ^ 0x5c).collect(),
        ports: true,
        buckets: 64,
    }
}

impl NicQueue for SimQueue {
    type Frame = SimFrame;

    fn rx_burst(&mut self, out: &mut Frames<SimFrame>) -> usize {
        let mut net = self.network.net();
        let Some(port) = net.ports.get_mut(self.port.0) else {
            return 0;
        };
        let Some(received) = port.received.get_mut(self.queue) else {
            return 0;
        };
        let before = out.len();
        while !out.is_full() && !received.is_empty() {
            let capacity = usize::from(port.conf.mtu) + FRAME_EXTRA;
            let Some(mut frame) = SimFrame::new(&port.pool, capacity) else {
                port.stats.rx_nombuf += 1;
                break;
            };
            if let Some(bytes) = received.pop_front() {
                frame.receive(bytes, port.conf.rx_checks);
                out.push(frame);
            }
        }
        out.len() - before
    }

    fn tx_burst(&mut self, frames: &mut Frames<SimFrame>) -> usize {
        let mut net = self.network.net();
        let Some(port) = net.ports.get_mut(self.port.0) else {
            return 0;
        };
        let count = port
            .takes
            .map_or(frames.len(), |takes| takes.min(frames.len()));
        if let Some(takes) = &mut port.takes {
            *takes -= count;
        }
        for frame in frames.drain(..count) {
            net.send(self.port.0, frame.transmit());
        }
        count
    }

    fn alloc(&mut self) -> Option<SimFrame> {
        let mut net = self.network.net();
        let per_mille = net.ports.get(self.port.0)?.alloc_failures;
        if net.random.chance(per_mille) {
            return None;
        }
        let port = net.ports.get(self.port.0)?;
        SimFrame::new(&port.pool, usize::from(port.conf.mtu) + FRAME_EXTRA)
    }

    fn receives(&self) -> bool {
        self.receives
    }

    fn wait_fds(&self) -> &[OwnedFd] {
        &[]
    }

    fn arm(&mut self) -> bool {
        false
    }

    fn disarm(&mut self) {}
}
