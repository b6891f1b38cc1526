//! What is left of a connection's speed on a network that loses and reorders.

use tas::nic::sim::Path;
use tas::sim::HostConf;
use tas::types::Micros;

use crate::link::Link;
use crate::rates::measure;

/// How the rate is controlled.
const ALGORITHMS: [&str; 4] = [
    "--cc=dctcp-rate",
    "--cc=dctcp-win",
    "--cc=timely",
    "--cc-const-rate=500000",
];

/// Bytes per second that arrive over this path, in Mbit/s.
fn goodput(cc: &str, path: Path, seed: u64) -> f64 {
    let conf = |conf: HostConf| {
        conf.with(cc)
            .with("--tcp-link-bw=1")
            .with("--tcp-rxbuf-len=4194304")
            .with("--tcp-txbuf-len=4194304")
    };
    let mut link = Link::over(seed, conf, path);
    let rtt = path.delay.0 * 2;
    measure(&mut link, Micros(50_000.max(50 * rtt)));
    let span = Micros(400_000.max(200 * rtt));
    measure(&mut link, span) as f64 * 8.0 / span.0 as f64
}

/// The paths that `make bench-loss` measures: 100 Mbit/s, and a queue of a round trip.
fn line(rtt_us: u64, loss: u32, reorder: u32) -> Path {
    Path {
        delay: Micros(rtt_us / 2),
        rate_kbps: 100_000,
        queue: u32::try_from(rtt_us * 100 / 8).unwrap().max(75_000),
        loss,
        reorder,
        reorder_by: Micros(rtt_us / 4),
        ..Path::default()
    }
}

/// A gigabit, with half a round trip of lateness.
fn fast_line(rtt_us: u64, loss: u32, reorder: u32) -> Path {
    Path {
        rate_kbps: 1_000_000,
        queue: 400_000,
        ..line(rtt_us, loss, reorder)
    }
}

/// A round trip of a millisecond, at a gigabit.
fn path(loss: u32, reorder: u32) -> Path {
    Path {
        reorder_by: Micros(250),
        ..fast_line(1_000, loss, reorder)
    }
}

/// Several losses in each window are repaired in a round trip, so that the rate is kept.
#[test]
fn losses_cost_little_more_than_what_is_lost() {
    for (loss, least) in [(10, 480.0), (50, 400.0)] {
        let got = goodput("--cc-const-rate=500000", path(loss, 0), 1);
        assert!(got >= least, "{loss} of a thousand lost: {got:.0} Mbit/s");
    }
}

/// What only comes late is not taken for lost: no rate is reduced for it.
#[test]
fn reordering_costs_nothing() {
    for (cc, least) in [
        ("--cc-const-rate=500000", 490.0),
        ("--cc=dctcp-rate", 600.0),
    ] {
        let got = goodput(cc, path(0, 50), 1);
        assert!(got >= least, "{cc}: {got:.0} Mbit/s");
    }
}

/// At least so many Mbit/s arrive.
fn assert_goodput(cc: &str, path: Path, least: f64) {
    let got = goodput(cc, path, 0);
    let Path { delay, loss, .. } = path;
    assert!(
        got >= least,
        "{cc}, {delay:?} one way, {loss} of a thousand lost: {got:.1} Mbit/s"
    );
}

/// Where nothing marks, a full queue is what tells; the wire does not run dry for it.
#[test]
fn a_wire_that_does_not_mark_is_used() {
    for rtt in [200, 1_000, 10_000] {
        assert_goodput("--cc=dctcp-rate", line(rtt, 0, 0), 85.0);
    }
}

/// Slow start ends far beyond what the network takes, with more losses than can be remembered.
#[test]
fn a_large_overshoot_is_repaired() {
    assert_goodput("--cc=dctcp-rate", fast_line(10_000, 0, 0), 600.0);
}

/// One percent of loss leaves conventional congestion control a window of 12 segments (Mathis et
/// al., 1997): here 700 and 140 Mbit/s at a gigabit.
#[test]
fn losses_cost_what_they_cost_others() {
    assert_goodput("--cc=dctcp-rate", line(200, 10, 0), 80.0);
    assert_goodput("--cc=dctcp-rate", line(1_000, 10, 0), 75.0);
    assert_goodput("--cc=dctcp-rate", fast_line(200, 10, 0), 350.0);
    assert_goodput("--cc=dctcp-rate", fast_line(1_000, 10, 0), 112.0);
    assert_goodput("--cc=dctcp-win", fast_line(1_000, 10, 0), 112.0);
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    for path_of in [line, fast_line] {
        for rtt in [100, 200, 1_000, 10_000, 50_000] {
            for (loss, reorder) in [(0, 0), (1, 0), (10, 0), (50, 0), (0, 10), (0, 50)] {
                let path = path_of(rtt, loss, reorder);
                let figures: Vec<String> = ALGORITHMS
                    .iter()
                    .map(|cc| {
                        let sum: f64 = (0..3).map(|seed| goodput(cc, path, seed)).sum();
                        format!("{:6.1}", sum / 3.0)
                    })
                    .collect();
                println!(
                    "{} Mbit/s, {rtt:5} us, {loss:2}/1000 lost, {reorder:2}/1000 late: {}",
                    path.rate_kbps / 1000,
                    figures.join(" ")
                );
            }
        }
    }
}
