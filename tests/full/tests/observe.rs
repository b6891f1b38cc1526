//! What an operator sees of the service while it works.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use tas_full_tests::{Net, PORT, Side, Stack, TasOptions, World, product};

const TIME: Duration = Duration::from_secs(60);
const MESSAGE: usize = 1000;

/// Exchanges messages on two connections.
fn transfer(world: &World<'_>) {
    let size = MESSAGE.to_string();
    let server = world.server("verify", &["server", PORT, "2", &size]);
    let client = world.client(
        "verify",
        &["client", world.server_ip(), PORT, &size, "100", "2"],
    );
    client.finish(TIME).success();
    server.finish(TIME).success();
}

fn tracetool(net: &Net, args: &[&str]) -> String {
    net.run(Side::Near, product("tools/tracetool"), args).out
}

/// The name of the event in a line of tracetool.
fn kind_of(line: &str) -> &str {
    let (_, event) = line.split_once(':').expect(line);
    event.split(' ').next().expect(line)
}

#[test]
fn a_transfer_is_recorded_while_recording_is_on() {
    let net = Net::new();
    let world = World::new(&net, Stack::Tas, Stack::Linux, &TasOptions::new());
    transfer(&world);
    assert_eq!(tracetool(&net, &["--status"]), "core 0: off ring=4194304\n");
    assert_eq!(tracetool(&net, &[]), "");
    tracetool(&net, &["--on", "--snap=60"]);
    assert!(tracetool(&net, &["--status"]).contains("rxpkt,txpkt,"));
    transfer(&world);
    tracetool(&net, &["--off"]);
    let text = tracetool(&net, &["0"]);
    for event in [
        "FLEXNIC_EV_RXPKT  eth={",
        "FLEXNIC_EV_TXPKT  eth={",
        "FLEXTCP_EV_ATX rx_bump=",
        "FLEXTCP_EV_ARX opaque=",
        "FLEXTCP_EV_RXFS local_ip=a4d0001 ",
        "FLEXTCP_EV_TXACK local_ip=a4d0001 ",
        "FLEXTCP_EV_TXSEG local_ip=a4d0001 ",
        "FLEXTCP_EV_AFLOQMAN tx_base=",
        "FLEXNIC_EV_QMSET   cfg={id=",
        "FLEXNIC_EV_QMEVT   cfg={id=",
        "FLEXNIC_EV_DMARD   dma={addr=",
        "FLEXNIC_EV_DMAWR   dma={addr=",
    ] {
        assert!(text.contains(event), "no {event} in\n{text}");
    }
    // Without offloads, at an MTU of 1500, with timestamps.
    assert!(text.contains(" max_chunk=1448 "), "{text}");
    // What is read goes into the frame that is sent next; it may go around the buffer's end.
    let kinds: Vec<&str> = text.lines().map(kind_of).collect();
    for pair in kinds.windows(2) {
        if pair[1] == "FLEXNIC_EV_DMARD" {
            assert!(["FLEXNIC_EV_TXPKT", pair[1]].contains(&pair[0]), "{pair:?}");
        }
    }
    // The newest first, without a gap.
    let seqs: Vec<u32> = text
        .lines()
        .map(|line| {
            let (_, rest) = line.split_once("  seq=").expect(line);
            rest.split_once("  type=").expect(line).0.parse().unwrap()
        })
        .collect();
    assert!(seqs.windows(2).all(|pair| pair[0] == pair[1] + 1));
    assert_eq!(seqs.last(), Some(&0));
    transfer(&world);
    assert_eq!(tracetool(&net, &[]).lines().count(), seqs.len());
    capture(&net);
    world.end();
}

/// While connections are open, all that looks at the service agrees on them.
#[test]
fn tools_and_metrics_show_the_connections_that_are_open() {
    let net = Net::new();
    let options = TasOptions::new().arg("--metrics-addr=127.0.0.1:9464");
    let world = World::new(&net, Stack::Tas, Stack::Linux, &options);
    let server = world.echo_server(64);
    let client = world.client_with(
        "testclient",
        &[world.server_ip(), PORT, "1", "-", "64", "1", "3"],
        &[("TEST_DURATION", "6")],
    );
    let end = Instant::now() + TIME;
    while connections(&net) != 3 {
        assert!(Instant::now() < end, "three connections are not shown");
        thread::sleep(Duration::from_millis(50));
    }
    let state = run(&net, "tools/statetool", &["--json"]);
    let script = "import json, sys
flows = json.load(sys.stdin)
assert len(flows) == 3, flows
assert all(flow['addr']['local_ip'] == '10.77.0.1' for flow in flows), flows
assert all(flow['addr']['local_port'] == 7777 for flow in flows), flows
assert all(flow['rx']['len'] > 0 for flow in flows), flows";
    python(&net, script, &state);

    let text = run(&net, "tools/tas-top", &["--once", "--interval=0.5"]);
    assert!(text.contains("  connections 3 ("), "{text}");
    let mut conns = text.lines().skip_while(|line| !line.starts_with("ID "));
    assert_eq!(
        conns.next().expect(&text).split_whitespace().nth(3),
        Some("RXB/s")
    );
    let conns: Vec<&str> = conns.collect();
    assert_eq!(conns.len(), 3, "{text}");
    for conn in &conns {
        let cells: Vec<&str> = conn.split_whitespace().collect();
        assert_eq!(cells[1], "10.77.0.1:7777", "{text}");
        assert!(cells[3] != "0" && cells[4] != "0", "no rates: {text}");
    }
    assert!(text.contains("echoserver"), "{text}");

    let json = run(&net, "tools/tas-top", &["--once", "--json"]);
    let script = "import json, sys
top = json.load(sys.stdin)
assert len(top['connections']) == 3
[app] = top['groups']['app']
assert app['connections'] == 3 and app['listeners'] == 1 and app['memory_used'] > 0, app
[core] = top['groups']['core']
assert core['rx_frames'] > 0 and core['tx_bytes'] > 0, core";
    python(&net, script, &json);

    let metrics = scrape(&net);
    for line in [
        "# TYPE tas_core_rx_frames_total counter",
        "tas_slow_connections 3",
        "tas_slow_accepted_total 3",
    ] {
        let found = metrics.lines().any(|known| known == line);
        assert!(found, "no '{line}' in\n{metrics}");
    }
    assert!(number(&scrape(&net), FRAMES) > number(&metrics, FRAMES));
    client.finish(TIME).success();
    server.kill();
    world.end();
}

