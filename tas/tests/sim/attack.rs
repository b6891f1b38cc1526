//! Attackers on the network: what they send changes nothing for those who behave, and what they
//! make the service remember is bounded.

use std::net::Ipv4Addr;

use tas::nic::sim::{PortId, Random};
use tas::sim::{HostIndex, Step, World};
use tas::types::Micros;
use tas_wire::{
    ArpOp, ArpPacket, ChecksumMode, FlowTuple, MacAddr, Packet, SackBlock, SegmentFields, SeqNum,
    TcpFlags, TcpTemplate, Timestamps, Verify, WindowScale, arp, parse_with,
};

use crate::programs::Client;
use crate::{CLIENT, PORT, Pair, SERVER, seeds};

/// The attacker's station, which no port has.
pub const NOBODY: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x66]);
const ALL: TcpFlags = TcpFlags(0xff);

/// What an attacker needs to send to a host.
#[derive(Clone, Copy)]
pub struct Victim {
    pub port: PortId,
    pub mac: MacAddr,
}

impl Victim {
    pub fn of(world: &mut World, host: HostIndex) -> Victim {
        let host = world.host(host);
        Victim {
            port: host.port(),
            mac: host.mac(),
        }
    }

    /// A segment for the victim, as if from the peer of `tuple`, which is as the victim sees it.
    pub fn forge(&self, tuple: &FlowTuple, fields: &SegmentFields<'_>, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; fields.header_len()];
        frame.extend_from_slice(payload);
        TcpTemplate::new(NOBODY, self.mac, &tuple.reversed())
            .emit(&mut frame, fields, payload.len(), 0, ChecksumMode::Full)
            .unwrap();
        frame
    }
}

/// Runs until the client is done, or never if it is not to be; `attack` is called after every
/// turn, with what was sent since the last.
fn run_under_attack(
    pair: &mut Pair,
    client: &mut Client,
    span: Micros,
    mut attack: impl FnMut(&mut World),
) -> bool {
    let server = &mut pair.server;
    pair.world.run(span, |world, _| {
        attack(world);
        let worked = server.poll() | client.poll();
        match (client.done(), worked) {
            (true, _) => Step::Done,
            (_, true) => Step::Worked,
            _ => Step::Idle,
        }
    })
}

/// The sum of a counter over a host's cores.
fn counted(pair: &mut Pair, host: HostIndex, name: &str) -> u64 {
    let counters = pair.world.host(host).counters();
    let each = counters.iter().flat_map(|core| core.each());
    each.filter(|(other, _)| *other == name)
        .map(|(_, n)| n)
        .sum()
}

/// What somebody on the path can know of one direction of a connection.
#[derive(Clone, Copy)]
struct Overheard {
    /// As the receiver of forged segments sees it.
    tuple: FlowTuple,
    /// What it expects next, at least.
    rcv_nxt: SeqNum,
    /// The window that it announced, in bytes.
    window: u32,
    timestamps: Option<Timestamps>,
}

fn overhear(frame: &[u8], scale: u32) -> Option<Overheard> {
    let Ok(Packet::Tcp(packet)) = parse_with(frame, Verify::NONE) else {
        return None;
    };
    if packet.tcp.flags.intersects(TcpFlags::SYN | TcpFlags::RST) {
        return None;
    }
    Some(Overheard {
        tuple: packet.tuple().reversed(),
        rcv_nxt: packet.tcp.ack,
        window: u32::from(packet.tcp.window) << scale,
        timestamps: packet.options.timestamps,
    })
}

