//! A copy of the repository's files to break.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The copy.
pub struct Tree {
    /// Where it is.
    pub path: PathBuf,
    /// cargo's target directory for it, kept for the next run.
    pub target: PathBuf,
    /// For what is of no use afterwards.
    pub scratch: PathBuf,
    _lock: fs::File,
}

impl Tree {
    /// Brings the copy up to date. Files that are as before keep their times, for cargo's sake.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn new(root: &Path) -> Result<Tree> {
        let base = root.join("target/breakages");
        let path = base.join("tree");
        fs::create_dir_all(&path)?;
        let lock = fs::File::create(base.join("lock"))?;
        lock.try_lock().context("another run is under way")?;
        let scratch = base.join("scratch");
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir(&scratch)?;
        let files = files_of(root)?;
        for file in &files {
            let (from, to) = (root.join(file), path.join(file));
            let text = fs::read(&from).with_context(|| from.display().to_string())?;
            if fs::read(&to).is_ok_and(|old| old == text) {
                continue;
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::copy(&from, &to).with_context(|| to.display().to_string())?;
            // Its own time may be older than what was built.
            fs::File::options()
                .append(true)
                .open(&to)?
                .set_modified(std::time::SystemTime::now())?;
        }
        remove_others(&path, &path, &files)?;
        Ok(Tree {
            path,
            target: base.join("target"),
            scratch,
            _lock: lock,
        })
    }

    /// Changes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.path.join(file), text).with_context(|| file.to_owned())
    }
}

/// What git keeps, or would.
fn files_of(root: &Path) -> Result<HashSet<PathBuf>> {
    let listed = Command::new("git")
        .current_dir(root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .context("git")?;
    ensure!(
        listed.status.success(),
        "git: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = listed.stdout.split(|byte| *byte == 0);
    let paths = names.map(|name| PathBuf::from(OsStr::from_bytes(name)));
    Ok(paths.filter(|path| root.join(path).is_file()).collect())
}

/// Removes what the repository has no more.
fn remove_others(top: &Path, dir: &Path, files: &HashSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            remove_others(top, &path, files)?;
        } else if !files.contains(path.strip_prefix(top)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
