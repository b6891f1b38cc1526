//! How connections end: in every order, by reset, and by the death of an application.

use tas::nic::sim::Random;
use tas::sim::Event;
use tas::types::Micros;

use crate::link::{End, Link};
use crate::seeds;

fn closed_once(end: &End) -> bool {
    let closed = |event: &&Event| matches!(event, Event::Closed(name, _) if *name == end.conn);
    end.events.iter().filter(closed).count() == 1
}

#[test]
fn each_side_ends_in_turn() {
    for first_is_client in [true, false] {
        let mut link = Link::new(1, |conf| conf);
        link.a.send(b"question");
        link.b.send(b"answer");
        if first_is_client {
            link.a.shutdown();
        } else {
            link.b.shutdown();
        }
        link.run(5);
        let (active, passive) = if first_is_client {
            (&mut link.a, &mut link.b)
        } else {
            (&mut link.b, &mut link.a)
        };
        assert!(passive.state().rx_closed && !active.state().rx_closed);
        passive.send(b"more");
        passive.shutdown();
        link.run(5);
        assert!(link.a.state().rx_closed && link.b.state().rx_closed);
        assert!(link.a.state().all_acknowledged() && link.b.state().all_acknowledged());
        let (to_a, to_b): (&[u8], &[u8]) = if first_is_client {
            (b"answermore", b"question")
        } else {
            (b"answer", b"questionmore")
        };
        assert_eq!(link.a.receive(), to_a);
        assert_eq!(link.b.receive(), to_b);
        link.a.close(false);
        link.b.close(false);
        link.run(5);
        assert_eq!((link.a.closed(), link.b.closed()), (Some(0), Some(0)));
        link.assert_no_connections();
    }
}

#[test]
fn both_sides_end_at_once() {
    let mut link = Link::new(1, |conf| conf);
    link.a.shutdown();
    link.b.shutdown();
    link.run(5);
    assert!(link.a.state().rx_closed && link.b.state().rx_closed);
    link.a.close(false);
    link.b.close(false);
    link.run(5);
    assert!(closed_once(&link.a) && closed_once(&link.b));
    link.assert_no_connections();
}

/// The service sends what is queued, and a FIN of its own.
#[test]
fn closing_delivers_what_was_sent() {
    let mut link = Link::new(1, |conf| conf);
    link.a.send(&[7; 8000]);
    link.a.close(false);
    link.run(10);
    assert_eq!(link.a.closed(), Some(0));
    assert_eq!(link.b.receive(), vec![7; 8000]);
    assert!(link.b.state().rx_closed && !link.b.state().reset);
    link.b.close(false);
    link.assert_no_connections();
}

#[test]
fn a_reset_reaches_the_peer() {
    let mut link = Link::new(1, |conf| conf);
    link.a.send(&[7; 100]);
    link.a.close(true);
    link.run(5);
    assert_eq!(link.a.closed(), Some(0));
    assert!(link.b.state().reset && link.b.state().rx_closed);
    link.b.close(true);
    link.run(5);
    assert_eq!(link.b.closed(), Some(0));
    link.assert_no_connections();
}

/// RFC 1122 §4.2.2.13: data for a connection that nobody reads any more.
#[test]
fn data_after_closing_resets_the_peer() {
    let mut link = Link::new(1, |conf| conf);
    link.a.close(false);
    link.run(5);
    assert!(link.b.state().rx_closed);
    link.b.send(b"nobody reads this");
    link.run(5);
    assert!(link.b.state().reset);
    link.b.close(true);
    link.assert_no_connections();
}

/// A peer that vanishes: a connection closed in the background goes after some time.
#[test]
fn an_orphan_does_not_wait_for_ever() {
    let mut link = Link::new(1, |conf| conf);
    link.a.send(&[1; 1000]);
    let port = link.world.host(link.a.host).port();
    let path = tas::nic::sim::Path {
        loss: 1000,
        ..Default::default()
    };
    link.world.network.set_path(port, path);
    link.a.close(false);
    link.run(2_000_000);
    link.world.host(link.a.host).check_empty().unwrap();
}

/// Anything in any order on both sides, over a network that loses: nothing is left, each
/// connection is reported closed exactly once, and what arrived is what was sent.
#[test]
fn any_order_of_ends_leaves_nothing() {
    for seed in seeds(300) {
        let mut random = Random::new(seed);
        let mut link = Link::new(seed, |conf| conf.with("--fp-cores-max=2"));
        for host in [link.a.host, link.b.host] {
            let port = link.world.host(host).port();
            let path = tas::nic::sim::Path {
                delay: Micros(random.below(100)),
                loss: random.below(200) as u32,
                reorder: random.below(200) as u32,
                reorder_by: Micros(500),
                ..Default::default()
            };
            link.world.network.set_path(port, path);
        }
        let mut sent = [Vec::new(), Vec::new()];
        let mut got = [Vec::new(), Vec::new()];
        let mut closing = [false, false];
        for step in 0..20u8 {
            let span = Micros(random.between(1, 400));
            link.run_until(span, |_| false);
            for (index, end) in [&mut link.a, &mut link.b].into_iter().enumerate() {
                if closing[index] {
                    continue;
                }
                match random.below(12) {
                    0..=4 => {
                        let bytes = vec![step; random.between(1, 3000) as usize];
                        let taken = end.send(&bytes);
                        sent[index].extend_from_slice(&bytes[..taken]);
                    }
                    5..=7 => got[1 - index].extend(end.receive()),
                    8 => {
                        end.app.shutdown(end.conn);
                    }
                    9 => {
                        closing[index] = true;
                        end.close(false);
                    }
                    10 if random.chance(300) => {
                        closing[index] = true;
                        end.close(true);
                    }
                    11 => {
                        end.app.move_to(end.conn, random.below(2) as usize);
                    }
                    _ => {}
                }
            }
        }
        for host in [link.a.host, link.b.host] {
            let port = link.world.host(host).port();
            link.world.network.set_path(port, Default::default());
        }
        link.run(20_000);
        for (index, end) in [&mut link.a, &mut link.b].into_iter().enumerate() {
            if !closing[index] {
                got[1 - index].extend(end.receive());
            }
        }
        for (got, sent) in got.iter().zip(&sent) {
            assert!(sent.starts_with(got), "seed {seed}: bytes are a prefix");
        }
        for (index, end) in [&mut link.a, &mut link.b].into_iter().enumerate() {
            if !closing[index] {
                end.close(true);
            }
        }
        link.run(1_000);
        assert!(closed_once(&link.a), "seed {seed}: {:?}", link.a.events);
        assert!(closed_once(&link.b), "seed {seed}: {:?}", link.b.events);
        link.run(300_000);
        for host in [link.a.host, link.b.host] {
            let left = link.world.host(host).check_empty();
            assert_eq!(left, Ok(()), "seed {seed}");
        }
    }
}

