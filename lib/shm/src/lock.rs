//! One instance at a time.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    Held {
        /// The holder, where the file says.
        pid: Option<u32>,
    },
    /// The file cannot be made or locked.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { pid: Some(pid) } => write!(f, "already running as pid {pid}"),
            LockError::Held { pid: None } => f.write_str("already running"),
            LockError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LockError {}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> LockError {
        LockError::Io(error)
    }
}

/// A locked file that names this process. The kernel drops the lock when the
/// process ends, however it ends; the file goes when the value is dropped.
#[derive(Debug)]
pub struct PidLock {
    path: PathBuf,
    _file: File,
}

impl PidLock {
    /// Takes the lock at `path`, creating the file as needed.
    pub fn acquire(path: &Path) -> Result<PidLock, LockError> {
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)?;
            // SAFETY: a live descriptor, no pointers.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
                let error = io::Error::last_os_error();
                return Err(match error.kind() {
                    io::ErrorKind::WouldBlock => LockError::Held {
                        pid: holder(&mut file),
                    },
                    _ => LockError::Io(error),
                });
            }
            // The previous holder may have removed the file between our open
            // and our lock; then the lock guards nothing, so start over.
            if !still_there(&file, path)? {
                continue;
            }
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())?;
            return Ok(PidLock {
                path: path.to_owned(),
                _file: file,
            });
        }
    }
}

impl Drop for PidLock {
    fn drop(&mut self) {
        // Removed while still locked, so nobody can have taken it over. A file
        // that cannot be removed is harmless: its lock goes with the process.
        let _ = fs::remove_file(&self.path);
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn still_there(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn second_holder_learns_the_first_ones_pid() {
        let path = std::env::temp_dir().join(format!("tas_shm_lock_{}", std::process::id()));
        let lock = PidLock::acquire(&path).unwrap();
        let Err(LockError::Held { pid }) = PidLock::acquire(&path) else {
            panic!("taken twice")
        };
        assert_eq!(pid, Some(std::process::id()));
        drop(lock);
        assert!(!path.exists());
        // What a crash leaves behind does not count as held.
        fs::write(&path, "1\n").unwrap();
        let lock = PidLock::acquire(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap().trim(),
            std::process::id().to_string()
        );
        drop(lock);
    }
}
