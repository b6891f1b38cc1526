//! Processes that fork: listeners and connections that several of them hold.

use std::collections::BTreeMap;

use tas::nic::sim::{Path, Random};
use tas::sim::{App, ConnName, Event, HostConf, HostIndex, ListenerName, Step, Stream, World};
use tas::types::Micros;

use crate::cores::scale;
use crate::programs::Client;
use crate::{CLIENT, PORT, SERVER, seeds};

/// A negative errno.
const EAGAIN: i32 = -11;
const ENOTCONN: i32 = -107;

/// A process of the family, which sends back what it reads at once.
struct Member {
    app: App,
    /// Connections that it uses.
    used: BTreeMap<ConnName, ()>,
    /// Connections that it holds only.
    held: Vec<ConnName>,
    adopting: usize,
    closing: usize,
}

impl Member {
    fn new(app: App) -> Member {
        let held = app.conns().map(|(name, _)| name).collect();
        Member {
            app,
            used: BTreeMap::new(),
            held,
            adopting: 0,
            closing: 0,
        }
    }

    /// Sends back what there is room for. True when both sides are done.
    fn echo(&mut self, name: ConnName, most: usize) -> (bool, bool) {
        let conn = self.app.conn(name).expect("used");
        if conn.moving || !conn.open {
            return (false, false);
        }
        let len = (conn.readable.min(conn.writable) as usize).min(most);
        let bytes = self.app.receive(name, len);
        let mut worked = !bytes.is_empty();
        assert_eq!(self.app.send(name, &bytes), bytes.len(), "there was room");
        let conn = self.app.conn(name).expect("used");
        if conn.rx_closed && conn.readable == 0 && !conn.tx_closed && !conn.reset {
            worked |= self.app.shutdown(name);
        }
        let conn = self.app.conn(name).expect("used");
        let done = conn.reset || (conn.rx_closed && conn.tx_closed && conn.all_acknowledged());
        (worked, done)
    }
}

/// A server that forks: its members pass connections to each other at random.
struct Family {
    members: Vec<Member>,
    listener: ListenerName,
    random: Random,
    /// Adoptions of a thousand turns of a member.
    restless: u32,
    adoptions: usize,
    closed: usize,
}

impl Family {
    fn new(mut app: App, seed: u64) -> Family {
        let listener = app.listen(0, PORT, 64);
        Family {
            members: vec![Member::new(app)],
            listener,
            random: Random::new(seed),
            restless: 100,
            adoptions: 0,
            closed: 0,
        }
    }

    fn fork(&mut self, world: &mut World, host: HostIndex, parent: usize, accepts: bool) {
        let child = world
            .host(host)
            .fork(&self.members[parent].app, 2)
            .expect("a child");
        self.members.push(Member::new(child));
        let last = self.members.len() - 1;
        if accepts {
            self.members[last].app.watch(0, self.listener, true);
        }
    }

    /// A process ends without a word.
    fn kill(&mut self, world: &mut World, host: HostIndex, index: usize) {
        let member = self.members.swap_remove(index);
        world.host(host).kill(member.app);
    }

    fn poll(&mut self) -> bool {
        let mut worked = false;
        for index in 0..self.members.len() {
            worked |= self.poll_member(index);
        }
        worked
    }

    fn poll_member(&mut self, index: usize) -> bool {
        let listener = self.listener;
        let member = &mut self.members[index];
        let events = member.app.poll();
        let mut worked = !events.is_empty();
        for event in events {
            match event {
                Event::Newconn(_) => {
                    member.app.accept_now(1, listener);
                }
                Event::Accepted(name) => {
                    member.used.insert(name, ());
                    // There may be more.
                    member.app.accept_now(1, listener);
                }
                Event::AcceptFailed(_, status) => assert_eq!(status, EAGAIN),
                Event::Adopted(name, 0) => {
                    member.adopting -= 1;
                    member.used.insert(name, ());
                    self.adoptions += 1;
                }
                Event::Adopted(name, status) => {
                    assert!([EAGAIN, ENOTCONN].contains(&status), "{status}");
                    member.adopting -= 1;
                    member.held.push(name);
                }
                Event::Taken(name) => {
                    member.used.remove(&name);
                    member.held.push(name);
                }
                Event::Closed(_, status) => {
                    assert_eq!(status, 0);
                    member.closing -= 1;
                    self.closed += 1;
                }
                _ => {}
            }
        }
        if !member.held.is_empty() && self.random.chance(self.restless) {
            let place = self.random.below(member.held.len() as u64) as usize;
            let name = member.held.swap_remove(place);
            member.app.adopt(name, self.random.below(2) as usize);
            member.adopting += 1;
            worked = true;
        }
        let names: Vec<ConnName> = member.used.keys().copied().collect();
        for name in names {
            let most = self.random.between(1, 800) as usize;
            let (busy, done) = member.echo(name, most);
            worked |= busy;
            if done {
                member.used.remove(&name);
                member.app.close(name, false);
                member.closing += 1;
                worked = true;
            }
        }
        worked
    }
}

