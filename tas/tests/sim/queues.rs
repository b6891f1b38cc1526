//! Queues that are full, small, or read late.

use tas::nic::sim::Random;
use tas::sim::{Event, HostConf, Queues, Step, Stream};
use tas::types::Micros;

use tas_abi::memif::{AtxConnUpdate, AtxMsg};

use crate::link::Link;
use crate::programs::Client;
use crate::{PORT, Pair, SERVER, seeds};

/// Room for a single event and a single update.
const TINY: Queues = Queues { rx: 32, tx: 16 };

/// A single request, a single answer.
fn short_queues(mut conf: HostConf) -> HostConf {
    conf.kernel_queue = 64;
    conf
}

#[test]
fn events_wait_for_room_and_none_is_lost() {
    for seed in seeds(20) {
        let mut pair = Pair::new(seed, short_queues);
        let app = pair.world.host(pair.here).attach_with(2, TINY).unwrap();
        let mut client = Client::new(app, 2, pair.address(), 30, seed);
        let done = pair.run(&mut client, Micros::from_millis(100_000));
        assert!(done, "seed {seed}");
        assert_eq!(client.finished, 30, "seed {seed}");
        let counters = pair.world.host(pair.here).counters()[0].clone();
        assert!(counters.events_delayed.get() > 0, "queues were full");
        pair.assert_empty(client);
    }
}

/// An application that does not look for a while finds everything afterwards.
#[test]
fn a_late_reader_finds_everything() {
    for seed in seeds(20) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed, short_queues);
        let mut client = pair.client(40, seed);
        while !client.done() {
            client.app.deaf = random.chance(500);
            let span = Micros(random.between(1, 3000));
            pair.run(&mut client, span);
            pair.world.rest(Micros(random.between(1, 3000)));
        }
        assert_eq!(client.finished, 40, "seed {seed}");
        pair.assert_empty(client);
    }
}

/// Everything that happens to a flow in one turn is told in one entry.
#[test]
fn one_event_tells_of_many_segments() {
    let mut link = Link::new(1, |conf| conf.with("--tcp-rxbuf-len=65536"));
    let before = link.world.host(link.b.host).counters()[0].events.get();
    // All in one burst: the wire takes no time.
    let mut sent = 0;
    while sent < 8192 {
        sent += link.a.send(&vec![3; 8192 - sent]);
        link.world.turn();
    }
    link.run(1);
    assert_eq!(link.b.state().readable, 8192);
    let events = link.world.host(link.b.host).counters()[0].events.get() - before;
    assert!(events <= 2, "{events} events for 6 segments");
}

/// The service keeps updates apart from requests: both queues full at once change nothing.
#[test]
fn answers_wait_for_room() {
    let mut link = Link::new(1, short_queues);
    let listener = link.a.app.listen(0, 99, 8);
    let accepts: Vec<_> = (0..50).map(|_| link.a.app.accept(0, listener)).collect();
    link.a.app.listen_close(0, listener);
    link.run(50);
    let failed = link
        .a
        .events
        .iter()
        .filter(|event| matches!(event, Event::AcceptFailed(..)));
    assert_eq!(failed.count(), accepts.len());
    assert!(link.a.events.contains(&Event::ListenClosed(listener, 0)));
}

/// Two threads share a connection, each with a queue of its own: what they post arrives in the
/// order of its numbers, not of the queues.
#[test]
fn updates_of_two_contexts_are_put_in_order() {
    for seed in seeds(50) {
        let mut random = Random::new(seed);
        let mut link = Link::new(seed, |conf| conf);
        let mut sent = Stream::new(seed);
        let mut received = Stream::new(seed);
        for _ in 0..200 {
            for _ in 0..random.between(1, 6) {
                let bytes = sent.peek(random.between(1, 300) as usize);
                let taken = link.a.app.write_only(link.a.conn, &bytes);
                sent.advance(taken);
                link.a
                    .app
                    .flush_through(link.a.conn, random.below(2) as usize);
            }
            link.run_until(Micros(random.between(1, 30)), |_| false);
            let bytes = link.b.receive();
            received.check(&bytes).unwrap();
        }
        link.run(100);
        received.check(&link.b.receive()).unwrap();
        assert_eq!(received.position(), sent.position(), "seed {seed}");
        let stale = link.world.host(link.a.host).counters()[0]
            .app_bad_entries
            .get();
        assert_eq!(stale, 0);
    }
}

