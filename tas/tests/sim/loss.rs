//! What is left of a connection's speed on a network that loses and reorders.

use tas::nic::sim::Path;
use tas::sim::HostConf;
use tas::types::Micros;

use crate::link::Link;
use crate::rates::{buffers, measure, wire};

/// How the rate is controlled.
const ALGORITHMS: [&str; 4] = [
    "--cc=dctcp-rate",
    "--cc=dctcp-win",
    "--cc=timely",
    "--cc-const-rate=500000",
];

/// Bytes per second that arrive over this path, in Mbit/s.
fn goodput(cc: &str, path: Path, seed: u64) -> f64 {
    let conf = |conf: HostConf| buffers(conf.with(cc).with("--tcp-link-bw=1"));
    let mut link = Link::new(seed, conf);
    wire(&mut link, path);
    let rtt = path.delay.0 * 2;
    measure(&mut link, Micros(50_000.max(50 * rtt)));
    let span = Micros(400_000.max(200 * rtt));
    measure(&mut link, span) as f64 * 8.0 / span.0 as f64
}

/// A round trip of a millisecond, at a gigabit.
fn path(loss: u32, reorder: u32) -> Path {
    Path {
        delay: Micros(500),
        rate_kbps: 1_000_000,
        queue: 400_000,
        loss,
        reorder,
        reorder_by: Micros(250),
        ..Path::default()
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

#[test]
#[ignore = "prints figures"]
fn figures() {
    for delay in [50, 500, 5_000] {
        for (loss, reorder) in [(0, 0), (1, 0), (10, 0), (50, 0), (0, 50)] {
            let path = Path {
                delay: Micros(delay),
                rate_kbps: 1_000_000,
                queue: 400_000,
                loss,
                reorder,
                reorder_by: Micros(delay / 2),
                ..Path::default()
            };
            let figures: Vec<String> = ALGORITHMS
                .iter()
                .map(|cc| {
                    let sum: f64 = (0..3).map(|seed| goodput(cc, path, seed)).sum();
                    format!("{cc} {:.1}", sum / 3.0)
                })
                .collect();
            println!(
                "delay {delay} us, loss {loss}/1000, reorder {reorder}/1000: {}",
                figures.join(", ")
            );
        }
    }
}