/// A segment that only the exact knowledge of sequence and acknowledgment numbers would make
/// dangerous (RFC 5961 §1): anywhere, or within the window, but never with the next number, nor
/// with data and an acknowledgment that would be believed.
fn spoof(random: &mut Random, target: &Overheard) -> (SegmentFields<'static>, Vec<u8>) {
    let somewhere = SeqNum(random.next_u64() as u32);
    // Near the window's right edge, which the data under way does not reach.
    let edge = target.rcv_nxt + target.window - random.between(1, 200) as u32;
    let in_window = random.chance(700) && target.window > 1000;
    let flags = match random.below(6) {
        0 => TcpFlags::RST,
        1 => TcpFlags::RST | TcpFlags::ACK,
        2 => TcpFlags::SYN,
        3 => TcpFlags::SYN | TcpFlags::ACK,
        4 => TcpFlags::FIN | TcpFlags::ACK,
        _ => TcpFlags::ACK,
    };
    let len = if flags.contains(TcpFlags::RST) {
        0
    } else {
        random.below(300)
    };
    let mut payload = vec![0; len as usize];
    random.fill(&mut payload);
    let timestamps = target
        .timestamps
        .filter(|_| random.chance(500))
        .map(|ts| Timestamps {
            val: ts
                .ecr
                .wrapping_add(random.below(2000) as u32)
                .wrapping_sub(1000),
            ecr: ts.val,
        });
    let fields = SegmentFields {
        seq: if in_window { edge } else { somewhere },
        // Far from all that was ever sent.
        ack: SeqNum(random.next_u64() as u32 | 1 << 31) + target.rcv_nxt.0,
        flags,
        window: random.next_u64() as u16,
        timestamps,
        ..SegmentFields::default()
    };
    (fields, payload)
}

#[test]
fn spoofed_segments_change_nothing() {
    for seed in seeds(20) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed, |conf| conf.with("--fp-cores-max=2"));
        let mut client = pair.client(6, seed);
        client.sizes = (20_000, 100_000);
        let victims = [pair.here, pair.there].map(|host| Victim::of(&mut pair.world, host));
        pair.world.network.record();
        let mut sent = 0;
        let done = run_under_attack(
            &mut pair,
            &mut client,
            Micros::from_millis(60_000),
            |world| {
                for seen in world.network.seen() {
                    let Some(target) = overhear(&seen.frame, 0) else {
                        continue;
                    };
                    let victim = victims
                        .iter()
                        .find(|victim| victim.port == seen.from)
                        .unwrap();
                    for _ in 0..random.below(3) {
                        let (fields, payload) = spoof(&mut random, &target);
                        let frame = victim.forge(&target.tuple, &fields, &payload);
                        world.network.inject(victim.port, &frame);
                        sent += 1;
                    }
                }
            },
        );
        assert!(done, "seed {seed}: {}", pair.describe(&client));
        assert_eq!((client.finished, client.resets), (6, 0), "seed {seed}");
        assert!(sent > 100, "seed {seed}: {sent} spoofed segments");
        for host in [pair.here, pair.there] {
            assert!(counted(&mut pair, host, "challenges") > 10, "seed {seed}");
        }
        pair.assert_empty(client);
    }
}

/// One who knows all numbers makes both ends of an idle connection believe that they received what
/// the other never sent. Each finds every ACK of the other wrong, and says so: but not for ever.
#[test]
fn ends_that_contradict_each_other_fall_silent_rfc5961_7() {
    let mut pair = Pair::new(1, |conf| conf);
    let mut client = pair.client(1, 1);
    client.sizes = (10_000_000, 10_000_000);
    let victims = [pair.here, pair.there].map(|host| Victim::of(&mut pair.world, host));
    pair.world.network.record();
    let span = Micros::from_millis(1);
    let done = run_under_attack(&mut pair, &mut client, span, |_| {});
    assert!(!done, "too short");
    // Both applications fall silent.
    pair.world.rest(Micros::from_millis(10_000));
    let seen = pair.world.network.seen();
    for victim in victims {
        let theirs = seen.iter().rev().filter(|seen| seen.from == victim.port);
        let mut theirs = theirs.filter_map(|seen| parse_tcp(&seen.frame));
        let (tuple, seq, ack, ts) = theirs.next().expect("it has sent something");
        let fields = SegmentFields {
            seq: ack,
            ack: seq,
            flags: TcpFlags::ACK,
            window: 1000,
            timestamps: ts.map(|ts| Timestamps {
                val: ts.ecr,
                ecr: ts.val,
            }),
            ..SegmentFields::default()
        };
        let frame = victim.forge(&tuple.reversed(), &fields, b"never sent");
        pair.world.network.inject(victim.port, &frame);
    }
    pair.world.rest(Micros::from_millis(60_000));
    let frames = pair.world.network.seen().len();
    assert!((2..1000).contains(&frames), "{frames} frames in a minute");
    pair.world.rest(Micros::from_millis(60_000));
    let more = pair.world.network.seen().len();
    assert!(more <= frames, "{frames} frames, then {more}");
    pair.assert_empty(client);
}

