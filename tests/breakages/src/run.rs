//! Applying breakages and running tests.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::TERM_SIGNALS;

use crate::list::{Breakage, Kind, Target};
use crate::tree::Tree;

/// What takes longer hangs.
const BUILD: Duration = Duration::from_secs(900);
const TESTS: Duration = Duration::from_secs(180);
const TICK: Duration = Duration::from_millis(20);

/// What came of tests.
enum Verdict {
    /// These failed.
    Failed(Vec<String>),
    /// They did not get so far as to say which.
    Died(String),
    /// They did not end.
    Hung,
    /// So many passed, and none failed.
    Passed(u64),
}

impl Verdict {
    fn caught(&self) -> bool {
        !matches!(self, Verdict::Passed(_))
    }

    fn describe(&self) -> String {
        match self {
            Verdict::Failed(tests) => {
                let more = tests.len().saturating_sub(3);
                let mut text = tests.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                if more > 0 {
                    text += &format!(" and {more} more");
                }
                text
            }
            Verdict::Died(status) => status.clone(),
            Verdict::Hung => "the tests do not end".into(),
            Verdict::Passed(tests) => format!("{tests} tests pass"),
        }
    }
}

/// Runs all; returns whether all were caught.
pub fn run(root: &Path, breakages: &[&Breakage], all_tests: bool) -> Result<bool> {
    ensure!(!breakages.is_empty(), "no breakage has such a name");
    for breakage in breakages {
        breakage.applied(root)?;
    }
    let tree = Tree::new(root)?;
    pass_unbroken(&tree, breakages, all_tests)?;
    let mut missed = Vec::new();
    for breakage in breakages {
        let begin = Instant::now();
        let verdict = try_one(&tree, breakage, all_tests)?;
        let outcome = if verdict.caught() { "caught" } else { "MISSED" };
        let seconds = begin.elapsed().as_secs();
        println!(
            "{outcome} {} ({seconds} s): {}",
            breakage.name,
            verdict.describe()
        );
        if !verdict.caught() {
            missed.push(breakage.name.as_str());
        }
    }
    println!(
        "{} of {} breakages caught",
        breakages.len() - missed.len(),
        breakages.len()
    );
    if !missed.is_empty() {
        println!("missed: {}", missed.join(" "));
    }
    Ok(missed.is_empty())
}

/// A test that fails anyway catches nothing.
fn pass_unbroken(tree: &Tree, breakages: &[&Breakage], all_tests: bool) -> Result<()> {
    let mut targets: BTreeMap<&Target, Vec<String>> = BTreeMap::new();
    for breakage in breakages {
        let tests = targets.entry(&breakage.target).or_default();
        if !all_tests {
            tests.extend_from_slice(&breakage.tests);
        }
    }
    for (target, tests) in targets {
        match tests_of(tree, target, &tests)? {
            Verdict::Passed(count) if count > 0 => {
                println!("{} {}: {count} tests pass", target.package, target.name());
            }
            verdict => bail!(
                "{} {} without any breakage: {}",
                target.package,
                target.name(),
                verdict.describe()
            ),
        }
    }
    Ok(())
}

fn try_one(tree: &Tree, breakage: &Breakage, all_tests: bool) -> Result<Verdict> {
    let right = std::fs::read_to_string(tree.path.join(&breakage.file))?;
    tree.write(&breakage.file, &breakage.applied(&tree.path)?)?;
    let tests: &[String] = if all_tests { &[] } else { &breakage.tests };
    let verdict = tests_of(tree, &breakage.target, tests);
    tree.write(&breakage.file, &right)?;
    verdict
}

impl Target {
    fn name(&self) -> &str {
        match &self.kind {
            Kind::Lib => "lib",
            Kind::Loom => "loom",
            Kind::Test(name) => name,
        }
    }

    fn command(&self, tree: &Tree) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        command
            .current_dir(&tree.path)
            .args(["test", "--quiet", "--locked", "--package", &self.package])
            .env("CARGO_TARGET_DIR", &tree.target)
            .env("RUST_BACKTRACE", "0");
        match &self.kind {
            Kind::Lib => command.arg("--lib"),
            Kind::Loom => command
                .args(["--lib", "--release"])
                .env("CARGO_TARGET_DIR", tree.target.join("loom"))
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("RUSTFLAGS", "--cfg loom"),
            Kind::Test(name) => command.args(["--test", name]),
        };
        command
    }
}

/// Builds and runs tests.
fn tests_of(tree: &Tree, target: &Target, tests: &[String]) -> Result<Verdict> {
    let mut build = target.command(tree);
    build.arg("--no-run");
    match run_command(build, BUILD)? {
        (Some(status), _) if status.success() => {}
        (_, output) => bail!("it does not build:\n{output}"),
    }
    let mut command = target.command(tree);
    command.args(["--", "--format=pretty"]).args(tests);
    let (status, output) = run_command(command, TESTS)?;
    let Some(status) = status else {
        return Ok(Verdict::Hung);
    };
    let failed: Vec<String> = output.lines().filter_map(failed_test).collect();
    Ok(if !failed.is_empty() {
        Verdict::Failed(failed)
    } else if status.success() {
        Verdict::Passed(
            output
                .lines()
                .filter(|line| line.ends_with("... ok"))
                .count() as u64,
        )
    } else {
        let last = output.lines().rev().find(|line| !line.trim().is_empty());
        Verdict::Died(last.unwrap_or("the tests die").trim().to_owned())
    })
}

fn failed_test(line: &str) -> Option<String> {
    let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
    Some(name.to_owned())
}

/// Runs a command and what it starts; no status when it takes too long.
fn run_command(mut command: Command, limit: Duration) -> Result<(Option<ExitStatus>, String)> {
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
            // What it has started is of its group.
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            ensure!(!interrupted, "interrupted");
            return Ok(None);
        }
        thread::sleep(TICK);
    }
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
