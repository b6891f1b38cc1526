//! Processes that end with this one, however it ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

const TICK: Duration = Duration::from_millis(10);

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on signals that ask for the end make every wait fail, so that
/// what was begun is undone on the way out.
pub fn catch_signals() -> Result<()> {
    let stop = STOP.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(stop)).context("cannot catch signals")?;
    }
    Ok(())
}

/// Fails once a signal has asked for the end.
pub fn check_stop() -> Result<()> {
    match STOP.get() {
        Some(stop) if stop.load(Ordering::Relaxed) => bail!("interrupted"),
        _ => Ok(()),
    }
}

/// A command that the kernel kills when this process is gone, on `cpu` alone
/// if there is one.
pub fn command(program: &str, cpu: Option<usize>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    if let Some(cpu) = cpu {
        command.args(["taskset", "-c", &cpu.to_string()]);
    }
    command.arg(program).stdin(Stdio::null());
    command
}

/// A running process, killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    err: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts a process.
    pub fn start(name: &str, mut command: Command) -> Result<Process> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (sender, lines) = channel();
        if let Some(out) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    // Nobody listens any more: read on, so that it is not stopped by a full pipe.
                    let _ = sender.send(line);
                }
            });
        }
        let err = child.stderr.take().map(|mut from| {
            thread::spawn(move || {
                let mut text = Vec::new();
                let _ = from.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        Ok(Process {
            name: name.to_owned(),
            child,
            lines,
            err,
        })
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line on stdout for which `wanted` holds.
    ///
    /// # Errors
    /// With what it wrote to stderr when it ends without one, or takes longer
    /// than `time`.
    pub fn wait_for(&mut self, time: Duration, wanted: fn(&str) -> bool) -> Result<String> {
        let end = Instant::now() + time;
        loop {
            check_stop()?;
            match self.lines.recv_timeout(TICK) {
                Ok(line) if wanted(&line) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} took longer than {} s", self.name, time.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.wait(Duration::from_secs(5))?;
                    let words = self.last_words();
                    bail!("{} ended with {status}: {words}", self.name)
                }
            }
        }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it ends otherwise than in order.
    pub fn stop(mut self, time: Duration) -> Result<()> {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        self.finish(time)
    }

    /// Closes its stdin, and waits until it has ended.
    ///
    /// # Errors
    /// When it ends otherwise than in order.
    pub fn finish(&mut self, time: Duration) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.wait(time)?;
        if !status.success() {
            let words = self.last_words();
            bail!("{} ended with {status}: {words}", self.name);
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + time;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            check_stop()?;
            if Instant::now() > end {
                bail!("{} did not end within {} s", self.name, time.as_secs());
            }
            thread::sleep(TICK);
        }
    }

    /// The end of what it wrote to stderr.
    fn last_words(&mut self) -> String {
        let text = self.err.take().and_then(|err| err.join().ok());
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(5)..)
            .unwrap_or_default()
            .join("; ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sleeps, unless a signal asks for the end.
pub fn sleep(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        check_stop()?;
        thread::sleep(TICK.min(time));
    }
    Ok(())
}
