//! An application that writes anything anywhere, beside one that behaves.

use tas::nic::sim::Random;
use tas::sim::{App, Step};
use tas::types::Micros;
use tas_abi::appif::{
    AppoutAcceptConn, AppoutConnClose, AppoutConnMove, AppoutConnOpen, AppoutListenClose,
    AppoutListenOpen, AppoutMsg, AppoutReqScale,
};
use tas_abi::memif::{AtxConnUpdate, AtxMsg};

use crate::{PORT, Pair, SERVER, seeds};

/// What a hostile application does.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Mischief {
    /// Random bytes in its queues.
    Garbage,
    /// Entries of known types that say anything.
    Entries,
    /// Random bytes anywhere in its memory, the buffers of its own connections included, and
    /// updates of these that have the right form and number, and say what cannot be.
    Everywhere,
}

/// Connections that it opens before it does so.
const OWN_CONNS: usize = 3;

/// A number that is likely to be meant, or to be beyond what is.
fn number(random: &mut Random) -> u64 {
    match random.below(5) {
        0 => random.below(8),
        1 => random.next_u64(),
        2 => u64::from(u32::MAX) - random.below(3),
        3 => random.below(70_000),
        _ => random.below(1100),
    }
}

fn address(random: &mut Random) -> u32 {
    let addresses = [0x0a00_0001, 0x0a00_0002, 0x0a00_0003, 0, u32::MAX];
    addresses[random.below(5) as usize]
}

fn port(random: &mut Random) -> u16 {
    match random.below(4) {
        0 => PORT,
        1 => 99,
        2 => random.between(32_768, 32_800) as u16,
        _ => random.next_u64() as u16,
    }
}

fn request(random: &mut Random) -> AppoutMsg {
    let opaque = random.below(6);
    match random.below(7) {
        0 => AppoutMsg::ConnOpen(AppoutConnOpen {
            opaque,
            remote_ip: address(random),
            flags: number(random) as u32,
            remote_port: port(random),
        }),
        1 => AppoutMsg::ConnClose(AppoutConnClose {
            opaque,
            remote_ip: address(random),
            local_ip: address(random),
            remote_port: port(random),
            local_port: port(random),
            flags: random.below(3) as u32,
        }),
        2 => AppoutMsg::ConnMove(AppoutConnMove {
            opaque,
            remote_ip: address(random),
            local_ip: address(random),
            remote_port: port(random),
            local_port: port(random),
            db_id: number(random) as u16,
        }),
        3 => AppoutMsg::ListenOpen(AppoutListenOpen {
            opaque,
            backlog: number(random) as u32,
            local_port: port(random),
            flags: random.below(3) as u8,
        }),
        4 => AppoutMsg::ListenClose(AppoutListenClose {
            opaque,
            local_port: port(random),
        }),
        5 => AppoutMsg::AcceptConn(AppoutAcceptConn {
            listen_opaque: random.below(6),
            conn_opaque: opaque,
            local_port: port(random),
        }),
        _ => AppoutMsg::ReqScale(AppoutReqScale {
            num_cores: number(random) as u32,
        }),
    }
}

fn update(random: &mut Random) -> AtxMsg {
    AtxMsg::ConnUpdate(AtxConnUpdate {
        rx_bump: number(random) as u32,
        tx_bump: number(random) as u32,
        flow_id: number(random) as u32,
        bump_seq: random.below(4) as u16,
        flags: random.below(4) as u8,
    })
}

fn scribble(app: &App, contexts: usize, random: &mut Random) {
    let places = app.queue_places(random.below(contexts as u64) as usize);
    let (offset, len) = places[random.below(places.len() as u64) as usize];
    let mut bytes = vec![0; random.between(1, 200) as usize];
    random.fill(&mut bytes);
    app.scribble(offset + random.below(u64::from(len)), &bytes);
}

/// True once it has connections of its own, of which data is under way; from then on it must not
/// believe what it reads.
fn takes_part(app: &mut App) -> bool {
    let names: Vec<_> = app.conns().map(|(name, _)| name).collect();
    if names.len() < OWN_CONNS {
        app.open(0, SERVER.into(), PORT);
        return false;
    }
    if app.conns().all(|(_, conn)| conn.open) {
        return true;
    }
    app.poll();
    for name in names {
        app.send(name, &[0x5a; 3000]);
    }
    false
}

fn lie(app: &mut App, random: &mut Random) {
    let at = random.below(OWN_CONNS as u64) as usize;
    let Some((_, conn)) = app.conns().nth(at) else {
        return;
    };
    let update = AtxConnUpdate {
        rx_bump: number(random) as u32,
        tx_bump: number(random) as u32,
        flow_id: conn.flow,
        bump_seq: conn.bump_seq.wrapping_add(random.below(3) as u16),
        flags: random.below(2) as u8,
    };
    let core = conn.core;
    app.post(0, core, AtxMsg::ConnUpdate(update));
}

