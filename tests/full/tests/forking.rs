//! Servers that fork, on sockets under the preload library: what their children inherit.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tas_full_tests::{Net, PORT, Program, Side, Tas, TasOptions, bench, product};

const TIME: Duration = Duration::from_secs(60);

fn start<'a>(net: &'a Net, options: &TasOptions) -> Tas<'a> {
    net.give_linux(Side::Far);
    Tas::start(net, Side::Near, options)
}

fn server(net: &Net, args: &[&str]) -> Program {
    let mut command = net.command(Side::Near, bench("forking"));
    command
        .args(args)
        .env("LD_PRELOAD", product("lib/libtas_interpose.so"))
        .env("TAS_INTERPOSE_REQUIRED", "1");
    let mut server = Program::start("forking", command);
    server.wait_for("listening", TIME);
    server
}

fn client(net: &Net, conns: usize, bytes: usize) -> Program {
    let mut command = net.command(Side::Far, bench("forking"));
    let (conns, bytes) = (conns.to_string(), bytes.to_string());
    command.args(["client", Side::Near.ip(), PORT, &conns, &bytes]);
    Program::start("client", command)
}

fn answered(client: Program, conns: usize) {
    client
        .finish(TIME)
        .success()
        .says(&format!("answered={conns}\n"));
}

/// The children that a server has told of.
fn children(server: &Program) -> Vec<Pid> {
    let out = server.out();
    let pids = out.lines().filter_map(|line| line.strip_prefix("child "));
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

/// A process that outlives its parent, and is killed when dropped.
struct Survivor(Pid);

impl Drop for Survivor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// Nothing is left of the server: no connection, no application, no listener.
fn assert_gone(net: &Net, mut tas: Tas<'_>) {
    tas.is_idle();
    // The port is free again, and the memory of the family has been given back.
    let server = server(net, &["prefork", PORT, "1"]);
    answered(client(net, 1, 1000), 1);
    server.kill();
    tas.is_idle();
    tas.stop().success();
}

#[test]
fn children_accept_and_some_are_killed() {
    let net = Net::new();
    let tas = start(&net, &TasOptions::new());
    let server = server(&net, &["prefork", PORT, "4"]);
    for _ in 0..3 {
        answered(client(&net, 4, 100_000), 4);
    }
    let all = children(&server);
    assert_eq!(all.len(), 4, "{}", server.out());
    for pid in &all[..3] {
        kill_process(*pid, Signal::KILL).expect("a child");
    }
    // The one that is left serves all.
    for _ in 0..3 {
        answered(client(&net, 1, 100_000), 1);
    }
    server.kill();
    assert_gone(&net, tas);
}

#[test]
fn each_connection_has_a_child_while_its_peer_sends() {
    let net = Net::new();
    let tas = start(&net, &TasOptions::new().cores(2));
    let server = server(&net, &["each", PORT]);
    answered(client(&net, 20, 300_000), 20);
    server.kill();
    assert_gone(&net, tas);
}

#[test]
fn the_parent_ends_as_soon_as_it_has_forked() {
    let net = Net::new();
    let tas = start(&net, &TasOptions::new());
    let mut server = server(&net, &["daemon", PORT]);
    answered(client(&net, 1, 2_000_000), 1);
    server.wait_for("child ", TIME);
    let child = Survivor(children(&server)[0]);
    // The listener is the child's now.
    answered(client(&net, 1, 100_000), 1);
    drop(child);
    server.finish(TIME).success();
    assert_gone(&net, tas);
}

#[test]
fn a_connection_goes_round() {
    let net = Net::new();
    let tas = start(&net, &TasOptions::new().cores(2));
    let server = server(&net, &["pass", PORT, "4"]);
    answered(client(&net, 1, 1_000_000), 1);
    server.kill();
    assert_gone(&net, tas);
}
