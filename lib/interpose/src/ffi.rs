//! The interposed functions, under names of their own: the build gives them
//! those of the C library (`names.sh`).

mod data;
mod descriptor;
mod entry;
mod fortified;
mod socket;
mod stream;
mod syscall;
mod transfer;
mod wait;

use crate::real;

/// Runs when the library is loaded, before the program.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = {
    extern "C" fn at_load() {
        real::find_all();
    }
    at_load
};
