//! The smallest and the largest buffers of connections.

use tas::nic::sim::Path;
use tas::sim::{HostConf, Step};
use tas::types::Micros;

use crate::Pair;
use crate::link::Link;

const LARGEST: usize = 64 << 20;
/// Less than all of it by a unit of the window's scale, and a segment that does not fit any more.
const UNDER_WAY: usize = LARGEST - 2048 - 1460;

fn largest_buffers(conf: HostConf) -> HostConf {
    conf.with(format!("--tcp-rxbuf-len={LARGEST}"))
        .with(format!("--tcp-txbuf-len={LARGEST}"))
        .with("--app-shm-len=536870912")
        .with("--app-shm-total=1073741824")
}

/// A buffer of 64 MiB can be under way at once, as 11 bits of scale tell it (RFC 7323 §2.2).
#[test]
fn all_of_64_mib_is_under_way_at_once() {
    const RTT: u64 = 1_000_000;
    let mut link = Link::new(1, largest_buffers);
    let path = Path {
        delay: Micros(RTT / 2),
        ..Path::default()
    };
    for host in [link.a.host, link.b.host] {
        let port = link.world.host(host).port();
        link.world.network.set_path(port, path);
    }
    // The first byte's acknowledgement tells how large the window is.
    link.a.send(&[1]);
    link.run(3 * RTT / 1000);
    assert_eq!(link.b.receive(), [1]);
    link.run(RTT / 1000);

    // Then all of it goes out and comes in within a round trip.
    let (a, b) = (&mut link.a, &mut link.b);
    let (mut to_send, mut got) = (LARGEST, 0);
    let done = link.world.run(Micros(RTT), |_, _| {
        let mut worked = a.poll() | b.poll();
        let piece = to_send.min(1 << 20);
        let sent = a.send(&vec![2; piece]);
        to_send -= sent;
        worked |= sent > 0;
        let readable = b.state().readable as usize;
        got = got.max(readable);
        match (got >= UNDER_WAY, worked) {
            (true, _) => Step::Done,
            (_, true) => Step::Worked,
            _ => Step::Idle,
        }
    });
    assert!(done, "{got} of {LARGEST} bytes wait to be read");
    let received = link.b.receive();
    assert!(received.len() >= UNDER_WAY && received.iter().all(|byte| *byte == 2));
}

/// Windows smaller than two segments.
#[test]
fn two_kib_are_enough() {
    for seed in crate::seeds(4) {
        let mut pair = Pair::new(seed, |conf| {
            conf.with("--tcp-rxbuf-len=2048")
                .with("--tcp-txbuf-len=2048")
        });
        pair.set_paths(Path {
            delay: Micros(20),
            loss: 20,
            reorder: 20,
            reorder_by: Micros(100),
            duplicate: 10,
            ..Path::default()
        });
        let mut client = pair.client(6, seed);
        let done = pair.run(&mut client, Micros::from_millis(600_000));
        assert!(done, "seed {seed}\n{}", pair.describe(&client));
        pair.heal();
        pair.assert_empty(client);
    }
}
