//! Several cores: frames that reach the wrong one, and flows that move while data flow.

use std::collections::HashMap;

use tas::nic::sim::{Path, Random, Steering};
use tas::sim::{Event, HostConf, HostIndex, Queues, World};
use tas::types::Micros;
use tas_abi::appif::{AppoutMsg, AppoutReqScale};
use tas_wire::{FlowTuple, Packet, SeqNum, Verify};

use crate::programs::Client;
use crate::{Pair, seeds};

/// Room for a few events and updates.
const SHORT: Queues = Queues { rx: 128, tx: 64 };

/// The ways in which frames come to cores.
fn random_port(random: &mut Random, mut conf: HostConf) -> HostConf {
    match random.below(4) {
        // A redirection table.
        0 => conf.port.steering = Steering::Table,
        // Spread by others, over one queue for each core or fewer.
        1 => conf.port.steering = Steering::Hash,
        2 => conf.queues = 2,
        // All through one core.
        _ => conf.queues = 1,
    }
    conf
}

/// Asks for a number of cores through an application that does nothing else.
pub fn scale(world: &mut World, host: HostIndex, cores: u32) {
    let mut app = world.host(host).attach(1).unwrap();
    app.request(0, AppoutMsg::ReqScale(AppoutReqScale { num_cores: cores }));
    world.turn();
    assert!(app.poll().contains(&Event::Scaled(0)));
    world.host(host).kill(app);
}

/// What each sender has sent so far.
#[derive(Default)]
struct Order(HashMap<FlowTuple, SeqNum>);

impl Order {
    /// Looks at the frames since the last time: every segment must follow the one before. So
    /// nothing was sent twice, as it would be if something were lost, or taken for lost since it
    /// came late; nor did one core overtake another.
    fn check(&mut self, pair: &Pair, seed: u64) {
        for seen in pair.world.network.seen() {
            let Ok(Packet::Tcp(packet)) = tas_wire::parse_with(&seen.frame, Verify::NONE) else {
                continue;
            };
            let len = packet.seq_len();
            let tuple = packet.tuple();
            let next = self.0.entry(tuple).or_insert(packet.tcp.seq);
            if len > 0 {
                assert_eq!(
                    *next, packet.tcp.seq,
                    "seed {seed}: {tuple:?} at {:?}",
                    seen.at
                );
                *next += len;
            }
        }
    }
}

fn moved(pair: &mut Pair, host: HostIndex) -> u64 {
    let counters = pair.world.host(host).counters();
    counters.iter().map(|core| core.flows_moved.get()).sum()
}

/// Runs transfers, and meanwhile asks for another number of cores again and again.
fn transfer_while_scaling(seed: u64, path: Path, follows: bool, stalls: u32) {
    let in_order = path.loss + path.reorder == 0;
    let ideal = in_order && stalls == 0;
    let mut random = Random::new(seed);
    let cores = random.between(2, 5);
    let mut ports = Random::new(seed);
    let conf = random_port(&mut ports, HostConf::new([0; 4]));
    let mut pair = Pair::new(seed, |own| {
        let mut own = own
            .with(format!("--fp-cores-max={cores}"))
            .with("--fp-no-autoscale");
        own.port.steering = conf.port.steering;
        own.queues = conf.queues;
        own.stalls = stalls;
        own.stall = Micros(40);
        own
    });
    pair.set_paths(path);
    let queues = if !ideal && random.chance(300) {
        SHORT
    } else {
        Queues::default()
    };
    let app = pair.world.host(pair.here).attach_with(2, queues).unwrap();
    let mut client = Client::new(app, 2, pair.address(), 12, seed);
    client.sizes = (20_000, 150_000);
    client.app.follows = follows;
    pair.server.app.follows = follows;
    let most = match (ideal, stalls) {
        (true, _) => 40,
        (false, 0) => 1000,
        // Longer ones would leave too few rounds.
        _ => 300,
    };
    let mut order = Order::default();
    if in_order {
        pair.world.network.record();
    }
    let mut rounds = 0;
    while !client.done() {
        for host in [pair.here, pair.there] {
            scale(&mut pair.world, host, random.between(1, cores) as u32);
        }
        client.app.deaf = !ideal && random.chance(200);
        let span = Micros(random.between(1, most));
        pair.run(&mut client, span);
        client.app.deaf = false;
        if in_order {
            order.check(&pair, seed);
        }
        rounds += 1;
        assert!(rounds < 100_000, "seed {seed}: {}", pair.describe(&client));
    }
    assert_eq!((client.finished, client.resets), (12, 0), "seed {seed}");
    let hosts = [pair.here, pair.there];
    let moved: u64 = hosts.iter().map(|host| moved(&mut pair, *host)).sum();
    assert!(moved > 0, "seed {seed}: nothing moved");
    pair.heal();
    pair.assert_empty(client);
}

#[test]
fn flows_move_between_cores_on_an_ideal_wire() {
    for seed in seeds(60) {
        let path = Path {
            delay: Micros(seed % 30),
            ..Path::default()
        };
        transfer_while_scaling(seed, path, true, 0);
    }
}

/// Applications that post to the core that they first knew, for ever.
#[test]
fn flows_move_and_applications_do_not_follow() {
    for seed in seeds(40) {
        let path = Path {
            delay: Micros(seed % 30),
            ..Path::default()
        };
        transfer_while_scaling(seed, path, false, 0);
    }
}

#[test]
fn flows_move_on_a_bad_wire() {
    for seed in seeds(60) {
        let path = Path {
            delay: Micros(20),
            jitter: Micros(10),
            loss: 20,
            duplicate: 10,
            reorder: 30,
            reorder_by: Micros(100),
            ..Path::default()
        };
        transfer_while_scaling(seed, path, !seed.is_multiple_of(3), 0);
    }
}

/// Cores whose CPUs are also used by others: what one has sent may arrive long before another
/// looks.
#[test]
fn flows_move_while_cores_are_held_up() {
    for seed in seeds(10) {
        let path = Path {
            delay: Micros(seed % 30),
            ..Path::default()
        };
        let stalls = [10, 50, 200][(seed % 3) as usize];
        transfer_while_scaling(seed, path, !seed.is_multiple_of(4), stalls);
    }
}
