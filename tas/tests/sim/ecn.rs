//! Paths that are hostile to ECN (RFC 3168 §6.1.1.1), and those that are not.

use tas::nic::sim::{EcnPath, Path};
use tas::types::Micros;
use tas_wire::{Ecn, Packet, TcpFlags, Verify, parse_with};

use crate::Pair;

/// What hosts with DCTCP do on such a path: SYNs with and without ECN, and data with ECT.
fn traffic(ecn: EcnPath) -> (usize, usize, usize) {
    let mut pair = Pair::new(1, |conf| conf.with("--cc=dctcp-rate"));
    pair.set_paths(Path {
        delay: Micros(20),
        ecn,
        ..Path::default()
    });
    pair.world.network.record();
    let mut client = pair.client(4, 1);
    let done = pair.run(&mut client, Micros::from_millis(60_000));
    assert!(done, "{ecn:?}\n{}", pair.describe(&client));
    let (mut asking, mut plain, mut capable) = (0, 0, 0);
    for seen in pair.world.network.seen() {
        if let Ok(Packet::Tcp(packet)) = parse_with(&seen.frame, Verify::NONE) {
            let flags = packet.tcp.flags;
            let opens = flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK);
            asking += usize::from(opens && flags.contains(TcpFlags::ECE));
            plain += usize::from(opens && !flags.contains(TcpFlags::ECE));
            capable += usize::from(packet.ecn == Ecn::Ect0);
            let bare = packet.payload.is_empty();
            assert!(packet.ecn == Ecn::NotEct || !bare, "ACKs are not ECT");
        }
    }
    pair.heal();
    pair.assert_empty(client);
    (asking, plain, capable)
}

#[test]
fn ecn_is_used_where_it_gets_through() {
    let (asking, plain, capable) = traffic(EcnPath::Kept);
    assert!(asking > 0 && plain == 0 && capable > 0);
}

#[test]
fn connections_open_where_syns_that_ask_for_it_are_lost() {
    let (asking, plain, capable) = traffic(EcnPath::SynsLost);
    assert!(asking == 3 * plain && plain > 0 && capable == 0);
}

#[test]
fn transfers_complete_where_marks_are_cleared() {
    let (asking, _, capable) = traffic(EcnPath::Cleared);
    assert!(asking > 0 && capable > 0);
}
