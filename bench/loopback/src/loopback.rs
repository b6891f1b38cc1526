//! The program under load: echo client and server in one (`tests/c/bench`).

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

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
}

impl Echo {
    /// Cycles of the fast path's CPU for each request, those spent waiting
    /// included.
    pub fn cycles_per_request(&self) -> f64 {
        self.tsc_mhz * 1e6 / self.requests_per_s
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
    let (mut program, line) = run(machine, &args, times)?;
    program.finish(GRACE)?;
    let echo: Echo = serde_json::from_str(&line).with_context(|| format!("it said {line}"))?;
    ensure!(echo.requests > 0, "no request was answered");
    Ok(echo)
}

/// Runs connect with `in_flight` connections at a time.
pub fn connect(machine: &Machine, in_flight: u32, times: Times) -> Result<Connect> {
    let args = ["--mode=connect".into(), format!("--conns={in_flight}")];
    let (mut program, line) = run(machine, &args, times)?;
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
    run(machine, &args, times).map(|(program, _)| program)
}

fn echo_args(load: Load) -> Vec<String> {
    vec![
        format!("--bytes={}", load.bytes),
        format!("--conns={}", load.connections),
        format!("--pending={}", load.pending),
    ]
}

fn run(machine: &Machine, args: &[String], times: Times) -> Result<(Process, String)> {
    let program = crate::product("target/tests/loopback")?;
    let mut command = process::command(&program, Some(machine.app_cpu));
    command
        .arg(format!("--ip={ADDRESS}"))
        .arg(format!("--ramp-ms={}", RAMP.as_millis()))
        .arg(format!("--warmup-ms={}", times.warmup_ms))
        .arg(format!("--ms={}", times.ms))
        .args(args)
        .stdin(Stdio::piped());
    let mut program = Process::start("loopback", command)?;
    let measuring = Duration::from_millis(times.warmup_ms + times.ms);
    let line = program.wait_for(RAMP + measuring + GRACE, |line| line.starts_with('{'))?;
    Ok((program, line))
}
