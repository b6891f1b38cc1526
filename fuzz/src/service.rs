//! A whole service with an attacker on the network and a hostile application beside a good one,
//! on virtual time.

mod attacker;
mod hostile;
#[path = "../../tas/tests/sim/programs.rs"]
#[expect(dead_code, reason = "the simulation's tests use all of it")]
mod programs;
mod router;

use tas::nic::sim::{Path, PortConf, RxChecks};
use tas::sim::{HostConf, HostIndex, Step, World};
use tas::types::Micros;

use crate::bytes::Bytes;
use attacker::Attacker;
use hostile::Hostile;
use programs::{Client, Server};
use router::Router;

/// Most steps.
const STEPS: usize = 150;
/// The good server's host, which is attacked, and its port.
const SERVER: [u8; 4] = [10, 0, 0, 1];
const PORT: u16 = 80;
/// The good client's host.
const CLIENT: [u8; 4] = [10, 0, 0, 2];
/// Connections between the two.
const CONNS: usize = 2;
/// How long those may take.
const SPAN: Micros = Micros::from_millis(120_000);
/// After so long nothing is left of applications that are gone, nor of the attacker's handshakes.
const REST: Micros = Micros::from_millis(20_000);

/// Who does something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foes {
    Attacker,
    Hostile,
    Both,
    Routers,
}

/// Frames of an attacker, who has connections of its own to the service: the input is what it does.
///
/// # Panics
/// The service does, or the good application suffers, or something is left.
pub fn network(data: &[u8]) {
    run(data, Foes::Attacker);
}

/// What an application writes into its memory, and what it asks for.
///
/// # Panics
/// The service does, or the good application suffers, or something is left.
pub fn application(data: &[u8]) {
    run(data, Foes::Hostile);
}

/// Both at a time.
///
/// # Panics
/// The service does, or the good application suffers, or something is left.
pub fn everybody(data: &[u8]) {
    run(data, Foes::Both);
}

/// Routers on the way of good connections, true ones and false: the input is what they report, and
/// how wide the way is.
///
/// # Panics
/// The service does, or the good application suffers, or something is left.
pub fn routers(data: &[u8]) {
    run(data, Foes::Routers);
}

fn run(data: &[u8], foes: Foes) {
    let mut bytes = Bytes::new(data);
    let mut scene = Scene::new(&mut bytes, foes);
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        scene.step(&mut bytes, foes);
    }
    scene.end();
}

struct Scene {
    world: World,
    there: HostIndex,
    here: HostIndex,
    server: Server,
    client: Client,
    attacker: Attacker,
    hostile: Hostile,
    router: Router,
    /// Buffers of the attacked port that are free when it rests.
    buffers: usize,
}

fn conf(ip: [u8; 4], setup: u8) -> HostConf {
    let cc = ["const-rate", "dctcp-rate", "dctcp-win", "timely"];
    let conf = HostConf {
        flows: 64,
        half_open: Some(if setup & 1 == 0 { 16 } else { 2 }),
        ..HostConf::new(ip)
    };
    let conf = HostConf {
        port: PortConf {
            rx_checks: if setup & 2 != 0 {
                RxChecks::All
            } else {
                RxChecks::None
            },
            tx_checksum_offload: setup & 2 != 0,
            ..conf.port.clone()
        },
        ..conf
    };
    let conf = conf
        .with(format!("--fp-cores-max={}", 1 + (setup >> 2 & 1)))
        .with(format!("--cc={}", cc[usize::from(setup >> 3 & 3)]))
        .with("--tcp-rxbuf-len=8192")
        .with("--tcp-txbuf-len=8192")
        .with("--tcp-handshake-retries=3")
        .with("--nic-rx-len=256")
        .with("--nic-tx-len=256");
    if setup & 0x20 == 0 {
        conf.with("--fp-no-autoscale")
    } else {
        conf
    }
}

