//! The service on a looped-back port: what it transmits it receives.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::Machine;
use crate::plan::Setup;
use crate::process::{self, Process};

/// The service's address, to which programs connect.
pub const ADDRESS: &str = "10.9.0.1";
/// Pages of 2 MiB that the service and one application need.
pub const HUGE_PAGES: u64 = 1280;

/// Bytes of the application's region: buffers of 8,192 flows of 32 KiB or
/// 65,536 of 4 KiB, and queues.
const REGION: u64 = 1 << 30;
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(20);
/// Until the connections of a program that has ended are gone.
const CLEAR: Duration = Duration::from_secs(20);

/// A running service.
pub struct Service {
    process: Process,
}

/// The service's command line.
pub fn command_line(machine: &Machine, setup: Setup, extra: &[String]) -> Vec<String> {
    let mut args = vec![
        format!("--ip-addr={ADDRESS}/24"),
        "--fp-no-ints".into(),
        "--fp-no-autoscale".into(),
        "--fp-no-xsumoffload".into(),
        "--fp-poll-interval-app=4294967295".into(),
        format!("--cc={}", setup.cc.name()),
        format!("--tcp-rxbuf-len={}", setup.buffer),
        format!("--tcp-txbuf-len={}", setup.buffer),
        format!("--app-shm-len={REGION}"),
        "--no-legacy".into(),
        "--quiet".into(),
        "--dpdk-extra=--no-pci".into(),
        "--dpdk-extra=--vdev=net_ring0".into(),
        format!(
            "--dpdk-extra=--lcores=0@{},1@{}",
            machine.app_cpu, machine.fast_cpu
        ),
    ];
    if !machine.huge_pages {
        args.push("--fp-no-hugepages".into());
        args.push("--dpdk-extra=--no-huge".into());
    }
    args.extend(extra.iter().cloned());
    args
}

impl Service {
    /// Starts the service, and waits until it is ready.
    pub fn start(machine: &Machine, setup: Setup, extra: &[String]) -> Result<Service> {
        let mut command = process::command(&crate::product("tas/tas")?, None);
        command.args(command_line(machine, setup, extra));
        let mut process = Process::start("the service", command)?;
        process.wait_for(START, |line| line == "TAS ready")?;
        Ok(Service { process })
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until no connection is left.
    pub fn clear(&self) -> Result<()> {
        let end = Instant::now() + CLEAR;
        while has_flows()? {
            if Instant::now() > end {
                bail!("connections of a program that has ended are left");
            }
            process::sleep(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Ends the service.
    pub fn stop(self) -> Result<()> {
        self.process.stop(STOP)
    }
}

/// Whether there is any connection. What statetool writes about thousands
/// more is not read.
fn has_flows() -> Result<bool> {
    let mut child = process::command(&crate::product("tools/statetool")?, None)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start statetool")?;
    let found = child.stdout.take().is_some_and(|out| {
        BufReader::new(out)
            .lines()
            .map_while(Result::ok)
            .any(|line| line.starts_with("flow "))
    });
    let _ = child.kill();
    child.wait().context("cannot wait for statetool")?;
    Ok(found)
}
