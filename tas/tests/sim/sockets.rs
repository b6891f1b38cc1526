//! What sockets need: how a process's connections end with it, their options, and what is told of
//! them.

use tas::nic::sim::{Path, Random};
use tas::sim::{Event, HostConf, Step, World};
use tas::types::Micros;
use tas_abi::appif::{
    AppinConnInfo, AppoutConnInfo, AppoutConnOptions, AppoutMsg, AppoutReqScale,
    TAS_CONN_INFO_TIMESTAMPS, TAS_CONN_KEEPALIVE,
};

use crate::link::{End, Link};
use crate::{CLIENT, PORT, SERVER, seeds};

/// Makes an end's application one with sockets.
fn declare(link: &mut Link) {
    for end in [&link.a, &link.b] {
        let tenant = end.app.tenant();
        let host = end.host;
        assert!(link.world.host(host).control.declare_sockets(tenant));
    }
}

fn sockets(conf: impl Fn(HostConf) -> HostConf) -> Link {
    let mut link = Link::new(1, conf);
    declare(&mut link);
    link
}

/// The end's process ends; nobody looks at its queues any more.
fn exit(world: &mut World, end: &End) {
    world.host(end.host).control.leave(end.app.tenant());
}

/// The first end's process ends.
fn exit_a(link: &mut Link) {
    exit(&mut link.world, &link.a);
}

/// Lets the second end look at its queues for a while.
fn go_on(link: &mut Link, ms: u64) {
    let b = &mut link.b;
    link.world
        .run(Micros::from_millis(ms), |_, _| match b.poll() {
            true => Step::Worked,
            false => Step::Idle,
        });
}

/// Nothing is left of the connection on either host, nor of the process.
fn assert_empty(link: &mut Link) {
    go_on(link, 100_000);
    for host in [link.a.host, link.b.host] {
        link.world.host(host).check_empty().unwrap();
    }
    assert_eq!(tenants(link), 0);
}

/// Applications on the host of the first end.
fn tenants(link: &mut Link) -> usize {
    link.world.host(link.a.host).control.tenants().len()
}

#[test]
fn what_was_sent_arrives_after_the_process_is_gone() {
    let mut link = sockets(|conf| conf);
    link.a.send(&[7; 8000]);
    exit_a(&mut link);
    go_on(&mut link, 10);
    assert_eq!(link.b.receive(), vec![7; 8000]);
    assert!(link.b.state().rx_closed && !link.b.state().reset);
    assert_eq!(tenants(&mut link), 1, "its memory is in use");
    link.b.close(false);
    assert_empty(&mut link);
}

/// RFC 1122 §4.2.2.13: data for a process that is gone.
#[test]
fn what_comes_later_is_answered_by_a_reset() {
    let mut link = sockets(|conf| conf);
    exit_a(&mut link);
    go_on(&mut link, 5);
    assert!(link.b.state().rx_closed && !link.b.state().reset);
    link.b.send(b"nobody reads this");
    go_on(&mut link, 5);
    assert!(link.b.state().reset);
    link.b.close(true);
    assert_empty(&mut link);
}

/// RFC 9293 §3.10.4: bytes that nobody has read.
#[test]
fn unread_bytes_make_it_a_reset() {
    for read in [false, true] {
        let mut link = sockets(|conf| conf);
        link.b.send(b"request");
        link.run(5);
        if read {
            assert_eq!(link.a.receive(), b"request");
        }
        exit_a(&mut link);
        go_on(&mut link, 5);
        assert!(link.b.state().rx_closed);
        assert_eq!(link.b.state().reset, !read);
        link.b.close(true);
        assert_empty(&mut link);
    }
}

/// Requests that the service has not taken yet count.
#[test]
fn what_was_asked_for_before_the_end_is_done() {
    let mut link = sockets(|conf| conf);
    link.a.send(b"last words");
    link.a.close(false);
    // A graceful close, not an end with something unread.
    link.b.send(b"unread");
    exit_a(&mut link);
    go_on(&mut link, 5);
    assert_eq!(link.b.receive(), b"last words");
    assert!(link.b.state().rx_closed);
    link.b.close(true);
    assert_empty(&mut link);
}

