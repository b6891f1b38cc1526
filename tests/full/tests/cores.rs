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

/// CPU of the cores in tests of load, and that of everything else.
const CORES_CPU: usize = 0;
const OTHER_CPU: usize = 1;

/// Both ends of connections that send as much as they can, through a port that is never a bound.
fn load(net: &Net) -> Program {
    let mut args = vec!["-c".into(), OTHER_CPU.to_string()];
    args.push(bench("loopback").display().to_string());
    args.push(format!("--ip={}", Side::Near.ip()));
    args.extend(["--bytes=1024", "--conns=64", "--pending=8", "--ms=60000"].map(String::from));
    net.start(Side::Near, "taskset", args)
}

/// Starts a service with three cores of which one is on, and insists that a load brings others on,
/// and that they go when it ends.
fn load_brings_cores(cpus: &[usize]) {
    let net = Net::new();
    let options = TasOptions::new()
        .cores(3)
        .vdev("net_ring0")
        .cpus(cpus)
        .buffers(1 << 16)
        .arg("--cc=const-rate");
    let tas = Tas::start(&net, Side::Near, &options);
    assert_eq!(tas.cores_on(), 1);
    let mut load = load(&net);
    load.wait_for("measuring", PATIENCE);
    wait_until(|| tas.cores_on() > 1);
    load.kill();
    wait_until(|| tas.cores_on() == 1);
    tas.stop();
}

/// One core alone on its CPU has more to do than it can. It does not matter that the others are
/// on the same CPU: the first one cannot know.
#[test]
fn load_brings_cores_on() {
    load_brings_cores(&[OTHER_CPU, CORES_CPU, CORES_CPU, CORES_CPU]);
}

/// One that has little to do itself, but shares its CPU with somebody who never rests, gets help
/// from cores elsewhere.
#[test]
fn a_core_without_a_cpu_of_its_own_gets_help() {
    let spin = [
        "-c",
        &CORES_CPU.to_string(),
        "sh",
        "-c",
        "while :; do :; done",
    ];
    let net = Net::new();
    let spinners: Vec<Program> = (0..3)
        .map(|_| net.start(Side::Near, "taskset", spin))
        .collect();
    load_brings_cores(&[OTHER_CPU, CORES_CPU, OTHER_CPU, OTHER_CPU]);
    for spinner in spinners {
        spinner.kill();
    }
}

/// Cores that were asked for go again when they have had nothing to do for a while.
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
