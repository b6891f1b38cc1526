//! Flows, memory and places are used up, and come back.

use tas::nic::sim::{Path, Random};
use tas::sim::Step;
use tas::types::Micros;

use crate::link::Link;
use crate::{Pair, seeds};

const ENOBUFS: i32 = -105;

/// Hardly more flow ids than connections: each is used again soon after it came back.
#[test]
fn flow_ids_are_used_again() {
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed, |mut conf| {
            conf.flows = 6;
            conf.with("--fp-cores-max=2").with("--tcp-time-wait=1000")
        });
        let path = Path {
            delay: Micros(random.below(100)),
            loss: random.below(30) as u32,
            duplicate: random.below(100) as u32,
            reorder: random.below(100) as u32,
            reorder_by: Micros(2000),
            ..Path::default()
        };
        pair.set_paths(path);
        let mut client = pair.client(60, seed);
        client.at_once = 4;
        client.sizes = (1, 4000);
        let done = pair.run(&mut client, Micros::from_millis(1_000_000));
        assert!(done, "seed {seed}: {}", pair.describe(&client));
        let unlucky = client.failed.iter().all(|status| *status == ENOBUFS);
        assert!(unlucky, "seed {seed}: {:?}", client.failed);
        let ends = client.finished + client.failed.len();
        assert_eq!((ends, client.resets), (60, 0), "seed {seed}");
        pair.heal();
        pair.assert_empty(client);
    }
}

/// A region with room for a few connections' buffers.
#[test]
fn memory_runs_out() {
    let mut pair = Pair::new(1, |conf| {
        conf.with("--app-shm-len=8388608")
            .with("--tcp-rxbuf-len=1048576")
            .with("--tcp-txbuf-len=1048576")
    });
    let mut client = pair.client(30, 1);
    client.at_once = 12;
    let done = pair.run(&mut client, Micros::from_millis(1_000_000));
    assert!(done, "{}", pair.describe(&client));
    assert!(client.failed.contains(&ENOBUFS));
    assert!(client.finished >= 3);
    assert_eq!(client.finished + client.failed.len(), 30);
    pair.assert_empty(client);
}

/// What was posted before closing is sent, even if it waits in the queue of another context
/// behind much else.
#[test]
fn closing_waits_for_the_other_context() {
    let mut link = Link::new(1, |conf| conf);
    let state = link.a.state();
    let (flow, core) = (state.flow, state.core);
    for _ in 0..300 {
        // Long outdated.
        let update = tas_abi::memif::AtxConnUpdate {
            flow_id: flow,
            bump_seq: u16::MAX,
            ..Default::default()
        };
        let posted = link
            .a
            .app
            .post(1, core, tas_abi::memif::AtxMsg::ConnUpdate(update));
        assert!(posted);
    }
    assert_eq!(link.a.app.write_only(link.a.conn, &[5; 100]), 100);
    assert!(link.a.app.flush_through(link.a.conn, 1));
    link.a.close(false);
    link.run(5);
    assert_eq!(link.b.receive(), [5; 100]);
    assert!(link.b.state().rx_closed && !link.b.state().reset);
}

/// Applications come and go, with connections and without, and leave nothing.
#[test]
fn applications_come_and_go() {
    for seed in seeds(10) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed, |conf| conf.with("--fp-cores-max=2"));
        for round in 0..40 {
            let mut client = pair.client(3, seed * 100 + round);
            let span = Micros(random.between(1, 3000));
            pair.run(&mut client, span);
            pair.world.host(pair.here).kill(client.app);
        }
        let server = &mut pair.server;
        pair.world
            .run(Micros::from_millis(1000), |_, _| match server.poll() {
                true => Step::Worked,
                false => Step::Idle,
            });
        assert_eq!(pair.server.open(), 0, "seed {seed}");
        let here = pair.here;
        assert!(pair.world.host(here).control.tenants().is_empty());
        let mut client = pair.client(5, seed);
        pair.run(&mut client, Micros::from_millis(10_000));
        assert_eq!(client.finished, 5, "seed {seed}");
        pair.assert_empty(client);
    }
}

/// Between cores and slow path is hardly room: frames are lost there, messages are not.
#[test]
fn rings_to_the_slow_path_are_short() {
    for seed in seeds(20) {
        let mut pair = Pair::new(seed, |conf| {
            conf.with("--nic-rx-len=16").with("--fp-cores-max=2")
        });
        let mut client = pair.client(200, seed);
        client.sizes = (1, 2000);
        let done = pair.run(&mut client, Micros::from_millis(1_000_000));
        assert!(done, "seed {seed}: {}", pair.describe(&client));
        assert_eq!((client.finished, client.resets), (200, 0), "seed {seed}");
        pair.assert_empty(client);
    }
}
