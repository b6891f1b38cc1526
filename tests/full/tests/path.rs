//! Paths that carry less than the port's MTU, buffers of all sizes, and peers with and without ECN
//! and SACK.

use std::time::Duration;

use tas_full_tests::{
    Behind, Net, PORT, Path, Program, Side, Stack, Tas, TasOptions, World, bench,
};

const TIME: Duration = Duration::from_secs(60);
const ROLES: [(Stack, Stack); 2] = [(Stack::Tas, Stack::Linux), (Stack::Linux, Stack::Tas)];
const METRICS: &str = "--metrics-addr=127.0.0.1:9464";

/// What the service on a machine has counted.
fn counted(net: &Net, side: Side, name: &str) -> u64 {
    let script = "import urllib.request
print(urllib.request.urlopen('http://127.0.0.1:9464/metrics', timeout=10).read().decode())";
    let metrics = net.run(side, "python3", ["-c", script]).out;
    let series = format!("{name}{{core=\"0\"}} ");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&series))
        .expect(&metrics);
    line.parse().expect(&metrics)
}

/// Transfers messages both ways at once; every byte is checked.
fn transfer(world: &World<'_>, size: usize, messages: usize) {
    let (size, messages) = (size.to_string(), messages.to_string());
    let server = world.server("verify", &["server", PORT, "2", &size]);
    let client = world.client(
        "verify",
        &["client", world.server_ip(), PORT, &size, &messages, "2"],
    );
    client.finish(TIME).success().says("verify: ok");
    server.finish(TIME).success().says("verify: ok");
}

/// TAS on the far machine, and a Linux host behind the near one, which is a router.
struct Routed<'a> {
    net: &'a Net,
    behind: &'a Behind,
}

impl Routed<'_> {
    fn start(&self) -> Tas<'_> {
        let options = TasOptions::new().buffers(65_536).arg(METRICS).arg(format!(
            "--ip-route={},{}",
            Behind::NETWORK,
            Side::Near.ip()
        ));
        Tas::start(self.net, Side::Far, &options)
    }

    fn counted(&self, name: &str) -> u64 {
        counted(self.net, Side::Far, name)
    }

    /// Two connections that the TAS machine opens.
    fn connects(&self) {
        let mut server = self.behind.start(bench("verify_linux"), SERVER);
        server.wait_for("listening", TIME);
        let args = ["client", Behind::IP, PORT, SIZE, MESSAGES, "2"];
        finish(server, self.net.start(Side::Far, bench("verify_ll"), args));
    }

    /// Two connections that it accepts.
    fn accepts(&self) {
        let mut server = self.net.start(Side::Far, bench("verify_ll"), SERVER);
        server.wait_for("listening", TIME);
        let args = ["client", Side::Far.ip(), PORT, SIZE, MESSAGES, "2"];
        finish(server, self.behind.start(bench("verify_linux"), args));
    }
}

const SIZE: &str = "100000";
const MESSAGES: &str = "20";
const SERVER: [&str; 4] = ["server", PORT, "2", SIZE];

fn finish(server: Program, client: Program) {
    client.finish(TIME).success().says("verify: ok");
    server.finish(TIME).success().says("verify: ok");
}

#[test]
fn a_router_says_what_is_too_large() {
    let net = Net::with_linux(Side::Near);
    let behind = net.behind(Side::Near, 1200);
    let hosts = Routed {
        net: &net,
        behind: &behind,
    };
    let tas = hosts.start();
    hosts.connects();
    let lowered = hosts.counted("tas_core_path_mtu_lowered_total");
    // Of two connections at once, the second may have begun with what the first learned.
    assert!((1..=2).contains(&lowered), "{lowered} flows were told");
    // These begin with it.
    hosts.accepts();
    assert_eq!(hosts.counted("tas_core_path_mtu_lowered_total"), lowered);
    tas.stop();
}

/// The Linux host's end of its cable takes less than its stack says, and drops the rest without a
/// word (RFC 2923 §2.1).
#[test]
fn nobody_says_what_is_too_large() {
    let net = Net::with_linux(Side::Near);
    let behind = net.behind(Side::Near, 1500);
    behind.ip("link set veth0 mtu 1100");
    behind.ip(&format!(
        "route replace default via {} advmss 1460",
        Side::Near.ip()
    ));
    let hosts = Routed {
        net: &net,
        behind: &behind,
    };
    let tas = hosts.start();
    hosts.connects();
    let found = hosts.counted("tas_core_black_holes_total");
    assert!(found >= 2, "{found} black holes were found");
    hosts.accepts();
    assert!(hosts.counted("tas_core_black_holes_total") >= found + 2);
    assert_eq!(hosts.counted("tas_core_path_mtu_lowered_total"), 0);
    tas.stop();
}

/// The smallest and the largest buffers that connections can have.
#[test]
fn buffers_of_all_sizes() {
    for (bytes, size, messages) in [(2048, 10_000, 30), (64 << 20, 1 << 20, 20)] {
        for (server, client) in ROLES {
            let net = Net::new();
            let world = World::new(&net, server, client, &TasOptions::new().buffers(bytes));
            transfer(&world, size, messages);
            world.end();
        }
    }
}

/// RFC 3168 §6.1.1: peers that refuse ECN, and those that ask for it.
#[test]
fn ecn_or_not() {
    for ecn in ["0", "1"] {
        for (server, client) in ROLES {
            let net = Net::new();
            let world = World::new(&net, server, client, &TasOptions::new());
            let linux = match server {
                Stack::Tas => Side::Far,
                Stack::Linux => Side::Near,
            };
            let command = format!("echo {ecn} >/proc/sys/net/ipv4/tcp_ecn");
            net.run(linux, "sh", ["-ec", &command]);
            transfer(&world, 10_000, 50);
            world.end();
        }
    }
}

/// RFC 5681 §3.2: a peer whose duplicate ACKs are all that tells of losses.
#[test]
fn no_sack() {
    for (server, client) in ROLES {
        let net = Net::apart();
        let options = TasOptions::new().buffers(256 << 10).arg(METRICS);
        let world = World::new(&net, server, client, &options);
        let (tas, linux) = match server {
            Stack::Tas => (Side::Near, Side::Far),
            Stack::Linux => (Side::Far, Side::Near),
        };
        let command = "echo 0 >/proc/sys/net/ipv4/tcp_sack";
        net.run(linux, "sh", ["-ec", command]);
        let lossy = Path {
            delay: Duration::from_micros(100),
            rate: 100_000_000,
            queue: 150_000,
            loss: 10_000,
            seed: 7,
            ..Path::default()
        };
        let impair = std::path::Path::new(env!("CARGO_BIN_EXE_impair"));
        let impair_lossy = net.impaired(impair, &lossy);
        transfer(&world, 1000, 1000);
        let recoveries = counted(&net, tas, "tas_core_recoveries_total");
        println!("{recoveries} recoveries");
        assert!(recoveries > 0);
        impair_lossy.kill();
        let _impair = net.impaired(impair, &Path::default());
        world.end();
    }
}
