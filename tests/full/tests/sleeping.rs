//! Threads that sleep: they cost nothing, whatever the port, and wake when
//! there is something to do, also where all of them share one CPU.

use std::thread;
use std::time::Duration;

use tas_full_tests::{
    Finished, Net, PORT, Program, Side, Stack, Tas, TasOptions, Watchdog, World, bench,
    cpu_seconds, main_thread_cpu_seconds, slices, use_one_cpu,
};

/// How long a resting program is measured.
const REST: Duration = Duration::from_secs(2);
/// What it may use of a CPU meanwhile. It uses less than 0.01; here, one that
/// spins is to be told from one that does not, on any machine.
const RESTING: f64 = 0.05;
/// Ends every run that hangs.
const PATIENCE: Duration = Duration::from_secs(40);

/// Seconds that wake-ups are put to the test.
fn seconds() -> u64 {
    std::env::var("TAS_SLEEP_SECONDS").map_or(60, |seconds| {
        seconds.parse().expect("TAS_SLEEP_SECONDS is a number")
    })
}

/// Exchanges 64-byte messages one after the other for some seconds.
fn request_response(world: &World<'_>, seconds: u64, pause_us: &str) -> Finished {
    let (duration, mut env) = (seconds.to_string(), Vec::new());
    env.push(("TEST_DURATION", duration.as_str()));
    if pause_us != "0" {
        env.push(("TEST_PAUSE_US", pause_us));
    }
    world
        .client_with(
            "testclient",
            &[world.server_ip(), PORT, "1", "-", "64"],
            &env,
        )
        .finish(PATIENCE + Duration::from_secs(seconds))
        .success()
}

