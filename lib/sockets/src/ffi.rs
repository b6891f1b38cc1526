//! The C interface, and the only unsafe code of the crate.

pub mod address;
pub mod calls;
pub mod cell;
mod compat;
pub mod data;
pub mod events;
pub mod hooks;
pub mod kernel;
pub mod messages;
pub mod options;
pub mod poll;
pub mod raw;
pub mod signals;
pub mod transfer;
pub mod user;

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::io::Errno;

use crate::Result;

/// Runs a call: its failure becomes -1 and errno, and no panic reaches C.
#[inline]
fn guard<T: From<i8>>(call: impl FnOnce() -> Result<T>) -> T {
    let errno = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => return value,
        Ok(Err(errno)) => errno,
        Err(_) => Errno::IO,
    };
    raw::set_errno(errno);
    T::from(-1)
}

/// A call without a result.
#[inline]
fn done(call: impl FnOnce() -> Result<()>) -> c_int {
    guard(|| call().map(|()| 0))
}