/// Connections change their context while bytes flow both ways: none is lost, none is early.
#[test]
fn moving_loses_nothing() {
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed, |conf| conf.with("--fp-cores-max=2"));
        let queues = if random.chance(500) {
            TINY
        } else {
            Queues::default()
        };
        let app = pair.world.host(pair.here).attach_with(3, queues).unwrap();
        let mut client = Client::new(app, 3, pair.address(), 5, seed);
        client.sizes = (20_000, 60_000);
        let mut moves = 0;
        let server = &mut pair.server;
        let done = pair.world.run(Micros::from_millis(100_000), |_, _| {
            // Often something is unread in the old context.
            let late = random.chance(700);
            let worked = server.poll() | late | (!late && client.poll());
            for name in client.names() {
                // One move at a time, as the library does it.
                if random.chance(150) && client.app.conn(name).is_some_and(|conn| !conn.moving) {
                    client.app.move_to(name, random.below(3) as usize);
                    moves += 1;
                }
            }
            match (client.done(), worked) {
                (true, _) => Step::Done,
                (_, true) => Step::Worked,
                _ => Step::Idle,
            }
        });
        assert!(done, "seed {seed}: {}", pair.describe(&client));
        assert!(moves > 3, "seed {seed}");
        assert_eq!(client.finished, 5, "seed {seed}");
        pair.assert_empty(client);
    }
}

/// An application that leaves out numbers of updates holds up its own only.
#[test]
fn updates_that_never_come_hold_up_nobody_else() {
    let mut link = Link::new(1, |conf| conf);
    let host = link.a.host;
    let mut other = link.world.host(host).attach(2).unwrap();
    let theirs = other.open(0, SERVER.into(), PORT);
    link.run_until(Micros::from_millis(5), |_| {
        other.poll();
        false
    });
    let flow = other.conn(theirs).unwrap().flow;
    let mut sent = Stream::new(1);
    let mut received = Stream::new(1);
    let mut ahead = 0;
    for _ in 0..100 {
        for _ in 0..100 {
            ahead = ahead % 1000 + 1;
            let update = AtxConnUpdate {
                flow_id: flow,
                bump_seq: ahead,
                tx_bump: 1,
                ..AtxConnUpdate::default()
            };
            other.post(usize::from(ahead % 2), 0, AtxMsg::ConnUpdate(update));
        }
        // The second context's queue is read after the first one's.
        for context in [1, 0] {
            let taken = link.a.app.write_only(link.a.conn, &sent.peek(50));
            sent.advance(taken);
            link.a.app.flush_through(link.a.conn, context);
        }
        link.run_until(Micros(20), |_| false);
        received.check(&link.b.receive()).unwrap();
    }
    link.run(5);
    received.check(&link.b.receive()).unwrap();
    assert_eq!(received.position(), 10_000);
}

/// A core that was kept from running for longer than early updates wait still finds those that
/// come before them.
#[test]
fn a_core_that_was_away_looks_before_it_gives_up() {
    let mut link = Link::new(1, |conf| conf);
    let flow = link.a.state().flow;
    for _ in 0..40 {
        // More than a core takes of one context at a time.
        let old = AtxConnUpdate {
            flow_id: flow,
            bump_seq: u16::MAX,
            ..AtxConnUpdate::default()
        };
        link.a.app.post(0, 0, AtxMsg::ConnUpdate(old));
    }
    for (context, bytes) in [(0, b"first "), (1, b"second")] {
        assert_eq!(link.a.app.write_only(link.a.conn, bytes), bytes.len());
        link.a.app.flush_through(link.a.conn, context);
    }
    link.world.turn();
    let back = link.world.now() + Micros::from_millis(2000);
    while link.world.now() < back {
        link.world.pass(false, back);
    }
    link.run(5);
    assert_eq!(link.b.receive(), b"first second");
}
