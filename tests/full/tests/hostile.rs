//! Hostile neighbours of every kind: those behind a serving application are served as if they
//! were not there, the service's memory is bounded, and its counters tell of them.

use std::fs;
use std::time::Duration;

use tas_full_tests::{Net, PORT, Program, Side, Stack, TasOptions, World, bench, product, scaled};

const TIME: Duration = Duration::from_secs(90);

/// TAS serves [`Side::Near`], and Linux is at the other end.
fn tas_server<'a>(net: &'a Net, options: &TasOptions) -> World<'a> {
    World::new(net, Stack::Tas, Stack::Linux, options)
}

/// Bytes that go there and back while others misbehave.
struct Honest {
    server: Program,
    client: Program,
    said: String,
}

impl Honest {
    fn start(world: &World<'_>, port: &str, rounds: usize) -> Honest {
        let rounds_text = rounds.to_string();
        let server = world.server("verify", &["server", port, "4", "4096"]);
        let args = ["client", world.server_ip(), port, "4096", &rounds_text, "4"];
        Honest {
            server,
            client: world.client("verify", &args),
            said: format!("verify: ok {} bytes", 4 * 4096 * rounds),
        }
    }

    fn finish(self) {
        self.client.finish(TIME).success().says(&self.said);
        self.server.finish(TIME).success().says(&self.said);
    }
}

/// Two pairs of programs that transfer all the while, and one that comes later.
fn serves_beside(world: &World<'_>, hostile: impl FnOnce()) {
    let honest = [
        Honest::start(world, "7701", 1000),
        Honest::start(world, "7702", 1000),
    ];
    hostile();
    Honest::start(world, "7703", 20).finish();
    honest.into_iter().for_each(Honest::finish);
}

fn service_pid(world: &mut World<'_>) -> u32 {
    let tas = world.services().next().expect("a service");
    assert!(tas.program().ended().is_none(), "{}", tas.program().err());
    tas.program().pid()
}

/// Resident memory of the service in bytes.
fn resident(world: &mut World<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service_pid(world))).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.expect("VmRSS").parse::<u64>().expect("kilobytes") << 10
}

/// The sum of a counter over all that have it.
fn counted(net: &Net, name: &str) -> u64 {
    let json = net.run(Side::Near, product("tools/tas-top"), ["--once", "--json"]);
    let key = format!("\"{name}\":");
    let places = json.out.match_indices(&key);
    let numbers = places.map(|(at, _)| {
        let rest = json.out[at + key.len()..].trim_start();
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end].parse::<u64>().expect("a number")
    });
    numbers.sum()
}

fn mac(net: &Net, side: Side) -> String {
    let link = net.run(side, "ip", ["-o", "link", "show", "veth0"]).out;
    let (_, rest) = link.split_once("link/ether ").expect("an address");
    rest.split_whitespace()
        .next()
        .expect("an address")
        .to_owned()
}

fn flood(net: &Net, kind: &str, frames: u64) -> Program {
    let args = [kind, "veth0", &mac(net, Side::Near), Side::Near.ip(), PORT];
    let frames = frames.to_string();
    let args = args.into_iter().chain([frames.as_str()]);
    net.start(Side::Far, bench("flood"), args)
}

#[test]
fn scribblers_beside_transfers() {
    let net = Net::new();
    let options = TasOptions::new().arg("--app-shm-len=16777216").cores(2);
    let mut world = tas_server(&net, &options);
    let echo = world.program(Side::Far, "echoserver", &[PORT, "1", "-", "131072", "64"]);
    serves_beside(&world, || {
        for round in 0..scaled(3) {
            let mut hostile: Vec<Program> = (0..3)
                .map(|i| {
                    let port = (30_000 + 10 * round + i).to_string();
                    let seed = (100 + 3 * round + i).to_string();
                    let args = [Side::Far.ip(), PORT, &port, "1000", &seed];
                    world.program(Side::Near, "scribble", &args)
                })
                .collect();
            for program in &mut hostile {
                program.wait_for("scribble: done", TIME);
            }
        }
    });
    assert!(counted(&net, "app_bad_entries") > 0);
    service_pid(&mut world);
    echo.kill();
    world.end();
}

/// Applications that come and go without a word, without end.
#[test]
fn a_crowd_at_the_door() {
    let net = Net::new();
    let mut world = tas_server(&net, &TasOptions::new());
    let script = r#"
import random, socket, sys
random.seed(int(sys.argv[1]))
names = [b"\0tas".ljust(108, b"\0"), b"\0tas_join", b"\0flexnic_os".ljust(108, b"\0")]
print("knocking", flush=True)
while True:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        s.connect(random.choice(names[:2]) if random.random() < 0.9 else names[2])
        if random.random() < 0.2:
            fds = [sys.stdin.fileno()] * random.randrange(4)
            socket.send_fds(s, [random.randbytes(random.randrange(1, 200))], fds)
    except OSError:
        pass
    s.close()
"#;
    let seeds = ["1", "2", "3"];
    let mut crowd: Vec<Program> = seeds
        .iter()
        .map(|seed| net.start(Side::Near, "python3", ["-c", script, seed]))
        .collect();
    for program in &mut crowd {
        program.wait_for("knocking", TIME);
    }
    serves_beside(&world, || ());
    for program in &mut crowd {
        assert!(program.ended().is_none(), "{}", program.err());
    }
    drop(crowd);
    Honest::start(&world, "7704", 20).finish();
    service_pid(&mut world);
    world.end();
}

#[test]
fn a_million_syns() {
    let net = Net::new();
    let mut world = tas_server(&net, &TasOptions::new());
    let echo = world.echo_server(64);
    let before = resident(&mut world);
    let mut opened = 0;
    serves_beside(&world, || {
        let mut flood = flood(&net, "syn", 1_000_000);
        while flood.ended().is_none() {
            let probe = world.client("probe", &[world.server_ip(), PORT, "30000"]);
            probe.finish(TIME).success().says("errno=0 ");
            opened += 1;
        }
        flood.finish(TIME).success();
    });
    let grown = resident(&mut world).saturating_sub(before);
    println!("{opened} connections opened meanwhile, {grown} bytes more");
    assert!(opened > 0);
    assert!(grown < 64 << 20, "the service has grown by {grown} bytes");
    assert!(counted(&net, "cookies_sent") > 0);
    echo.kill();
    world.end();
}

#[test]
fn neighbours_without_end() {
    let net = Net::new();
    let mut world = tas_server(&net, &TasOptions::new());
    let before = resident(&mut world);
    serves_beside(&world, || {
        flood(&net, "arp", 300_000).finish(TIME).success();
    });
    let grown = resident(&mut world).saturating_sub(before);
    println!("{grown} bytes more");
    assert!(grown < 32 << 20, "the service has grown by {grown} bytes");
    assert!(counted(&net, "to_slow") > 8192);
    world.end();
}
