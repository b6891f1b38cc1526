//! What a connection sends, and when, to a peer that does as it is told: retransmissions, with
//! and without SACK, and acknowledgments.

use tas::nic::sim::RxChecks;

use crate::station::Talk;

/// RFC 8985 §7.3: only the last segment is sent again, and its acknowledgment ends the matter.
#[test]
fn a_lost_tail_is_probed_rfc8985_7() {
    let mut talk = Talk::new(true);
    talk.write(10);
    assert_eq!(talk.segments(), (0..10).collect::<Vec<_>>());
    talk.acknowledge(9, &[]);
    talk.station.run(1_800);
    assert_eq!(talk.segments(), [9]);
    assert_eq!(talk.station.counted("tail_probes"), 1);
    talk.acknowledge(10, &[]);
    talk.station.run(1_000_000);
    assert_eq!(talk.segments(), []);
    assert!(talk.station.app.conn(talk.conn).unwrap().all_acknowledged());
    assert_eq!(talk.station.counted("timeouts"), 0);
}

/// What the probe's acknowledgment reports as missing is sent again, and nothing else: one at first,
/// then for each ACK one more than has arrived (RFC 6937 §3.1).
#[test]
fn a_probe_finds_the_other_losses() {
    let mut talk = Talk::new(true);
    talk.write(10);
    talk.acknowledge(4, &[]);
    talk.segments();
    talk.station.run(1_800);
    assert_eq!(talk.segments(), [9]);
    // Segments 7 and 8 were late, 4 to 6 are lost.
    talk.acknowledge(4, &[(7, 10)]);
    assert_eq!(talk.segments(), [4]);
    talk.acknowledge(5, &[(7, 10)]);
    assert_eq!(talk.segments(), [5, 6]);
    talk.acknowledge(10, &[]);
    talk.station.run(1_000_000);
    assert_eq!(talk.segments(), []);
    assert_eq!(talk.station.counted("timeouts"), 0);
}

/// RFC 5681 §3.2, RFC 6582 §3.2: at the third duplicate, and each partial acknowledgment shows the
/// next hole.
#[test]
fn fast_retransmit_without_sack() {
    let mut talk = Talk::new(false);
    talk.write(10);
    talk.acknowledge(1, &[]);
    talk.segments();
    for _ in 0..2 {
        talk.acknowledge(1, &[]);
        assert_eq!(talk.segments(), []);
    }
    talk.acknowledge(1, &[]);
    assert_eq!(talk.segments(), [1]);
    // Those that follow are for the same loss.
    talk.acknowledge(1, &[]);
    assert_eq!(talk.segments(), []);
    talk.acknowledge(5, &[]);
    assert_eq!(talk.segments(), [5]);
    talk.acknowledge(10, &[]);
    talk.station.run(1_000_000);
    assert_eq!(talk.segments(), []);
    assert_eq!(talk.station.counted("recoveries"), 1);
    assert_eq!(talk.station.counted("timeouts"), 0);
}

/// RFC 3042: where too little is outstanding for three duplicates, new data brings them.
#[test]
fn limited_transmit_rfc3042() {
    let mut talk = Talk::new(false);
    talk.write(2);
    assert_eq!(talk.segments(), [0, 1]);
    // The first one is lost; each that follows is answered by a duplicate.
    talk.acknowledge(0, &[]);
    for next in 2..4 {
        talk.write(1);
        assert_eq!(talk.segments(), [next]);
        talk.acknowledge(0, &[]);
    }
    assert_eq!(talk.segments(), [0]);
    talk.acknowledge(4, &[]);
    talk.station.run(1_000_000);
    assert_eq!(talk.segments(), []);
    assert_eq!(talk.station.counted("recoveries"), 1);
    assert_eq!(talk.station.counted("timeouts"), 0);
}

/// RFC 1122 §4.2.3.4: Nagle's algorithm would hold back all but the first.
#[test]
fn small_writes_go_out_at_once() {
    let mut talk = Talk::new(true);
    talk.station.frames();
    for at in [0, 10, 20] {
        assert_eq!(talk.station.app.send(talk.conn, &[7; 10]), 10);
        talk.station.run(100);
        let heard = talk.station.heard_one();
        assert_eq!((heard.seq.since(talk.theirs), heard.len), (at, 10));
    }
}