/// What is asked of the slow path overtakes updates. Those of connections that were reset stay
/// behind in the queue, and must not keep the core from what was sent on others.
#[test]
fn many_resets_do_not_cost_others_their_last_bytes() {
    const ROUNDS: usize = 10;
    /// More than a core takes of a context's updates before it looks at messages again.
    const RESET: usize = 50;
    const FINISHED: usize = 10;
    const ALL: usize = ROUNDS * (RESET + FINISHED);
    let mut world = World::new(1);
    let there = world.add(HostConf::new(SERVER)).unwrap();
    let here = world.add(HostConf::new(CLIENT)).unwrap();
    let mut server = world.host(there).attach(1).unwrap();
    let mut client = world.host(here).attach(1).unwrap();
    assert!(world.host(here).control.declare_sockets(client.tenant()));
    let listener = server.listen(0, PORT, 1024);
    world.rest(Micros::from_millis(1));
    for _ in 0..ALL {
        server.accept(0, listener);
    }
    let conns: Vec<_> = (0..ALL)
        .map(|_| client.open(0, SERVER.into(), PORT))
        .collect();
    let mut opened = 0;
    world.run(Micros::from_millis(1000), |_, _| {
        server.poll();
        let events = client.poll();
        opened += events
            .iter()
            .filter(|e| matches!(e, Event::Opened(_)))
            .count();
        match opened {
            ALL => Step::Done,
            _ => Step::Idle,
        }
    });
    assert_eq!(opened, ALL);
    for round in conns.chunks(RESET + FINISHED) {
        for (index, conn) in round.iter().enumerate() {
            let bytes = if index < RESET {
                b"never mind"
            } else {
                b"last words"
            };
            assert_eq!(client.send(*conn, bytes), bytes.len());
        }
        for (index, conn) in round.iter().enumerate() {
            client.close(*conn, index < RESET);
        }
        world.run(Micros::from_millis(1), |_, _| {
            server.poll();
            client.poll();
            Step::Idle
        });
    }
    world.rest(Micros::from_millis(100));
    server.poll();
    let names: Vec<_> = server.conns().map(|(name, _)| name).collect();
    let told = names
        .into_iter()
        .filter(|name| server.receive(*name, 100) == b"last words")
        .count();
    assert_eq!(told, ROUNDS * FINISHED);
}

#[test]
fn who_waits_to_be_accepted_is_reset() {
    let mut world = World::new(1);
    let there = world.add(HostConf::new(SERVER)).unwrap();
    let here = world.add(HostConf::new(CLIENT)).unwrap();
    let mut server = world.host(there).attach(1).unwrap();
    assert!(world.host(there).control.declare_sockets(server.tenant()));
    let mut client = world.host(here).attach(1).unwrap();
    server.listen(0, PORT, 8);
    world.rest(Micros::from_millis(1));
    let conn = client.open(0, SERVER.into(), PORT);
    world.run(Micros::from_millis(100), |_, _| {
        server.poll();
        match client.poll().contains(&Event::Opened(conn)) {
            true => Step::Done,
            false => Step::Idle,
        }
    });
    world.host(there).kill(server);
    world.rest(Micros::from_millis(10));
    client.poll();
    assert!(client.conn(conn).unwrap().reset);
    world.host(here).kill(client);
    world.rest(Micros::from_millis(10));
    world.host(there).check_empty().unwrap();
    assert_eq!(world.host(there).control.tenants().len(), 0);
}

/// A peer that vanishes, or that never takes the rest, does not keep what is left for ever.
#[test]
fn the_rest_is_not_kept_for_ever() {
    for vanished in [true, false] {
        let mut link = sockets(|conf| conf);
        if !vanished {
            // Its window closes.
            while link.a.send(&[1; 4096]) > 0 {
                link.world.rest(Micros::from_millis(1));
                link.a.poll();
            }
        }
        link.a.send(&[1; 1000]);
        if vanished {
            let port = link.world.host(link.a.host).port();
            let lossy = Path {
                loss: 1000,
                ..Path::default()
            };
            link.world.network.set_path(port, lossy);
        }
        exit_a(&mut link);
        link.world.rest(Micros::from_millis(600_000));
        assert_eq!(tenants(&mut link), 0, "vanished: {vanished}");
        link.world.host(link.a.host).check_empty().unwrap();
    }
}

/// Processes that leave something behind again and again do not fill the service.
#[test]
fn ends_that_last_are_cut_short_when_they_are_many() {
    let options = |conf: HostConf| {
        conf.with("--app-shm-len=6291456")
            .with("--app-shm-total=4294967296")
    };
    let mut world = World::new(1);
    let there = world.add(options(HostConf::new(SERVER))).unwrap();
    let here = world.add(options(HostConf::new(CLIENT))).unwrap();
    let mut server = world.host(there).attach(1).unwrap();
    server.listen(0, PORT, 1000);
    for _ in 0..300 {
        let mut client = world.host(here).attach(1).unwrap();
        assert!(world.host(here).control.declare_sockets(client.tenant()));
        let conn = client.open(0, SERVER.into(), PORT);
        world.run(Micros::from_millis(100), |_, _| {
            server.poll();
            match client.poll().contains(&Event::Opened(conn)) {
                true => Step::Done,
                false => Step::Idle,
            }
        });
        // Nobody will read this, nor close.
        client.send(conn, &[1; 100]);
        world.host(here).kill(client);
        world.rest(Micros::from_millis(1));
    }
    world.rest(Micros::from_millis(10));
    let left = world.host(here).control.tenants().len();
    assert!((1..=257).contains(&left), "{left}");
}

