//! What lies between the simulated ports: frames under way, and what happens to them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use tas_wire::{FlowTuple, MacAddr, Packet, Verify, checksum, ethernet, parse_with};

use super::frame::Pool;
use super::router::{TooLarge, fragmentation_needed};
use super::{Arrived, DownlinkState, Path, PortConf, PortId, Random, Seen, Steering};
use crate::nic::PortStats;
use crate::types::Micros;

const NS: u64 = 1000;
/// Preamble, frame check sequence and gap, which take time on the wire.
const WIRE_OVERHEAD: u64 = 24;

/// A port as the network knows it.
pub(super) struct PortState {
    pub conf: PortConf,
    pub pool: Arc<Pool>,
    pub received: Vec<VecDeque<Vec<u8>>>,
    pub stats: PortStats,
    /// Frames that the port takes in the current burst window; `None`: any number.
    pub takes: Option<usize>,
    /// The queue of each bucket.
    pub table: Vec<u16>,
    /// Buffers that `alloc` refuses in a thousand cases.
    pub alloc_failures: u32,
    /// From the port.
    uplink: Wire,
    /// To the port.
    downlink: Wire,
}

impl PortState {
    pub(super) fn new(conf: PortConf) -> PortState {
        PortState {
            pool: Pool::new(conf.buffers),
            received: vec![VecDeque::new(); conf.queues.max(1).into()],
            stats: PortStats::default(),
            takes: None,
            table: Vec::new(),
            alloc_failures: 0,
            uplink: Wire::default(),
            downlink: Wire::default(),
            conf,
        }
    }
}

/// A wire with the queue before it.
#[derive(Default)]
struct Wire {
    path: Path,
    /// Until when it is busy, in nanoseconds.
    busy_until: u64,
    /// Arrival of the last frame that was not reordered.
    last_arrival: u64,
    /// Packets marked, and frames for which there was no room.
    marked: u64,
    overflows: u64,
}

impl Wire {
    /// Bytes that wait for the wire.
    fn waiting(&self, now: u64) -> u64 {
        bits_in(self.busy_until.saturating_sub(now), self.path.rate_kbps) / 8
    }

    /// Takes a frame at time `now`; returns when it arrives at the other end, `None` if it never
    /// does, and when it arrives a second time.
    fn take(&mut self, now: u64, bytes: &mut [u8], random: &mut Random) -> Option<Arrivals> {
        let path = self.path;
        if random.chance(path.loss) {
            return None;
        }
        let waiting = self.waiting(now);
        if path.queue > 0 && waiting + bytes.len() as u64 > u64::from(path.queue) {
            self.overflows += 1;
            return None;
        }
        if path.mark_above > 0 && waiting > u64::from(path.mark_above) && mark(bytes) {
            self.marked += 1;
        }
        let begin = self.busy_until.max(now);
        let sent = begin + time_for(bytes.len() as u64 + WIRE_OVERHEAD, path.rate_kbps);
        self.busy_until = sent;
        let mut first = sent + (path.delay.0 + random.between(0, path.jitter.0)) * NS;
        if random.chance(path.reorder) {
            first += random.between(0, path.reorder_by.0) * NS;
        } else {
            first = first.max(self.last_arrival);
            self.last_arrival = first;
        }
        let again = random
            .chance(path.duplicate)
            .then(|| first + random.between(0, path.reorder_by.0.max(1)) * NS);
        Some(Arrivals { first, again })
    }
}

/// When a frame arrives, in nanoseconds.
struct Arrivals {
    first: u64,
    again: Option<u64>,
}

/// Where a frame is going.
#[derive(Clone, Copy)]
enum Leg {
    /// From this port to the switch.
    Up(usize),
    /// From the switch to this port.
    Down(usize),
}

/// A frame on its way.
struct Flight {
    /// In nanoseconds.
    at: u64,
    /// Breaks ties in the order of sending.
    serial: u64,
    leg: Leg,
    bytes: Vec<u8>,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Flight) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Flight) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Flight) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// The ports and everything between them.
pub(super) struct Net {
    pub ports: Vec<PortState>,
    pub random: Random,
    pub seen: Option<Vec<Seen>>,
    pub arrived: Option<Vec<Arrived>>,
    now: u64,
    serial: u64,
    flights: BinaryHeap<Reverse<Flight>>,
}

