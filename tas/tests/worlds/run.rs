//! A world as it happens.

use std::path::Path as FilePath;

use tas::nic::sim::{Path, Random};
use tas::sim::{HostConf, HostIndex, World};
use tas::types::Micros;

use crate::checker::{Checker, Station};
use crate::other::Other;
use crate::pcap::Trace;
use crate::plan::{Finish, HostPlan, Plan, Stack};
use crate::programs::{OtherProgram, OurProgram, Program};
use crate::talk::{Outcome, Phase, Side};

/// How often somebody looks whether connections get further.
const WATCH: Micros = Micros(50_000);
/// Turns after which a world is taken to be busy for nothing.
const MAX_TURNS: u64 = 20_000_000;

/// What a world has come to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub turns: u64,
    pub judged: u64,
    pub repeated: u64,
    /// Bytes that programs have received.
    pub bytes: u64,
    /// Connections that both programs have ended as planned, of so many.
    pub done: usize,
    pub sessions: usize,
    /// Those in which the other stack did not go on.
    pub others_stuck: usize,
}

impl Summary {
    /// Adds what another world has come to.
    pub fn add(&mut self, other: &Summary) {
        self.turns += other.turns;
        self.judged += other.judged;
        self.repeated += other.repeated;
        self.bytes += other.bytes;
        self.done += other.done;
        self.sessions += other.sessions;
        self.others_stuck += other.others_stuck;
    }
}

/// A host of a world.
pub enum Host {
    Ours(HostIndex),
    Other(Box<Other>),
}

/// A world.
pub struct Run {
    pub(super) plan: Plan,
    pub world: World,
    pub random: Random,
    pub(super) begin: Micros,
    pub hosts: Vec<Host>,
    pub(super) programs: Vec<Program>,
    /// Client and server of each session.
    pub sides: Vec<[Side; 2]>,
    begun: Vec<bool>,
    scaled: Vec<usize>,
    cut: Vec<bool>,
    /// Sessions in which the other stack did not go on.
    pub(super) stuck: Vec<usize>,
    pub(super) checker: Checker,
    trace: Option<Trace>,
    watched: Micros,
    turns: u64,
}

/// Lets the world of a seed happen; with a trace of its packets, if a file is named.
///
/// # Errors
/// Says what went wrong.
pub fn run(seed: u64, trace: Option<&FilePath>) -> Result<Summary, String> {
    let mut run = Run::new(Plan::draw(seed), trace)?;
    run.happen()
        .map_err(|error| format!("{error}\nat {} us\n{}", run.age().0, run.describe()))
}

impl Run {
    fn new(plan: Plan, trace: Option<&FilePath>) -> Result<Run, String> {
        let mut world = World::new(plan.seed);
        world.tick = plan.tick;
        world.network.record();
        world.network.record_arrivals();
        let mut checker = Checker::new();
        let mut hosts = Vec::new();
        for (index, host) in plan.hosts.iter().enumerate() {
            let ip = HostPlan::ip(index);
            let (made, port) = match &host.stack {
                Stack::Ours(conf) => {
                    let conf = HostConf::clone(conf);
                    let made = world.add(conf).map_err(|error| error.to_string())?;
                    (Host::Ours(made), world.host(made).port())
                }
                Stack::Other(conf) => {
                    let seed = plan.seed ^ index as u64;
                    let other = Other::new(&world.network, conf, ip, seed, world.now());
                    let port = other.port;
                    (Host::Other(Box::new(other)), port)
                }
            };
            world.network.set_path(port, host.path);
            hosts.push(made);
            checker.add(
                ip.into(),
                Station {
                    mtu: host.port().mtu,
                    rx_len: host.rx_len,
                    ours: host.is_ours(),
                },
            );
        }
        let trace = match trace.map(Trace::create) {
            Some(Err(error)) => return Err(format!("no trace: {error}")),
            Some(Ok(trace)) => Some(trace),
            None => None,
        };
        let mut random = Random::new(plan.seed.wrapping_mul(3));
        let sides = plan
            .sessions
            .iter()
            .map(|session| {
                let keys = (random.next_u64(), random.next_u64());
                let client = Side::new(session.client.clone(), keys);
                let server = Side::new(session.server.clone(), (keys.1, keys.0));
                [client, server]
            })
            .collect();
        let mut run = Run {
            begin: world.now(),
            world,
            random,
            hosts,
            programs: Vec::new(),
            sides,
            begun: vec![false; plan.sessions.len()],
            scaled: vec![0; plan.hosts.len()],
            stuck: Vec::new(),
            cut: vec![false; plan.hosts.len()],
            checker,
            trace,
            watched: Micros(0),
            turns: 0,
            plan,
        };
        run.start_programs()?;
        Ok(run)
    }

