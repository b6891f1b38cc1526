//! How much gets through networks that lose, mix up and delay: TAS and Linux in both roles, beside
//! Linux at both ends.
#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;
use tas_full_tests::{Net, PORT, Path, Program, Side, Stack, TasOptions, World};

/// Bits per second of the line: so few that this machine is not what is measured.
const RATE: u64 = 100_000_000;
/// Bytes that may wait for the line, at least; otherwise as many as are under way in a round trip.
const QUEUE_MIN: u64 = 75_000;
/// Of TAS's connections. Linux's grow by themselves, to more than this.
const BUFFERS: usize = 4 << 20;
/// What programs need besides the time that is measured.
const SLACK: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Args {
    /// Write the results to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Round-trip times to try, in microseconds
    #[arg(long, value_delimiter = ',', default_values_t = [200, 1_000, 10_000, 50_000])]
    rtt_us: Vec<u64>,
    /// What to try
    #[arg(long, value_delimiter = ',', value_enum,
          default_values_t = [Fault::None, Fault::Loss01, Fault::Loss1, Fault::Loss5, Fault::Late])]
    faults: Vec<Fault>,
    /// Seed of the losses
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Congestion control of Linux
    #[arg(long, default_value = "cubic")]
    linux_cc: String,
    /// One more option for the service
    #[arg(long, allow_hyphen_values = true)]
    service_arg: Vec<String>,
}

/// What is wrong with the network.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Fault {
    None,
    Loss01,
    Loss1,
    Loss5,
    Late,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::None => "none",
            Fault::Loss01 => "0.1 % lost",
            Fault::Loss1 => "1 % lost",
            Fault::Loss5 => "5 % lost",
            Fault::Late => "1 % late",
        }
    }

    fn on(self, path: Path) -> Path {
        let lost = |loss| Path { loss, ..path };
        match self {
            Fault::None => path,
            Fault::Loss01 => lost(1_000),
            Fault::Loss1 => lost(10_000),
            Fault::Loss5 => lost(50_000),
            Fault::Late => Path {
                late: 10_000,
                late_by: path.delay / 2,
                ..path
            },
        }
    }
}

/// How connections are measured over a distance. The further, the rarer losses are, and the
/// longer or the more connections they must be counted on for a figure that means something.
/// Then there is little to do, so all pairs of stacks are measured at the same time.
struct Reach {
    connections: u32,
    span: Duration,
    side_by_side: bool,
}

impl Reach {
    fn of(rtt_us: u64) -> Reach {
        match rtt_us {
            ..5_000 => Reach {
                connections: 1,
                span: Duration::from_millis(1_000),
                side_by_side: false,
            },
            5_000..25_000 => Reach {
                connections: 1,
                span: Duration::from_secs(2),
                side_by_side: false,
            },
            25_000.. => Reach {
                connections: 8,
                span: Duration::from_secs(10),
                side_by_side: true,
            },
        }
    }
}

/// Who sends to whom.
const PAIRS: [(Stack, Stack); 4] = [
    (Stack::Linux, Stack::Linux),
    (Stack::Tas, Stack::Linux),
    (Stack::Linux, Stack::Tas),
    (Stack::Tas, Stack::Tas),
];

/// Megabits of data per second.
#[derive(Serialize)]
struct Row {
    rtt_us: u64,
    fault: &'static str,
    connections: u32,
    linux_linux: f64,
    tas_linux: f64,
    linux_tas: f64,
    tas_tas: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let impair = env::current_exe()?.with_file_name("impair");
    let options = args
        .service_arg
        .iter()
        .fold(TasOptions::new().buffers(BUFFERS), |options, more| {
            options.arg(more)
        });
    let nets = PAIRS.map(|_| Net::apart());
    let mut worlds = Vec::new();
    for (net, (from, to)) in nets.iter().zip(PAIRS) {
        worlds.push((net, World::new(net, to, from, &options)));
        for (side, stack) in [(Side::Near, to), (Side::Far, from)] {
            if stack == Stack::Linux {
                net.set_congestion_control(side, &args.linux_cc);
            }
        }
    }

    println!(
        "| round trip | fault | connections | Linux → Linux, Mbit/s | TAS → Linux | | Linux → TAS | | TAS → TAS | |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let mut rows = Vec::new();
    for &rtt_us in &args.rtt_us {
        let reach = Reach::of(rtt_us);
        for fault in &args.faults {
            let path = fault.on(Path {
                delay: Duration::from_micros(rtt_us / 2),
                rate: RATE,
                queue: QUEUE_MIN.max(RATE / 8 * rtt_us / 1_000_000),
                seed: args.seed,
                ..Path::default()
            });
            let mut figures = [0.0; PAIRS.len()];
            if reach.side_by_side {
                let runs = worlds
                    .iter()
                    .map(|(net, world)| Run::start(net, world, &impair, &path, &reach));
                let runs: Vec<Run> = runs.collect();
                for (figure, run) in figures.iter_mut().zip(runs) {
                    *figure = run.finish(&reach);
                }
            } else {
                for (figure, (net, world)) in figures.iter_mut().zip(&worlds) {
                    *figure = Run::start(net, world, &impair, &path, &reach).finish(&reach);
                }
            }
            let [linux_linux, tas_linux, linux_tas, tas_tas] = figures;
            let row = Row {
                rtt_us,
                fault: fault.name(),
                connections: reach.connections,
                linux_linux,
                tas_linux,
                linux_tas,
                tas_tas,
            };
            println!("{}", line(&row));
            rows.push(row);
        }
    }
    for (_, world) in worlds {
        world.end();
    }
    if let Some(path) = args.json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn line(row: &Row) -> String {
    let beside = |mbps: f64| format!("{mbps:.1} | {:.0} %", mbps / row.linux_linux * 100.0);
    format!(
        "| {} ms | {} | {} | {:.1} | {} | {} | {} |",
        row.rtt_us as f64 / 1000.0,
        row.fault,
        row.connections,
        row.linux_linux,
        beside(row.tas_linux),
        beside(row.linux_tas),
        beside(row.tas_tas)
    )
}

/// A measurement under way.
struct Run {
    server: Program,
    /// Ended when this is.
    _others: [Program; 2],
}

impl Run {
    fn start(
        net: &Net,
        world: &World<'_>,
        impair: &std::path::Path,
        path: &Path,
        reach: &Reach,
    ) -> Run {
        let impair = net.impaired(impair, path);
        let span = reach.span.as_millis().to_string();
        let server = world.server("stream", &["server", PORT, &span]);
        let connections = reach.connections.to_string();
        let client = world.client("stream", &["client", world.server_ip(), PORT, &connections]);
        Run {
            server,
            _others: [client, impair],
        }
    }

    fn finish(self, reach: &Reach) -> f64 {
        let done = self.server.finish(reach.span + SLACK).success();
        done.number("bytes") * 8000.0 / done.number("ns")
    }
}