impl Net {
    pub(super) fn new(seed: u64) -> Net {
        Net {
            ports: Vec::new(),
            random: Random::new(seed),
            seen: None,
            arrived: None,
            now: 0,
            serial: 0,
            flights: BinaryHeap::new(),
        }
    }

    pub(super) fn set_path(&mut self, port: PortId, path: Path) {
        if let Some(port) = self.ports.get_mut(port.0) {
            port.uplink.path = path;
        }
    }

    pub(super) fn set_downlink(&mut self, port: PortId, path: Path) {
        if let Some(port) = self.ports.get_mut(port.0) {
            port.downlink.path = path;
        }
    }

    pub(super) fn downlink(&self, port: PortId) -> DownlinkState {
        self.ports
            .get(port.0)
            .map_or_else(DownlinkState::default, |port| DownlinkState {
                waiting: port.downlink.waiting(self.now),
                marked: port.downlink.marked,
                overflows: port.downlink.overflows,
            })
    }

    /// Sends a frame into the network.
    pub(super) fn send(&mut self, from: usize, bytes: Vec<u8>) {
        let Some(port) = self.ports.get_mut(from) else {
            return;
        };
        port.stats.tx_packets += 1;
        port.stats.tx_bytes += bytes.len() as u64;
        if let Some(seen) = &mut self.seen {
            seen.push(Seen {
                at: Micros(self.now / NS),
                from: PortId(from),
                frame: bytes.clone(),
            });
        }
        self.launch(Leg::Up(from), self.now, bytes);
    }

    /// Puts a frame on a wire at time `now`.
    fn launch(&mut self, leg: Leg, now: u64, mut bytes: Vec<u8>) {
        let (index, up) = match leg {
            Leg::Up(index) => (index, true),
            Leg::Down(index) => (index, false),
        };
        let Some(port) = self.ports.get_mut(index) else {
            return;
        };
        let wire = if up {
            &mut port.uplink
        } else {
            &mut port.downlink
        };
        if wire.path.is_too_large(&bytes) {
            let path = wire.path;
            return self.refuse(now, &bytes, path);
        }
        if !wire.path.ecn.pass(&mut bytes) {
            return;
        }
        let damage = wire.path.corrupt;
        let Some(arrivals) = wire.take(now, &mut bytes, &mut self.random) else {
            return;
        };
        if let Some(again) = arrivals.again {
            self.fly(again, leg, bytes.clone());
        }
        if self.random.chance(damage) {
            corrupt(&mut bytes, &mut self.random);
        }
        self.fly(arrivals.first, leg, bytes);
    }

    /// A frame is larger than a wire's MTU.
    fn refuse(&mut self, now: u64, bytes: &[u8], path: Path) {
        let sender = self
            .ports
            .iter()
            .position(|port| bytes.get(6..12) == Some(&port.conf.mac.0[..]));
        if let Some(sender) = sender
            && path.too_large == TooLarge::Told
            && let Some(told) = fragmentation_needed(bytes, path.mtu)
        {
            self.fly(now + path.delay.0 * NS, Leg::Down(sender), told);
        }
    }

    fn fly(&mut self, at: u64, leg: Leg, bytes: Vec<u8>) {
        self.serial += 1;
        self.flights.push(Reverse(Flight {
            at,
            serial: self.serial,
            leg,
            bytes,
        }));
    }

    /// Delivers what arrives until `now`.
    pub(super) fn advance(&mut self, now: Micros) -> bool {
        self.now = self.now.max(now.0 * NS);
        let mut delivered = false;
        while self.flights.peek().is_some_and(|f| f.0.at <= self.now) {
            if let Some(Reverse(flight)) = self.flights.pop() {
                self.arrive(flight);
                delivered = true;
            }
        }
        delivered
    }

    pub(super) fn next(&self) -> Option<Micros> {
        self.flights
            .peek()
            .map(|flight| Micros(flight.0.at.div_ceil(NS)))
    }

    fn arrive(&mut self, flight: Flight) {
        match flight.leg {
            Leg::Up(from) => self.switch(from, flight.at, &flight.bytes),
            Leg::Down(to) => self.deliver(to, flight.bytes),
        }
    }