struct Pair {
    world: World,
    there: HostIndex,
    here: HostIndex,
    family: Family,
    client: Client,
}

impl Pair {
    fn new(seed: u64, conns: usize, conf: impl Fn(HostConf) -> HostConf) -> Pair {
        let mut world = World::new(seed);
        let there = world.add(conf(HostConf::new(SERVER))).unwrap();
        let here = world.add(conf(HostConf::new(CLIENT))).unwrap();
        let app = world.host(there).attach(2).unwrap();
        let family = Family::new(app, seed);
        let app = world.host(here).attach(2).unwrap();
        let mut client = Client::new(app, 2, (SERVER.into(), PORT), conns, seed);
        client.sizes = (20_000, 100_000);
        let mut pair = Pair {
            world,
            there,
            here,
            family,
            client,
        };
        pair.family.members[0]
            .app
            .watch(0, pair.family.listener, true);
        pair
    }

    fn run(&mut self, span: Micros) -> bool {
        let (family, client) = (&mut self.family, &mut self.client);
        self.world.run(span, |_, _| {
            let worked = family.poll() | client.poll();
            match (client.done(), worked) {
                (true, _) => Step::Done,
                (_, true) => Step::Worked,
                _ => Step::Idle,
            }
        })
    }

    /// All processes end, and nothing is left.
    fn assert_empty(mut self) {
        self.world.host(self.here).kill(self.client.app);
        for member in self.family.members {
            self.world.host(self.there).kill(member.app);
        }
        self.world.rest(Micros::from_millis(600_000));
        for host in [self.here, self.there] {
            self.world.host(host).check_empty().unwrap();
            let counts = self.world.host(host).counts();
            assert_eq!(counts.listeners, 0);
            assert!(self.world.host(host).control.tenants().is_empty());
        }
    }
}

fn bad_path(seed: u64) -> Path {
    if seed.is_multiple_of(2) {
        return Path {
            delay: Micros(seed % 30),
            ..Path::default()
        };
    }
    Path {
        delay: Micros(20),
        jitter: Micros(10),
        loss: 10,
        duplicate: 10,
        reorder: 20,
        reorder_by: Micros(100),
        ..Path::default()
    }
}

/// Four processes take all connections from each other again and again while data flow both ways;
/// the client sees what it sees of one process.
#[test]
fn connections_change_hands_under_traffic() {
    for seed in seeds(40) {
        let cores = 1 + seed % 3;
        let mut pair = Pair::new(seed, 12, |conf| {
            conf.with(format!("--fp-cores-max={cores}"))
                .with("--fp-no-autoscale")
        });
        let path = bad_path(seed);
        for host in [pair.here, pair.there] {
            let port = pair.world.host(host).port();
            pair.world.network.set_path(port, path);
        }
        // Some connections are there before the first fork.
        pair.run(Micros(100));
        for _ in 0..3 {
            pair.family.fork(&mut pair.world, pair.there, 0, true);
            pair.run(Micros(50));
        }
        assert!(
            pair.run(Micros::from_millis(60_000)),
            "seed {seed}: stuck with {} adoptions",
            pair.family.adoptions
        );
        assert_eq!(
            (pair.client.finished, pair.client.resets),
            (12, 0),
            "seed {seed}"
        );
        let adoptions = pair.family.adoptions;
        assert!(adoptions > 10, "seed {seed}: {adoptions} adoptions");

        pair.assert_empty();
    }
}

/// The same, with processes that fork and die, and flows that change their core.
#[test]
fn processes_come_and_go_under_traffic() {
    for seed in seeds(40) {
        let cores = 1 + seed % 3;
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed, 12, |conf| {
            conf.with(format!("--fp-cores-max={cores}"))
                .with("--fp-no-autoscale")
        });
        let path = bad_path(seed);
        for host in [pair.here, pair.there] {
            let port = pair.world.host(host).port();
            pair.world.network.set_path(port, path);
        }
        pair.run(Micros(100));
        let mut rounds = 0;
        while !pair.client.done() {
            let members = pair.family.members.len() as u64;
            // The first process, which accepts, holds all connections for those that are killed.
            let any = random.below(members) as usize;
            if members > 5 || (members > 1 && random.chance(300)) {
                let victim = 1 + random.below(members - 1) as usize;
                pair.family.kill(&mut pair.world, pair.there, victim);
            } else {
                pair.family.fork(&mut pair.world, pair.there, any, false);
            }
            scale(&mut pair.world, pair.there, random.between(1, cores) as u32);
            let span = Micros(random.between(20, 3000));
            pair.run(span);
            rounds += 1;
            assert!(rounds < 100_000, "seed {seed}: stuck");
        }
        let (finished, resets) = (pair.client.finished, pair.client.resets);
        assert_eq!((finished, resets), (12, 0), "seed {seed}");
        pair.assert_empty();
    }
}

