//! How fast flows send.

use tas::nic::sim::Path;
use tas::sim::{HostConf, Stream};
use tas::types::Micros;

use crate::link::Link;

/// Bytes that arrive at `b` in `span`, when `a` always has more.
pub fn measure(link: &mut Link, span: Micros) -> u64 {
    let mut received = 0;
    let mut stream = Stream::new(1);
    link.run_until(span, |link| {
        received += link.b.receive().len() as u64;
        let bytes = stream.peek(link.a.state().writable as usize);
        let sent = link.a.send(&bytes);
        stream.advance(sent);
        false
    });
    received
}

pub fn buffers(conf: HostConf) -> HostConf {
    conf.with("--tcp-rxbuf-len=262144")
        .with("--tcp-txbuf-len=262144")
}

pub fn wire(link: &mut Link, path: Path) {
    for host in [link.a.host, link.b.host] {
        let port = link.world.host(host).port();
        link.world.network.set_path(port, path);
    }
}

#[test]
fn a_constant_rate_is_kept() {
    for (kbps, tick) in [(1_000, 1), (50_000, 1), (1_000_000, 1), (400_000, 7)] {
        let mut link = Link::new(1, |conf| {
            buffers(conf.with(format!("--cc-const-rate={kbps}")))
        });
        link.world.tick = Micros(tick);
        let delay = Path {
            delay: Micros(20),
            ..Path::default()
        };
        wire(&mut link, delay);
        measure(&mut link, Micros::from_millis(20));
        let span = Micros::from_millis(if kbps < 10_000 { 2000 } else { 200 });
        let received = measure(&mut link, span);
        let expected = kbps * span.0 / 8000;
        let off = received.abs_diff(expected) * 1000 / expected;
        assert!(
            off <= 20,
            "{kbps} kbit/s: {received} bytes instead of {expected}"
        );
    }
}

#[test]
fn dctcp_uses_a_bottleneck() {
    for cc in ["dctcp-rate", "dctcp-win"] {
        let mut link = Link::new(1, |conf| {
            let conf = conf.with(format!("--cc={cc}")).with("--tcp-link-bw=1");
            buffers(conf)
        });
        let path = Path {
            delay: Micros(25),
            rate_kbps: 500_000,
            queue: 300_000,
            mark_above: 30_000,
            ..Path::default()
        };
        wire(&mut link, path);
        measure(&mut link, Micros::from_millis(500));
        let span = Micros::from_millis(500);
        let received = measure(&mut link, span);
        let used = received * 8000 / span.0 / 5000;
        assert!(used >= 50, "{cc}: {used} % of the wire used");
    }
}

/// TIMELY goes by round-trip times: those of a slow flow must not be the peer's delayed ACKs.
#[test]
fn timely_uses_a_bottleneck() {
    let mut link = Link::new(1, |conf| buffers(conf.with("--cc=timely")));
    let path = Path {
        delay: Micros(10),
        rate_kbps: 500_000,
        queue: 300_000,
        ..Path::default()
    };
    wire(&mut link, path);
    measure(&mut link, Micros::from_millis(500));
    let span = Micros::from_millis(500);
    let received = measure(&mut link, span);
    let used = received * 8000 / span.0 / 5000;
    assert!(used >= 55, "{used} % of the wire used");
}

/// Flows take turns: none starves beside many others.
#[test]
fn flows_share_a_core() {
    let mut pair = crate::Pair::new(1, |conf| conf);
    let path = Path {
        delay: Micros(10),
        ..Path::default()
    };
    pair.set_paths(path);
    let mut client = pair.client(64, 1);
    client.sizes = (1 << 30, 1 << 30);
    pair.run(&mut client, Micros::from_millis(30));
    let received: Vec<u64> = client.received();
    assert_eq!(received.len(), 64);
    let (least, most) = (received.iter().min(), received.iter().max());
    let (least, most) = (least.unwrap(), most.unwrap());
    assert!(most / 3 < *least, "between {least} and {most} bytes");
}