/// Addresses and ports as the receiver sees them, where the data ends, the ACK, and the
/// timestamps.
fn parse_tcp(frame: &[u8]) -> Option<(FlowTuple, SeqNum, SeqNum, Option<Timestamps>)> {
    match parse_with(frame, Verify::NONE) {
        Ok(Packet::Tcp(packet)) => Some((
            packet.tuple(),
            packet.tcp.seq + packet.seq_len(),
            packet.tcp.ack,
            packet.options.timestamps,
        )),
        _ => None,
    }
}

/// SYNs of a flood.
const FLOOD: u64 = 1_000_000;
/// Of them in each turn, which is far more than the slow path can answer.
const FLOOD_PER_TURN: u64 = 100;
/// Half-open connections that a listener remembers.
const HALF_OPEN: u64 = 16_384;

#[test]
fn a_flood_of_a_million_syns() {
    let mut pair = Pair::new(1, |conf| conf);
    let mut client = pair.client(200, 1);
    client.at_once = 4;
    client.sizes = (1000, 10_000);
    let victim = Victim::of(&mut pair.world, pair.there);
    let (mut random, mut sent, mut most_open) = (Random::new(1), 0, 0);
    let there = pair.there;
    let mut finished_in_flood = 0;
    let fields = SegmentFields {
        flags: TcpFlags::SYN,
        window: 1000,
        mss: Some(1460),
        sack_permitted: true,
        window_scale: Some(WindowScale::new(7)),
        ..SegmentFields::default()
    };
    let server = &mut pair.server;
    let done = pair.world.run(Micros::from_millis(600_000), |world, _| {
        for _ in 0..FLOOD_PER_TURN.min(FLOOD - sent) {
            let tuple = FlowTuple {
                local_ip: SERVER.into(),
                local_port: PORT,
                remote_ip: Ipv4Addr::from_bits(0x0b00_0000 | random.next_u64() as u32 & 0xff_ffff),
                remote_port: random.between(1024, 65_535) as u16,
            };
            let fields = SegmentFields {
                seq: SeqNum(random.next_u64() as u32),
                ..fields
            };
            world
                .network
                .inject(victim.port, &victim.forge(&tuple, &fields, &[]));
            sent += 1;
        }
        let worked = server.poll() | client.poll();
        let opening = world.host(there).counts().opening;
        most_open = most_open.max(opening);
        if sent < FLOOD {
            finished_in_flood = client.finished;
        }
        match (client.done() && sent == FLOOD, worked || sent < FLOOD) {
            (true, _) => Step::Done,
            (_, true) => Step::Worked,
            _ => Step::Idle,
        }
    });
    assert!(done, "{}", pair.describe(&client));
    assert_eq!((client.finished, client.resets), (200, 0));
    assert!(
        finished_in_flood >= 5,
        "{finished_in_flood} connections during the flood"
    );
    // Those of the client are beside the flood's.
    assert!(most_open <= HALF_OPEN + 10, "{most_open} half-open");
    let counts = pair.world.host(there).counts();
    assert!(
        counts.cookies_sent > FLOOD / 2 && counts.cookies_accepted > 100,
        "{counts:?}"
    );
    pair.assert_empty(client);
}

