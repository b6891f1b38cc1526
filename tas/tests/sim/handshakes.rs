//! Handshakes with a peer that does as it is told.

use tas::sim::Event;
use tas::types::Micros;
use tas_wire::{SegmentFields, SeqNum, TcpFlags, Timestamps, WindowScale};

use crate::PORT;
use crate::station::{MSS, STATION, STATION_PORT, Segment, Station, blocks, syn, to_listener};

const ETIMEDOUT: i32 = -110;
const SYN_ACK: TcpFlags = TcpFlags::SYN.union(TcpFlags::ACK);

/// The service's answer to a SYN, which the station then takes back.
fn first_number(station: &mut Station, port: u16) -> Segment {
    let tuple = to_listener(port);
    station.say(&tuple, &syn(), &[]);
    station.run(50);
    let answer = station.heard_one();
    assert_eq!(answer.flags, SYN_ACK);
    let rst = SegmentFields {
        seq: answer.ack,
        flags: TcpFlags::RST,
        ..SegmentFields::default()
    };
    station.say(&tuple, &rst, &[]);
    station.run(50);
    answer
}

fn listening(half_open: Option<usize>) -> Station {
    let mut station = Station::new(|mut conf| {
        conf.half_open = half_open;
        conf.with("--tcp-handshake-timeout=10000")
            .with("--tcp-handshake-retries=3")
    });
    station.app.listen(0, PORT, 8);
    station.run(100);
    station.frames();
    station
}

/// RFC 6528 §3: those of one four-tuple follow a clock of 4 µs, others say nothing about them.
#[test]
fn initial_sequence_numbers_rfc6528() {
    let mut station = listening(None);
    let first = first_number(&mut station, STATION_PORT);
    station.run(400_000);
    let second = first_number(&mut station, STATION_PORT);
    let ticks = (second.at.0 - first.at.0) / 4;
    let advanced = u64::from(second.seq.since(first.seq));
    assert!(ticks.abs_diff(advanced) <= 1, "{advanced} in {ticks} ticks");
    for port in 1..50 {
        let other = first_number(&mut station, STATION_PORT + port);
        let distance = other.seq.since(first.seq);
        let near = distance.min(distance.wrapping_neg());
        assert!(near > 1_000_000, "port {port}: {near} from the first");
    }
}

/// A SYN with all options.
fn full_syn(seq: u32) -> SegmentFields<'static> {
    SegmentFields {
        seq: SeqNum(seq),
        window_scale: Some(WindowScale::new(7)),
        sack_permitted: true,
        timestamps: Some(Timestamps { val: 1, ecr: 0 }),
        ..syn()
    }
}

/// The ACK of a SYN-ACK.
fn answer_to(syn_ack: &Segment) -> SegmentFields<'static> {
    SegmentFields {
        seq: syn_ack.ack,
        ack: syn_ack.seq + 1,
        flags: TcpFlags::ACK,
        window: 500,
        timestamps: syn_ack.options.timestamps.map(|ts| Timestamps {
            val: 2,
            ecr: ts.val,
        }),
        ..SegmentFields::default()
    }
}

/// Too many half-open connections, so that the service answers the SYN by a cookie.
fn cookie(station: &mut Station, port: u16) -> Segment {
    for other in 1..3 {
        station.say(&to_listener(port + other), &syn(), &[]);
        station.run(50);
        station.heard_one();
    }
    station.say(&to_listener(port), &full_syn(77), &[]);
    station.run(50);
    let syn_ack = station.heard_one();
    assert_eq!((syn_ack.flags, syn_ack.ack), (SYN_ACK, SeqNum(78)));
    let counts = station.world.host(station.host).counts();
    assert_eq!(counts.opening, 2);
    syn_ack
}

/// RFC 4987 §3.6: the peer's options are as if they had been remembered.
#[test]
fn a_cookie_becomes_a_connection() {
    let mut station = listening(Some(2));
    let tuple = to_listener(STATION_PORT);
    let syn_ack = cookie(&mut station, STATION_PORT);
    // Its number is wrong: somebody guesses.
    let mut guess = answer_to(&syn_ack);
    guess.ack += 1;
    station.say(&tuple, &guess, &[]);
    station.run(50);
    assert!(station.heard_one().flags.contains(TcpFlags::RST));
    let ack = answer_to(&syn_ack);
    station.say(&tuple, &ack, b"hello");
    station.run(50);
    let counts = station.world.host(station.host).counts();
    assert_eq!((counts.cookies_accepted, counts.cookies_bad), (1, 1));
    let listener = station.events.iter().find_map(|event| match event {
        Event::Newconn(listener) => Some(*listener),
        _ => None,
    });
    let conn = station.app.accept(0, listener.expect("a connection waits"));
    station.run(50);
    assert_eq!(station.app.receive(conn, 100), b"hello");
    station.frames();
    // The largest that a cookie can name, of those that are not above the peer's; and 500 << 7
    // bytes of window.
    assert_eq!(station.app.send(conn, &[7; 8000]), 8000);
    station.run(50);
    let sizes: Vec<u32> = station.heard().iter().map(|segment| segment.len).collect();
    assert_eq!(sizes.iter().max(), Some(&(536 - 12)), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<u32>(), 8000);
    let later = SegmentFields {
        seq: ack.seq + 5 + 10,
        ..ack
    };
    station.say(&tuple, &later, b"later");
    station.run(50);
    let sack = station.heard_one().options.sack;
    assert_eq!(blocks(&sack, ack.seq + 5), [(10, 15)]);
}

