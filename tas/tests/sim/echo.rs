//! Connections of all sizes, over good and bad networks.

use tas::nic::sim::{Path, RxChecks, Steering};
use tas::sim::HostConf;
use tas::types::Micros;

use crate::programs::Client;
use crate::{Pair, seeds};

#[test]
fn one_connection_echoes() {
    let mut pair = Pair::new(1, |conf| conf);
    let mut client = pair.client(1, 1);
    pair.run(&mut client, Micros::from_millis(1000));
    assert_eq!(client.finished, 1);
    pair.assert_empty(client);
}

#[test]
fn many_connections_echo() {
    let mut pair = Pair::new(2, |conf| conf.with("--fp-cores-max=2"));
    let mut client = pair.client(200, 2);
    client.at_once = 50;
    pair.run(&mut client, Micros::from_millis(20_000));
    assert_eq!(client.finished, 200);
    pair.assert_empty(client);
}

fn bad_network(seed: u64) -> Path {
    let mut random = tas::nic::sim::Random::new(seed);
    Path {
        delay: Micros(random.between(0, 300)),
        jitter: Micros(random.between(0, 50)),
        loss: random.below(80) as u32,
        duplicate: random.below(50) as u32,
        reorder: random.below(100) as u32,
        reorder_by: Micros(random.between(1, 1000)),
        corrupt: random.below(20) as u32,
        ..Path::default()
    }
}

/// A run of a few connections between hosts that `conf` describes.
fn transfer(seed: u64, conf: impl Fn(HostConf) -> HostConf) -> (Pair, Client) {
    let mut pair = Pair::new(seed, conf);
    pair.set_paths(bad_network(seed));
    let mut client = pair.client(4, seed);
    client.sizes = (1, 30_000);
    pair.run(&mut client, Micros::from_millis(600_000));
    (pair, client)
}

#[test]
fn bytes_survive_bad_networks() {
    for seed in seeds(400) {
        let (mut pair, client) = transfer(seed, |conf| conf);
        assert_eq!(client.finished, 4, "seed {seed}");
        assert_eq!(client.resets, 0, "seed {seed}");
        pair.heal();
        pair.assert_empty(client);
    }
}

#[test]
fn segments_may_arrive_on_any_core() {
    for seed in seeds(40) {
        let (mut pair, client) = transfer(seed, |mut conf| {
            conf.port.steering = Steering::Random;
            conf.with("--fp-cores-max=3")
        });
        assert_eq!(client.finished, 4, "seed {seed}");
        pair.heal();
        pair.assert_empty(client);
    }
}

#[test]
fn the_port_computes_checksums() {
    for checks in [RxChecks::Tcp, RxChecks::All] {
        for seed in seeds(10) {
            let (mut pair, client) = transfer(seed, |mut conf| {
                conf.port.tx_checksum_offload = true;
                conf.port.rx_checks = checks;
                conf
            });
            assert_eq!(client.finished, 4, "{checks:?}, seed {seed}");
            pair.heal();
            pair.assert_empty(client);
        }
    }
}

#[test]
fn every_congestion_control_makes_progress() {
    for cc in ["dctcp-rate", "dctcp-win", "timely", "const-rate"] {
        for seed in seeds(10) {
            let (_, client) = transfer(seed, |conf| conf.with(format!("--cc={cc}")));
            assert_eq!(
                client.finished + client.failed.len(),
                4,
                "{cc}, seed {seed}"
            );
        }
    }
}