/// A peer without a stack: it completes handshakes, and then sends whatever it likes.
struct Outlaw {
    victim: Victim,
    random: Random,
    ports: u16,
    conns: Vec<(FlowTuple, SeqNum, SeqNum)>,
    /// It asks for segments of one byte.
    mss: u16,
}

impl Outlaw {
    fn new(victim: Victim, seed: u64) -> Outlaw {
        Outlaw {
            victim,
            random: Random::new(seed),
            ports: 2000,
            conns: Vec::new(),
            mss: 1,
        }
    }

    fn open(&mut self) -> Vec<u8> {
        self.ports += 1;
        let tuple = FlowTuple {
            local_ip: SERVER.into(),
            local_port: PORT,
            remote_ip: Ipv4Addr::new(10, 0, 0, 66),
            remote_port: self.ports,
        };
        let scale = WindowScale::new(self.random.below(15) as u8);
        let fields = SegmentFields {
            seq: SeqNum(self.random.next_u64() as u32),
            flags: TcpFlags::SYN,
            window: self.random.next_u64() as u16,
            mss: self.random.chance(500).then_some(self.mss),
            window_scale: self.random.chance(500).then_some(scale),
            sack_permitted: self.random.chance(500),
            timestamps: self
                .random
                .chance(300)
                .then_some(Timestamps { val: 1, ecr: 0 }),
            ..SegmentFields::default()
        };
        self.victim.forge(&tuple, &fields, &[])
    }

    /// Takes a frame of the victim's.
    fn take(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let (tuple, seq, ack, ts) = parse_tcp(frame)?;
        let Ok(Packet::Tcp(packet)) = parse_with(frame, Verify::NONE) else {
            return None;
        };
        let tuple = tuple.reversed();
        if packet.tcp.flags.contains(TcpFlags::SYN) {
            self.conns.push((tuple, ack, seq));
            if self.conns.len() > 40 {
                self.conns.remove(0);
            }
            let fields = SegmentFields {
                seq: ack,
                ack: seq,
                flags: TcpFlags::ACK,
                window: 500,
                timestamps: ts.map(|ts| Timestamps {
                    val: 2,
                    ecr: ts.val,
                }),
                ..SegmentFields::default()
            };
            return Some(self.victim.forge(&tuple, &fields, &[]));
        }
        let conn = self.conns.iter_mut().find(|conn| conn.0 == tuple)?;
        (conn.1, conn.2) = (conn.1.max(ack), conn.2.max(seq));
        None
    }

    /// Something absurd about one of its connections.
    fn misbehave(&mut self) -> Option<Vec<u8>> {
        let random = &mut self.random;
        let at = random.below(self.conns.len().max(1) as u64) as usize;
        let (tuple, next, theirs) = *self.conns.get(at)?;
        let near =
            |random: &mut Random, at: SeqNum, by: u64| at + random.below(2 * by) as u32 - by as u32;
        let mut blocks = Vec::new();
        for _ in 0..random.below(4) {
            let left = near(random, theirs, 3000);
            blocks.push(SackBlock {
                left,
                right: near(random, left, 100),
            });
        }
        let flags = match random.below(3) {
            // A RST would only end it.
            0 => TcpFlags(random.next_u64() as u8).without(TcpFlags::RST),
            1 => TcpFlags::ACK | TcpFlags::URG | TcpFlags::PSH,
            _ => TcpFlags::ACK,
        };
        let seq = match random.below(4) {
            0 => next,
            // One byte, out of order, between others.
            1 => next + 2 * random.below(200) as u32,
            2 => near(random, next, 2000),
            _ => near(random, next, 70_000),
        };
        let ack = match random.below(4) {
            0 => theirs,
            // Before it can have arrived.
            1 => theirs + random.below(3000) as u32,
            2 => near(random, theirs, 5000),
            _ => SeqNum(random.next_u64() as u32),
        };
        let window = match random.below(4) {
            0 | 1 => 0,
            2 => random.below(4) as u16,
            _ => random.next_u64() as u16,
        };
        let len = match random.below(4) {
            0 => 0,
            1 => 1,
            _ => random.below(100),
        };
        let mut payload = vec![0; len as usize];
        random.fill(&mut payload);
        let fields = SegmentFields {
            seq,
            ack,
            flags: TcpFlags(flags.0 & ALL.0),
            window,
            sack: &blocks,
            timestamps: random.chance(300).then(|| Timestamps {
                val: random.below(1000) as u32,
                ecr: random.next_u64() as u32,
            }),
            ..SegmentFields::default()
        };
        Some(self.victim.forge(&tuple, &fields, &payload))
    }
}

