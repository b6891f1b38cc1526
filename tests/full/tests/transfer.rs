//! Bytes between TAS and Linux in both roles, and between two TAS: every byte
//! is checked, in both directions at once, and both ends of each stream.

use std::time::Duration;

use tas_full_tests::{Net, PORT, Side, Stack, TasOptions, World, scaled};

const ROLES: [(Stack, Stack); 3] = [
    (Stack::Tas, Stack::Linux),
    (Stack::Linux, Stack::Tas),
    (Stack::Tas, Stack::Tas),
];
const TIME: Duration = Duration::from_secs(60);

/// Transfers `messages` of `size` on each of `conns` connections, a server's
/// worth.
struct Transfer {
    size: usize,
    messages: usize,
    conns: usize,
}

const SIZES: [Transfer; 9] = [
    Transfer {
        size: 1,
        messages: 0,
        conns: 2,
    },
    Transfer {
        size: 1,
        messages: 1,
        conns: 4,
    },
    Transfer {
        size: 1,
        messages: 3000,
        conns: 2,
    },
    Transfer {
        size: 64,
        messages: 3000,
        conns: 4,
    },
    // Around a segment's payload, with and without timestamps.
    Transfer {
        size: 1447,
        messages: 300,
        conns: 2,
    },
    Transfer {
        size: 1461,
        messages: 300,
        conns: 2,
    },
    Transfer {
        size: 8192,
        messages: 100,
        conns: 2,
    },
    Transfer {
        size: 65_537,
        messages: 16,
        conns: 2,
    },
    Transfer {
        size: 1 << 20,
        messages: 3,
        conns: 2,
    },
];

fn transfer(world: &World<'_>, t: &Transfer) {
    transfer_from(world, Side::Far, t);
}

/// The same with the client on either machine.
fn transfer_from(world: &World<'_>, client: Side, t: &Transfer) {
    let conns = t.conns.to_string();
    let size = t.size.to_string();
    let messages = scaled(t.messages).to_string();
    let server = world.server("verify", &["server", PORT, &conns, &size]);
    let client = world.program(
        client,
        "verify",
        &["client", world.server_ip(), PORT, &size, &messages, &conns],
    );
    let bytes = t.size * scaled(t.messages) * t.conns;
    let ok = format!("verify: ok {bytes} bytes");
    client.finish(TIME).success().says(&ok);
    server.finish(TIME).success().says(&ok);
}

fn all_sizes(server: Stack, client: Stack, options: &TasOptions) {
    let net = Net::new();
    let world = World::new(&net, server, client, options);
    for t in &SIZES {
        transfer(&world, t);
    }
    world.end();
}

/// The programs and machines themselves: what fails here is no fault of TAS.
#[test]
fn linux_server_linux_client() {
    all_sizes(Stack::Linux, Stack::Linux, &TasOptions::new());
}

#[test]
fn tas_server_linux_client() {
    all_sizes(Stack::Tas, Stack::Linux, &TasOptions::new());
}

#[test]
fn linux_server_tas_client() {
    all_sizes(Stack::Linux, Stack::Tas, &TasOptions::new());
}

#[test]
fn tas_server_tas_client() {
    all_sizes(Stack::Tas, Stack::Tas, &TasOptions::new());
}

#[test]
fn two_fast_path_cores() {
    let options = TasOptions::new().cores(2).buffers(65_536);
    for (server, client) in ROLES {
        let net = Net::new();
        let world = World::new(&net, server, client, &options);
        for (size, messages, conns) in [(64, 1000, 20), (65_536, 8, 8)] {
            transfer(
                &world,
                &Transfer {
                    size,
                    messages,
                    conns,
                },
            );
        }
        world.end();
    }
}

/// A cable gives nothing back: what is sent to the own address never reaches it.
#[test]
fn a_client_of_its_own_machine() {
    for cores in [1, 2] {
        let net = Net::new();
        let options = TasOptions::new().cores(cores);
        let world = World::new(&net, Stack::Tas, Stack::Linux, &options);
        for (size, messages, conns) in [(64, 1000, 8), (65_536, 16, 4)] {
            transfer_from(
                &world,
                Side::Near,
                &Transfer {
                    size,
                    messages,
                    conns,
                },
            );
        }
        world.end();
    }
}

#[test]
fn every_congestion_control() {
    for cc in ["dctcp-rate", "dctcp-win", "timely", "const-rate"] {
        let net = Net::new();
        let options = TasOptions::new().arg(format!("--cc={cc}"));
        let world = World::new(&net, Stack::Tas, Stack::Linux, &options);
        transfer(
            &world,
            &Transfer {
                size: 65_536,
                messages: 8,
                conns: 4,
            },
        );
        world.end();
    }
}

#[test]
fn a_hundred_connections() {
    for (server, client) in ROLES {
        let net = Net::new();
        let world = World::new(&net, server, client, &TasOptions::new());
        transfer(
            &world,
            &Transfer {
                size: 1000,
                messages: 30,
                conns: scaled(100),
            },
        );
        world.end();
    }
}

/// All are open before the first message goes out, and each carries some.
fn many_connections(server: Stack, client: Stack) {
    let conns = scaled(10_000);
    let net = Net::new();
    let options = TasOptions::new().buffers(2048);
    let mut world = World::new(&net, server, client, &options);
    let echo = world.echo_server(64);
    let (conns_text, messages) = (conns.to_string(), (2 * conns).to_string());
    let result = world
        .client_with(
            "testclient",
            &[
                world.server_ip(),
                PORT,
                "1",
                "-",
                "64",
                "1",
                &conns_text,
                "1",
                "0",
                "64",
            ],
            &[("TEST_DURATION", "60"), ("TEST_MESSAGES", &messages)],
        )
        .finish(Duration::from_secs(90))
        .success()
        .says(&format!("flows={conns}"));
    assert!(
        result.number("messages") >= 2.0 * conns as f64,
        "{result:#?}"
    );
    for tas in world.services() {
        assert!(tas.program().ended().is_none(), "{}", tas.program().err());
    }
    echo.kill();
    world.end();
}

#[test]
fn ten_thousand_connections_to_a_tas_server() {
    many_connections(Stack::Tas, Stack::Linux);
}

#[test]
fn ten_thousand_connections_of_a_tas_client() {
    many_connections(Stack::Linux, Stack::Tas);
}

/// Opens and ends connections all the time, in order.
#[test]
fn short_connections() {
    for (server, client) in ROLES {
        let net = Net::new();
        let world = World::new(&net, server, client, &TasOptions::new());
        let echo = world.echo_server(100);
        let messages = scaled(2000).to_string();
        world
            .client_with(
                "testclient",
                &[world.server_ip(), PORT, "1", "-", "100", "1", "8", "0", "2"],
                &[("TEST_DURATION", "30"), ("TEST_MESSAGES", &messages)],
            )
            .finish(TIME)
            .success()
            .says("errors=0");
        echo.kill();
        world.end();
    }
}

/// An application of several threads, each with a context of its own.
#[test]
fn several_threads() {
    let net = Net::new();
    let world = World::new(&net, Stack::Tas, Stack::Tas, &TasOptions::new());
    let echo = world.server("echoserver", &[PORT, "3", "-", "1000", "500"]);
    world
        .client_with(
            "testclient",
            &[world.server_ip(), PORT, "3", "-", "500", "4", "5"],
            &[("TEST_DURATION", "2")],
        )
        .finish(TIME)
        .success()
        .says("flows=15");
    echo.kill();
    world.end();
}