impl Scene {
    fn new(bytes: &mut Bytes<'_>, foes: Foes) -> Scene {
        const MAKES: &str = "the system makes a service";
        let setup = bytes.u8();
        let mut world = World::new(setup.into());
        world.network.record();
        let there = world.add(conf(SERVER, setup)).expect(MAKES);
        let here = world.add(conf(CLIENT, 0)).expect(MAKES);
        let port = world.host(there).port();
        let buffers = world.network.buffers(port);
        let server = world.host(there).attach(2).expect(MAKES);
        let server = Server::new(server, 2, PORT, 4);
        let client = world.host(here).attach(1).expect(MAKES);
        let mut client = Client::new(client, 1, (SERVER.into(), PORT), CONNS, setup.into());
        (client.sizes, client.read_most) = match foes {
            Foes::Routers => ((4_000, 40_000), 20_000),
            _ => ((500, 4_000), 1_000),
        };
        let mut scene = Scene {
            attacker: Attacker::new(world.host(there).mac()),
            hostile: Hostile::new(world.host(there)),
            router: Router::default(),
            world,
            there,
            here,
            server,
            client,
            buffers,
        };
        // It begins when the good connections are open.
        scene.live(Micros::from_millis(1000), |client| {
            client.names().len() == CONNS
        });
        assert_eq!(scene.client.names().len(), CONNS);
        scene.attacker.settle(&mut scene.world, scene.there);
        if foes == Foes::Routers {
            // So that segments are under way.
            let path = Path {
                delay: Micros(100),
                ..Path::default()
            };
            for host in [scene.there, scene.here] {
                let port = scene.world.host(host).port();
                scene.world.network.set_path(port, path);
            }
        }
        scene
    }

    fn step(&mut self, bytes: &mut Bytes<'_>, foes: Foes) {
        let kind = bytes.u8();
        let span = match kind >> 6 {
            0 => Micros(0),
            1 => Micros(5),
            2 => Micros(u64::from(bytes.u8()) << 4),
            _ => Micros(u64::from(bytes.u16()) << 4),
        };
        match (foes, kind & 1) {
            (Foes::Attacker, _) | (Foes::Both, 0) => {
                let fair = fair(&self.client);
                let frame = self.attacker.frame(kind >> 1 & 7, bytes);
                if attacker::is_fair(&frame, &fair) {
                    let host = if kind & 0x30 == 0x30 {
                        self.here
                    } else {
                        self.there
                    };
                    let port = self.world.host(host).port();
                    self.world.network.inject(port, &frame);
                }
            }
            (Foes::Hostile, _) | (Foes::Both, _) => {
                self.hostile
                    .act(self.world.host(self.there), kind >> 1 & 7, bytes);
            }
            (Foes::Routers, _) => self.route(kind >> 1 & 7, bytes),
        }
        if span > Micros(0) {
            self.live(span, |_| false);
        }
        let seen = self.world.network.seen();
        self.router.learn(&seen);
        self.attacker.learn(seen);
    }

    /// A router says something, or the way becomes another.
    fn route(&mut self, kind: u8, bytes: &mut Bytes<'_>) {
        let ports = [self.there, self.here].map(|host| self.world.host(host).port());
        if kind == 0 {
            let path = router::path(bytes);
            for port in ports {
                self.world.network.set_path(port, path);
            }
        } else if let Some((frame, sender)) = self.router.report(bytes) {
            let to = ports.into_iter().find(|port| *port == sender);
            self.world.network.inject(to.unwrap_or(ports[0]), &frame);
        }
    }

    /// Time passes, and the good applications run.
    fn live(&mut self, span: Micros, done: impl Fn(&Client) -> bool) -> bool {
        let (server, client, hostile) = (&mut self.server, &mut self.client, &mut self.hostile);
        let there = self.there;
        self.world.run(span, |world, _| {
            hostile.mind(world.host(there));
            let worked = server.poll() | client.poll();
            match (done(client), worked) {
                (true, _) => Step::Done,
                (_, true) => Step::Worked,
                _ => Step::Idle,
            }
        })
    }

    /// The good connections are not disturbed, and nothing is left when all are gone.
    fn end(mut self) {
        let done = self.live(SPAN, Client::done);
        assert!(done, "the good connections are stuck");
        let client = &self.client;
        assert_eq!((client.finished, client.resets), (CONNS, 0));
        let there = self.world.host(self.there);
        self.hostile.leave(there);
        there.kill(self.server.app);
        self.world.host(self.here).kill(self.client.app);
        self.world.rest(REST);
        for host in [self.there, self.here] {
            assert_eq!(self.world.host(host).check_empty(), Ok(()));
            assert!(self.world.host(host).control.tenants().is_empty());
        }
        let port = self.world.host(self.there).port();
        let held = self.buffers - self.world.network.buffers(port);
        assert!(held <= 256, "{held} frames are held");
    }
}

/// The good connections: ports of the client.
fn fair(client: &Client) -> Vec<u16> {
    client.app.conns().map(|(_, conn)| conn.local.1).collect()
}