/// A connection between two processes of which one is a family. Both directions carry streams of
/// their own, and whoever has the baton goes on with them.
struct Talk {
    name: ConnName,
    rx: Stream,
    tx: Stream,
    /// The member that has the baton.
    holder: usize,
}

impl Talk {
    /// Reads and sends a little; nothing while the connection is not there yet.
    fn go_on(&mut self, app: &mut App, random: &mut Random) -> bool {
        let Some(conn) = app.conn(self.name).filter(|conn| conn.open) else {
            return false;
        };
        let writable = conn.writable as usize;
        let bytes = app.receive(self.name, random.between(1, 2000) as usize);
        if let Err(error) = self.rx.check(&bytes) {
            panic!("{error}");
        }
        let len = (random.between(1, 2000) as usize).min(writable);
        let sent = app.send(self.name, &self.tx.peek(len));
        self.tx.advance(sent);
        sent > 0 || !bytes.is_empty()
    }
}

/// Whoever passes the baton does nothing more with the connection. It has posted all, and may
/// never look at its queues again; the next one goes on exactly there.
#[test]
fn a_baton_goes_round() {
    for seed in seeds(20) {
        let mut random = Random::new(seed);
        let cores = 1 + seed % 3;
        let mut world = World::new(seed);
        let conf = |ip| {
            let mut conf = HostConf::new(ip)
                .with(format!("--fp-cores-max={cores}"))
                .with("--fp-no-autoscale");
            conf.stalls = 20;
            conf.stall = Micros(30);
            conf
        };
        let there = world.add(conf(SERVER)).unwrap();
        let here = world.add(conf(CLIENT)).unwrap();
        let mut server = world.host(there).attach(2).unwrap();
        let mut peer = world.host(here).attach(1).unwrap();
        let listener = server.listen(0, PORT, 8);
        let name = server.accept(0, listener);
        let peer_name = peer.open(0, SERVER.into(), PORT);
        world.run(Micros(1000), |_, _| {
            server.poll();
            peer.poll();
            Step::Idle
        });
        let mut members = vec![server];
        for _ in 0..2 {
            members.push(world.host(there).fork(&members[0], 2).unwrap());
        }
        let mut talk = Talk {
            name,
            rx: Stream::new(1),
            tx: Stream::new(2),
            holder: 0,
        };
        let mut back = Talk {
            name: peer_name,
            rx: Stream::new(2),
            tx: Stream::new(1),
            holder: 0,
        };
        let mut passed = 0;
        let mut turns = 0;
        while passed < 100 {
            turns += 1;
            assert!(turns < 1_000_000, "seed {seed}: stuck after {passed}");
            if random.chance(2) {
                scale(&mut world, there, random.between(1, cores) as u32);
            }
            world.turn();
            world.pass(true, Micros(u64::MAX));
            peer.poll();
            back.go_on(&mut peer, &mut random);
            for (index, member) in members.iter_mut().enumerate() {
                if index != talk.holder {
                    // It hardly ever looks.
                    member.deaf = !random.chance(20);
                }
                for event in member.poll() {
                    if let Event::Adopted(_, EAGAIN) = event {
                        member.adopt(name, 0);
                    }
                }
            }
            let holder = &mut members[talk.holder];
            holder.deaf = false;
            talk.go_on(holder, &mut random);
            let all_posted = !holder.flush_conn(name);
            let open = holder.conn(name).is_some_and(|conn| conn.open);
            if open && all_posted && random.chance(100) {
                talk.holder = (talk.holder + random.between(1, 2) as usize) % members.len();
                let next = &mut members[talk.holder];
                // It may not have been told yet that it was taken away.
                while next.conn(name).is_some_and(|conn| conn.open) {
                    world.turn();
                    world.pass(true, Micros(u64::MAX));
                    next.poll();
                }
                next.adopt(name, random.below(2) as usize);
                passed += 1;
            }
        }
        assert!(talk.rx.position() > 0 && back.rx.position() > 0);
        for member in members {
            world.host(there).kill(member);
        }
        world.host(here).kill(peer);
        world.rest(Micros::from_millis(600_000));
        for host in [there, here] {
            world.host(host).check_empty().unwrap();
        }
    }
}
