//! The service in one thread, on virtual time and a network in memory.
//!
//! `TAS_SIM_SEEDS` scales how many seeds are tried, in percent; `TAS_SIM_SEED` names the only one.

use tas::nic::sim::Path;
use tas::sim::{HostConf, HostIndex, Step, World};
use tas::types::Micros;

mod attack;
mod buffers;
mod close;
mod congestion;
mod cores;
mod echo;
mod ecn;
mod family;
mod handshakes;
mod hostile;
mod internet;
mod link;
mod loss;
mod moves;
mod opening;
mod pathmtu;
mod ports;
mod programs;
mod queues;
mod rates;
mod scarce;
mod segments;
mod sockets;
mod station;

use programs::{Client, Server};

const SERVER: [u8; 4] = [10, 0, 0, 1];
const CLIENT: [u8; 4] = [10, 0, 0, 2];
const PORT: u16 = 80;

/// The seeds to try: `usual` of them unless the environment says otherwise.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    match number("TAS_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..(usual * number("TAS_SIM_SEEDS").unwrap_or(100) / 100).max(1),
    }
}

/// A server and a client, each on a host of its own.
struct Pair {
    world: World,
    there: HostIndex,
    here: HostIndex,
    server: Server,
}

impl Pair {
    fn new(seed: u64, conf: impl Fn(HostConf) -> HostConf) -> Pair {
        let mut world = World::new(seed);
        let there = world.add(conf(HostConf::new(SERVER))).unwrap();
        let here = world.add(conf(HostConf::new(CLIENT))).unwrap();
        let app = world.host(there).attach(2).unwrap();
        let server = Server::new(app, 2, PORT, 4);
        Pair {
            world,
            there,
            here,
            server,
        }
    }

    fn address(&self) -> (std::net::Ipv4Addr, u16) {
        (SERVER.into(), PORT)
    }

    fn client(&mut self, conns: usize, seed: u64) -> Client {
        let app = self.world.host(self.here).attach(2).unwrap();
        Client::new(app, 2, self.address(), conns, seed)
    }

    fn set_paths(&mut self, path: Path) {
        for host in [self.there, self.here] {
            let port = self.world.host(host).port();
            self.world.network.set_path(port, path);
        }
    }

    fn heal(&mut self) {
        self.set_paths(Path::default());
    }

    /// Runs until the client is done.
    fn run(&mut self, client: &mut Client, span: Micros) -> bool {
        let server = &mut self.server;
        self.world.run(span, |_, _| {
            let worked = server.poll() | client.poll();
            match (client.done(), worked) {
                (true, _) => Step::Done,
                (_, true) => Step::Worked,
                _ => Step::Idle,
            }
        })
    }

    /// Both applications' connections and the hosts' counters, for failures.
    fn describe(&mut self, client: &Client) -> String {
        let mut text = String::new();
        for app in [&client.app, &self.server.app] {
            for (name, conn) in app.conns().filter(|(_, conn)| conn.open) {
                text += &format!("{name:?} {conn:?}\n");
            }
        }
        for host in [self.here, self.there] {
            let host = self.world.host(host);
            text += &format!("{:?}\n", host.counts());
            for core in host.counters() {
                let counted: Vec<_> = core.each().filter(|(_, n)| *n > 0).collect();
                text += &format!("{counted:?}\n");
            }
        }
        text
    }

    /// Ends both applications, and checks that nothing is left of their connections.
    fn assert_empty(mut self, client: Client) {
        self.world.host(self.here).kill(client.app);
        self.world.host(self.there).kill(self.server.app);
        self.world.rest(Micros::from_millis(600_000));
        for host in [self.here, self.there] {
            self.world.host(host).check_empty().unwrap();
        }
    }
}
