//! What sockets need of the service: ends of processes, chosen ports, shared ports, closed
//! listeners. The peer is Linux, in Python.

use std::time::Duration;

use tas_full_tests::{Net, Program, Side, Tas, TasOptions, product};

const TIME: Duration = Duration::from_secs(20);
const PROGRAM: &str = env!("CARGO_BIN_EXE_ll-sockets");

/// Takes one connection, says something if asked to, and tells how it ended.
const PEER: &str = r#"
import socket, sys
s = socket.create_server(("0.0.0.0", 7777))
print("listening", flush=True)
conn, (_, port) = s.accept()
conn.sendall(sys.argv[1].encode())
bytes = 0
end = "fin"
try:
    while data := conn.recv(65536):
        bytes += len(data)
except ConnectionResetError:
    end = "reset"
print("port=%d bytes=%d end=%s" % (port, bytes, end))
"#;

/// Connects so many times, waits for each to be closed, and says how often that failed.
const VISITOR: &str = r#"
import socket, sys
refused = 0
for _ in range(int(sys.argv[2])):
    try:
        s = socket.create_connection((sys.argv[1], 7777))
        assert s.recv(1) == b""
    except ConnectionRefusedError:
        refused += 1
print("refused=%d" % refused)
"#;

/// Connects, reads so many bytes, says so, and waits to be killed.
const READER: &str = r#"
import socket, sys, time
s = socket.create_connection((sys.argv[1], 7777))
left = int(sys.argv[2])
while left:
    left -= len(s.recv(left))
print("read", flush=True)
time.sleep(60)
"#;

fn machines(net: &Net) -> Tas<'_> {
    net.give_linux(Side::Far);
    Tas::start(net, Side::Near, &TasOptions::new())
}

fn peer(net: &Net, says: &str) -> Program {
    let mut peer = net.start(Side::Far, "python3", ["-c", PEER, says]);
    peer.wait_for("listening", TIME);
    peer
}

fn program(net: &Net, args: &[&str]) -> Program {
    net.start(Side::Near, PROGRAM, args)
}

#[test]
fn what_was_sent_arrives_though_the_process_has_ended() {
    let net = Net::new();
    let mut tas = machines(&net);
    let peer = peer(&net, "");
    let args = ["send", Side::Far.ip(), "7777", "5432", "1000000"];
    program(&net, &args).finish(TIME).success();
    peer.finish(TIME)
        .success()
        .says("port=5432 bytes=1000000 end=fin");
    tas.is_idle();
    tas.stop();
}

#[test]
fn a_killed_process_that_had_not_read_resets() {
    let net = Net::new();
    let mut tas = machines(&net);
    let peer = peer(&net, "unread");
    let mut holder = program(&net, &["hold", Side::Far.ip(), "7777"]);
    holder.wait_for("received", TIME);
    holder.kill();
    peer.finish(TIME).success().says("bytes=0 end=reset");
    tas.is_idle();
    tas.stop();
}

/// What was read before is known, though nothing was said of it.
#[test]
fn a_killed_process_that_had_read_all_ends_its_connection() {
    for (read, end) in [("7", "fin"), ("6", "reset")] {
        let net = Net::new();
        let mut tas = machines(&net);
        let peer = peer(&net, "request");
        let mut command = net.command(Side::Near, "python3");
        command
            .args(["-c", READER, Side::Far.ip(), read])
            .env("LD_PRELOAD", product("lib/libtas_interpose.so"))
            .env("TAS_INTERPOSE_REQUIRED", "1");
        let mut reader = Program::start("reader", command);
        reader.wait_for("read", TIME);
        reader.kill();
        peer.finish(TIME)
            .success()
            .says(&format!("bytes=0 end={end}"));
        tas.is_idle();
        tas.stop();
    }
}

#[test]
fn processes_share_a_port() {
    let net = Net::new();
    let mut tas = machines(&net);
    let servers: Vec<Program> = (0..2)
        .map(|_| {
            let mut server = program(&net, &["serve", "7777"]);
            server.wait_for("listening", TIME);
            server
        })
        .collect();
    let visits = ["-c", VISITOR, Side::Near.ip(), "64"];
    net.run(Side::Far, "python3", visits).says("refused=0");
    for server in &servers {
        let accepted = server.out().matches("accepted").count();
        assert!((1..64).contains(&accepted), "{accepted}");
    }
    for server in servers {
        server.kill();
    }
    tas.is_idle();
    tas.stop();
}

#[test]
fn a_closed_listener_refuses() {
    let net = Net::new();
    let mut tas = machines(&net);
    let mut server = program(&net, &["once", "7777"]);
    server.wait_for("listening", TIME);
    let visit = || net.run(Side::Far, "python3", ["-c", VISITOR, Side::Near.ip(), "1"]);
    visit().says("refused=0");
    server.wait_for("closed", TIME);
    visit().says("refused=1");
    server.kill();
    tas.is_idle();
    tas.stop();
}
