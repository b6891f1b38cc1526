//! A place for the service: namespaces of its own, and huge pages.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Tells this program, started anew, that it is in its namespaces.
const INSIDE: &str = "TAS_BENCH_INSIDE";
const HUGE_DIR: &str = "/dev/hugepages";
const NR_HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const FREE_HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";

/// Moves this process into network and mount namespaces of its own, with an
/// empty `/dev/shm`: no other service is in the way, and nothing is left
/// behind. Starts the program anew to do so.
pub fn enter() -> Result<()> {
    if env::var_os(INSIDE).is_some() {
        return mount("tmpfs", "/dev/shm");
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "needs root, for network namespaces"
    );
    let program = env::current_exe().context("cannot find this program")?;
    let error = Command::new("unshare")
        .args(["--net", "--mount", "--"])
        .arg(program)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error).context("cannot start unshare of util-linux")
}

fn mount(kind: &str, at: &str) -> Result<()> {
    let status = Command::new("mount")
        .args(["-t", kind, kind, at])
        .status()
        .context("cannot start mount")?;
    ensure!(status.success(), "cannot mount a {kind} at {at}");
    Ok(())
}

/// Huge pages reserved for the benchmark; given back when dropped.
pub struct HugePages {
    before: Option<u64>,
}

impl HugePages {
    /// Sees to it that `needed` pages of 2 MiB are free.
    ///
    /// # Errors
    /// When the machine has no room for them.
    pub fn reserve(needed: u64) -> Result<HugePages> {
        let free = number(FREE_HUGE_PAGES)?;
        let mut pages = HugePages { before: None };
        if free < needed {
            let total = number(NR_HUGE_PAGES)?;
            pages.before = Some(total);
            fs::write(NR_HUGE_PAGES, (total + needed - free).to_string())
                .context("cannot reserve huge pages")?;
            let free = number(FREE_HUGE_PAGES)?;
            if free < needed {
                bail!("the machine has room for {free} of {needed} huge pages");
            }
        }
        // This process's alone, so that it holds the regions of no other service.
        fs::create_dir_all(HUGE_DIR).context("cannot make /dev/hugepages")?;
        mount("hugetlbfs", HUGE_DIR)?;
        Ok(pages)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = fs::write(NR_HUGE_PAGES, before.to_string());
        }
    }
}

fn number(path: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    text.trim()
        .parse()
        .with_context(|| format!("{path} says {text}"))
}
