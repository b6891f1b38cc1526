//! Peers that refuse, are not there, or do not say a word: the application is
//! told which it was, and in time.

use std::time::Duration;

use tas_full_tests::{Finished, Net, PORT, Side, Stack, TasOptions, World, bench};

const TIME: Duration = Duration::from_secs(30);
const ECONNREFUSED: &str = "errno=111 ";
const ETIMEDOUT: &str = "errno=110 ";
const EHOSTUNREACH: &str = "errno=113 ";
const ENETUNREACH: &str = "errno=101 ";

/// Timeouts so short that giving up takes a second or two.
fn impatient() -> TasOptions {
    TasOptions::new()
        .arg("--arp-timeout-max=1000000")
        .arg("--tcp-handshake-retries=4")
}

fn probe(world: &World<'_>, ip: &str) -> Finished {
    world
        .client("probe", &[ip, PORT, "20000"])
        .finish(TIME)
        .success()
}

fn tas_client(net: &Net) -> World<'_> {
    World::new(net, Stack::Linux, Stack::Tas, &impatient())
}

#[test]
fn refused_by_linux() {
    let net = Net::new();
    let world = tas_client(&net);
    probe(&world, Side::Near.ip()).says(ECONNREFUSED);
    world.end();
}

#[test]
fn refused_by_tas() {
    for client in [Stack::Linux, Stack::Tas] {
        let net = Net::new();
        let world = World::new(&net, Stack::Tas, client, &impatient());
        probe(&world, Side::Near.ip()).says(ECONNREFUSED);
        world.end();
    }
}

#[test]
fn no_arp_answer() {
    let net = Net::new();
    let world = tas_client(&net);
    probe(&world, "10.77.0.99").says(EHOSTUNREACH);
    world.end();
}

#[test]
fn no_route() {
    let net = Net::new();
    let world = tas_client(&net);
    probe(&world, "192.0.2.1").says(ENETUNREACH);
    world.end();
}

/// The Linux machine answers ARP for an address behind it, forwards what goes
/// there, and nobody is at the other end.
#[test]
fn silent() {
    let net = Net::new();
    let world = tas_client(&net);
    net.ip(Side::Near, "link add sink0 type veth peer name sink1");
    net.ip(Side::Near, "link set sink0 arp off");
    net.ip(Side::Near, "link set sink0 up");
    net.ip(Side::Near, "link set sink1 up");
    net.ip(Side::Near, "route add 10.77.0.50/32 dev sink0");
    net.run(
        Side::Near,
        "sh",
        [
            "-ec",
            "cd /proc/sys/net/ipv4
             echo 1 >ip_forward
             echo 0 >neigh/veth0/proxy_delay
             ip neigh add proxy 10.77.0.50 dev veth0",
        ],
    );
    probe(&world, "10.77.0.50").says(ETIMEDOUT);
    world.end();
}

/// Reached by a route through a gateway, which is the other machine.
#[test]
fn behind_a_gateway() {
    let net = Net::new();
    let options = TasOptions::new().arg(format!("--ip-route=198.51.100.0/24,{}", Side::Near.ip()));
    let world = World::new(&net, Stack::Linux, Stack::Tas, &options);
    net.ip(Side::Near, "addr add 198.51.100.7/32 dev lo");
    let echo = world.echo_server(64);
    probe(&world, "198.51.100.7").says("errno=0 ");
    probe(&world, "198.51.101.7").says(ENETUNREACH);
    echo.kill();
    world.end();
}

/// Both ends that die with data in flight: the survivor's connections end, and
/// the service forgets them.
#[test]
fn killed_linux_peer() {
    let net = Net::new();
    let mut world = World::new(&net, Stack::Tas, Stack::Linux, &TasOptions::new());
    let mut echo = world.echo_server(1000);
    let mut client = world.client("victim", &[world.server_ip(), PORT, "20", "0"]);
    client.wait_for("victim: ready", TIME);
    client.kill();
    for tas in world.services() {
        tas.is_idle();
    }
    assert!(echo.ended().is_none(), "{}", echo.err());
    echo.kill();
    world.end();
}

#[test]
fn closed_listener_refuses_again() {
    let net = Net::new();
    let world = World::new(&net, Stack::Tas, Stack::Linux, &TasOptions::new());
    let echo = world.echo_server(64);
    probe(&world, world.server_ip()).says("errno=0 ");
    echo.kill();
    // The service notices the end of the application by itself.
    let mut answer = String::new();
    for _ in 0..50 {
        answer = probe(&world, world.server_ip()).out;
        if answer.contains(ECONNREFUSED) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(answer.contains(ECONNREFUSED), "{answer}");
    world.end();
}

/// ARP and ICMP echo, as any host on the network tries first.
#[test]
fn answers_ping() {
    let net = Net::new();
    let world = World::new(&net, Stack::Tas, Stack::Linux, &TasOptions::new());
    // In Python, since not every machine has ping.
    let ping = r#"
import socket, struct, sys
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
payload = bytes(range(56))
head = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
head = struct.pack("!BBHHH", 8, 0, checksum(head + payload), 77, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(5)
s.sendto(head + payload, (sys.argv[1], 0))
reply = s.recv(2048)[20:]
assert reply[0] == 0 and reply[4:] == head[4:] + payload and checksum(reply) == 0, reply
print("answered")
"#;
    net.run(Side::Far, "python3", ["-c", ping, world.server_ip()])
        .says("answered");
    world.end();
}

/// Programs say so when there is no service.
#[test]
fn no_service() {
    let net = Net::new();
    let program = net.start(Side::Near, bench("probe_ll"), ["10.77.0.2", PORT, "1000"]);
    let finished = program.finish(TIME);
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
    assert!(finished.err.contains("libtas: "), "{finished:#?}");
}