    /// A switch: a frame goes to the port with its destination, or to all others.
    fn switch(&mut self, from: usize, at: u64, bytes: &[u8]) {
        let Ok((header, _)) = ethernet::Header::parse(bytes) else {
            return;
        };
        for index in 0..self.ports.len() {
            let mine = self
                .ports
                .get(index)
                .is_some_and(|port| port.conf.mac == header.dst);
            if mine || (header.dst.is_multicast() && index != from) {
                self.pass_on(index, at, bytes.to_vec());
            }
        }
    }

    /// The switch passes a frame on to a port.
    fn pass_on(&mut self, to: usize, at: u64, bytes: Vec<u8>) {
        let ideal = |port: &PortState| port.downlink.path == Path::default();
        if self.ports.get(to).is_some_and(ideal) {
            self.deliver(to, bytes);
        } else {
            self.launch(Leg::Down(to), at, bytes);
        }
    }

    /// Puts a frame into a port's receive queue.
    pub(super) fn deliver(&mut self, index: usize, bytes: Vec<u8>) {
        let Some(port) = self.ports.get_mut(index) else {
            return;
        };
        let queues = port.received.len();
        let queue = match port.conf.steering {
            Steering::Hash => hash(&bytes) as usize % queues,
            Steering::Table => redirected(&bytes, &port.table) % queues,
            Steering::Queue(queue) => usize::from(queue) % queues,
            Steering::Random => self.random.below(queues as u64) as usize,
        };
        let Some(received) = port.received.get_mut(queue) else {
            return;
        };
        if received.len() >= port.conf.ring {
            port.stats.rx_missed += 1;
            return;
        }
        port.stats.rx_packets += 1;
        port.stats.rx_bytes += bytes.len() as u64;
        if let Some(arrived) = &mut self.arrived {
            arrived.push(Arrived {
                at: PortId(index),
                frame: bytes.clone(),
            });
        }
        received.push_back(bytes);
    }

    /// Frames wait in some receive queue.
    pub(super) fn waiting(&self) -> bool {
        let mut queues = self.ports.iter().flat_map(|port| &port.received);
        queues.any(|queue| !queue.is_empty())
    }
}

/// Nanoseconds that `bytes` take at `kbps`; no time when that is 0.
fn time_for(bytes: u64, kbps: u32) -> u64 {
    (bytes * 8 * 1_000_000)
        .checked_div(kbps.into())
        .unwrap_or(0)
}

/// Bits that leave in `ns` at `kbps`.
fn bits_in(ns: u64, kbps: u32) -> u64 {
    ns.saturating_mul(kbps.into()) / 1_000_000
}

/// What receive-side scaling goes by: the same for every segment of a connection.
fn hash(bytes: &[u8]) -> u32 {
    match parse_with(bytes, Verify::NONE) {
        Ok(Packet::Tcp(packet)) => FlowTuple::hash(&packet.tuple()),
        _ => 0,
    }
}

/// The queue by receive-side scaling: the first for what is not hashed.
fn redirected(bytes: &[u8], table: &[u16]) -> usize {
    let Ok(Packet::Tcp(packet)) = parse_with(bytes, Verify::NONE) else {
        return 0;
    };
    let rss = super::rss();
    let bucket = rss.bucket(rss.hash(&packet.tuple()));
    table.get(usize::from(bucket)).copied().unwrap_or(0).into()
}

pub(super) fn is_ipv4(bytes: &[u8]) -> bool {
    bytes.get(12..14) == Some(&[0x08, 0x00]) && bytes.len() >= ethernet::HEADER_LEN + 20
}

/// Marks "congestion experienced" (RFC 3168 §5) what admits it.
fn mark(bytes: &mut [u8]) -> bool {
    if !is_ipv4(bytes) || bytes[15] & 3 == 0 {
        return false;
    }
    bytes[15] |= 3;
    bytes[24..26].fill(0);
    let sum = checksum::ipv4_header(&bytes[14..34]);
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    true
}

/// Flips a bit that a checksum covers: what happens on the way from port to port, the frame check
/// sequence finds.
fn corrupt(bytes: &mut [u8], random: &mut Random) {
    if is_ipv4(bytes) {
        let first = ethernet::HEADER_LEN as u64;
        let place = random.between(first, bytes.len() as u64 - 1) as usize;
        bytes[place] ^= 1 << random.below(8);
    }
}

/// Whether a frame is for a MAC address, for those who look at what was seen.
pub(super) fn is_to(frame: &[u8], mac: MacAddr) -> bool {
    ethernet::Header::parse(frame).is_ok_and(|(header, _)| header.dst == mac)
}