#[test]
fn peers_without_manners_hurt_nobody_else() {
    for seed in seeds(20) {
        let mut pair = Pair::new(seed, |conf| {
            conf.with("--fp-cores-max=2").with("--cc=dctcp-rate")
        });
        let mut client = pair.client(10, seed);
        client.sizes = (20_000, 60_000);
        let victim = Victim::of(&mut pair.world, pair.there);
        let mut outlaw = Outlaw::new(victim, seed);
        pair.world.network.record();
        let mut turns = 0;
        let done = run_under_attack(
            &mut pair,
            &mut client,
            Micros::from_millis(60_000),
            |world| {
                turns += 1;
                let mut frames = Vec::new();
                for seen in world.network.seen() {
                    frames.extend(
                        seen.is_to(NOBODY)
                            .then(|| outlaw.take(&seen.frame))
                            .flatten(),
                    );
                }
                if turns % 50 == 0 {
                    frames.push(outlaw.open());
                }
                frames.extend(outlaw.misbehave());
                frames.extend(outlaw.misbehave());
                for frame in frames {
                    world.network.inject(victim.port, &frame);
                }
            },
        );
        assert!(done, "seed {seed}: {}", pair.describe(&client));
        assert_eq!((client.finished, client.resets), (10, 0), "seed {seed}");
        assert!(pair.server.accepted > 10, "seed {seed}: nothing was absurd");
        pair.assert_empty(client);
    }
}

/// A neighbour that sends from ever new addresses fills the cache, but not with others' places:
/// whom the host talks to stays known.
#[test]
fn an_arp_flood_does_not_push_out_who_is_in_use() {
    let mut pair = Pair::new(1, |conf| conf);
    let mut client = pair.client(12, 1);
    client.at_once = 1;
    let victim = Victim::of(&mut pair.world, pair.here);
    pair.world.network.record();
    let (mut next, mut requests) = (0u32, 0);
    let here = victim.port;
    let done = run_under_attack(
        &mut pair,
        &mut client,
        Micros::from_millis(60_000),
        |world| {
            requests += arp_requests(&world.network.seen(), here);
            for _ in 0..64 {
                next += 1;
                let ip = Ipv4Addr::from_bits(0x0a00_0100 + next % 60_000);
                let mac = MacAddr(
                    (0x0200_0000_0000u64 | u64::from(next)).to_be_bytes()[2..]
                        .try_into()
                        .unwrap(),
                );
                let mut frame = vec![0; arp::FRAME_LEN];
                ArpPacket::request(mac, ip, CLIENT.into())
                    .emit(&mut frame)
                    .unwrap();
                world.network.inject(here, &frame);
            }
        },
    );
    assert!(done, "{}", pair.describe(&client));
    assert!(next > 10_000, "{next} requests");
    assert_eq!(client.finished, 12);
    assert_eq!(requests, 1, "the server's address was asked for again");
    pair.assert_empty(client);
}

fn arp_requests(seen: &[tas::nic::sim::Seen], from: PortId) -> usize {
    let asks = |frame: &[u8]| {
        matches!(parse_with(frame, Verify::NONE), Ok(Packet::Arp(packet))
            if packet.op == ArpOp::Request && packet.target_ip == Ipv4Addr::from(SERVER))
    };
    let theirs = seen.iter().filter(|seen| seen.from == from);
    theirs.filter(|seen| asks(&seen.frame)).count()
}
