//! The end of the process by exit(3): what only this library has is given to the service.

use crate::ffi::raw;
use crate::hold;

/// Sees to it. Once.
pub fn prepare() {
    raw::at_exit(hold::push_all);
}
