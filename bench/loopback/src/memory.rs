//! What connections take of memory.

use std::fs;

use anyhow::{Context, Result};

use crate::loopback::{self, Times};
use crate::machine::Machine;
use crate::plan::{Load, MemoryCell};
use crate::process::Process;
use crate::service::Service;

/// Connections whose memory is not counted: the first takes what all share.
const FIRST: u32 = 1;

/// Bytes of memory per end of a connection, of service and application
/// together. With a service of its own in plain memory, since a page that was
/// used stays, and huge pages are not counted by process.
pub fn measure(machine: &Machine, cell: MemoryCell, extra: &[String]) -> Result<f64> {
    let machine = Machine {
        huge_pages: false,
        ..machine.clone()
    };
    let service = Service::start(&machine, cell.setup, extra)?;
    let few = held(&machine, &service, cell, FIRST)?;
    service.clear()?;
    let many = held(&machine, &service, cell, cell.connections)?;
    service.stop()?;
    let ends = f64::from(2 * (cell.connections - FIRST));
    Ok((many as f64 - few as f64) / ends)
}

/// Bytes of both processes while `connections` are open.
fn held(machine: &Machine, service: &Service, cell: MemoryCell, connections: u32) -> Result<u64> {
    let load = Load {
        // Once around both buffers.
        bytes: cell.setup.buffer,
        connections,
        pending: u32::from(cell.used),
    };
    let times = Times {
        warmup_ms: if cell.used { 2000 } else { 0 },
        ms: 100,
    };
    let mut program: Process = loopback::hold(machine, load, times)?;
    let bytes = proportional_set(service.pid())? + proportional_set(program.pid())?;
    program.finish(std::time::Duration::from_secs(20))?;
    Ok(bytes)
}

/// A process's memory in bytes; what several share is divided among them.
fn proportional_set(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("no Pss in {path}"))? * 1024)
}
