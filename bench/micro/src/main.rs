//! Micro-benchmarks of the pure code.
//!
//! `check` counts the instructions that an operation takes, by callgrind, and compares them with
//! the committed baseline; counts are the same on any machine, however busy. `time` measures
//! cycles instead, which tell what instructions do not: waiting for memory, and the order of things.
#![forbid(unsafe_code)]

mod baseline;
mod callgrind;
mod cases;
mod harness;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use baseline::{Baseline, Verdict};
use clap::{Parser, Subcommand};
use harness::{Case, measured_case};

#[derive(Parser)]
#[command(about = "Instruction counts of the pure code")]
struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Count instructions and compare them with the baseline
    Check {
        /// Percent that a count may exceed the baseline
        #[arg(long, default_value_t = 2.0)]
        tolerance: f64,
        /// The same when the compiler, the C library or valgrind is another one
        #[arg(long, default_value_t = 20.0)]
        foreign_tolerance: f64,
        #[command(flatten)]
        files: Files,
        /// Cases whose names begin so; all without
        names: Vec<String>,
    },
    /// Count instructions and write the baseline
    Write {
        #[command(flatten)]
        files: Files,
    },
    /// Measure cycles, several times, and print the lowest
    Time {
        /// Cases whose names begin so; all without
        names: Vec<String>,
    },
    /// Run cases once; what the other actions call under callgrind
    #[command(hide = true)]
    Run {
        /// Cases of exactly these names
        names: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Files {
    /// The baseline
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.txt"))]
    baseline: PathBuf,
    /// Where callgrind leaves a profile of each case
    #[arg(long, default_value = "target/callgrind")]
    profiles: PathBuf,
}

fn main() -> ExitCode {
    match act(Args::parse().action) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tas-microbench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> Result<ExitCode, Box<dyn Error>> {
    let all = cases::all();
    match action {
        Action::Run { names } => run(&all, &names),
        Action::Time { names } => time(&named(&all, &names)),
        Action::Write { files } => write(&named(&all, &[]), &files)?,
        Action::Check {
            tolerance,
            foreign_tolerance,
            files,
            names,
        } => {
            let baseline = Baseline::parse(&fs::read_to_string(&files.baseline)?)?;
            let cases = named(&all, &names);
            let toolchain = callgrind::toolchain();
            let tolerance = if toolchain == baseline.toolchain {
                tolerance
            } else {
                println!("The baseline was built with: {}", baseline.toolchain);
                println!("This was built with:         {toolchain}");
                println!("So {foreign_tolerance} % more is admitted instead of {tolerance} %.");
                foreign_tolerance
            };
            let counts = callgrind::count(&cases, &files.profiles)?;
            let worse = compare(&cases, &counts, &baseline, tolerance);
            let gone = names.is_empty() && report_gone(&all, &baseline);
            if worse || gone {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The cases whose names begin like one of `names`; all when there are none.
fn named<'a>(cases: &'a [Case], names: &[String]) -> Vec<&'a Case> {
    let wanted = |case: &&Case| {
        names.is_empty()
            || names
                .iter()
                .any(|name| case.name.starts_with(name.as_str()))
    };
    cases.iter().filter(wanted).collect()
}

fn run(cases: &[Case], names: &[String]) {
    for name in names {
        if let Some(case) = cases.iter().find(|case| case.name == name) {
            measured_case(&mut (case.prepare)(case.ops));
        }
    }
}

fn time(cases: &[&Case]) {
    const RUNS: u32 = 20;
    for case in cases {
        let cycles = |_| {
            let mut run = (case.prepare)(case.ops);
            let begin = tas_shm::rdtsc();
            measured_case(&mut run);
            tas_shm::rdtsc().wrapping_sub(begin)
        };
        let least = (0..RUNS).map(cycles).min().unwrap_or(0);
        let per_op = least as f64 / f64::from(case.ops);
        println!("{:<32} {per_op:>10.1} cycles", case.name);
    }
}

fn write(cases: &[&Case], files: &Files) -> Result<(), Box<dyn Error>> {
    let counts = callgrind::count(cases, &files.profiles)?;
    let names = cases.iter().map(|case| case.name.to_owned());
    let baseline = Baseline {
        toolchain: callgrind::toolchain(),
        counts: names.zip(counts).collect(),
    };
    let text = baseline.text();
    print!("{text}");
    fs::write(&files.baseline, text)?;
    Ok(())
}

/// Prints counts beside the baseline's; true when some case fails the check.
fn compare(cases: &[&Case], counts: &[f64], baseline: &Baseline, tolerance: f64) -> bool {
    println!(
        "{:<32} {:>10} {:>10}",
        "instructions per operation", "baseline", "now"
    );
    let (mut fails, mut better) = (false, false);
    for (case, count) in cases.iter().zip(counts) {
        let before = baseline.count(case.name);
        let verdict = Verdict::of(*count, before, tolerance / 100.0);
        fails |= verdict.fails();
        better |= verdict == Verdict::Better;
        let column = before.map_or("-".to_owned(), |before| format!("{before:.1}"));
        let change = before.map_or(0.0, |before| (count / before.max(0.1) - 1.0) * 100.0);
        let says = match verdict {
            Verdict::Same => String::new(),
            Verdict::Better => format!("  {change:+.1} %"),
            Verdict::Worse => format!("  {change:+.1} %: too many"),
            Verdict::New => "  not in the baseline".to_owned(),
        };
        println!("{:<32} {column:>10} {count:>10.1}{says}", case.name);
    }
    if fails {
        println!("If this has to be, `make instructions-baseline` makes it the new baseline.");
    } else if better {
        println!("Fewer than in the baseline: `make instructions-baseline` keeps it so.");
    }
    fails
}

/// Says which cases of the baseline are no longer there; true when there are some.
fn report_gone(cases: &[Case], baseline: &Baseline) -> bool {
    let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    let gone: Vec<&str> = baseline.gone(&names).collect();
    for name in &gone {
        println!("{name:<32} is in the baseline, but is not measured");
    }
    !gone.is_empty()
}
