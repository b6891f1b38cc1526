//! Calls that transfer bytes, and may end with a part of what they were asked for.

use std::ffi::c_int;
use std::time::Duration;

use rustix::io::Errno;

use crate::Result;
use crate::engine::Locked;
use crate::ffi::call::RESTART;
use crate::operation::{self, Try};
use crate::options::Options;
use crate::wait::{OnSignal, Until};

/// How a step of a transfer went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes were transferred.
    Moved(usize),
    /// Nothing more comes. With bytes transferred before, also for an error,
    /// which stays for the next call.
    End,
    /// Something must happen first.
    Wait,
}

/// When a transfer ends early.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// It does not wait, whatever O_NONBLOCK says.
    pub dont_wait: bool,
    /// How long it waits.
    pub timeout: fn(&Options) -> Option<Duration>,
}

impl Patience {
    /// When a call ends that begins to wait now.
    pub fn until(self, locked: &mut Locked) -> Until {
        if self.dont_wait || locked.socket().nonblocking() {
            Until::Now
        } else {
            Until::after((self.timeout)(&locked.state().options))
        }
    }
}

/// Transfers until `enough` is true of the number of bytes. `step` is told how
/// many there are so far.
///
/// # Errors
/// Those of `step` and of waiting, as long as nothing was transferred.
pub fn transfer(
    fd: c_int,
    patience: Patience,
    mut step: impl FnMut(&mut Locked, usize) -> Result<Step>,
    mut enough: impl FnMut(&mut Locked, usize) -> bool,
) -> Result<usize> {
    let mut moved = 0;
    // One time for the whole call, counted from when it first waits.
    let mut until = None;
    loop {
        let begun = moved > 0;
        // Whatever was transferred must be told (signal(7)): such a call is
        // not restarted.
        let on_signal = if begun {
            OnSignal::Interrupt
        } else {
            OnSignal::Restart
        };
        let outcome = operation::run(
            fd,
            |locked| *until.get_or_insert_with(|| patience.until(locked)),
            on_signal,
            |locked| {
                Ok(match step(locked, moved)? {
                    Step::End => Try::Done(true),
                    Step::Wait => Try::Wait,
                    Step::Moved(count) => {
                        moved += count;
                        match enough(locked, moved) {
                            true => Try::Done(true),
                            false if begun => Try::Wait,
                            false => Try::Done(false),
                        }
                    }
                })
            },
        );
        match outcome {
            Ok(false) => {}
            Err(error) if moved == 0 => return Err(error),
            Ok(true) | Err(_) => return Ok(moved),
        }
    }
}

/// Whether a call has failed because it did not want to wait longer.
pub fn gave_up(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::INTR | RESTART)
}
