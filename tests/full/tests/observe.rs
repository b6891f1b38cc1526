//! What an operator sees of the service while it works.

use std::fs;
use std::time::Duration;

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
    ] {
        assert!(text.contains(event), "no {event} in\n{text}");
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
