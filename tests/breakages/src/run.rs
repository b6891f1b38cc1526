//! Applying breakages and running tests.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::list::{Breakage, Catcher, Kind, Target};
use crate::process;
use crate::tree::Tree;

/// What takes longer hangs.
const BUILD: Duration = Duration::from_secs(900);
const TESTS: Duration = Duration::from_secs(120);
const LONG_TESTS: Duration = Duration::from_secs(900);

/// The target of the random worlds.
const WORLDS: &str = "worlds";

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

/// Which tests of those that could notice.
#[derive(Clone, Debug)]
pub enum Who {
    /// Those of the list.
    Listed,
    /// All tests of the targets of the list.
    AllOfTarget,
    /// These, whatever the list says.
    Only(Catcher),
}

impl Who {
    fn of(&self, breakage: &Breakage) -> Vec<Catcher> {
        match self {
            Who::Listed => breakage.catchers.clone(),
            Who::AllOfTarget => {
                let all = |catcher: &Catcher| Catcher {
                    tests: Vec::new(),
                    ..catcher.clone()
                };
                breakage.catchers.iter().map(all).collect()
            }
            Who::Only(catcher) => vec![catcher.clone()],
        }
    }
}

/// Runs all; returns whether all were caught.
pub fn run(root: &Path, breakages: &[&Breakage], who: &Who) -> Result<bool> {
    ensure!(!breakages.is_empty(), "no breakage has such a name");
    for breakage in breakages {
        breakage.applied(root)?;
    }
    let begin = Instant::now();
    let tree = Tree::new(root)?;
    pass_unbroken(&tree, breakages, who)?;
    println!("unbroken: {} s", begin.elapsed().as_secs());
    let mut missed = Vec::new();
    for breakage in breakages {
        if !try_one(&tree, breakage, &who.of(breakage))? {
            missed.push(breakage.name.as_str());
        }
    }
    println!(
        "{} of {} breakages caught in {} min",
        breakages.len() - missed.len(),
        breakages.len(),
        begin.elapsed().as_secs().div_ceil(60)
    );
    if !missed.is_empty() {
        println!("missed: {}", missed.join(" "));
    }
    Ok(missed.is_empty())
}

