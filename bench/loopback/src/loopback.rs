//! The program under load: echo client and server in one (`tests/c/bench`).

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tas_tools::stats::{Group, Kind, Stats};

use crate::machine::Machine;
use crate::plan::Load;
use crate::process::{self, Process};
use crate::service::ADDRESS;

const RAMP: Duration = Duration::from_secs(30);
/// Beside building up connections and the time measured.
const GRACE: Duration = Duration::from_secs(20);

/// For how long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Before it counts, in milliseconds.
    pub warmup_ms: u64,
    /// While it counts, in milliseconds.
    pub ms: u64,
}

/// What one run of echo found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Echo {
    /// Requests answered per second.
    pub requests_per_s: f64,
    /// Requests answered.
    pub requests: u64,
    /// Frequency of the cycle counter.
    pub tsc_mhz: f64,
    /// Seconds measured.
    pub seconds: f64,
    /// Round trips below this are half of all, in microseconds.
    pub p50_us: f64,
    /// The same for 90 of 100.
    pub p90_us: f64,
    /// The same for 99 of 100.
    pub p99_us: f64,
    /// The same for 999 of 1,000.
    pub p999_us: f64,
    /// Round trips measured.
    pub timed: u64,
    /// Connections without any response.
    pub silent_connections: u64,
    /// Times that the application asked for events.
    pub polls: u64,
    /// Share of the time in which it had events to deal with, polling for them
    /// included.
    pub busy: f64,
    /// Milliseconds until all connections were open.
    pub ramp_ms: f64,
    /// Calls and connections that failed.
    pub errors: u64,
    /// What the service's counters of cores grew by meanwhile.
    #[serde(default)]
    pub core: BTreeMap<String, u64>,
}

impl Echo {
    /// Cycles of the fast path for each request, of turns with work to do.
    pub fn cycles_per_request(&self) -> f64 {
        self.counted("busy_cycles") as f64 / self.requests as f64
    }

    /// What a counter of the service's cores grew by.
    pub fn counted(&self, name: &str) -> u64 {
        self.core.get(name).copied().unwrap_or(0)
    }
}

/// What the same load found on both libraries, one after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// By the low-level library, where that can be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub low_level: Option<Echo>,
    /// By the sockets library.
    pub sockets: Echo,
}

impl Pair {
    /// How much longer a request takes with sockets: 1.25 is a quarter longer.
    pub fn time_ratio(&self) -> Option<f64> {
        let low_level = self.low_level.as_ref()?;
        Some(low_level.requests_per_s / self.sockets.requests_per_s)
    }
}

/// What one run of connect found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connect {
    /// Connections opened and closed per second.
    pub connects_per_s: f64,
    /// Connections opened and closed.
    pub connects: u64,
    /// Calls and connections that failed.
    pub errors: u64,
}

/// Runs echo.
pub fn echo(machine: &Machine, load: Load, times: Times, check: bool) -> Result<Echo> {
    let mut args = echo_args(load);
    if check {
        args.push("--check".into());
    }
    let (mut program, line, core) = run(machine, "loopback", &args, times)?;
    program.finish(GRACE)?;
    let mut echo: Echo = serde_json::from_str(&line).with_context(|| format!("it said {line}"))?;
    echo.core = core;
    ensure!(echo.requests > 0, "no request was answered");
    Ok(echo)
}

/// Runs echo on sockets, with so many idle connections more.
pub fn sockets(machine: &Machine, load: Load, idle: u32, times: Times) -> Result<Echo> {
    let mut args = echo_args(load);
    args.push(format!("--idle={idle}"));
    let (mut program, line, core) = run(machine, "loopback_sockets", &args, times)?;
    program.finish(GRACE)?;
    let mut echo: Echo = serde_json::from_str(&line).with_context(|| format!("it said {line}"))?;
    echo.core = core;
    ensure!(echo.requests > 0, "no request was answered");
    Ok(echo)
}

/// Runs connect with `in_flight` connections at a time.
pub fn connect(machine: &Machine, in_flight: u32, times: Times) -> Result<Connect> {
    let args = ["--mode=connect".into(), format!("--conns={in_flight}")];
    let (mut program, line, _) = run(machine, "loopback", &args, times)?;
    program.finish(GRACE)?;
    let connect: Connect =
        serde_json::from_str(&line).with_context(|| format!("it said {line}"))?;
    ensure!(connect.connects > 0, "no connection was opened and closed");
    Ok(connect)
}

/// Runs echo, and returns while the connections are still open and nothing
/// happens on them; with no request in flight they have never been used.
pub fn hold(machine: &Machine, load: Load, times: Times) -> Result<Process> {
    let mut args = echo_args(load);
    args.push("--hold".into());
    run(machine, "loopback", &args, times).map(|(program, ..)| program)
}

fn echo_args(load: Load) -> Vec<String> {
    vec![
        format!("--bytes={}", load.bytes),
        format!("--conns={}", load.connections),
        format!("--pending={}", load.pending),
    ]
}

/// Starts the program and waits for its result, and for what the service
/// counted while it measured.
fn run(
    machine: &Machine,
    name: &str,
    args: &[String],
    times: Times,
) -> Result<(Process, String, BTreeMap<String, u64>)> {
    let program = crate::product(&format!("target/tests/{name}"))?;
    let mut command = process::command(&program, Some(machine.app_cpu));
    command
        .arg(format!("--ip={ADDRESS}"))
        .arg(format!("--warmup-ms={}", times.warmup_ms))
        .arg(format!("--ms={}", times.ms))
        .args(args)
        .stdin(Stdio::piped());
    let stats = Stats::open().context("no counters")?;
    let mut program = Process::start(name, command)?;
    let warmup = Duration::from_millis(times.warmup_ms);
    program.wait_for(RAMP + warmup + GRACE, |line| line == "measuring")?;
    let before = stats.read()?.group("core");
    let measuring = Duration::from_millis(times.ms);
    let line = program.wait_for(measuring + GRACE, |line| line.starts_with('{'))?;
    let after = stats.read()?.group("core");
    Ok((program, line, growth(&before, &after)))
}

/// What counters grew by, of those that did.
fn growth(before: &Group, after: &Group) -> BTreeMap<String, u64> {
    let counters = after.columns.iter().filter(|c| c.kind == Kind::Counter);
    counters
        .map(|column| {
            let name = column.name.clone();
            let grown = after.total(&name).wrapping_sub(before.total(&name));
            (name, grown)
        })
        .filter(|(_, grown)| *grown > 0)
        .collect()
}