/// Whatever a process does before it ends, also on flows that change their core: the peer gets a
/// prefix of what was sent, all of it if nothing was left to read, and nothing is left.
#[test]
fn any_end_of_a_process_leaves_nothing() {
    for seed in seeds(200) {
        let mut random = Random::new(seed);
        let mut link = Link::new(seed, |conf| conf.with("--fp-cores-max=3"));
        declare(&mut link);
        let path = Path {
            delay: Micros(random.below(100)),
            loss: random.below(100) as u32,
            reorder: random.below(100) as u32,
            reorder_by: Micros(500),
            ..Path::default()
        };
        for host in [link.a.host, link.b.host] {
            let port = link.world.host(host).port();
            link.world.network.set_path(port, path);
        }
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        let talks = random.chance(500);
        for step in 0..20u8 {
            link.run_until(Micros(random.between(1, 400)), |_| false);
            match random.below(8) {
                0..=3 => {
                    let bytes = vec![step; random.between(1, 3000) as usize];
                    let taken = link.a.send(&bytes);
                    sent.extend_from_slice(&bytes[..taken]);
                }
                4 if talks => {
                    link.b.send(b"something to read");
                }
                5 => link.a.app.move_to(link.a.conn, random.below(2) as usize),
                6 => {
                    let cores = random.between(1, 3) as u32;
                    let request = AppoutReqScale { num_cores: cores };
                    link.a.app.request(0, AppoutMsg::ReqScale(request));
                }
                _ => got.extend(link.b.receive()),
            }
        }
        exit_a(&mut link);
        for host in [link.a.host, link.b.host] {
            let port = link.world.host(host).port();
            link.world.network.set_path(port, Path::default());
        }
        let world = &mut link.world;
        let b = &mut link.b;
        world.run(Micros::from_millis(60_000), |_, _| {
            b.poll();
            let bytes = b.receive();
            got.extend_from_slice(&bytes);
            match (b.state().rx_closed, bytes.is_empty()) {
                (true, true) => Step::Done,
                (_, true) => Step::Idle,
                (_, false) => Step::Worked,
            }
        });
        assert!(link.b.state().rx_closed, "seed {seed}");
        assert!(sent.starts_with(&got), "seed {seed}");
        if !talks {
            assert!(!link.b.state().reset, "seed {seed}");
            assert_eq!(got.len(), sent.len(), "seed {seed}");
        }
        exit(&mut link.world, &link.b);
        link.world.rest(Micros::from_millis(300_000));
        for host in [link.a.host, link.b.host] {
            let host = link.world.host(host);
            assert_eq!(host.check_empty(), Ok(()), "seed {seed}");
            assert_eq!(host.control.tenants().len(), 0, "seed {seed}");
        }
    }
}

/// Options of an end's connection.
fn options(end: &End) -> AppoutConnOptions {
    let state = end.state();
    AppoutConnOptions {
        opaque: end.conn.0,
        remote_ip: state.remote.0.to_bits(),
        local_ip: state.local.0.to_bits(),
        remote_port: state.remote.1,
        local_port: state.local.1,
        ..AppoutConnOptions::default()
    }
}

fn set(end: &mut End, options: AppoutConnOptions) {
    end.app.request(0, AppoutMsg::ConnOptions(options));
}

/// Nothing gets through to or from the second end's host any more.
fn cut(link: &mut Link) {
    let port = link.world.host(link.b.host).port();
    let lossy = Path {
        loss: 1000,
        ..Path::default()
    };
    link.world.network.set_path(port, lossy);
}

fn keepalive(end: &End) -> AppoutConnOptions {
    AppoutConnOptions {
        flags: TAS_CONN_KEEPALIVE,
        keep_idle: 10,
        keep_interval: 2,
        keep_count: 3,
        ..options(end)
    }
}

/// RFC 9293 §3.8.4, also once the flow has another core.
#[test]
fn keepalive_finds_a_peer_that_has_vanished() {
    for cores in [1, 3] {
        let mut link = sockets(|conf| conf.with("--fp-cores-max=3"));
        let wanted = keepalive(&link.a);
        set(&mut link.a, wanted);
        let request = AppoutReqScale { num_cores: cores };
        link.a.app.request(0, AppoutMsg::ReqScale(request));
        link.run(60_000);
        assert!(!link.a.state().reset, "the peer answers");
        cut(&mut link);
        let given_up = link.run_until(Micros::from_millis(20_000), |link| link.a.state().timed_out);
        assert!(given_up && link.a.state().reset && link.a.state().rx_closed);
        link.a.close(true);
        link.run(5);
        assert_eq!(link.a.closed(), Some(0));
        link.world.host(link.a.host).check_empty().unwrap();
    }
}

