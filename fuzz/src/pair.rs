//! Two flows, the ends of one connection, and between them a channel that does to segments what
//! the input says.

mod end;

use std::collections::VecDeque;

use tas::proto::handshake::timestamp;
use tas::proto::{FlowInit, SegmentPlan, TcpParams, TimestampInit};
use tas::types::Micros;
use tas_wire::{FlowTuple, Ipv4Addr, MacAddr, SeqNum, WindowScale};

use crate::bytes::Bytes;
use crate::flow;
use end::End;

/// Most steps.
const STEPS: usize = 1000;
/// Segments that are under way in one direction at most; those beyond are lost.
const UNDER_WAY: usize = 256;
/// How long a segment lives in the network (RFC 9293 §3.4.2).
const LIFETIME: Micros = Micros::from_millis(120_000);
/// Rounds that a transfer may take over a good channel: far more than there are segments.
const ROUNDS: usize = 20_000;
/// How long a round trip of the good channel takes.
const ROUND_TRIP: Micros = Micros(50);

/// The input is what the ends agreed on, and what happens then, one after the other.
///
/// # Panics
/// A byte is wrong, or the transfer does not come to its end once the channel is good.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut pair = Pair::new(&mut bytes);
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        pair.step(&mut bytes);
        pair.check();
    }
    pair.end();
}

/// A segment under way.
struct Flight {
    sent: Micros,
    plan: SegmentPlan,
    data: Vec<u8>,
}

struct Pair {
    now: Micros,
    params: TcpParams,
    ends: [End; 2],
    /// What goes to each end.
    under_way: [VecDeque<Flight>; 2],
}

/// Bytes of a ring; not so few that a transfer takes one round for each.
fn ring(bytes: &mut Bytes<'_>) -> u32 {
    let len = match bytes.u8() {
        0..=99 => bytes.u8().into(),
        100..=199 => u32::from(bytes.u16()) % 4096,
        200..=249 => u32::from(bytes.u16()) % 16_384,
        // Windows are scaled.
        _ => 65_536 + u32::from(bytes.u16()),
    };
    64 + len
}

/// The smallest shift with which a window can be as large as the ring (RFC 7323 §2.3).
fn scale(ring: u32) -> WindowScale {
    WindowScale::new((32 - (ring >> 16).leading_zeros()) as u8)
}

/// What a handshake leaves at both ends.
fn inits(bytes: &mut Bytes<'_>, now: Micros) -> [FlowInit; 2] {
    let flags = bytes.u8();
    let mss = match flags >> 4 & 3 {
        0 => 88 + u16::from(bytes.u8()),
        1 => 536,
        2 => 1460,
        _ => 8960,
    };
    let numbers = [SeqNum(bytes.u32()), SeqNum(bytes.u32())];
    let rings = [ring(bytes), ring(bytes)];
    let tx_rings = [ring(bytes), ring(bytes)];
    let scaled = flags & 0x40 == 0;
    let scales = rings.map(|len| {
        if scaled {
            scale(len)
        } else {
            WindowScale::ZERO
        }
    });
    [0, 1].map(|i| FlowInit {
        tuple: FlowTuple {
            local_ip: Ipv4Addr::new(10, 0, 0, 1 + i as u8),
            local_port: 80,
            remote_ip: Ipv4Addr::new(10, 0, 0, 2 - i as u8),
            remote_port: 80,
        },
        remote_mac: MacAddr([2, 0, 0, 0, 0, 2 - i as u8]),
        flow_group: 0,
        db_id: 0,
        opaque: 0,
        mss,
        snd_wscale: scales[1 - i],
        rcv_wscale: scales[i],
        timestamps: (flags & 1 == 0).then(|| TimestampInit {
            recent: timestamp(now, numbers[1 - i].0),
            offset: numbers[i].0,
        }),
        sack: flags & 2 == 0,
        ecn: flags & 4 == 0,
        iss: numbers[i],
        irs: numbers[1 - i],
        snd_wnd: rings[1 - i].min(65_535),
        rcv_wnd: rings[i].min(65_535),
        rx_base: 0,
        rx_len: rings[i],
        tx_base: 0,
        tx_len: tx_rings[i],
        rtt: (flags & 8 == 0).then_some(ROUND_TRIP),
    })
}

impl Pair {
    fn new(bytes: &mut Bytes<'_>) -> Pair {
        let now = Micros(1_000_000);
        let params = TcpParams {
            // However long nothing gets through, nobody gives up.
            max_retries: u8::MAX,
            ..flow::params(bytes)
        };
        let ends = inits(bytes, now).map(|init| End::new(&init, &params, now));
        Pair {
            now,
            params,
            ends,
            under_way: [VecDeque::new(), VecDeque::new()],
        }
    }

