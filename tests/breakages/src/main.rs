//! Breaks the engine on purpose, one line at a time, and sees whether the tests notice: a suite
//! that passes says little unless it fails when it should. `list.txt` has the breakages and the
//! tests that catch them; `make breakages` applies each to a copy of the tree.
#![forbid(unsafe_code)]

mod list;
mod process;
mod run;
mod table;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::list::{Breakage, Catcher};
use crate::run::Who;

#[derive(Parser)]
#[command(about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See whether every breakage still applies, and whether the documentation lists them all
    Check,
    /// Apply each breakage to a copy of the tree, and run the tests that should notice
    Run {
        /// Only breakages whose names contain one of these
        names: Vec<String>,
        /// Run all tests of the target, not only those that should notice
        #[arg(long)]
        all_tests: bool,
        /// Run these tests instead, as the list would name them: 'tas worlds'
        #[arg(long, conflicts_with = "all_tests")]
        by: Option<Catcher>,
    },
    /// Write the table into the documentation
    Table,
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("breakages: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<bool> {
    let root = root();
    let breakages = read_list(&root)?;
    match command {
        Command::Check => {
            check(&root, &breakages)?;
            println!("{} breakages apply", breakages.len());
            Ok(true)
        }
        Command::Run {
            names,
            all_tests,
            by,
        } => {
            let who = match by {
                Some(catcher) => Who::Only(catcher.clone()),
                None if *all_tests => Who::AllOfTarget,
                None => Who::Listed,
            };
            let chosen = |b: &&Breakage| {
                names.is_empty() || names.iter().any(|name| b.name.contains(name.as_str()))
            };
            let chosen: Vec<&Breakage> = breakages.iter().filter(chosen).collect();
            run::run(&root, &chosen, &who)
        }
        Command::Table => table::write(&root, &breakages).map(|()| true),
    }
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

fn read_list(root: &Path) -> Result<Vec<Breakage>> {
    let path = root.join("tests/breakages/list.txt");
    let text = std::fs::read_to_string(&path).context(path.display().to_string())?;
    list::parse(&text)
}

fn check(root: &Path, breakages: &[Breakage]) -> Result<()> {
    for breakage in breakages {
        breakage.applied(root)?;
    }
    table::check(root, breakages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_breakage_still_applies_and_is_documented() {
        let root = root();
        let breakages = read_list(&root).unwrap();
        check(&root, &breakages).unwrap();
    }
}
