//! What a call that fails reports.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// Outcome of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed: an errno, and for what a program cannot expect to happen
/// a line for its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    errno: i32,
    line: Option<Cow<'static, str>>,
}

impl Error {
    /// A condition that programs handle, such as a full queue.
    pub const fn expected(errno: i32) -> Error {
        Error { errno, line: None }
    }

    /// The caller broke the rules of the interface.
    pub const fn misuse(line: &'static str) -> Error {
        Error {
            errno: libc::EINVAL,
            line: Some(Cow::Borrowed(line)),
        }
    }

    /// Something outside went wrong.
    pub fn failure(errno: i32, line: impl Into<Cow<'static, str>>) -> Error {
        Error {
            errno,
            line: Some(line.into()),
        }
    }

    /// A system call failed while doing `what`.
    pub fn io(what: &str, error: &io::Error) -> Error {
        Error::failure(
            error.raw_os_error().unwrap_or(libc::EPROTO),
            format!("{what}: {error}"),
        )
    }

    /// The queue that the call needs is full; polling makes room.
    pub const FULL: Error = Error::expected(libc::EAGAIN);
    /// The service is gone.
    pub const GONE: Error = Error::expected(libc::ECONNRESET);

    /// The errno.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The line for the user.
    pub fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some(line) => f.write_str(line),
            None => io::Error::from_raw_os_error(self.errno).fmt(f),
        }
    }
}

impl std::error::Error for Error {}
