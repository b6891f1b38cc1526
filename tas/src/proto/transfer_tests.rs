//! Two flows, joined by a channel that loses, repeats and reorders, in virtual time.

use std::collections::{BTreeMap, VecDeque};

use tas_wire::{SeqNum, TcpFlags, WindowScale};

use super::tests::{Host, init, params};
use super::{End, FlowInit, Segment, SegmentPlan, State, TcpParams, TimestampInit};
use crate::types::Micros;

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    delay_us: u64,
    jitter_us: u64,
    loss: u64,
    duplicate: u64,
    mark: u64,
}

/// What an application does.
#[derive(Clone, Debug)]
struct App {
    to_send: Vec<u8>,
    sent: usize,
    closed: bool,
    /// Reads at most so much at a time,
    read_max: u32,
    /// so often.
    read_every: Micros,
    next_read: Micros,
    /// Closes only when the peer has.
    closes_second: bool,
}

struct Packet {
    to: usize,
    plan: SegmentPlan,
    data: Vec<u8>,
    ce: bool,
}

struct World {
    now: Micros,
    random: Random,
    channel: Channel,
    hosts: [Host; 2],
    apps: [App; 2],
    /// What is under way, by time of arrival and a running number.
    wire: BTreeMap<(Micros, u64), Packet>,
    sent: u64,
    /// The last segments sent.
    trace: VecDeque<String>,
}

/// Lines of the trace that a failure shows.
const TRACE_LINES: usize = 60;

fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed ^ 0xabcd);
    (0..len).map(|_| random.next() as u8).collect()
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let channel = Channel {
            delay_us: random.pick(&[10, 50, 1_000, 20_000]),
            jitter_us: random.pick(&[0, 0, 20, 3_000]),
            loss: random.pick(&[0, 1, 5, 20]),
            duplicate: random.pick(&[0, 0, 5, 20]),
            mark: random.pick(&[0, 10, 50]),
        };
        // Sequence numbers that wrap around soon are worth more than their share.
        let isns = [
            random.pick(&[0, u32::MAX - 3, u32::MAX - 5_000, i32::MAX as u32 - 900]),
            random.next() as u32,
        ];
        let timestamps = random.chance(50);
        let ts = |peer: u32| TimestampInit {
            recent: peer,
            offset: peer ^ 0xffff_fff0,
        };
        let ecn = random.chance(50);
        let sack = random.chance(50);
        let mss = random.pick(&[100, 536, 1460, 8960]);
        let rings = [
            random.pick(&[16u32, 64, 2_048, 8_192, 65_536, 300_000]),
            random.pick(&[16u32, 2_000, 8_192, 100_000]),
        ];
        let tx_rings = [
            random.pick(&[17u32, 1_000, 8_192, 65_537]),
            random.pick(&[40u32, 9_000]),
        ];
        let scales =
            rings.map(|len| WindowScale::new(random.below(3) as u8 + (len / 65_536) as u8));
        let now = Micros(random.below(1 << 40));
        let hosts = [0, 1].map(|i| {
            let peer = 1 - i;
            let rcv_wnd = |i: usize| rings[i].min(65_535);
            let init = FlowInit {
                mss,
                iss: SeqNum(isns[i]),
                irs: SeqNum(isns[peer]),
                snd_wnd: rcv_wnd(peer),
                rcv_wnd: rcv_wnd(i),
                rx_len: rings[i],
                tx_len: tx_rings[i],
                snd_wscale: scales[peer],
                rcv_wscale: scales[i],
                // Each side's clock begins where the other's TS.Recent is.
                timestamps: timestamps.then(|| TimestampInit {
                    recent: ts(7).offset.wrapping_add((now.0 / 1000) as u32),
                    offset: ts(7).offset,
                }),
                ecn,
                sack,
                rtt: random.chance(80).then_some(Micros(2 * channel.delay_us)),
                ..init()
            };
            // The network is never so bad that giving up is right.
            Host::new(
                &init,
                TcpParams {
                    max_retries: 100,
                    ..params()
                },
                now,
            )
        });
        let small = rings.iter().chain(&tx_rings).any(|&len| len < 100);
        let most = if small { 2_000 } else { 200_000 };
        let apps = [0, 1].map(|i| App {
            to_send: pattern(seed + i, random.below(most) as usize),
            sent: 0,
            closed: false,
            read_max: random.pick(&[7, 1_000, 1 << 20]),
            read_every: Micros(random.pick(&[1, 100, 30_000])),
            next_read: now,
            closes_second: i == 1 && random.chance(50),
        });
        World {
            now,
            random,
            channel,
            hosts,
            apps,
            wire: BTreeMap::new(),
            sent: 0,
            trace: VecDeque::new(),
        }
    }

    fn transmit(&mut self, from: usize, plan: SegmentPlan, data: Vec<u8>) {
        let lost = self.random.chance(self.channel.loss);
        self.trace.push_back(format!(
            "{} {from}: {} {}+{} ack {} wnd {}{}",
            self.now.0,
            plan.flags,
            plan.seq,
            plan.len,
            plan.ack,
            plan.window,
            if lost { " lost" } else { "" }
        ));
        if self.trace.len() > TRACE_LINES {
            self.trace.pop_front();
        }
        if lost {
            return;
        }
        let copies = 1 + u64::from(self.random.chance(self.channel.duplicate));
        for _ in 0..copies {
            let jitter = self.random.below(self.channel.jitter_us + 1);
            let at = self.now + Micros(self.channel.delay_us + jitter);
            let ce = plan.ect && self.random.chance(self.channel.mark);
            self.sent += 1;
            self.wire.insert(
                (at, self.sent),
                Packet {
                    to: 1 - from,
                    plan,
                    data: data.clone(),
                    ce,
                },
            );
        }
    }

    /// Hands over all that arrives now, then sends what is due.
    fn arrivals(&mut self) {
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let Packet { to, plan, data, ce } = entry.remove();
            let seg = Segment {
                seq: plan.seq,
                ack: plan.ack,
                flags: plan.flags,
                window: plan.window,
                timestamps: plan.timestamps,
                ce,
                sack: !plan.sack.is_empty(),
                len: plan.len,
            };
            let host = &mut self.hosts[to];
            if host.flow().state() == State::TimeWait {
                // The part of the slow path: what is old is acknowledged again.
                if plan.flags.contains(TcpFlags::FIN) || plan.len > 0 {
                    let ack = host.flow().ack_plan(self.now);
                    self.transmit(to, ack, Vec::new());
                }
                continue;
            }
            let out = host.segment(&seg, &plan.sack, &data, self.now);
            if let Some(ack) = out.ack_first {
                host.note_sent(&ack);
                self.transmit(to, ack, Vec::new());
            }
        }
    }

    fn application(&mut self, i: usize) {
        let (host, app) = (&mut self.hosts[i], &mut self.apps[i]);
        if host.flow().state().can_send() {
            app.sent += host.write(&app.to_send[app.sent..], self.now);
            let may_close = !app.closes_second || host.rx_closed;
            if app.sent == app.to_send.len() && may_close && !app.closed {
                host.close(self.now);
                app.closed = true;
            }
        }
        if host.unread > 0 && app.next_read <= self.now {
            host.read(1 + self.random.below(app.read_max.into()) as u32, self.now);
            app.next_read = self.now + app.read_every;
        }
    }

    fn step(&mut self) -> bool {
        self.arrivals();
        for i in 0..2 {
            if self.hosts[i].flow().deadline() <= self.now {
                self.hosts[i].timer(self.now);
            }
            self.application(i);
            while let Some((plan, data)) = self.hosts[i].next(self.now) {
                self.transmit(i, plan, data);
            }
            if let Some(plan) = self.hosts[i].take_ack(self.now) {
                self.transmit(i, plan, Vec::new());
            }
        }
        let readers = [0, 1].map(|i| match self.hosts[i].unread {
            0 => Micros::NEVER,
            _ => self.apps[i].next_read,
        });
        let arrival = self.wire.keys().next().map_or(Micros::NEVER, |&(at, _)| at);
        let deadlines = [
            self.hosts[0].flow().deadline(),
            self.hosts[1].flow().deadline(),
        ];
        let next = [arrival, readers[0], readers[1], deadlines[0], deadlines[1]];
        match next.into_iter().min() {
            Some(at) if at < Micros::NEVER => {
                self.now = at.max(self.now + Micros(1));
                true
            }
            _ => false,
        }
    }

    /// Runs until nothing happens any more.
    fn run(&mut self) {
        let start = self.now;
        while self.step() {
            if self.now.since(start) > Micros::from_millis(3_600_000) {
                let trace = self.trace.make_contiguous().join("\n");
                let [a, b] = &self.hosts;
                panic!(
                    "no progress\n{trace}\n{:?} {:?}\n{:?} {:?}",
                    a.st, a.ext, b.st, b.ext
                );
            }
        }
    }
}

fn check_transfer(seed: u64) {
    let mut world = World::new(seed);
    println!("seed {seed}: {:?}, {:?}", world.channel, world.hosts[0].st);
    world.run();
    let trace = world.trace.make_contiguous().join("\n");
    for i in 0..2 {
        let host = &world.hosts[i];
        let (got, expected) = (&host.received, &world.apps[1 - i].to_send);
        let same = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
        assert!(
            got == expected,
            "host {i}: {same} bytes right of {}, {} arrived\n{trace}\n{:?}",
            expected.len(),
            got.len(),
            host.end
        );
        assert!(host.rx_closed);
        assert_eq!(
            host.tx_free, host.st.tx_len,
            "host {i}: all acknowledged, FIN too\n{trace}"
        );
        assert!(
            matches!(host.end, Some(End::Closed | End::TimeWait)),
            "{:?}",
            host.end
        );
    }
    assert!(
        world
            .hosts
            .iter()
            .any(|host| host.end == Some(End::TimeWait))
    );
}

/// Worlds to try; `TAS_SEEDS` in the environment for more.
fn seeds() -> u64 {
    let asked = std::env::var("TAS_SEEDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(400)
}

#[test]
fn all_bytes_arrive_once_and_both_sides_close() {
    for seed in 0..seeds() {
        check_transfer(seed);
    }
}
