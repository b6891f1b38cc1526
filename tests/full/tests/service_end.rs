//! The service's own life: it ends in order, is killed under applications,
//! starts again, and is alone.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tas_full_tests::{Net, PORT, Program, Side, Stack, Tas, TasOptions, World, bench, product};

const TIME: Duration = Duration::from_secs(20);

fn start_echo(net: &Net) -> Program {
    let mut echo = net.start(Side::Near, bench("echoserver_ll"), [PORT, "1", "-"]);
    echo.wait_for("listening", TIME);
    echo
}

/// Linux sockets on the far side; messages of 1,024 bytes.
fn start_load(net: &Net) -> Program {
    net.start(
        Side::Far,
        bench("testclient_linux"),
        [Side::Near.ip(), PORT, "1", "-", "1024", "4", "10"],
    )
}

/// Ends the service with `end` under an application that works and one that
/// sleeps: both get to know and end by themselves.
fn under_applications(end: impl FnOnce(Tas<'_>)) {
    let net = Net::with_linux(Side::Far);
    let tas = Tas::start(&net, Side::Near, &TasOptions::new());
    let busy = start_echo(&net);
    let mut idle = net.start(Side::Near, bench("echoserver_ll"), ["7778", "1", "-"]);
    idle.wait_for("listening", TIME);
    let mut load = start_load(&net);
    load.wait_for("flows=10", TIME);
    end(tas);
    for application in [busy, idle] {
        let finished = application.finish(TIME);
        assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
        assert!(finished.err.contains("stack is gone"), "{finished:#?}");
    }
}

#[test]
fn sigterm_under_applications() {
    under_applications(|tas| drop(tas.stop()));
}

#[test]
fn sigint_under_applications() {
    under_applications(|tas| drop(tas.stop_with(Signal::INT)));
}

#[test]
fn killed_under_applications() {
    under_applications(|tas| tas.kill());
}

#[test]
fn starts_again_after_a_crash() {
    let net = Net::with_linux(Side::Far);
    Tas::start(&net, Side::Near, &TasOptions::new()).kill();
    let tas = Tas::start(&net, Side::Near, &TasOptions::new());
    let echo = start_echo(&net);
    let mut load = start_load(&net);
    load.wait_for("flows=10", TIME);
    load.kill();
    echo.kill();
    tas.stop();
}

#[test]
fn second_service_refuses() {
    let net = Net::with_linux(Side::Far);
    let mut tas = Tas::start(&net, Side::Near, &TasOptions::new());
    let echo = start_echo(&net);
    let mut load = start_load(&net);
    load.wait_for("flows=10", TIME);

    let options = TasOptions::new().command_line(Side::Near);
    let second = net
        .start(Side::Near, product("tas/tas"), options)
        .finish(TIME);
    let pid = tas.program().pid().to_string();
    assert!(!second.status.success(), "{second:#?}");
    assert!(
        second.err.contains(&pid),
        "does not name {pid}: {second:#?}"
    );
    assert!(!second.out.contains("TAS ready"), "{second:#?}");

    // Connections go on, and new applications still attach.
    assert!(load.ended().is_none(), "{}", load.err());
    let result = net
        .start(
            Side::Far,
            "env",
            ["TEST_DURATION=1"].into_iter().map(str::to_owned).chain([
                bench("testclient_linux").to_string_lossy().into_owned(),
                Side::Near.ip().into(),
                PORT.into(),
                "1".into(),
                "-".into(),
                "1024".into(),
            ]),
        )
        .finish(TIME)
        .success();
    assert!(result.number("messages") > 0.0);
    load.kill();
    echo.kill();
    let third = net.start(Side::Near, bench("probe_ll"), [Side::Far.ip(), "9", "5000"]);
    third.finish(TIME).success().says("errno=111 ");
    tas.stop();
}

/// The handed descriptor gets the u64 value 1 once the service works.
#[test]
fn ready_descriptor() {
    let net = Net::new();
    let mut command = net.command(Side::Near, "sh");
    command
        .args(["-c", r#"exec "$0" "$@" 3>&0 0</dev/null"#])
        .arg(product("tas/tas"))
        .args(
            TasOptions::new()
                .arg("--ready-fd=3")
                .command_line(Side::Near),
        );
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    command.stdin(Stdio::from(writer));
    let mut tas = Program::start("tas", command);
    let waiting = thread::spawn(move || {
        let mut value = [0; 8];
        std::io::Read::read_exact(&mut reader, &mut value).map(|()| u64::from_ne_bytes(value))
    });
    tas.wait_for("TAS ready", TIME);
    assert_eq!(waiting.join().expect("reader").expect("8 bytes"), 1);
    tas.signal(Signal::TERM);
    tas.finish(TIME).success();
}

/// Nothing to do: the service and an application sleep, and wake up.
#[test]
fn sleeps_when_idle() {
    let net = Net::new();
    let mut world = World::new(&net, Stack::Tas, Stack::Linux, &TasOptions::new());
    let echo = world.echo_server(64);
    let mut pids = vec![echo.pid()];
    pids.extend(world.services().map(|tas| tas.program().pid()));
    thread::sleep(Duration::from_millis(500));
    let before: Vec<f64> = pids.iter().map(|&pid| cpu_seconds(pid)).collect();
    thread::sleep(Duration::from_secs(2));
    for (&pid, before) in pids.iter().zip(before) {
        let used = cpu_seconds(pid) - before;
        assert!(used < 1.0, "process {pid} used {used} s in 2 s");
    }
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(100));
        world
            .client_with(
                "testclient",
                &[world.server_ip(), PORT, "1", "-"],
                &[("TEST_DURATION", "10"), ("TEST_MESSAGES", "10")],
            )
            .finish(TIME)
            .success();
    }
    echo.kill();
    world.end();
}

/// User and system time of a process.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat of a process");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .expect("after the name")
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|f| f.parse::<u64>().expect("ticks"))
        .sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Busy for ever where that is asked for, and still ends.
#[test]
fn polling_without_interrupts() {
    let net = Net::new();
    let options = TasOptions::new().arg("--fp-no-ints");
    let world = World::new(&net, Stack::Tas, Stack::Linux, &options);
    let echo = world.echo_server(64);
    world
        .client_with(
            "testclient",
            &[world.server_ip(), PORT, "1", "-"],
            &[("TEST_DURATION", "20"), ("TEST_MESSAGES", "100")],
        )
        .finish(TIME)
        .success();
    echo.kill();
    world.end();
}