    fn check(&mut self) {
        for end in &mut self.ends {
            assert_eq!(end.flow().check(), Ok(()));
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let kind = bytes.u8();
        let i = usize::from(kind >> 7);
        match kind % 16 {
            0 | 1 => self.ends[i].write((bytes.u16() >> 3).into(), &self.params, self.now),
            2 | 3 => self.ends[i].read(bytes.u16().into(), &self.params, self.now),
            4..=6 => self.send(i, usize::from(kind >> 4 & 7) + 1),
            7 => self.acknowledge(i),
            8 => self.arrive(i, 0, false, false),
            9 => {
                let how = bytes.u8();
                self.arrive(i, (how >> 2).into(), how & 1 != 0, how & 2 != 0);
            }
            10 => {
                let which = usize::from(bytes.u8());
                self.under_way[i].remove(which);
            }
            11 => self.exchange(usize::from(kind >> 4 & 7) + 1),
            12 => self.wait(bytes),
            13 => self.under_way[i].clear(),
            14 => match kind >> 4 & 7 {
                0 => self.ends[i].close(&self.params, self.now),
                1 => self.ends[i].flow().hold_back(),
                _ => self.ends[i].path_report(bytes, &self.params, self.now),
            },
            _ => {
                self.send(i, 64);
                self.acknowledge(i);
            }
        }
    }

    /// An end's segment goes out.
    fn launch(&mut self, from: usize, plan: SegmentPlan, data: Vec<u8>) {
        let flights = &mut self.under_way[1 - from];
        if flights.len() < UNDER_WAY {
            let sent = self.now;
            flights.push_back(Flight { sent, plan, data });
        }
    }

    fn send(&mut self, i: usize, most: usize) {
        for _ in 0..most {
            let Some((plan, data)) = self.ends[i].next(&self.params, self.now) else {
                break;
            };
            self.launch(i, plan, data);
        }
    }

    fn acknowledge(&mut self, i: usize) {
        if let Some(plan) = self.ends[i].flow().take_ack(self.now) {
            self.launch(i, plan, Vec::new());
        }
    }

    /// One of the segments under way to an end arrives, and may arrive again later, and may be
    /// marked "congestion experienced".
    fn arrive(&mut self, i: usize, which: usize, again: bool, mark: bool) {
        let which = which.checked_rem(self.under_way[i].len()).unwrap_or(0);
        let Some(flight) = self.under_way[i].remove(which) else {
            return;
        };
        if self.now.since(flight.sent) > LIFETIME {
            return;
        }
        let answer = self.ends[i].arrive(&flight.plan, &flight.data, mark, &self.params, self.now);
        if again {
            self.under_way[i].push_back(flight);
        }
        if let Some(answer) = answer {
            self.launch(i, answer, Vec::new());
        }
    }

    fn timers(&mut self) {
        for i in [0, 1] {
            if let Some(probe) = self.ends[i].timers(&self.params, self.now) {
                self.launch(i, probe, Vec::new());
            }
        }
    }

    fn deadline(&mut self) -> Micros {
        let [a, b] = &mut self.ends;
        a.flow().deadline().min(b.flow().deadline())
    }

    fn wait(&mut self, bytes: &mut Bytes<'_>) {
        let deadline = self.deadline();
        self.now = match bytes.u8() % 4 {
            0 => self.now + Micros(bytes.u8().into()),
            1 => self.now + Micros(bytes.u16().into()),
            2 if deadline != Micros::NEVER => self.now.max(deadline),
            _ => self.now + Micros(u64::from(bytes.u16()) << 12),
        };
        self.timers();
    }

    /// Everything goes through, in order.
    fn exchange(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for i in [0, 1] {
                self.send(i, UNDER_WAY);
                self.acknowledge(i);
                for _ in 0..self.under_way[1 - i].len() {
                    self.arrive(1 - i, 0, false, false);
                }
            }
            self.now += ROUND_TRIP;
            self.timers();
        }
    }

    /// From now on everything goes through, and the applications read all and close.
    fn end(mut self) {
        for _ in 0..ROUNDS {
            for end in &mut self.ends {
                end.read(u32::MAX, &self.params, self.now);
                end.close(&self.params, self.now);
            }
            self.exchange(1);
            self.check();
            let idle = self.under_way.iter().all(VecDeque::is_empty);
            if idle && self.ends.iter().all(End::is_over) {
                break;
            }
            let deadline = self.deadline();
            if idle && self.ends.iter_mut().all(End::has_nothing_to_send) {
                assert_ne!(deadline, Micros::NEVER, "nobody does anything any more");
                self.now = self.now.max(deadline);
                self.timers();
            }
        }
        let [a, b] = &mut self.ends;
        a.read(u32::MAX, &self.params, self.now);
        b.read(u32::MAX, &self.params, self.now);
        a.finish(b.written());
        b.finish(a.written());
    }
}
