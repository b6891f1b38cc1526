//! The charts of `doc/congestion.md`: rates and queues over time, from the simulation.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tas::sim::{Bottleneck, BottleneckConf, Sight};
use tas::types::Micros;

use crate::chart::{Axis, Series, lines};

/// Time between two looks at the queue.
const LOOK: Micros = Micros(20);
/// Points of a curve.
const POINTS: usize = 250;
/// 20 full frames, and the 65 that RFC 8257 §4.1 names for 10 Gbit/s.
const MARK_1G: u32 = 20 * 1514;
const MARK_10G: u32 = 65 * 1514;

/// Two flows of which the second begins later.
struct Case {
    cc: &'static str,
    conf: BottleneckConf,
    /// When the second begins, and how long both are looked at, milliseconds.
    second: u64,
    span: u64,
}

fn cases() -> Vec<Case> {
    let delay = Micros(10);
    let slow = |cc| BottleneckConf::new(cc, 1_000_000, 1_000_000, MARK_1G, delay);
    let fast = |cc| BottleneckConf::new(cc, 10_000_000, 1_000_000, MARK_10G, delay);
    let case = |cc, conf, second, span| Case {
        cc,
        conf,
        second,
        span,
    };
    vec![
        case("dctcp-rate", slow("dctcp-rate"), 100, 500),
        case("dctcp-win", fast("dctcp-win"), 50, 250),
        case("timely", fast("timely"), 50, 250),
        case(
            "const-rate",
            slow("const-rate").with("--cc-const-rate=300000"),
            100,
            250,
        ),
    ]
}

/// Runs the simulations and writes the charts into the documentation in `doc`.
pub fn draw(doc: &Path) -> Result<()> {
    let charts = doc.join("congestion");
    fs::create_dir_all(&charts).with_context(|| format!("cannot make {}", charts.display()))?;
    for case in cases() {
        let seen = watch(&case)?;
        let files = [
            ("rate", rates(&case, &seen)),
            ("queue", queue(&case, &seen)),
        ];
        for (what, svg) in files {
            let path = charts.join(format!("{}-{what}.svg", case.cc));
            fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn watch(case: &Case) -> Result<Vec<Sight>> {
    let mut bottleneck = Bottleneck::new(&case.conf)?;
    bottleneck.start(0);
    let mut seen = bottleneck.run(Micros::from_millis(case.second), LOOK);
    bottleneck.start(1);
    let rest = case.span - case.second;
    seen.extend(bottleneck.run(Micros::from_millis(rest), LOOK));
    Ok(seen)
}

fn describe(case: &Case) -> String {
    let gbps = case.conf.wire.rate_kbps / 1_000_000;
    format!("{}, two flows at {gbps} Gbit/s", case.cc)
}

/// Milliseconds since the first look.
fn ms(seen: &[Sight], sight: &Sight) -> f64 {
    let first = seen.first().map_or(sight.at, |first| first.at);
    sight.at.since(first).0 as f64 / 1000.0
}

/// Looks of which each chunk makes a point.
fn chunks(seen: &[Sight]) -> impl Iterator<Item = (&Sight, &[Sight])> {
    let len = (seen.len() / POINTS).max(2);
    seen.chunks_exact(len)
        .filter_map(|chunk| Some((chunk.last()?, chunk)))
}

fn rates(case: &Case, seen: &[Sight]) -> String {
    let top = f64::from(case.conf.wire.rate_kbps) / 1000.0;
    let flow = |index: usize| {
        let mut before = seen.first();
        let mut points = Vec::new();
        for (sight, _) in chunks(seen) {
            let of = |sight: &Sight| sight.acked.get(index).copied().unwrap_or(0);
            if let Some(before) = before.filter(|before| before.at < sight.at) {
                let bits = (of(sight).saturating_sub(of(before)) * 8) as f64;
                points.push((ms(seen, sight), bits / sight.at.since(before.at).0 as f64));
            }
            before = Some(sight);
        }
        Series::line(&format!("flow {}", index + 1), index, points)
    };
    let title = format!("{}: data rates in Mbit/s", describe(case));
    let y = Axis::even("", top * 1.2, 6);
    lines(&title, &time(case), &y, &[flow(0), flow(1)])
}

fn queue(case: &Case, seen: &[Sight]) -> String {
    let kilobytes = |bytes: u64| bytes as f64 / 1000.0;
    let mut least = Vec::new();
    let mut most = Vec::new();
    for (sight, chunk) in chunks(seen) {
        let at = ms(seen, sight);
        let waiting = || chunk.iter().map(|sight| sight.wire.waiting);
        least.push((at, kilobytes(waiting().min().unwrap_or(0))));
        most.push((at, kilobytes(waiting().max().unwrap_or(0))));
    }
    let mark = kilobytes(case.conf.wire.mark_above.into());
    let top = mark * 2.0;
    let end = case.span as f64;
    let series = [
        Series::line("longest", 0, most),
        Series::line("shortest", 2, least),
        Series {
            dashed: true,
            ..Series::line("threshold", 1, vec![(0.0, mark), (end, mark)])
        },
    ];
    let title = format!("{}: queue in kB", describe(case));
    lines(&title, &time(case), &Axis::even("", top, 4), &series)
}

fn time(case: &Case) -> Axis {
    Axis::even("ms", case.span as f64, 5)
}
