//! What is left of a connection's speed on a network that loses and reorders.

use tas::nic::sim::Path;
use tas::sim::HostConf;
use tas::types::Micros;

use crate::link::Link;
use crate::rates::{buffers, measure, wire};

/// Bytes per second that arrive over this path, in Mbit/s.
fn goodput(cc: &str, path: Path, seed: u64) -> f64 {
    let conf = |conf: HostConf| buffers(conf.with(format!("--cc={cc}")).with("--tcp-link-bw=1"));
    let mut link = Link::new(seed, conf);
    wire(&mut link, path);
    let rtt = path.delay.0 * 2;
    measure(&mut link, Micros(50_000.max(50 * rtt)));
    let span = Micros(400_000.max(200 * rtt));
    measure(&mut link, span) as f64 * 8.0 / span.0 as f64
}

#[test]
#[ignore = "prints figures"]
fn print() {
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
            let figures: Vec<String> = ["dctcp-rate", "dctcp-win", "timely"]
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
