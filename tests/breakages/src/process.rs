//! Running commands, with a limit.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::TERM_SIGNALS;

const TICK: Duration = Duration::from_millis(20);
/// Scripts take down the machines that they have made, and what these run has limits of its own.
const CLEANING_UP: Duration = Duration::from_secs(60);

/// Runs a command and what it starts; no status when it takes too long.
pub fn run(mut command: Command, limit: Duration) -> Result<(Option<ExitStatus>, String)> {
    let mut output = File::from(memfd_create("output", MemfdFlags::CLOEXEC)?);
    command
        .process_group(0)
        .stdin(std::process::Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    let mut child = command.spawn()?;
    let status = wait(&mut child, limit)?;
    let mut text = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut text)?;
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    let interrupted = interrupted()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let interrupted = interrupted.load(Ordering::Relaxed);
        if interrupted || Instant::now() >= end {
            stop(child)?;
            ensure!(!interrupted, "interrupted");
            return Ok(None);
        }
        thread::sleep(TICK);
    }
}

/// Ends it, and what it has started, which is of its group.
fn stop(child: &mut Child) -> Result<()> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    let until = Instant::now() + CLEANING_UP;
    signal(Signal::TERM);
    while child.try_wait()?.is_none() && Instant::now() < until {
        thread::sleep(TICK);
    }
    signal(Signal::KILL);
    child.wait()?;
    Ok(())
}

/// Whether somebody wants this to end.
fn interrupted() -> Result<&'static AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if FLAG.get().is_none() {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in TERM_SIGNALS {
            signal_hook::flag::register(*signal, Arc::clone(&flag))?;
        }
        let _ = FLAG.set(flag);
    }
    FLAG.get().map(Arc::as_ref).context("no flag")
}