/// An application dies with connections in every state and data on the way.
#[test]
fn a_dead_application_leaves_nothing() {
    for seed in seeds(100) {
        let mut pair = crate::Pair::new(seed, |conf| conf.with("--fp-cores-max=2"));
        let mut random = Random::new(seed);
        let client_dies = random.chance(500);
        let path = tas::nic::sim::Path {
            delay: Micros(random.below(300)),
            // A client that has nothing more to send never learns of a reset that it cannot
            // tell from an old one.
            loss: if client_dies {
                random.below(50) as u32
            } else {
                0
            },
            ..Default::default()
        };
        pair.set_paths(path);
        let mut client = pair.client(12, seed);
        client.sizes = (5_000, 100_000);
        let span = Micros(random.between(100, 20_000));
        pair.run(&mut client, span);
        pair.heal();
        if client_dies {
            pair.world.host(pair.here).kill(client.app);
            // The server hears of it.
            let server = &mut pair.server;
            pair.world
                .run(Micros::from_millis(100_000), |_, _| match server.poll() {
                    true => tas::sim::Step::Worked,
                    false => tas::sim::Step::Idle,
                });
            assert_eq!(pair.server.open(), 0, "seed {seed}");
            pair.world.host(pair.there).kill(pair.server.app);
        } else {
            pair.world.host(pair.there).kill(pair.server.app);
            pair.world
                .run(Micros::from_millis(100_000), |_, _| match client.poll() {
                    true => tas::sim::Step::Worked,
                    false => tas::sim::Step::Idle,
                });
            assert!(client.done(), "seed {seed}");
            pair.world.host(pair.here).kill(client.app);
        }
        pair.world.rest(Micros::from_millis(300_000));
        for host in [pair.here, pair.there] {
            assert_eq!(pair.world.host(host).check_empty(), Ok(()), "seed {seed}");
        }
    }
}

/// Buffers of closed connections come back to the application's region.
#[test]
fn memory_comes_back() {
    let mut pair = crate::Pair::new(1, |conf| conf);
    let mut client = pair.client(50, 1);
    client.at_once = 10;
    let tenant = client.app.tenant();
    let free = |pair: &mut crate::Pair| {
        let host = pair.world.host(pair.here);
        host.control.region_free(tenant)
    };
    let before = free(&mut pair);
    pair.run(&mut client, Micros::from_millis(50));
    assert!(client.finished > 0);
    pair.run(&mut client, Micros::from_millis(100_000));
    pair.world.rest(Micros::from_millis(100_000));
    assert_eq!(free(&mut pair), before);
}

/// The peer vanishes: the application hears of it once nothing more is tried.
#[test]
fn a_vanished_peer_is_given_up() {
    let mut link = Link::new(1, |conf| conf);
    let port = link.world.host(link.b.host).port();
    let path = tas::nic::sim::Path {
        loss: 1000,
        ..Default::default()
    };
    link.world.network.set_path(port, path);
    link.a.send(&[1; 1000]);
    let given_up = link.run_until(Micros::from_millis(3_000_000), |link| link.a.state().reset);
    assert!(given_up);
    assert!(link.a.state().rx_closed);
    link.a.close(true);
    link.run(5);
    assert_eq!(link.a.closed(), Some(0));
    link.world.host(link.a.host).check_empty().unwrap();
}

/// A connection that is closed while it moves stays closed when the old context catches up.
#[test]
fn closing_overtakes_a_move() {
    for reset in [false, true] {
        let mut link = Link::new(1, |conf| conf);
        link.b.send(b"unread");
        link.world.rest(Micros(100));
        // Nobody reads the old context's queue, so the move has to wait.
        link.a.app.move_to(link.a.conn, 1);
        link.world.rest(Micros(100));
        link.a.close(reset);
        link.world.rest(Micros(100));
        link.run(5);
        assert_eq!(link.a.closed(), Some(0));
        link.b.send(b"more");
        link.run(5);
        assert!(link.b.state().rx_closed);
        link.b.close(true);
        assert_eq!(link.a.app.conns().count(), 0);
        link.assert_no_connections();
    }
}
