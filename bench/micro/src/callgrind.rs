//! Counting instructions: this program under callgrind, which leaves one profile for each case.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use crate::harness::{CASE, Case, REGION};

/// Why there are no counts.
#[derive(Debug, Error)]
pub enum CountError {
    /// Valgrind is not there, or files cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program ended with an error.
    #[error("valgrind ended with {0}")]
    Ended(std::process::ExitStatus),
    /// A profile is not as expected.
    #[error("no count in {0}")]
    NoCount(PathBuf),
    /// There is another number of profiles than of cases.
    #[error("valgrind did not leave one profile for each case")]
    Profiles,
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> CountError {
    let what = what.into();
    move |source| CountError::Io { what, source }
}

/// Instructions that an operation of each case takes, in their order. The profiles stay in `dir`
/// under the names of the cases.
///
/// # Errors
/// Valgrind is missing, or something went wrong under it.
pub fn count(cases: &[&Case], dir: &Path) -> Result<Vec<f64>, CountError> {
    fs::create_dir_all(dir).map_err(io_error(format!("cannot make {}", dir.display())))?;
    let out = dir.join("profile");
    remove_profiles(&out)?;
    run(cases, &out)?;
    let extra = numbered(&out, cases.len() + 1).exists();
    let counts = cases.iter().enumerate().map(|(index, case)| {
        let path = numbered(&out, index + 1);
        if extra || !path.exists() {
            return Err(CountError::Profiles);
        }
        let named = dir.join(format!("{}.out", case.name.replace('/', "-")));
        fs::rename(&path, &named).map_err(io_error("cannot rename a profile"))?;
        let text = fs::read_to_string(&named).map_err(io_error("cannot read a profile"))?;
        let total = total(&text).ok_or(CountError::NoCount(named))?;
        Ok(total as f64 / f64::from(case.ops))
    });
    counts.collect()
}

fn run(cases: &[&Case], out: &Path) -> Result<(), CountError> {
    let program = env::current_exe().map_err(io_error("cannot find this program"))?;
    let status = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(format!("--toggle-collect={REGION}"))
        .arg(format!("--dump-after={CASE}"))
        .arg(program)
        .arg("run")
        .args(cases.iter().map(|case| case.name))
        // The C library's copying differs by processor; without these features it is that of
        // the oldest one.
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-AVX512VL,-ERMS,-FSRM",
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(io_error("cannot run valgrind (make deps installs it)"))?;
    if status.success() {
        Ok(())
    } else {
        Err(CountError::Ended(status))
    }
}

/// Where callgrind leaves its `number`th profile.
fn numbered(out: &Path, number: usize) -> PathBuf {
    let mut path = out.as_os_str().to_owned();
    path.push(format!(".{number}"));
    path.into()
}

fn remove_profiles(out: &Path) -> Result<(), CountError> {
    for number in 1.. {
        match fs::remove_file(numbered(out, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(io_error("cannot remove old profiles"))?,
        }
    }
    Ok(())
}

/// All instructions of a profile.
fn total(profile: &str) -> Option<u64> {
    let line = profile
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok()
}

/// What counts depend on besides the code: compiler, C library, valgrind.
pub fn toolchain() -> String {
    let said = |program: &str, argument: &str| {
        Command::new(program)
            .arg(argument)
            .output()
            .ok()
            .and_then(|output| String::from_utf8(output.stdout).ok())
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    [
        env!("BUILT_WITH").to_owned(),
        said("getconf", "GNU_LIBC_VERSION"),
        said("valgrind", "--version"),
    ]
    .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_total() {
        assert_eq!(
            total("events: Ir\nfn=(1) f\n1 20\n\ntotals: 1234\n"),
            Some(1234)
        );
        assert_eq!(total("events: Ir\n"), None);
        assert_eq!(total("totals: many\n"), None);
    }
}