    fn start_programs(&mut self) -> Result<(), String> {
        for index in 0..self.plan.programs.len() {
            let plan = self.plan.programs[index].clone();
            let program = match &self.hosts[plan.host] {
                Host::Ours(host) => {
                    let ours = OurProgram::start(&mut self.world, *host, &plan);
                    Program::Ours(Box::new(ours.map_err(|error| error.to_string())?))
                }
                Host::Other(_) => Program::Other(OtherProgram::new(plan.host)),
            };
            self.programs.push(program);
        }
        for (index, session) in self.plan.sessions.iter().enumerate() {
            let side = &session.server;
            match &mut self.programs[side.program] {
                Program::Ours(program) => program.listen(index, session.port),
                Program::Other(program) => {
                    if let Host::Other(other) = &mut self.hosts[program.host] {
                        let handle = other.listen(session.port, side.keepalive);
                        program.add(index, 1, handle);
                    }
                }
                Program::Dead => {}
            }
        }
        Ok(())
    }

    /// Time since the world began.
    fn age(&self) -> Micros {
        Micros(self.world.now().0 - self.begin.0)
    }

    fn happen(&mut self) -> Result<Summary, String> {
        while !self.is_over() {
            self.step()?;
        }
        self.check_outcomes()?;
        if self.plan.is_ideal() && self.checker.repeated > 0 {
            let repeated = self.checker.repeated;
            return Err(format!("{repeated} segments repeated for nothing"));
        }
        self.end()?;
        Ok(Summary {
            turns: self.turns,
            judged: self.checker.judged,
            repeated: self.checker.repeated,
            bytes: self.sides.iter().flatten().map(Side::received).sum(),
            done: self.sides.iter().filter(|sides| both_done(sides)).count(),
            sessions: self.sides.len(),
            others_stuck: self.stuck.len(),
        })
    }

    fn is_over(&self) -> bool {
        self.sides.iter().flatten().all(Side::is_over)
    }

    /// One turn of everything.
    fn step(&mut self) -> Result<(), String> {
        self.turns += 1;
        if self.turns > MAX_TURNS {
            return Err("always busy".to_owned());
        }
        let now = self.world.now();
        self.partitions();
        self.scale();
        self.die();
        self.begin_sessions();
        let mut worked = self.world.turn();
        worked |= self.turn_others(now);
        for index in 0..self.programs.len() {
            let mut program = std::mem::replace(&mut self.programs[index], Program::Dead);
            let polled = match &mut program {
                Program::Ours(ours) => ours.poll(&mut self.sides, now, worked, &mut self.random),
                Program::Other(other) => {
                    let Host::Other(host) = &mut self.hosts[other.host] else {
                        return Err("a program on the wrong host".to_owned());
                    };
                    other.poll(host, &mut self.sides, now, &mut self.random)
                }
                Program::Dead => Ok(false),
            };
            self.programs[index] = program;
            worked |= polled?;
        }
        worked |= self.turn_others(now);
        if self.look()? {
            self.bounds()?;
        }
        self.watch(now)?;
        let until = self.next_wake(now);
        self.world.pass(worked, until);
        Ok(())
    }

    pub(super) fn turn_others(&mut self, now: Micros) -> bool {
        let mut worked = false;
        for host in &mut self.hosts {
            let Host::Other(other) = host else {
                continue;
            };
            if other.vanishes.is_some_and(|at| now >= self.begin + at) {
                other.ignore();
            } else {
                worked |= other.turn(now);
            }
        }
        worked
    }

    /// Judges what was sent; false if it was nothing.
    pub(super) fn look(&mut self) -> Result<bool, String> {
        for arrived in self.world.network.arrived() {
            self.checker.arrive(&arrived.frame);
        }
        let seen = self.world.network.seen();
        if let Some(trace) = &mut self.trace {
            for frame in &seen {
                trace.add(frame).map_err(|error| error.to_string())?;
            }
        }
        for seen in &seen {
            self.checker.observe(&seen.frame)?;
        }
        Ok(!seen.is_empty())
    }

