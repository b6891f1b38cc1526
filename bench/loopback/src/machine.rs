//! The machine that measures.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::thread::sched_getaffinity;
use serde::{Deserialize, Serialize};

/// What the figures depend on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// CPUs that are online.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// CPU of the fast path, alone on it.
    pub fast_cpu: usize,
    /// CPU of the slow path and the application.
    pub app_cpu: usize,
    /// Whether memory is in huge pages.
    pub huge_pages: bool,
    /// Commit of the sources, if it is known.
    pub commit: Option<String>,
}

impl Machine {
    /// This machine. The CPUs are the first two that this process may use,
    /// unless they are given.
    pub fn this(fast: Option<usize>, app: Option<usize>) -> Result<Machine> {
        let allowed = sched_getaffinity(None).context("cannot find out the CPUs")?;
        let mut free = (0..1024).filter(|&cpu| allowed.is_set(cpu));
        let mut pick = |given: Option<usize>, other: Option<usize>| {
            given.or_else(|| free.find(|cpu| Some(*cpu) != other))
        };
        let fast_cpu = pick(fast, app);
        let app_cpu = pick(app, fast_cpu);
        let (fast_cpu, app_cpu) = fast_cpu
            .zip(app_cpu)
            .context("two CPUs are needed: one for the fast path, one for all else")?;
        ensure!(fast_cpu != app_cpu, "the fast path needs a CPU of its own");
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Ok(Machine {
            cpu: field(&cpuinfo, "model name")
                .unwrap_or("unknown")
                .to_owned(),
            cpus: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            memory: memory(),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            fast_cpu,
            app_cpu,
            huge_pages: false,
            commit: commit(),
        })
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']))
}

fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = field(&text, "MemTotal").and_then(|rest| rest.split(' ').next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

fn commit() -> Option<String> {
    let root = crate::root();
    let out = Command::new("git")
        .args(["-c", "safe.directory=*", "-C"])
        .arg(root)
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .output()
        .ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    (out.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
