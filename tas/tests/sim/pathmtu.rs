//! Paths with a smaller MTU than the ports, and routers that say so, or do not.

use tas::nic::sim::{Path, Seen, TooLarge};
use tas::sim::{HostConf, Step};
use tas::types::Micros;
use tas_wire::{Packet, TcpFlags, Verify, parse_with};

use crate::link::Link;
use crate::{Pair, seeds};

/// A link of two hosts with these MTUs and a narrower one between them.
fn through(mtu: u16, path: Path) -> Link {
    let mut link = Link::new(1, |conf: HostConf| {
        let mut conf = large_buffers(conf);
        conf.port.mtu = mtu;
        conf
    });
    narrow(&mut link, path);
    link.world.network.record();
    link
}

fn large_buffers(conf: HostConf) -> HostConf {
    conf.with("--tcp-rxbuf-len=131072")
        .with("--tcp-txbuf-len=131072")
}

fn narrow(link: &mut Link, path: Path) {
    for host in [link.a.host, link.b.host] {
        let port = link.world.host(host).port();
        link.world.network.set_path(port, path);
    }
}

fn at_1000(too_large: TooLarge) -> Path {
    Path {
        delay: Micros(50),
        mtu: 1000,
        too_large,
        ..Path::default()
    }
}

/// The first end sends `len` bytes, which arrive.
fn transfer(link: &mut Link, len: usize) {
    let (a, b) = (&mut link.a, &mut link.b);
    let (mut sent, mut got) = (0, 0);
    let done = link.world.run(Micros::from_millis(120_000), |_, _| {
        let mut worked = a.poll() | b.poll();
        let more = a.send(&vec![7; len - sent]);
        let came = b.receive().len();
        sent += more;
        got += came;
        worked |= more + came > 0;
        match (got == len, worked) {
            (true, _) => Step::Done,
            (_, true) => Step::Worked,
            _ => Step::Idle,
        }
    });
    assert!(done, "{got} of {len} bytes");
}

/// What was sent since this was asked the last time.
fn seen(link: &mut Link) -> Vec<Seen> {
    let seen = link.world.network.seen();
    link.world.network.record();
    seen
}

/// Bytes of data in the largest segment that this host sent.
fn largest(link: &mut Link) -> usize {
    let sent = seen(link);
    let sizes = sent
        .iter()
        .filter_map(|seen| match parse_with(&seen.frame, Verify::NONE) {
            Ok(Packet::Tcp(packet)) => Some(packet.payload.len()),
            _ => None,
        });
    sizes.max().unwrap_or(0)
}

fn count(link: &mut Link, name: &str) -> u64 {
    let host = link.world.host(link.a.host);
    let counters = host.counters();
    let each = counters.iter().flat_map(|core| core.each());
    each.filter(|(of, _)| *of == name).map(|(_, n)| n).sum()
}

#[test]
fn a_router_is_heard_at_once_rfc1191() {
    for mtu in [1500, 9000] {
        let mut link = through(mtu, at_1000(TooLarge::Told));
        transfer(&mut link, 1_000_000);
        assert_eq!(count(&mut link, "path_mtu_lowered"), 1);
        assert_eq!(count(&mut link, "timeouts"), 0);
        assert_eq!(count(&mut link, "recoveries"), 0);
        // With 12 bytes of options, the packets fit exactly.
        seen(&mut link);
        transfer(&mut link, 100_000);
        assert_eq!(largest(&mut link), 1000 - 52);
    }
}

#[test]
fn the_next_connection_begins_with_it() {
    let mut link = through(1500, at_1000(TooLarge::Told));
    transfer(&mut link, 100_000);
    let listener = link.b.app.listen(0, 99, 4);
    let accepted = link.b.app.accept(0, listener);
    let opened = link.a.app.open(0, crate::SERVER.into(), 99);
    link.run(10);
    seen(&mut link);
    (link.a.conn, link.b.conn) = (opened, accepted);
    transfer(&mut link, 100_000);
    assert_eq!(largest(&mut link), 1000 - 52);
    assert_eq!(count(&mut link, "path_mtu_lowered"), 1);
}

#[test]
fn it_grows_again_after_ten_minutes_rfc1191_6_3() {
    let mut link = through(1500, at_1000(TooLarge::Told));
    transfer(&mut link, 100_000);
    narrow(&mut link, Path::default());
    link.run(610_000);
    transfer(&mut link, 100_000);
    seen(&mut link);
    transfer(&mut link, 100_000);
    assert_eq!(largest(&mut link), 1500 - 52);
}

/// RFC 2923 §2.1: the path swallows what is too large.
#[test]
fn a_black_hole_is_found() {
    for mtu in [1500, 9000] {
        for limit in [1100, 600] {
            let path = Path {
                mtu: limit,
                ..at_1000(TooLarge::Lost)
            };
            let mut link = through(mtu, path);
            transfer(&mut link, 1_000_000);
            assert!(count(&mut link, "black_holes") > 0);
            assert_eq!(count(&mut link, "path_mtu_lowered"), 0);
        }
    }
}

/// Connections of all kinds, whose hosts both meet the narrow link while the network loses and
/// reorders; reports of routers get lost too.
#[test]
fn transfers_complete_whatever_the_path() {
    for seed in seeds(12) {
        let too_large = match seed % 3 {
            0 => TooLarge::Lost,
            _ => TooLarge::Told,
        };
        let sack = seed % 2 == 0;
        let mut pair = Pair::new(seed, |mut conf| {
            conf.port.mtu = if sack { 1500 } else { 9000 };
            large_buffers(conf)
        });
        pair.set_paths(Path {
            delay: Micros(20),
            loss: 10,
            reorder: 10,
            reorder_by: Micros(100),
            mtu: 600 + (seed as u16 * 97) % 800,
            too_large,
            ..Path::default()
        });
        let mut client = pair.client(8, seed);
        let done = pair.run(&mut client, Micros::from_millis(600_000));
        assert!(done, "seed {seed}\n{}", pair.describe(&client));
        pair.heal();
        pair.assert_empty(client);
    }
}

/// No segment may be fragmented on the way (RFC 1191 §3).
#[test]
fn every_packet_says_dont_fragment() {
    let mut link = through(1500, at_1000(TooLarge::Told));
    transfer(&mut link, 100_000);
    let sent = seen(&mut link);
    let tcp = sent.iter().filter(|seen| {
        matches!(parse_with(&seen.frame, Verify::NONE), Ok(Packet::Tcp(packet))
            if !packet.tcp.flags.contains(TcpFlags::RST))
    });
    let flags: Vec<u8> = tcp.map(|seen| seen.frame[14 + 6]).collect();
    assert!(flags.len() > 100 && flags.iter().all(|flags| *flags == 0x40));
}
