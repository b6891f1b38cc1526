//! Measures the service without a kernel in the path: one service on a
//! looped-back port, and a program that is echo client and echo server at
//! once and talks to the service's own address. `make bench` and `make plots`
//! call it; `doc/performance.md` says what the figures mean.
#![forbid(unsafe_code)]

mod bench;
mod chart;
mod congestion;
mod doc;
mod isolation;
mod loopback;
mod machine;
mod memory;
mod plan;
mod plots;
mod process;
mod results;
mod service;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::results::Results;

#[derive(Parser)]
#[command(about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, and print tables
    Run(Run),
    /// Measure next to nothing, and insist that all of it works
    Smoke,
    /// Draw charts of a run's results, and put them and the tables into the documentation
    Plots {
        /// File that `run --json` wrote
        json: PathBuf,
        /// The documentation's directory
        doc: PathBuf,
    },
    /// Simulate congestion control at a bottleneck, and draw charts into the documentation
    Congestion {
        /// The documentation's directory
        doc: PathBuf,
    },
}

/// What to measure, and for how long.
#[derive(Args, Clone, Debug)]
struct Run {
    /// Less than a minute in all, with results to match
    #[arg(long, env = "BENCH_QUICK", value_parser = clap::builder::FalseyValueParser::new())]
    quick: bool,
    /// Runs of each row that the original's figures are known for
    #[arg(long, env = "BENCH_RUNS", default_value_t = 3)]
    runs: u32,
    /// Runs of each other row
    #[arg(long, env = "BENCH_MATRIX_RUNS", default_value_t = 1)]
    matrix_runs: u32,
    /// Milliseconds measured in a run
    #[arg(long, env = "BENCH_MS", default_value_t = 1000)]
    ms: u64,
    /// Milliseconds before that
    #[arg(long, env = "BENCH_WARMUP_MS", default_value_t = 300)]
    warmup_ms: u64,
    /// Parts to run
    #[arg(long, env = "BENCH_ONLY", value_delimiter = ',')]
    only: Vec<Part>,
    /// Memory of service and DPDK
    #[arg(long, env = "BENCH_PAGES", default_value = "auto")]
    pages: Pages,
    /// CPU of the fast path [default: the first that may be used]
    #[arg(long, env = "BENCH_FAST_CPU")]
    fast_cpu: Option<usize>,
    /// CPU of slow path and application [default: the next]
    #[arg(long, env = "BENCH_APP_CPU")]
    app_cpu: Option<usize>,
    /// One option more for the service; may be repeated
    #[arg(long, allow_hyphen_values = true)]
    service_arg: Vec<String>,
    /// Write all results to this file, too
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keep what that file has of the parts that are not run
    #[arg(long, env = "BENCH_KEEP", value_parser = clap::builder::FalseyValueParser::new())]
    keep: bool,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The rows that the original's figures are known for
    Original,
    /// Sizes by connections by requests in flight
    Matrix,
    /// Sockets beside the low-level library
    Sockets,
    /// Connections opened and closed
    Connect,
    /// Memory per connection
    Memory,
}

/// Where memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pages {
    /// From huge pages if the machine has room for them
    Auto,
    /// From huge pages
    Huge,
    /// From pages of the usual size
    Plain,
}

/// The repository.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A product of `make`, by its path in the repository.
fn product(path: &str) -> Result<String> {
    let product = root().join(path);
    ensure!(
        product.exists(),
        "{} is missing: run make bench",
        product.display()
    );
    Ok(product.canonicalize()?.to_string_lossy().into_owned())
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => isolation::enter().and_then(|()| measure(&run)),
        Command::Smoke => isolation::enter().and_then(|()| bench::smoke()),
        Command::Plots { json, doc } => doc::fill_in(&json, &doc),
        Command::Congestion { doc } => congestion::draw(&doc),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(run: &Run) -> Result<()> {
    process::catch_signals()?;
    let mut results = bench::run(run)?;
    if let Some(path) = &run.json {
        if run.keep && path.exists() {
            results.add_missing(Results::read(path)?);
        }
        results.write(path)?;
    }
    print!("{}", table::report(&results, &[]));
    ensure!(results.complete(), "some measurements failed");
    Ok(())
}