const FRAMES: &str = "tas_core_rx_frames_total{core=\"0\"}";

fn run(net: &Net, tool: &str, args: &[&str]) -> String {
    net.run(Side::Near, product(tool), args).out
}

fn connections(net: &Net) -> usize {
    let metrics = scrape(net);
    number(&metrics, "tas_slow_connections") as usize
}

fn number(metrics: &str, series: &str) -> u64 {
    let line = metrics.lines().find(|line| line.starts_with(series));
    let (_, number) = line.and_then(|line| line.rsplit_once(' ')).expect(metrics);
    number.parse().expect(metrics)
}

fn scrape(net: &Net) -> String {
    let script = "import urllib.request
print(urllib.request.urlopen('http://127.0.0.1:9464/metrics', timeout=10).read().decode())";
    net.run(Side::Near, "python3", ["-c", script]).out
}

/// Runs a script on a text.
fn python(net: &Net, script: &str, text: &str) {
    let path = std::env::temp_dir().join(format!("tas-observe-{}", std::process::id()));
    fs::write(&path, text).expect("a file");
    let script = format!("import sys; sys.stdin = open({path:?})\n{script}");
    net.run(Side::Near, "python3", ["-c", script.as_str()]);
    fs::remove_file(path).expect("a file");
}

/// On a terminal, tas-top draws until q is pressed, and leaves the terminal as it was.
#[test]
fn the_live_view_draws_on_a_terminal() {
    const SCRIPT: &str = "
import fcntl, os, pty, select, struct, sys, termios, time
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 120, 0, 0))
    os.environ['TERM'] = 'xterm'
    os.execv(sys.argv[1], sys.argv[1:])
seen = b''
def read_until(text):
    global seen
    end = time.time() + 8
    while text not in seen:
        assert time.time() < end, (text, seen)
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                assert text in seen, (text, seen)
read_until(b'Connections')
read_until(b'Applications')
os.write(terminal, b'h')
read_until(b'Keys')
os.write(terminal, b'q')
read_until(b'\x1b[?1049l')
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0";
    let net = Net::new();
    let world = World::new(&net, Stack::Tas, Stack::Linux, &TasOptions::new());
    let top = product("tools/tas-top");
    let top = top.to_str().expect("a path");
    net.run(Side::Near, "python3", ["-c", SCRIPT, top, "-d", "0.2"]);
    world.end();
}

#[test]
fn tools_say_that_no_service_runs() {
    let net = Net::new();
    for (tool, file) in [
        ("tas-top", "tas_stats"),
        ("statetool", "tas_info"),
        ("tracetool", "flexnic_trace_0"),
    ] {
        let path = product(&format!("tools/{tool}"));
        let finished = net.start(Side::Near, path, [""; 0]).finish(TIME);
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        let start = format!("{tool}: /dev/shm/{file}: ");
        assert!(finished.err.starts_with(&start), "{finished:?}");
        assert!(
            finished.err.contains("is tas running here?"),
            "{finished:?}"
        );
    }
}

/// The capture has the frames of both directions, in order, cut to 60 bytes.
fn capture(net: &Net) {
    let path = format!("/dev/shm/capture-{}", std::process::id());
    tracetool(net, &["--pcap", &path]);
    // The machine's /dev/shm is its own.
    let copy = std::env::temp_dir().join(format!("tas-capture-{}", std::process::id()));
    net.run(
        Side::Near,
        "cp",
        [path.as_str(), copy.to_str().expect("a path")],
    );
    net.run(Side::Near, "rm", [path.as_str()]);
    let file = fs::read(&copy).expect("the capture");
    fs::remove_file(&copy).expect("the capture");
    let word = |at: usize| u32::from_ne_bytes(file[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!((word(0), word(20)), (0xa1b2_3c4d, 1));
    let (mut at, mut last, mut data) = (24, (0, 0), [0, 0]);
    while at < file.len() {
        let (time, kept, whole) = ((word(at), word(at + 4)), word(at + 8), word(at + 12));
        assert!(
            time >= last && kept == whole.min(60),
            "{time:?} {kept} {whole}"
        );
        last = time;
        let frame = &file[at + 16..at + 16 + kept as usize];
        at += 16 + kept as usize;
        if frame[12..14] == [8, 0] {
            let options = usize::from(frame[46] >> 4) * 4;
            let from_us = frame[26..30] == [10, 77, 0, 1];
            data[usize::from(from_us)] += whole as usize - 34 - options;
        }
    }
    // Two connections, 100 messages each way; the padding of short frames is not data.
    for bytes in data {
        assert!(bytes >= 200 * MESSAGE, "{data:?}");
    }
}