#[test]
fn an_old_cookie_is_none() {
    let mut station = listening(Some(2));
    let old = cookie(&mut station, STATION_PORT);
    station.run(200_000_000);
    station.frames();
    // There are newer ones, so that it is looked at.
    let new = cookie(&mut station, STATION_PORT + 10);
    station.say(&to_listener(STATION_PORT), &answer_to(&old), b"hello");
    station.run(50);
    assert!(station.heard_one().flags.contains(TcpFlags::RST));
    station.say(&to_listener(STATION_PORT + 10), &answer_to(&new), &[]);
    station.run(50);
    let counts = station.world.host(station.host).counts();
    assert_eq!((counts.cookies_sent, counts.cookies_bad), (2, 1));
    assert_eq!((counts.cookies_accepted, counts.connections), (1, 1));
}

/// RFC 9293 §3.5, figure 7.
#[test]
fn both_open_at_once() {
    let mut station = Station::new(|conf| conf);
    station.frames();
    let conn = station.app.open(0, STATION, PORT);
    station.run(100);
    let theirs = station.heard_one();
    assert_eq!(theirs.flags.without(TcpFlags::ECE), TcpFlags::SYN);
    station.say(&theirs.tuple, &syn(), &[]);
    station.run(100);
    let answer = station.heard_one();
    assert_eq!(answer.flags, SYN_ACK);
    assert_eq!((answer.seq, answer.ack), (theirs.seq, syn().seq + 1));
    assert!(station.events.is_empty(), "{:?}", station.events);
    let ours = SegmentFields {
        ack: theirs.seq + 1,
        flags: SYN_ACK,
        ..syn()
    };
    station.say(&theirs.tuple, &ours, &[]);
    station.run(100);
    assert_eq!(station.events, [Event::Opened(conn)]);
    station.frames();
    // Data both ways.
    let data = SegmentFields {
        seq: answer.ack,
        flags: TcpFlags::ACK,
        mss: None,
        ..ours
    };
    station.say(&theirs.tuple, &data, b"ping");
    station.run(100);
    assert_eq!(station.app.receive(conn, 100), b"ping");
    assert_eq!(station.app.send(conn, b"pong"), 4);
    station.run(100);
    let last = station.heard().pop().expect("it answers");
    assert_eq!((last.seq, last.len), (theirs.seq + 1, 4));
    assert_eq!(last.ack, answer.ack + 4);
}

/// The same segment again and again, each time after twice as long, the first time after 10 ms
/// with 50 % of randomness either way.
fn assert_backs_off(sent: &[Segment], times: usize) -> Micros {
    assert_eq!(sent.len(), times, "{sent:?}");
    assert!(sent.iter().all(|segment| segment.seq == sent[0].seq));
    assert!(sent.iter().all(|segment| segment.flags == sent[0].flags));
    let waits: Vec<u64> = sent
        .windows(2)
        .map(|pair| pair[1].at.0 - pair[0].at.0)
        .collect();
    assert!((5_000..15_100).contains(&waits[0]), "{waits:?}");
    for pair in waits.windows(2) {
        assert!(pair[1].abs_diff(2 * pair[0]) < 100, "{waits:?}");
    }
    Micros(2 * waits[waits.len() - 1])
}

#[test]
fn an_open_backs_off_and_gives_up() {
    let mut station = Station::new(|conf| {
        conf.with("--tcp-handshake-timeout=10000")
            .with("--tcp-handshake-retries=3")
    });
    station.frames();
    let conn = station.app.open(0, STATION, PORT);
    let begun = station.world.now();
    while station.events.is_empty() && station.world.now() < begun + Micros(1_000_000) {
        station.run(100);
    }
    assert_eq!(station.events, [Event::OpenFailed(conn, ETIMEDOUT)]);
    let sent = station.heard();
    let last_wait = assert_backs_off(&sent, 4);
    let waited = station.world.now().0 - sent[3].at.0;
    assert!(waited.abs_diff(last_wait.0) < 300, "{waited} us");
    // It is forgotten, and an answer that comes now is refused.
    let late = SegmentFields {
        ack: sent[0].seq + 1,
        flags: SYN_ACK,
        ..syn()
    };
    station.say(&sent[0].tuple, &late, &[]);
    station.run(1_000_000);
    assert_eq!(station.heard_one().flags, TcpFlags::RST);
    station.world.host(station.host).check_empty().unwrap();
}

#[test]
fn an_answer_backs_off_and_gives_up() {
    let mut station = listening(None);
    station.say(&to_listener(STATION_PORT), &syn(), &[]);
    station.run(50);
    let opening = |station: &mut Station| station.world.host(station.host).counts().opening;
    assert_eq!(opening(&mut station), 1);
    station.run(1_000_000);
    let sent = station.heard();
    let answers: Vec<Segment> = sent
        .into_iter()
        .filter(|segment| segment.flags == SYN_ACK)
        .collect();
    assert_backs_off(&answers, 4);
    assert!(answers[0].options.mss.is_some_and(|mss| mss > MSS));
    assert_eq!(opening(&mut station), 0);
    let nothing = station.events.iter();
    assert_eq!(
        nothing
            .filter(|event| matches!(event, Event::Newconn(_)))
            .count(),
        0
    );
}