fn scribble_everywhere(app: &mut App, random: &mut Random) {
    match random.below(4) {
        0 => scribble(app, 2, random),
        1 => lie(app, random),
        _ => {
            let mut bytes = vec![0; random.between(1, 4096) as usize];
            random.fill(&mut bytes);
            app.scribble(random.below(app.region_len()), &bytes);
        }
    }
}

/// Runs an orderly client and server beside a hostile application on each of their hosts.
fn beside(mischief: Mischief, usual: u64) {
    for seed in seeds(usual) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed, |conf| conf.with("--fp-cores-max=2"));
        let mut client = pair.client(10, seed);
        client.sizes = (1000, 20_000);
        let hosts = [pair.here, pair.there];
        let mut hostile: Vec<App> = Vec::new();
        for host in hosts {
            hostile.push(pair.world.host(host).attach(2).unwrap());
        }
        let mut ready = [mischief != Mischief::Everywhere; 2];
        let server = &mut pair.server;
        let done = pair.world.run(Micros::from_millis(60_000), |world, _| {
            for (index, app) in hostile.iter_mut().enumerate() {
                if world.host(hosts[index]).expelled().contains(&app.tenant()) {
                    // Its memory is going: it must not be touched any more.
                    *app = world.host(hosts[index]).attach(2).unwrap();
                    ready[index] = mischief != Mischief::Everywhere;
                }
                ready[index] = ready[index] || takes_part(app);
                if !ready[index] {
                    continue;
                }
                for _ in 0..random.below(4) {
                    let context = random.below(2) as usize;
                    match mischief {
                        Mischief::Garbage => scribble(app, 2, &mut random),
                        Mischief::Everywhere => scribble_everywhere(app, &mut random),
                        Mischief::Entries if random.chance(300) => {
                            app.request(context, request(&mut random));
                        }
                        Mischief::Entries => {
                            app.post(context, random.below(2) as u16, update(&mut random));
                        }
                    }
                }
            }
            let worked = server.poll() | client.poll();
            match (client.done(), worked) {
                (true, _) => Step::Done,
                (_, true) => Step::Worked,
                _ => Step::Idle,
            }
        });
        assert!(done, "seed {seed}: {}", pair.describe(&client));
        assert_eq!((client.finished, client.resets), (10, 0), "seed {seed}");
        for (app, host) in hostile.into_iter().zip(hosts) {
            pair.world.host(host).kill(app);
        }
        pair.assert_empty(client);
    }
}

#[test]
fn garbage_in_queues_hurts_nobody_else() {
    beside(Mischief::Garbage, 60);
}

#[test]
fn absurd_entries_hurt_nobody_else() {
    beside(Mischief::Entries, 60);
}

#[test]
fn garbage_everywhere_hurts_nobody_else() {
    beside(Mischief::Everywhere, 20);
}

/// Frames of all kinds from the network.
#[test]
fn garbage_from_the_network_hurts_nobody() {
    for seed in seeds(40) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed, |conf| conf.with("--fp-cores-max=2"));
        let mut client = pair.client(8, seed);
        let ports = [pair.here, pair.there].map(|host| pair.world.host(host).port());
        let server = &mut pair.server;
        pair.world.network.record();
        let mut seen = Vec::new();
        let done = pair.world.run(Micros::from_millis(60_000), |world, _| {
            seen.extend(world.network.seen());
            if seen.len() > 500 {
                seen.drain(..400);
            }
            let len = random.below(100) as usize;
            let mut frame = vec![0; len];
            random.fill(&mut frame);
            if !seen.is_empty() && random.chance(500) {
                // Like one that was sent, but for a few bytes, whose checksum gives them away.
                frame = seen[random.below(seen.len() as u64) as usize].frame.clone();
                for _ in 0..random.between(1, 3) {
                    let place = random.between(14, frame.len() as u64 - 1) as usize;
                    frame[place] ^= 1 << random.below(8);
                }
                frame.truncate(random.between(20, frame.len() as u64) as usize);
            }
            let arp = frame.get(12..14) == Some(&[8, 6]);
            if !arp {
                world
                    .network
                    .inject(ports[random.below(2) as usize], &frame);
            }
            let worked = server.poll() | client.poll();
            match (client.done(), worked) {
                (true, _) => Step::Done,
                (_, true) => Step::Worked,
                _ => Step::Idle,
            }
        });
        assert!(done, "seed {seed}: {}", pair.describe(&client));
        assert_eq!(client.finished, 8, "seed {seed}");
        pair.assert_empty(client);
    }
}

/// Applications that break the rules with a type that does not exist are thrown out.
#[test]
fn unknown_requests_expel() {
    let mut pair = Pair::new(1, |conf| conf);
    let app = pair.world.host(pair.here).attach(1).unwrap();
    let (offset, _) = app.queue_places(0)[0];
    app.scribble(offset, &[0xff; 64]);
    pair.world.rest(Micros(100));
    let here = pair.here;
    assert_eq!(pair.world.host(here).expelled(), [app.tenant()]);
}