    /// No window reaches beyond what its program has read and the buffer holds.
    fn bounds(&self) -> Result<(), String> {
        for program in &self.programs {
            let Program::Ours(program) = program else {
                continue;
            };
            for (session, end, local, remote) in program.addresses() {
                let Some(edge) = self.checker.announced(local, remote) else {
                    continue;
                };
                let side = &self.sides[session][end];
                let host = self.plan.programs[side.plan.program].host;
                let most = side.received() + u64::from(self.plan.hosts[host].rx_len);
                // The FIN has a number, and needs no room.
                if u64::from(edge) > most + 1 {
                    return Err(format!(
                        "session {session}: {edge} bytes announced with room for {most}"
                    ));
                }
            }
        }
        Ok(())
    }

    fn next_wake(&self, now: Micros) -> Micros {
        let plans = self.plan.hosts.iter().zip(&self.scaled);
        let scales = plans.filter_map(|(host, done)| Some(host.scales.get(*done)?.0));
        let partitions = self.plan.hosts.iter().filter_map(|host| host.partition);
        let edges = partitions.flat_map(|(begin, span)| [begin, begin + span]);
        let deaths = self.plan.programs.iter().filter_map(|program| program.dies);
        let begins = self.plan.sessions.iter().map(|session| session.begins);
        let planned = scales
            .chain(edges)
            .chain(deaths)
            .chain(begins)
            .map(|at| self.begin + at);
        let others = self.hosts.iter().filter_map(|host| match host {
            Host::Other(other) if other.vanishes.is_none_or(|at| now < self.begin + at) => {
                other.wakes()
            }
            _ => None,
        });
        let programs = self.programs.iter().filter_map(|program| match program {
            Program::Ours(ours) => ours.wakes(),
            _ => None,
        });
        let sides = self.sides.iter().flatten().filter_map(Side::wakes);
        planned
            .chain(others)
            .chain(programs)
            .chain(sides)
            .chain([self.watched + WATCH])
            .filter(|at| *at > now)
            .min()
            .unwrap_or(now)
    }

    fn partitions(&mut self) {
        let age = self.age();
        for (index, plan) in self.plan.hosts.iter().enumerate() {
            let Some((begin, span)) = plan.partition else {
                continue;
            };
            let cut = age >= begin && age < begin + span;
            if cut == std::mem::replace(&mut self.cut[index], cut) {
                continue;
            }
            let path = Path {
                loss: if cut { 1000 } else { plan.path.loss },
                ..plan.path
            };
            let port = match &self.hosts[index] {
                Host::Ours(host) => self.world.host(*host).port(),
                Host::Other(other) => other.port,
            };
            self.world.network.set_path(port, path);
        }
    }

    fn scale(&mut self) {
        let age = self.age();
        for (index, plan) in self.plan.hosts.iter().enumerate() {
            let Some((at, cores)) = plan.scales.get(self.scaled[index]) else {
                continue;
            };
            if age < *at {
                continue;
            }
            self.scaled[index] += 1;
            let there = |program: &usize| self.plan.programs[*program].host == index;
            for program in (0..self.programs.len()).filter(there) {
                if let Program::Ours(ours) = &mut self.programs[program] {
                    ours.scale(*cores);
                    break;
                }
            }
        }
    }

    fn die(&mut self) {
        let (age, now) = (self.age(), self.world.now());
        for (index, plan) in self.plan.programs.iter().enumerate() {
            let vanished = match &self.hosts[plan.host] {
                Host::Other(other) => other.vanishes,
                Host::Ours(_) => None,
            };
            if plan.dies.or(vanished).is_some_and(|at| age >= at)
                && !matches!(self.programs[index], Program::Dead)
            {
                let program = std::mem::replace(&mut self.programs[index], Program::Dead);
                if let Program::Ours(ours) = program {
                    ours.die(&mut self.world);
                }
                for side in self.sides.iter_mut().flatten() {
                    if side.plan.program == index && !side.is_over() {
                        side.over(Outcome::Died, now);
                    }
                }
            }
        }
    }

