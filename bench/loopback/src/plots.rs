//! The charts of `doc/performance.md`.

use crate::chart::{Axis, Bar, Scale, Series, bars, lines};
use crate::loopback::Echo;
use crate::plan::{Algorithm, BYTES, CONNECTIONS, PENDING, Table};
use crate::results::Results;
use crate::table::thousands;

/// File names, and what belongs into the files.
pub fn all(results: &Results) -> Vec<(&'static str, String)> {
    vec![
        ("original.svg", original(results)),
        (
            "requests.svg",
            by_connections(
                results,
                "Requests per second (dashed: 16 in flight on each connection)",
                &|run| run.requests_per_s,
                short,
            ),
        ),
        (
            "round-trips.svg",
            by_connections(
                results,
                "Median round trip in µs (dashed: 16 in flight on each connection)",
                &|run| run.p50_us,
                short,
            ),
        ),
    ]
}

/// Ours in units of the original's.
fn original(results: &Results) -> String {
    let rows = results
        .echo
        .iter()
        .filter(|row| row.cell.table == Table::Original);
    let rows: Vec<Bar> = rows
        .map(|row| {
            let load = row.cell.load;
            let cc = match row.cell.setup.cc {
                Algorithm::ConstRate => "",
                Algorithm::DctcpRate => ", dctcp-rate",
                Algorithm::DctcpWin => ", dctcp-win",
            };
            let requests = row.echo().map_or_else(
                || "not measured".to_owned(),
                |run| format!("{}/s", thousands(run.requests_per_s)),
            );
            let note = match row.ratio() {
                Some(ratio) => format!("{ratio:.2} × ({requests})"),
                None => format!("{requests}; original stalls"),
            };
            Bar {
                label: format!(
                    "{} bytes, {} × {}{cc}",
                    load.bytes, load.connections, load.pending
                ),
                value: row.ratio(),
                note,
            }
        })
        .collect();
    bars(
        "Requests per second, as multiples of the original's (bytes, connections × in flight)",
        &[(1.0, "original"), (2.0, "2 ×")],
        &rows,
    )
}

/// A figure of the matrix over the number of connections.
fn by_connections(
    results: &Results,
    title: &str,
    figure: &dyn Fn(&Echo) -> f64,
    name: fn(f64) -> String,
) -> String {
    let mut series = Vec::new();
    for (colour, bytes) in BYTES.into_iter().enumerate() {
        for pending in PENDING {
            let points: Vec<(f64, f64)> = CONNECTIONS
                .into_iter()
                .filter_map(|connections| {
                    let row = results.echo.iter().find(|row| {
                        let load = row.cell.load;
                        row.cell.table == Table::Matrix
                            && (load.bytes, load.pending, load.connections)
                                == (bytes, pending, connections)
                    })?;
                    Some((f64::from(connections), figure(row.echo()?)))
                })
                .filter(|(_, value)| *value > 0.0)
                .collect();
            series.push(Series {
                label: format!("{bytes} bytes × {pending}"),
                colour,
                dashed: pending > 1,
                dots: true,
                points,
            });
        }
    }
    let values = series
        .iter()
        .flat_map(|series| series.points.iter().map(|point| point.1));
    let y = Axis::decades("", values, name);
    let ticks = CONNECTIONS.into_iter().map(f64::from);
    let x = Axis {
        label: "connections",
        scale: Scale::Logarithmic,
        ticks: ticks.map(|n| (n, thousands(n))).collect(),
    };
    lines(title, &x, &y, &series)
}

/// 1000000 as 1 M.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} M", v / 1e6),
        v if v >= 1e3 => format!("{} k", v / 1e3),
        v => format!("{v}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::Times;
    use crate::machine::Machine;
    use crate::plan;
    use crate::results::Measured;

    fn results() -> Results {
        let run = Echo {
            requests_per_s: 1.5e6,
            requests: 1_500_000,
            tsc_mhz: 2500.0,
            seconds: 1.0,
            p50_us: 250.0,
            p90_us: 260.0,
            p99_us: 300.0,
            p999_us: 400.0,
            timed: 1000,
            silent_connections: 0,
            polls: 100,
            busy: 0.5,
            ramp_ms: 1.0,
            errors: 0,
            core: [("busy_cycles".to_owned(), 3_000_000_000)].into(),
        };
        let cells = plan::original().into_iter().chain(plan::matrix());
        Results {
            machine: Machine {
                cpu: "a CPU".into(),
                cpus: 2,
                memory: 1 << 34,
                kernel: "6.1".into(),
                fast_cpu: 0,
                app_cpu: 1,
                huge_pages: false,
                commit: None,
            },
            command: vec!["--ip-addr=10.9.0.1/24".into()],
            times: Times {
                warmup_ms: 1,
                ms: 1,
            },
            echo: cells
                .map(|cell| Measured {
                    runs: if cell.skipped.is_some() {
                        Vec::new()
                    } else {
                        vec![run.clone()]
                    },
                    cell,
                    failure: None,
                })
                .collect(),
            sockets: Vec::new(),
            connect: Vec::new(),
            memory: Vec::new(),
        }
    }

    #[test]
    fn results_survive_the_file() {
        let text = serde_json::to_string(&results()).unwrap();
        let back: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        assert_eq!(
            crate::table::report(&back, &[]),
            crate::table::report(&results(), &[])
        );
    }

    #[test]
    fn charts_show_every_row() {
        let charts = all(&results());
        assert_eq!(charts, all(&results()));
        let text = |name| {
            charts
                .iter()
                .find(|chart| chart.0 == name)
                .unwrap()
                .1
                .as_str()
        };
        assert!(text("original.svg").contains("64 bytes, 256 × 1, dctcp-win"));
        assert!(text("original.svg").contains("1.61 × (1,500,000/s)"));
        assert!(text("original.svg").contains("original stalls"));
        assert_eq!(text("requests.svg").matches("<polyline").count(), 8);
        // All but the one whose round trips take too long.
        assert_eq!(text("round-trips.svg").matches("<circle").count(), 39);
    }
}