/// RFC 1122 §4.2.3.2: one full segment may be followed by a second one, or by an answer.
#[test]
fn an_ack_waits_for_the_second_segment() {
    let mut talk = Talk::new(false);
    talk.station.frames();
    let sent = talk.station.world.now();
    talk.send(2);
    let acks = talk.acks();
    assert_eq!(acks.len(), 1, "{acks:?}");
    assert_eq!(acks[0].1, 2000);
    assert!(acks[0].0.0 - sent.0 <= 10, "at once: {acks:?}");
    // One alone is held back.
    let sent = talk.station.world.now();
    talk.send(1);
    talk.station.run(400);
    assert_eq!(talk.acks(), []);
    talk.station.run(200);
    let acks = talk.acks();
    assert_eq!(acks.len(), 1, "{acks:?}");
    assert_eq!(acks[0].1, 3000);
    let waited = acks[0].0.0 - sent.0;
    assert!((500..600).contains(&waited), "{waited} us");
    // That was for nothing, so the next is not.
    let sent = talk.station.world.now();
    talk.send(1);
    let acks = talk.acks();
    assert_eq!(acks.len(), 1, "{acks:?}");
    assert!(acks[0].0.0 - sent.0 <= 10, "at once: {acks:?}");
}

/// RFC 9293 §3.1: a wrong checksum; RFC 1122 §4.2.2.7. Neither what such a segment carries nor what
/// it acknowledges counts, and nobody answers.
#[test]
fn a_damaged_segment_changes_nothing() {
    let mut talk = Talk::new(false);
    talk.write(1);
    talk.station.frames();
    talk.acked = talk.theirs + 1000;
    let (tcp, data) = (34, 54);
    let port = tcp + 1;
    let (seq, ack, flags, window) = (tcp + 7, tcp + 11, tcp + 13, tcp + 15);
    let damaged = [port, seq, ack, flags, window, data, data + 500, data + 999];
    for byte in damaged {
        talk.send_damaged(byte);
        assert_eq!(talk.acks(), [], "byte {byte}");
    }
    let dropped = talk.station.counted("bad_tcp_checksum");
    assert_eq!(dropped, damaged.len() as u64);
    assert_eq!(talk.station.app.receive(talk.conn, 2000), []);
    let all_acknowledged =
        |talk: &Talk| talk.station.app.conn(talk.conn).unwrap().all_acknowledged();
    assert!(!all_acknowledged(&talk));
    // As if they had never been.
    talk.send(1);
    talk.station.run(1000);
    assert_eq!(talk.station.app.receive(talk.conn, 2000), [7; 1000]);
    assert!(all_acknowledged(&talk));
    assert_eq!(talk.station.heard_one().ack.since(talk.first), 1000);
}

/// RFC 1122 §3.2.1.2: a wrong checksum of the IPv4 header, whatever the port checks.
#[test]
fn a_damaged_header_drops_the_packet_on_every_port() {
    for checks in [RxChecks::None, RxChecks::Tcp, RxChecks::All] {
        let mut talk = Talk::on(false, |mut conf| {
            conf.port.rx_checks = checks;
            conf
        });
        let ip = 14;
        let (service, id, ttl, checksum) = (ip + 1, ip + 5, ip + 8, ip + 11);
        let damaged = [service, id, ttl, checksum];
        for byte in damaged {
            talk.send_damaged(byte);
        }
        assert_eq!(talk.station.app.receive(talk.conn, 2000), [], "{checks:?}");
        let dropped = talk.station.counted("bad_ip_checksum");
        assert_eq!(dropped, damaged.len() as u64, "{checks:?}");
        talk.send(1);
        let received = talk.station.app.receive(talk.conn, 2000);
        assert_eq!(received, [7; 1000], "{checks:?}");
    }
}

#[test]
fn an_answer_carries_the_ack() {
    let mut talk = Talk::new(false);
    talk.station.frames();
    talk.send(1);
    talk.write(1);
    talk.station.run(400);
    let heard = talk.station.heard_one();
    assert_eq!(heard.len, 1000);
    assert_eq!(heard.ack.since(talk.first), 1000);
    talk.acknowledge(1, &[]);
    talk.station.run(10_000);
    assert_eq!(talk.acks(), []);
}

/// RFC 5681 §4.2: at once whatever is out of order, and what fills a hole; a FIN too.
#[test]
fn acks_of_what_is_out_of_order_go_at_once() {
    let mut talk = Talk::new(false);
    talk.station.frames();
    let first = talk.first;
    let each = [
        (first + 1000, 0),
        (first + 3000, 0),
        (first + 4000, 0),
        (first, 2000),
        (first + 2000, 5000),
        // It came before.
        (first + 2000, 5000),
    ];
    for (seq, acknowledged) in each {
        let sent = talk.station.world.now();
        talk.send_at(seq);
        let acks = talk.acks();
        assert_eq!(acks.len(), 1, "{acks:?}");
        assert_eq!(acks[0].1, acknowledged);
        assert!(acks[0].0.0 - sent.0 <= 10, "at once: {acks:?}");
    }
    talk.next = first + 5000;
    talk.send_fin();
    let acks = talk.acks();
    assert_eq!(acks.len(), 1, "{acks:?}");
    assert_eq!(acks[0].1, 5001);
}