/// Lets `run` exchange messages between two services on one CPU and insists
/// that no round trip takes longer than `most`. Where the machine itself
/// stands still for so long, it is tried again. A wake-up that is lost stops
/// nobody else, and is found at the first try.
fn no_stall(options: &TasOptions, most: Duration, run: impl Fn(&World<'_>) -> Finished + Sync) {
    // A thread of its own: what others start may use every CPU.
    thread::scope(|scope| {
        let test = scope.spawn(|| {
            use_one_cpu();
            for _ in 0..3 {
                let net = Net::new();
                let world = World::new(&net, Stack::Tas, Stack::Tas, options);
                let echo = world.echo_server(64);
                let watchdog = Watchdog::new();
                let result = run(&world);
                let longest = Duration::from_micros(result.number("max_us") as u64);
                let still = watchdog.longest();
                eprintln!("{}; stood still for {still:?}", result.out.trim());
                echo.kill();
                world.end();
                if longest < most {
                    return;
                }
                assert!(
                    still > most / 4,
                    "a round trip took {longest:?} on a machine that never stood still for more \
                     than {still:?}: {result:#?}"
                );
            }
            panic!("the machine is too busy for this test");
        });
        if let Err(panic) = test.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Four threads that poll (two cores, two applications) and two slow paths.
#[test]
fn default_options_on_one_cpu() {
    no_stall(&TasOptions::new(), Duration::from_millis(200), |world| {
        request_response(world, seconds(), "0")
    });
}

/// Pauses longer than the poll intervals, so that all sleep before each
/// message. The cores would wake by themselves after 100 ms.
#[test]
fn messages_that_wake_everybody_on_one_cpu() {
    no_stall(&TasOptions::new(), Duration::from_millis(90), |world| {
        request_response(world, seconds().min(10), "25000")
    });
}

/// Poll intervals so short that everybody sleeps while the others work.
#[test]
fn naps_between_messages_on_one_cpu() {
    let options = TasOptions::new()
        .arg("--fp-poll-interval-tas=2")
        .arg("--fp-poll-interval-app=2");
    no_stall(&options, Duration::from_millis(90), |world| {
        request_response(world, seconds().min(10), "0")
    });
}

/// Part of a CPU that a process uses.
fn load(pid: u32, measure: fn(u32) -> f64) -> f64 {
    let before = measure(pid);
    thread::sleep(REST);
    (measure(pid) - before) / REST.as_secs_f64()
}

/// Insists that a service and an application do nothing together.
fn rests(what: &str, tas: &mut Tas<'_>, app: &Program) {
    // Through the poll intervals, and what it takes until sleeps are long.
    thread::sleep(Duration::from_millis(700));
    let (service, app) = (tas.program().pid(), app.pid());
    let together = |_| cpu_seconds(service) + cpu_seconds(app);
    let before = together(());
    thread::sleep(REST);
    let load = (together(()) - before) / REST.as_secs_f64();
    eprintln!("{what}: at rest {:.2} % of a CPU", load * 100.0);
    assert!(load < RESTING, "{what}: {load} of a CPU");
}

fn echo_server(net: &Net, side: Side) -> Program {
    let mut server = net.start(side, bench("echoserver_ll"), [PORT, "1", "-", "1000", "64"]);
    server.wait_for("listening", PATIENCE);
    server
}

/// Messages with pauses in which all fall asleep, from `client` to the
/// service's own echo server.
fn wakes(net: &Net, side: Side, client: &str, ip: &str) {
    let mut command = net.command(side, bench(client));
    command
        .args([ip, PORT, "1", "-", "64"])
        .env("TEST_DURATION", "20")
        .env("TEST_MESSAGES", "40")
        .env("TEST_PAUSE_US", "25000");
    Program::start(client, command)
        .finish(PATIENCE)
        .success()
        .says("errors=0");
}

#[test]
fn on_a_packet_socket() {
    let net = Net::with_linux(Side::Far);
    let mut tas = Tas::start(&net, Side::Near, &TasOptions::new());
    let echo = echo_server(&net, Side::Near);
    rests("net_af_packet", &mut tas, &echo);
    wakes(&net, Side::Far, "testclient_linux", Side::Near.ip());
    rests("net_af_packet, used", &mut tas, &echo);
    echo.kill();
    tas.stop();
}

/// The application rings the core when it answers. The core finds the answer by polling, and the
/// bell much later; it polls for one interval after the message all the same, not for two.
#[test]
fn a_message_keeps_the_core_awake_for_one_interval() {
    const INTERVAL: f64 = 0.1;
    const MESSAGES: f64 = 6.0;
    let net = Net::with_linux(Side::Far);
    let options = TasOptions::new().arg("--fp-poll-interval-tas=100000");
    let mut tas = Tas::start(&net, Side::Near, &options);
    let echo = echo_server(&net, Side::Near);
    let pid = tas.program().pid();
    thread::sleep(Duration::from_millis(700));
    let before = cpu_seconds(pid);
    let mut command = net.command(Side::Far, bench("testclient_linux"));
    command
        .args([Side::Near.ip(), PORT, "1", "-", "64"])
        .env("TEST_DURATION", "20")
        .env("TEST_MESSAGES", MESSAGES.to_string())
        .env("TEST_PAUSE_US", "450000");
    Program::start("testclient", command)
        .finish(PATIENCE)
        .success()
        .says("errors=0");
    let intervals = (cpu_seconds(pid) - before) / INTERVAL;
    eprintln!("{intervals:.1} intervals for {MESSAGES} messages");
    // One for each, and for the handshake.
    assert!(intervals < MESSAGES * 1.5 + 1.0, "{intervals}");
    echo.kill();
    tas.stop();
}

/// Slices of the threads that do the work: the service's, or an application's.
fn working_slices(pid: u32, name: &str) -> Vec<u64> {
    let mut slices = slices(pid);
    slices.retain(|(thread, _)| thread.starts_with(name));
    slices.into_iter().map(|(_, slice)| slice).collect()
}

/// Others' slices are longer, so that who is woken need not wait for their end; who polls has the
/// same as others, so that a yield means something.
#[test]
fn short_slices_are_for_sleepers() {
    const SHORT: u64 = 100_000;
    let net = Net::new();
    let mut tas = Tas::start(&net, Side::Near, &TasOptions::new());
    let echo = echo_server(&net, Side::Near);
    thread::sleep(Duration::from_millis(700));
    let service = tas.program().pid();
    for (pid, name) in [(service, "tas"), (service, "rte-worker"), (echo.pid(), "")] {
        let slices = working_slices(pid, name);
        eprintln!("{name}: {slices:?}");
        let threads = slices.len();
        assert!(
            threads == 0 || slices.contains(&SHORT),
            "{name}: {slices:?}"
        );
    }
    echo.kill();
    tas.stop();

    let mut tas = Tas::start(&net, Side::Near, &TasOptions::new().arg("--fp-no-ints"));
    let slices = working_slices(tas.program().pid(), "rte-worker");
    assert!(slices.iter().all(|slice| *slice > SHORT), "{slices:?}");
    tas.stop();
}

#[test]
fn on_a_tap_interface() {
    let net = Net::new();
    let options = TasOptions::new().vdev("net_tap0,iface=tap0");
    let mut tas = Tas::start(&net, Side::Near, &options);
    // Linux and the service are two stations, but the driver gives both one address.
    net.ip(Side::Near, "link set tap0 address 02:00:00:00:00:02");
    net.ip(Side::Near, "addr add 10.77.0.2/24 dev tap0");
    let echo = echo_server(&net, Side::Near);
    rests("net_tap", &mut tas, &echo);
    wakes(&net, Side::Near, "testclient_linux", Side::Near.ip());
    rests("net_tap, used", &mut tas, &echo);
    echo.kill();
    tas.stop();
}

/// Two services without a kernel between them.
#[test]
fn over_shared_memory() {
    let net = Net::new();
    let socket = std::env::temp_dir().join(format!("tas-memif-{}", std::process::id()));
    let options = |role: &str| {
        let socket = socket.display();
        TasOptions::new().vdev(format!(
            "net_memif0,role={role},socket={socket},socket-abstract=no"
        ))
    };
    let mut near = Tas::start(&net, Side::Near, &options("server"));
    let echo = echo_server(&net, Side::Near);
    rests("net_memif without a peer", &mut near, &echo);
    let far = Tas::start(&net, Side::Far, &options("client"));
    wakes(&net, Side::Far, "testclient_ll", Side::Near.ip());
    rests("net_memif, used", &mut near, &echo);
    echo.kill();
    far.stop();
    near.stop();
    let _ = std::fs::remove_file(socket);
}

/// What the service sends comes back to itself.
#[test]
fn on_a_looped_back_ring() {
    let net = Net::new();
    let options = TasOptions::new().vdev("net_ring0");
    let mut tas = Tas::start(&net, Side::Near, &options);
    let echo = echo_server(&net, Side::Near);
    rests("net_ring", &mut tas, &echo);
    wakes(&net, Side::Near, "testclient_ll", Side::Near.ip());
    rests("net_ring, used", &mut tas, &echo);
    echo.kill();
    tas.stop();
}

/// The slow path is the service's main thread.
#[test]
fn the_slow_path_beside_cores_that_never_sleep() {
    let net = Net::with_linux(Side::Far);
    let mut tas = Tas::start(&net, Side::Near, &TasOptions::new().arg("--fp-no-ints"));
    let echo = echo_server(&net, Side::Near);
    let pid = tas.program().pid();
    thread::sleep(Duration::from_millis(200));
    let slow_path = load(pid, main_thread_cpu_seconds);
    assert!(slow_path < RESTING, "{slow_path} of a CPU");
    assert!(load(pid, cpu_seconds) > RESTING, "the core does not poll");
    // And serves connections all the same.
    let mut command = net.command(Side::Far, bench("testclient_linux"));
    command
        .args([Side::Near.ip(), PORT, "1", "-", "64", "1", "4", "0", "2"])
        .env("TEST_DURATION", "30")
        .env("TEST_MESSAGES", "400");
    Program::start("testclient", command)
        .finish(PATIENCE)
        .success()
        .says("errors=0");
    echo.kill();
    tas.stop();
}

/// A socket whose interface is gone is readable for ever.
#[test]
fn without_its_interface() {
    let net = Net::new();
    let mut tas = Tas::start(&net, Side::Near, &TasOptions::new());
    let echo = echo_server(&net, Side::Near);
    net.ip(Side::Near, "link del veth0");
    rests("a port whose interface is gone", &mut tas, &echo);
    let said = tas.program().err();
    assert!(said.contains("is down or gone"), "{said}");
    echo.kill();
    tas.stop();
}

/// Applications that come when the service has no descriptors left for them
/// are sent away, and the listening socket does not keep it busy.
#[test]
fn without_descriptors() {
    let net = Net::new();
    let options = TasOptions::new()
        .descriptors(128)
        .arg("--arp-timeout-max=100000");
    let mut tas = Tas::start(&net, Side::Near, &options);
    let echo = echo_server(&net, Side::Near);
    let crowd = r#"
import socket, sys, time
name = b"\0tas".ljust(108, b"\0")
crowd = []
for _ in range(150):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect(name)
    crowd.append(s)
welcome = sum(1 for s in crowd if len(s.recv(64)) > 0)
print("welcome=%d away=%d" % (welcome, len(crowd) - welcome), flush=True)
time.sleep(60)
"#;
    let mut crowd = net.start(Side::Near, "python3", ["-c", crowd]);
    crowd.wait_for("welcome=", PATIENCE);
    let said = crowd.out();
    assert!(
        !said.contains("welcome=0 ") && !said.contains("away=0\n"),
        "{said}"
    );
    rests("a service without descriptors", &mut tas, &echo);
    crowd.kill();
    attaches(&net);
    echo.kill();
    tas.stop();
}

/// There is room again, if not at once.
fn attaches(net: &Net) {
    for _ in 0..50 {
        // Nobody has that address, which the service can tell.
        let probe = net.start(Side::Near, bench("probe_ll"), ["10.77.0.99", "9", "9000"]);
        if probe.finish(PATIENCE).status.success() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody can attach any more");
}
