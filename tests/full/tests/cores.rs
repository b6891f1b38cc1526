//! Several fast-path cores: transfers while cores come and go, by request, and off when idle.

use std::time::{Duration, Instant};

use tas_full_tests::{Net, PORT, Program, Side, Stack, Tas, TasOptions, World, bench, scaled};

const TIME: Duration = Duration::from_secs(90);
/// How long autoscaling may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers of cores up to `most`, up and down.
fn numbers(most: usize) -> impl Iterator<Item = usize> {
    [most, 1, 2, most / 2 + 1, most - 1, 1, most, 2]
        .into_iter()
        .cycle()
        .map(move |cores| cores.clamp(1, most))
}

/// Asks for other numbers of cores until the program has ended.
fn scale_until_end(program: &mut Program, services: &[&Tas<'_>], cores: usize) -> usize {
    let end = Instant::now() + TIME;
    let mut times = 0;
    for number in numbers(cores) {
        if program.ended().is_some() || Instant::now() > end {
            break;
        }
        for tas in services {
            tas.scale(number).success();
        }
        times += 1;
    }
    times
}

/// Every byte is checked, in both directions.
fn transfer_while_scaling(cores: usize, queues: usize) {
    let net = Net::new();
    let options = TasOptions::new().cores(cores).queues(queues);
    let mut world = World::new(&net, Stack::Tas, Stack::Tas, &options);
    let messages = scaled(60).to_string();
    let server = world.server("verify", &["server", PORT, "6", "65536"]);
    let mut client = world.client(
        "verify",
        &["client", world.server_ip(), PORT, "65536", &messages, "6"],
    );
    let services: Vec<&Tas<'_>> = world.services().map(|tas| &*tas).collect();
    let times = scale_until_end(&mut client, &services, cores);
    client.finish(TIME).success();
    server.finish(TIME).success();
    assert!(times > 2, "scaled {times} times only");
    world.end();
}

#[test]
fn cores_share_one_queue() {
    transfer_while_scaling(4, 1);
}

#[test]
fn every_core_has_a_queue() {
    transfer_while_scaling(3, 3);
}

#[test]
fn more_cores_than_queues() {
    transfer_while_scaling(5, 2);
}

/// Far more than there are CPUs.
#[test]
fn sixteen_cores() {
    transfer_while_scaling(16, 1);
}

/// Both ends of each connection are flows of one service, usually on different cores.
#[test]
fn cores_of_a_looped_port() {
    let net = Net::new();
    let cores = 4;
    let options = TasOptions::new().cores(cores).vdev("net_ring0");
    let tas = Tas::start(&net, Side::Near, &options);
    let verify = bench("verify_ll");
    let mut server = net.start(Side::Near, &verify, ["server", PORT, "6", "65536"]);
    server.wait_for("listening", PATIENCE);
    let messages = scaled(60).to_string();
    let ip = Side::Near.ip();
    let mut client = net.start(
        Side::Near,
        &verify,
        ["client", ip, PORT, "65536", &messages, "6"],
    );
    let times = scale_until_end(&mut client, &[&tas], cores);
    client.finish(TIME).success();
    server.finish(TIME).success();
    assert!(times > 2, "scaled {times} times only");
    tas.stop();
}

/// Cores that were asked for go again when they have had nothing to do for a while. That load
/// brings more cannot be insisted on here: where CPUs are few, a core may never be busy enough.
#[test]
fn idle_cores_go_off() {
    let net = Net::new();
    let options = TasOptions::new().cores(3).queues(1);
    let tas = Tas::start(&net, Side::Near, &options);
    assert_eq!(tas.cores_on(), 1);
    tas.scale(3).success();
    wait_until(|| tas.cores_on() == 3);
    wait_until(|| tas.cores_on() == 1);
    tas.stop();
}

fn wait_until(holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "it takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn scaletool_says_what_is_wrong() {
    let net = Net::new();
    let options = TasOptions::new().cores(2).arg("--fp-no-autoscale");
    let tas = Tas::start(&net, Side::Near, &options);
    assert_eq!(tas.cores_on(), 2);
    tas.scale(1).success();
    wait_until(|| tas.cores_on() == 1);
    let refused = tas.scale(3);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        refused.err,
        "scaletool: the service has 2 fast-path cores, not 3 (--fp-cores-max)\n"
    );
    assert_eq!(tas.scale(0).status.code(), Some(1));
    tas.stop();
    let tool = tas_full_tests::product("tools/scaletool");
    let nobody = net.start(Side::Near, tool, ["1"]).finish(TIME);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(nobody.err.contains("no TAS service"), "{nobody:#?}");
}