/// RFC 9293 §3.8.3.
#[test]
fn data_does_not_wait_longer_than_the_user_timeout() {
    let mut link = sockets(|conf| conf);
    let wanted = AppoutConnOptions {
        user_timeout: 2_000,
        ..options(&link.a)
    };
    set(&mut link.a, wanted);
    link.run(5);
    cut(&mut link);
    link.a.send(&[1; 1000]);
    link.run(1_900);
    assert!(!link.a.state().reset);
    link.run(200);
    assert!(link.a.state().reset && link.a.state().timed_out);
}

/// The answer to a question about the first end's connection, under some name.
fn ask(link: &mut Link, opaque: u64) -> AppinConnInfo {
    let AppoutConnOptions {
        remote_ip,
        local_ip,
        remote_port,
        local_port,
        ..
    } = options(&link.a);
    let request = AppoutConnInfo {
        opaque,
        remote_ip,
        local_ip,
        remote_port,
        local_port,
    };
    link.a.events.clear();
    link.a.app.request(0, AppoutMsg::ConnInfo(request));
    link.run(5);
    let infos = link.a.events.iter().filter_map(|event| match event {
        Event::Info(info) if info.opaque == opaque => Some(*info),
        _ => None,
    });
    let infos: Vec<AppinConnInfo> = infos.collect();
    assert_eq!(infos.len(), 1, "one answer");
    infos[0]
}

#[test]
fn applications_learn_how_their_connections_are_doing() {
    let mut link = sockets(|conf| conf);
    for host in [link.a.host, link.b.host] {
        let port = link.world.host(host).port();
        let path = Path {
            delay: Micros(1000),
            ..Path::default()
        };
        link.world.network.set_path(port, path);
    }
    for _ in 0..50 {
        link.a.send(&[1; 100]);
        link.run(10);
        link.b.receive();
    }
    let name = link.a.conn.0;
    let info = ask(&mut link, name);
    assert_eq!(({ info.status }, info.state), (0, 1));
    assert!((1_900..3_500).contains(&{ info.rtt }), "{info:?}");
    assert!(
        { info.rto } > { info.rtt } && { info.mss } > 1_000,
        "{info:?}"
    );
    // The first timeout came before the first measurement of the longer way.
    assert!(
        { info.in_flight } == 0 && { info.retransmits } <= 2,
        "{info:?}"
    );
    assert!(info.options & TAS_CONN_INFO_TIMESTAMPS != 0);
    link.a.shutdown();
    link.run(10);
    assert_eq!(ask(&mut link, name).state, 5);
    // Nothing is told of what is not one's own.
    let AppinConnInfo { status, .. } = ask(&mut link, 4711);
    assert_eq!(status, -libc::ENOTCONN);
}

/// What came for the acceptor that has withdrawn is there for the next.
#[test]
fn a_withdrawn_acceptor_loses_nothing() {
    let mut world = World::new(1);
    let there = world.add(HostConf::new(SERVER)).unwrap();
    let here = world.add(HostConf::new(CLIENT)).unwrap();
    let mut server = world.host(there).attach(2).unwrap();
    let mut client = world.host(here).attach(1).unwrap();
    let listener = server.listen(0, PORT, 8);
    let first = server.accept(0, listener);
    world.rest(Micros::from_millis(1));
    server.poll();
    let conn = client.open(0, SERVER.into(), PORT);
    world.run(Micros::from_millis(100), |_, _| {
        match client.poll().contains(&Event::Opened(conn)) {
            true => Step::Done,
            false => Step::Idle,
        }
    });
    client.send(conn, b"for whoever accepts");
    assert!(client.shutdown(conn));
    world.rest(Micros::from_millis(1));
    // It has not looked since.
    server.close(first, true);
    let second = server.accept(1, listener);
    let mut events = Vec::new();
    world.run(Micros::from_millis(10), |_, _| {
        events.extend(server.poll());
        Step::Idle
    });
    assert!(events.contains(&Event::Closed(first, 0)), "{events:?}");
    assert!(events.contains(&Event::Accepted(second)), "{events:?}");
    assert_eq!(server.receive(second, 100), b"for whoever accepts");
    assert!(server.conn(second).unwrap().rx_closed);
    server.send(second, b"thanks");
    world.rest(Micros::from_millis(1));
    client.poll();
    assert_eq!(client.receive(conn, 100), b"thanks");
    world.host(there).kill(server);
    world.host(here).kill(client);
    world.rest(Micros::from_millis(100));
    for host in [there, here] {
        world.host(host).check_empty().unwrap();
    }
}