/// A test that fails anyway catches nothing.
fn pass_unbroken(tree: &Tree, breakages: &[&Breakage], who: &Who) -> Result<()> {
    let mut targets: BTreeMap<Target, Vec<String>> = BTreeMap::new();
    for catcher in breakages.iter().flat_map(|breakage| who.of(breakage)) {
        let tests = targets.entry(catcher.target).or_default();
        tests.extend(catcher.tests);
    }
    for (target, mut tests) in targets {
        tests.sort();
        tests.dedup();
        match tests_of(tree, &target, &tests)? {
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

/// Whether each of `catchers` notices.
fn try_one(tree: &Tree, breakage: &Breakage, catchers: &[Catcher]) -> Result<bool> {
    let right = std::fs::read_to_string(tree.path.join(&breakage.file))?;
    tree.write(&breakage.file, &breakage.applied(&tree.path)?)?;
    let outcome = noticed(tree, breakage, catchers);
    tree.write(&breakage.file, &right)?;
    outcome
}

fn noticed(tree: &Tree, breakage: &Breakage, catchers: &[Catcher]) -> Result<bool> {
    let mut all = true;
    for catcher in catchers {
        let begin = Instant::now();
        let verdict = tests_of(tree, &catcher.target, &catcher.tests)?;
        println!(
            "{} {} by {} {} ({} s): {}",
            if verdict.caught() { "caught" } else { "MISSED" },
            breakage.name,
            catcher.target.package,
            catcher.target.name(),
            begin.elapsed().as_secs(),
            verdict.describe()
        );
        all &= verdict.caught();
    }
    Ok(all)
}

impl Target {
    fn name(&self) -> &str {
        match &self.kind {
            Kind::Lib => "lib",
            Kind::Loom => "loom",
            Kind::Test(name) | Kind::Make(name) => name,
        }
    }

    /// The command that builds what the tests are.
    fn building(&self, tree: &Tree) -> Command {
        let mut command = match self.kind {
            Kind::Make(_) => self.make(tree, "all"),
            _ => self.cargo_test(tree),
        };
        if !matches!(self.kind, Kind::Make(_)) {
            command.arg("--no-run");
        }
        command
    }

    /// The command that runs the tests, all if none is named.
    fn testing(&self, tree: &Tree, tests: &[String]) -> Command {
        match &self.kind {
            Kind::Make(goal) => {
                let mut command = self.make(tree, goal);
                command.env("PROGRAMS", tests.join(" "));
                command
            }
            _ => {
                let mut command = self.cargo_test(tree);
                command.args(["--", "--format=pretty"]).args(tests);
                command
            }
        }
    }

    fn cargo_test(&self, tree: &Tree) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        in_tree(&mut command, tree);
        command
            .args(["test", "--quiet", "--locked", "--package", &self.package])
            .env("CARGO_PROFILE_DEV_DEBUG", "false");
        match &self.kind {
            Kind::Lib | Kind::Make(_) => command.arg("--lib"),
            Kind::Loom => command
                .args(["--lib", "--release"])
                .env("CARGO_TARGET_DIR", tree.target.join("loom"))
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("RUSTFLAGS", "--cfg loom"),
            Kind::Test(name) => command.args(["--test", name]),
        };
        if self.name() == WORLDS && env::var_os("TAS_WORLDS").is_none() {
            command.env("TAS_WORLDS", "2000");
        }
        command
    }

    /// Products that are built fast.
    fn make(&self, tree: &Tree, goal: &str) -> Command {
        let mut command = Command::new("make");
        in_tree(&mut command, tree);
        command
            .args(["--silent", goal])
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("SOCKETS_STACKS", "preload");
        command
    }
}

/// What a command leaves is left beside the copy.
fn in_tree(command: &mut Command, tree: &Tree) {
    command
        .current_dir(&tree.path)
        .env("CARGO_TARGET_DIR", &tree.target)
        .env("TMPDIR", &tree.scratch)
        .env("TAS_WORLDS_DIR", &tree.scratch)
        .env("RUST_BACKTRACE", "0");
    // Those of the make that runs this.
    for name in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"] {
        command.env_remove(name);
    }
}

/// Builds and runs tests.
fn tests_of(tree: &Tree, target: &Target, tests: &[String]) -> Result<Verdict> {
    match process::run(target.building(tree), BUILD)? {
        (Some(status), _) if status.success() => {}
        (_, output) => bail!("it does not build:\n{output}"),
    }
    let limit = match &target.kind {
        Kind::Test(_) | Kind::Make(_) => LONG_TESTS,
        Kind::Lib | Kind::Loom => TESTS,
    };
    let (status, output) = process::run(target.testing(tree, tests), limit)?;
    let Some(status) = status else {
        return Ok(Verdict::Hung);
    };
    let failed: Vec<String> = output.lines().filter_map(failed_test).collect();
    Ok(if !failed.is_empty() {
        Verdict::Failed(failed)
    } else if status.success() {
        Verdict::Passed(output.lines().map(passed_tests).sum())
    } else {
        let last = output.lines().rev().find(|line| !line.trim().is_empty());
        Verdict::Died(last.unwrap_or("the tests die").trim().to_owned())
    })
}

/// Of the test harness, or of scripts.
fn failed_test(line: &str) -> Option<String> {
    let of_cargo = line.strip_prefix("test ");
    let name = of_cargo.and_then(|line| line.strip_suffix(" ... FAILED"));
    name.or(line.strip_prefix("FAIL ")).map(str::to_owned)
}

fn passed_tests(line: &str) -> u64 {
    if line.starts_with("test ") && line.ends_with("... ok") {
        return 1;
    }
    let of_script = line.strip_suffix(" passed, 0 failed");
    of_script.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harness_and_scripts_are_understood() {
        let failed = |line| failed_test(line);
        assert_eq!(failed("test a::b ... FAILED").as_deref(), Some("a::b"));
        assert_eq!(
            failed("FAIL preload: recv").as_deref(),
            Some("preload: recv")
        );
        assert_eq!(failed("test a::b ... ok"), None);
        let lines = ["test a ... ok", "test b ... ok", "40 passed, 0 failed"];
        assert_eq!(lines.map(passed_tests), [1, 1, 40]);
        assert_eq!(passed_tests("39 passed, 1 failed"), 0);
    }
}
