//! Libraries and the service: ours in its finer points, and the original's
//! protocol, spoken byte for byte by a client of its own.

use std::time::Duration;

use tas_full_tests::{Net, PORT, Side, Stack, Tas, TasOptions, World, bench};

const TIME: Duration = Duration::from_secs(60);

/// Modes of `tests/c/ll/attach.c` against a peer that echoes.
#[test]
fn several_contexts_and_moves() {
    for cores in [1, 2] {
        let net = Net::new();
        let options = TasOptions::new().cores(cores);
        let world = World::new(&net, Stack::Linux, Stack::Tas, &options);
        let echo = world.echo_server(100);
        for mode in ["echo", "move", "cancel"] {
            world
                .client("attach", &[mode, world.server_ip(), PORT])
                .finish(TIME)
                .success();
        }
        echo.kill();
        world.end();
    }
}

#[test]
fn original_protocol_connects() {
    let net = Net::new();
    let world = World::new(&net, Stack::Linux, Stack::Tas, &TasOptions::new());
    let echo = world.echo_server(100);
    net.start(
        Side::Far,
        bench("legacy_client"),
        ["connect", world.server_ip(), PORT, "300000"],
    )
    .finish(TIME)
    .success()
    .says("legacy: ok");
    echo.kill();
    world.end();
}

#[test]
fn original_protocol_listens() {
    let net = Net::new();
    let world = World::new(&net, Stack::Tas, Stack::Linux, &TasOptions::new());
    let legacy = net.start(Side::Near, bench("legacy_client"), ["listen", PORT]);
    let client = world.client_with(
        "testclient",
        &[
            world.server_ip(),
            PORT,
            "1",
            "-",
            "1000",
            "4",
            "1",
            "0",
            "500",
        ],
        &[("TEST_DURATION", "20"), ("TEST_MESSAGES", "500")],
    );
    legacy.finish(TIME).success().says("legacy: ok");
    // It finds nobody for another connection, which is not the point here.
    let client = client.finish(TIME);
    assert!(client.number("messages") >= 500.0, "{client:#?}");
    world.end();
}

#[test]
fn original_protocol_can_be_switched_off() {
    let net = Net::with_linux(Side::Far);
    let options = TasOptions::new().arg("--no-legacy");
    let tas = Tas::start(&net, Side::Near, &options);
    let legacy = net
        .start(
            Side::Near,
            bench("legacy_client"),
            ["connect", Side::Far.ip(), PORT, "1"],
        )
        .finish(TIME);
    assert!(!legacy.status.success(), "{legacy:#?}");
    net.start(
        Side::Near,
        bench("probe_ll"),
        [Side::Far.ip(), PORT, "5000"],
    )
    .finish(TIME)
    .success()
    .says("errno=111 ");
    tas.stop();
}

/// An application of each kind at the same time.
#[test]
fn both_protocols_beside_each_other() {
    let net = Net::new();
    let world = World::new(&net, Stack::Linux, Stack::Tas, &TasOptions::new());
    let echo = world.echo_server(100);
    let legacy = net.start(
        Side::Far,
        bench("legacy_client"),
        ["connect", world.server_ip(), PORT, "2000000"],
    );
    world
        .client("attach", &["echo", world.server_ip(), PORT])
        .finish(TIME)
        .success();
    legacy.finish(TIME).success().says("legacy: ok");
    echo.kill();
    world.end();
}
