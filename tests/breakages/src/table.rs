//! The table in the documentation.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::list::{Breakage, Catcher, Kind};

const BEGIN: &str = "<!-- breakages: written by `cargo run -p tas-breakages -- table` -->\n";
const END: &str = "<!-- end of breakages -->\n";

fn path(root: &Path) -> PathBuf {
    root.join("doc/testing.md")
}

/// Puts the table into the documentation.
///
/// # Errors
/// When the file cannot be written, or has no place for it.
pub fn write(root: &Path, breakages: &[Breakage]) -> Result<()> {
    let text = fs::read_to_string(path(root))?;
    fs::write(path(root), with_table(&text, breakages)?)?;
    Ok(())
}

/// Insists that the documentation has it.
///
/// # Errors
/// When it does not.
pub fn check(root: &Path, breakages: &[Breakage]) -> Result<()> {
    let text = fs::read_to_string(path(root))?;
    ensure!(
        with_table(&text, breakages)? == text,
        "doc/testing.md does not list them: run `cargo run -p tas-breakages -- table`"
    );
    Ok(())
}

fn with_table(text: &str, breakages: &[Breakage]) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("no place for the table")?;
    let (_, after) = rest.split_once(END).context("the table has no end")?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", table(breakages)?))
}

fn table(breakages: &[Breakage]) -> Result<String> {
    let mut table = String::from("| breakage | where | caught by |\n| --- | --- | --- |\n");
    for breakage in breakages {
        let catchers: Vec<String> = breakage.catchers.iter().map(describe).collect();
        writeln!(
            table,
            "| {} | `{}` | {} |",
            breakage.what.replace('|', "\\|"),
            breakage.file,
            catchers.join("; "),
        )?;
    }
    Ok(table)
}

fn describe(catcher: &Catcher) -> String {
    let package = &catcher.target.package;
    let of = match &catcher.target.kind {
        Kind::Lib => package.clone(),
        Kind::Loom => format!("{package} (loom)"),
        Kind::Test(name) => format!("{package} ({name})"),
        Kind::Make(goal) => format!("`make {goal}`"),
    };
    let tests: Vec<String> = catcher.tests.iter().map(|t| format!("`{t}`")).collect();
    if tests.is_empty() {
        of
    } else {
        format!("{of}: {}", tests.join(", "))
    }
}
