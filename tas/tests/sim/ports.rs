//! Ports that take no frames, have no buffers, or lead to ourselves.

use tas::nic::sim::{Path, PortConf, Random};
use tas::sim::{HostConf, Step, World};
use tas::types::Micros;

use crate::programs::{Client, Server};
use crate::{PORT, Pair, SERVER, seeds};

/// Ports stall again and again, and take a few frames at a time otherwise.
#[test]
fn a_port_that_takes_nothing_for_a_while() {
    for seed in seeds(30) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed, |conf| conf.with("--fp-cores-max=2"));
        let mut client = pair.client(8, seed);
        client.sizes = (1000, 40_000);
        let mut rounds = 0;
        while !client.done() {
            let takes = match random.below(3) {
                0 => Some(0),
                1 => Some(random.below(20) as usize),
                _ => None,
            };
            for host in [pair.here, pair.there] {
                let port = pair.world.host(host).port();
                pair.world.network.set_takes(port, takes);
            }
            let span = Micros(random.between(10, 5000));
            pair.run(&mut client, span);
            rounds += 1;
            assert!(rounds < 100_000, "seed {seed}: {}", pair.describe(&client));
        }
        assert_eq!((client.finished, client.resets), (8, 0), "seed {seed}");
        for host in [pair.here, pair.there] {
            let port = pair.world.host(host).port();
            pair.world.network.set_takes(port, None);
        }
        pair.assert_empty(client);
    }
}

/// There are hardly any buffers, and often none.
#[test]
fn buffers_run_out() {
    for seed in seeds(30) {
        let mut pair = Pair::new(seed, |mut conf| {
            conf.port.buffers = 4;
            conf.port.ring = 16;
            conf
        });
        for host in [pair.here, pair.there] {
            let port = pair.world.host(host).port();
            pair.world.network.set_alloc_failures(port, 300);
        }
        let mut client = pair.client(6, seed);
        let done = pair.run(&mut client, Micros::from_millis(600_000));
        assert!(done, "seed {seed}: {}", pair.describe(&client));
        assert_eq!((client.finished, client.resets), (6, 0), "seed {seed}");
        let ports = [pair.here, pair.there].map(|host| pair.world.host(host).port());
        for port in ports {
            pair.world.network.set_alloc_failures(port, 0);
        }
        let network = pair.world.network.clone();
        pair.assert_empty(client);
        for port in ports {
            assert!(
                network.buffers(port) >= 3,
                "buffers come back, but for one kept ready"
            );
        }
    }
}

/// Client and server are applications of one service.
#[test]
fn a_host_talks_to_itself() {
    for seed in seeds(20) {
        let mut world = World::new(seed);
        let mut conf = HostConf::new(SERVER).with("--fp-cores-max=2");
        conf.port = PortConf {
            ring: 256,
            ..conf.port
        };
        let host = world.add(conf).unwrap();
        let port = world.host(host).port();
        let path = Path {
            delay: Micros(5),
            loss: 20,
            ..Path::default()
        };
        world.network.set_path(port, path);
        let app = world.host(host).attach(1).unwrap();
        let mut server = Server::new(app, 1, PORT, 16);
        let app = world.host(host).attach(2).unwrap();
        let mut client = Client::new(app, 2, (SERVER.into(), PORT), 100, seed);
        client.sizes = (1, 5000);
        let done = world.run(Micros::from_millis(100_000), |_, _| {
            let worked = server.poll() | client.poll();
            match (client.done(), worked) {
                (true, _) => Step::Done,
                (_, true) => Step::Worked,
                _ => Step::Idle,
            }
        });
        assert!(done, "seed {seed}");
        assert_eq!((client.finished, client.resets), (100, 0), "seed {seed}");
        world.host(host).kill(client.app);
        world.host(host).kill(server.app);
        world.rest(Micros::from_millis(100_000));
        world.host(host).check_empty().unwrap();
    }
}
