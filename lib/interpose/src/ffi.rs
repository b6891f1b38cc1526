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

use std::ffi::c_int;

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

unsafe extern "C-unwind" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    fn pthread_testcancel();
}

/// `PTHREAD_CANCEL_DISABLE`
const CANCEL_DISABLE: c_int = 1;

/// Runs a call that may block, on one of our sockets. Such a call is a
/// cancellation point at its beginning only: cancelled in the middle, it would
/// leave locks behind.
// Not in line: calls on the kernel's descriptors would have to save its registers.
#[inline(never)]
fn uncancelled<R>(call: impl FnOnce() -> R) -> R {
    let mut state = 0;
    // SAFETY: the state is the calling thread's own. Cancellation unwinds from
    // the first call only, where nothing is held.
    unsafe {
        pthread_testcancel();
        pthread_setcancelstate(CANCEL_DISABLE, &mut state);
    }
    let result = call();
    // SAFETY: puts back what was there.
    unsafe { pthread_setcancelstate(state, std::ptr::null_mut()) };
    result
}