    fn begin_sessions(&mut self) {
        let (age, now) = (self.age(), self.world.now());
        for (index, session) in self.plan.sessions.iter().enumerate() {
            if self.begun[index] || age < session.begins {
                continue;
            }
            self.begun[index] = true;
            for side in &mut self.sides[index] {
                side.progress = now;
            }
            let server = self.plan.programs[session.server.program].host;
            let to = (HostPlan::ip(server).into(), session.port);
            match &mut self.programs[session.client.program] {
                Program::Ours(program) => program.open(index, to),
                Program::Other(program) => {
                    if let Host::Other(other) = &mut self.hosts[program.host] {
                        let from = 40_000 + index as u16;
                        let handle = other.connect(to, from, session.client.keepalive);
                        program.add(index, 0, handle);
                    }
                }
                Program::Dead => {}
            }
        }
    }

    /// Looks whether connections get further.
    fn watch(&mut self, now: Micros) -> Result<(), String> {
        if now < self.watched + WATCH {
            return Ok(());
        }
        self.watched = now;
        for index in 0..self.sides.len() {
            if !self.begun[index] || self.sides[index].iter().all(Side::is_over) {
                continue;
            }
            let last = self.sides[index].iter().map(|side| side.progress).max();
            let quiet = Micros(now.0 - last.unwrap_or(now).0);
            if quiet > self.patience(index) {
                self.give_up(index, now)?;
            }
        }
        Ok(())
    }

    fn patience(&self, index: usize) -> Micros {
        let pauses = self.sides[index]
            .iter()
            .map(|side| side.plan.deaf_for.0 + side.plan.read.1.0 + side.plan.write.1.0);
        // Ends that only a probe finds out about.
        let probes = if self.is_clean(index) { 0 } else { 180_000_000 };
        Micros(self.plan.patience().0 + pauses.sum::<u64>() + probes)
    }

    /// Nothing that its programs do keeps a session from its planned end.
    pub(super) fn is_clean(&self, index: usize) -> bool {
        self.sides[index].iter().all(|side| {
            let orderly = matches!(side.plan.finish, Finish::Orderly | Finish::Hasty);
            let program = &self.plan.programs[side.plan.program];
            let host = &self.hosts[program.host];
            let vanishes = matches!(host, Host::Other(other) if other.vanishes.is_some());
            orderly && program.dies.is_none() && !vanishes
        })
    }

    /// The other stack has to send something again.
    fn is_others_turn(&self, index: usize) -> bool {
        self.programs.iter().any(|program| {
            let Program::Ours(program) = program else {
                return false;
            };
            program.addresses().any(|(session, end, local, remote)| {
                let peer = &self.sides[index][1 - end];
                let host = self.plan.programs[peer.plan.program].host;
                session == index
                    && matches!(self.hosts[host], Host::Other(_))
                    && self.checker.owes(remote, local)
            })
        })
    }

    /// Ends a session in which nothing happens any more, if it may be so.
    fn give_up(&mut self, index: usize, now: Micros) -> Result<(), String> {
        if self.is_clean(index) {
            if !self.is_others_turn(index) {
                return Err(format!("session {index} does not get further"));
            }
            // smoltcp goes on probing a window that was closed once, and never sends again what was
            // lost before the probe.
            self.stuck.push(index);
        }
        for end in 0..2 {
            let side = &self.sides[index][end];
            let ours = self.plan.hosts[self.plan.programs[side.plan.program].host].is_ours();
            let alone = self.sides[index][1 - end].is_over() && side.settled;
            if side.phase == Phase::Open && ours && alone && side.plan.keepalive {
                return Err(format!(
                    "session {index}: the peer is gone, and keepalive silent"
                ));
            }
            if matches!(side.phase, Phase::Closing(_)) {
                return Err(format!("session {index}: a close without an answer"));
            }
        }
        for end in 0..2 {
            let program = self.sides[index][end].plan.program;
            match &mut self.programs[program] {
                Program::Ours(ours) => ours.abort(index, end),
                Program::Other(program) => {
                    if let Host::Other(other) = &mut self.hosts[program.host] {
                        program.abort(other, index, end);
                    }
                }
                Program::Dead => {}
            }
            let side = &mut self.sides[index][end];
            if !side.is_over() {
                side.over(Outcome::GivenUp, now);
            }
        }
        Ok(())
    }
}

fn both_done(sides: &[Side; 2]) -> bool {
    sides
        .iter()
        .all(|side| side.phase == Phase::Over(Outcome::Done))
}
