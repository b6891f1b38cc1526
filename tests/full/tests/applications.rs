//! Applications come and go for ever, by every way out, and the hostile ones
//! hurt nobody.

use std::time::Duration;

use tas_full_tests::{Net, PORT, Program, Side, Stack, TasOptions, World, scaled};

const TIME: Duration = Duration::from_secs(60);

/// The applications are on the client's machine, with TAS.
fn tas_clients<'a>(net: &'a Net, options: &TasOptions) -> World<'a> {
    World::new(net, Stack::Linux, Stack::Tas, options)
}

fn still_works(world: &World<'_>) {
    let server = world.server("verify", &["server", "7700", "4"]);
    let client = world.client(
        "verify",
        &["client", world.server_ip(), "7700", "10000", "20", "4"],
    );
    client
        .finish(TIME)
        .success()
        .says("verify: ok 800000 bytes");
    server.finish(TIME).success();
}

fn all_alive(world: &mut World<'_>) {
    for tas in world.services() {
        let program = tas.program();
        assert!(program.ended().is_none(), "{}", program.err());
    }
}

#[test]
fn three_hundred_one_after_another() {
    let net = Net::new();
    let mut world = tas_clients(&net, &TasOptions::new());
    let echo = world.echo_server(64);
    for i in 0..scaled(300) {
        let mut application = world.client(
            "victim",
            // All listen on the same port: each time it is free again.
            &[
                world.server_ip(),
                PORT,
                "2",
                "7900",
                if i % 2 == 0 { "0" } else { "60" },
            ],
        );
        application.wait_for("victim: ready", TIME);
        if i % 2 == 0 {
            application.finish(TIME).success();
        } else {
            application.kill();
        }
    }
    all_alive(&mut world);
    echo.kill();
    still_works(&world);
    world.end();
}

#[test]
fn a_hundred_at_once() {
    let net = Net::new();
    let mut world = tas_clients(&net, &TasOptions::new());
    let echo = world.echo_server(64);
    let mut applications: Vec<Program> = (0..scaled(100))
        .map(|i| {
            let port = (20_000 + i).to_string();
            world.client("victim", &[world.server_ip(), PORT, "3", &port])
        })
        .collect();
    for application in &mut applications {
        application.wait_for("victim: ready", TIME);
    }
    let lost: Vec<String> = applications
        .iter()
        .map(Program::err)
        .filter(|err| !err.is_empty())
        .collect();
    assert!(lost.is_empty(), "{lost:#?}");
    for tas in world.services() {
        assert_eq!(tas.flows(), 3 * applications.len());
    }
    // Every one is killed with data in flight, some while others come.
    for (i, application) in applications.into_iter().enumerate() {
        application.kill();
        if i % 10 == 0 {
            let mut late = world.client("victim", &[world.server_ip(), PORT, "1", "0"]);
            late.wait_for("victim: ready", TIME);
        }
    }
    all_alive(&mut world);
    echo.kill();
    still_works(&world);
    world.end();
}

/// Both sides of every connection belong to applications that are killed.
#[test]
fn killed_on_both_sides() {
    let net = Net::new();
    let mut world = World::new(&net, Stack::Tas, Stack::Tas, &TasOptions::new());
    for _ in 0..scaled(10) {
        let echo = world.echo_server(1000);
        let mut victims: Vec<Program> = (0..4)
            .map(|_| world.client("victim", &[world.server_ip(), PORT, "5", "0"]))
            .collect();
        for victim in &mut victims {
            victim.wait_for("victim: ready", TIME);
        }
        victims.truncate(2);
        echo.kill();
        drop(victims);
        // The same port is free again only once the listener is gone.
        for tas in world.services() {
            tas.is_idle();
        }
    }
    all_alive(&mut world);
    world.end();
}

/// Garbage in every byte of its region changes nothing for the application
/// beside it, nor for the service.
#[test]
fn hostile_application() {
    let net = Net::new();
    let options = TasOptions::new().arg("--app-shm-len=16777216");
    let mut world = tas_clients(&net, &options);
    let echo = world.echo_server(64);
    let server = world.server("verify", &["server", "7700", "8", "4096"]);
    let honest = world.client(
        "verify",
        &["client", world.server_ip(), "7700", "4096", "1000", "8"],
    );
    for round in 0..scaled(3) {
        let mut hostile: Vec<Program> = (0..2)
            .map(|i| {
                let port = (30_000 + 10 * round + i).to_string();
                let seed = (1 + 2 * round + i).to_string();
                world.client("scribble", &[world.server_ip(), PORT, &port, "1500", &seed])
            })
            .collect();
        for program in &mut hostile {
            program.wait_for("scribble: done", TIME);
        }
    }
    honest
        .finish(TIME)
        .success()
        .says("verify: ok 32768000 bytes");
    server
        .finish(TIME)
        .success()
        .says("verify: ok 32768000 bytes");
    all_alive(&mut world);
    echo.kill();
    still_works(&world);
    world.end();
}

/// Limits of the command line hold: an application too many is told so, and
/// the others go on.
#[test]
fn memory_for_one_application() {
    let net = Net::new();
    let options = TasOptions::new()
        .arg("--app-shm-len=67108864")
        .arg("--app-shm-total=67108864");
    let world = tas_clients(&net, &options);
    let echo = world.echo_server(64);
    let mut first = world.client("victim", &[world.server_ip(), PORT, "1", "0"]);
    first.wait_for("victim: ready", TIME);
    let second = world
        .client("probe", &[Side::Near.ip(), PORT, "5000"])
        .finish(TIME);
    assert_eq!(second.status.code(), Some(1), "{second:#?}");
    assert!(first.ended().is_none(), "{}", first.err());
    first.kill();
    echo.kill();
    world.end();
}
