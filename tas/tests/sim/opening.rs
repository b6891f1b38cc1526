//! How connections begin, or do not.

use tas::sim::{Event, Step};
use tas::types::Micros;

use crate::link::Link;
use crate::{PORT, Pair, SERVER};

const ECONNREFUSED: i32 = -111;
const ETIMEDOUT: i32 = -110;
const EHOSTUNREACH: i32 = -113;
const EADDRINUSE: i32 = -98;
const ENETUNREACH: i32 = -101;

#[test]
fn a_port_without_listener_refuses() {
    let mut link = Link::new(1, |conf| conf);
    let name = link.a.app.open(0, SERVER.into(), PORT + 1);
    link.run(10);
    assert!(
        link.a
            .events
            .contains(&Event::OpenFailed(name, ECONNREFUSED))
    );
}

#[test]
fn a_silent_neighbour_is_unreachable() {
    let mut link = Link::new(1, |conf| conf);
    let name = link.a.app.open(0, [10, 0, 0, 77].into(), PORT);
    link.run(60_000);
    assert!(
        link.a
            .events
            .contains(&Event::OpenFailed(name, EHOSTUNREACH))
    );
    let name = link.a.app.open(0, [192, 168, 0, 1].into(), PORT);
    link.run(10);
    assert!(
        link.a
            .events
            .contains(&Event::OpenFailed(name, ENETUNREACH))
    );
}

#[test]
fn a_peer_that_does_not_answer_times_out() {
    let mut link = Link::new(1, |conf| conf);
    let port = link.world.host(link.b.host).port();
    let path = tas::nic::sim::Path {
        loss: 1000,
        ..Default::default()
    };
    link.world.network.set_path(port, path);
    let name = link.a.app.open(0, SERVER.into(), PORT);
    link.run(60_000);
    assert!(link.a.events.contains(&Event::OpenFailed(name, ETIMEDOUT)));
}

#[test]
fn a_port_has_one_listener() {
    let mut link = Link::new(1, |conf| conf);
    let name = link.b.app.listen(0, PORT, 8);
    link.run(1);
    assert!(link.b.events.contains(&Event::Listening(name, EADDRINUSE)));
}

/// Data that came before the connection was accepted is told of when it is.
#[test]
fn data_waits_for_accept() {
    let mut pair = Pair::new(1, |conf| conf);
    let server = pair.world.host(pair.there).attach(1);
    let mut server = server.unwrap();
    let mut client = pair.world.host(pair.here).attach(1).unwrap();
    let listener = server.listen(0, 99, 4);
    let ours = client.open(0, SERVER.into(), 99);
    let mut events = Vec::new();
    let mut step = |pair: &mut Pair, client: &mut tas::sim::App, server: &mut tas::sim::App| {
        pair.world.run(Micros(2000), |_, _| {
            client.poll();
            events.extend(server.poll());
            Step::Idle
        });
        std::mem::take(&mut events)
    };
    let seen = step(&mut pair, &mut client, &mut server);
    assert!(seen.contains(&Event::Newconn(listener)));
    assert_eq!(client.send(ours, b"early"), 5);
    assert!(client.shutdown(ours));
    let seen = step(&mut pair, &mut client, &mut server);
    assert!(!seen.iter().any(|event| matches!(event, Event::Updated(_))));
    let theirs = server.accept(0, listener);
    let seen = step(&mut pair, &mut client, &mut server);
    let updates = seen
        .iter()
        .filter(|event| **event == Event::Updated(theirs));
    assert_eq!(updates.count(), 1, "one event for all");
    assert_eq!(server.receive(theirs, 100), b"early");
    assert!(server.conn(theirs).is_some_and(|conn| conn.rx_closed));
}

/// A full backlog turns connections away until there is room; none is lost.
#[test]
fn a_backlog_fills_and_empties() {
    let mut pair = Pair::new(1, |conf| conf);
    let mut server = pair.world.host(pair.there).attach(1).unwrap();
    let mut client = pair.world.host(pair.here).attach(1).unwrap();
    let listener = server.listen(0, 99, 3);
    let names: Vec<_> = (0..10).map(|_| client.open(0, SERVER.into(), 99)).collect();
    let mut opened = 0;
    let mut accepted = 0;
    pair.world.run(Micros::from_millis(5_000), |_, now| {
        for event in client.poll() {
            assert!(!matches!(event, Event::OpenFailed(..)), "{event:?}");
            opened += usize::from(matches!(event, Event::Opened(_)));
        }
        for event in server.poll() {
            accepted += usize::from(matches!(event, Event::Accepted(_)));
        }
        if now > Micros(1_100_000) && accepted < 10 && server.conns().all(|(_, conn)| conn.open) {
            server.accept(0, listener);
        }
        Step::Idle
    });
    assert_eq!((opened, accepted), (names.len(), names.len()));
}

/// A connection that is reset while it waits to be accepted never was.
#[test]
fn a_reset_in_the_backlog_is_not_accepted() {
    let mut pair = Pair::new(1, |conf| conf);
    let mut server = pair.world.host(pair.there).attach(1).unwrap();
    let mut client = pair.world.host(pair.here).attach(1).unwrap();
    let listener = server.listen(0, 99, 3);
    let ours = client.open(0, SERVER.into(), 99);
    pair.world.run(Micros(2000), |_, _| {
        client.poll();
        Step::Idle
    });
    client.close(ours, true);
    let mut accepted = 0;
    pair.world.rest(Micros(2000));
    server.accept(0, listener);
    pair.world.run(Micros(2000), |_, _| {
        client.poll();
        let events = server.poll();
        accepted += events
            .iter()
            .filter(|e| matches!(e, Event::Accepted(_)))
            .count();
        Step::Idle
    });
    assert_eq!(accepted, 0);
    let counts = pair.world.host(pair.there).counts();
    assert_eq!(counts.connections, 0);
}
