//! Bytes that MSG_MORE or TCP_CORK holds back, for 200 ms at most (tcp(7)).
//!
//! A thread pushes what is left over by then. It runs only while there is
//! something to push.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::engine::{self, HomeId};
use crate::ffi::signals;
use crate::send;
use crate::socket::{SOCKETS, Socket};

/// As long as on Linux.
const LONGEST: Duration = Duration::from_millis(200);

/// The thread runs, or is about to.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Bytes of the socket are held back. `false` if nobody would push them.
pub fn note(socket: &'static Socket) -> bool {
    socket.held.store(true, Ordering::Release);
    RUNNING.swap(true, Ordering::AcqRel) || start()
}

fn start() -> bool {
    // Signals are for the program's own threads.
    let _held = signals::hold_for_thread();
    let name = String::from("tas-uncork");
    let started = thread::Builder::new().name(name).spawn(run).is_ok();
    if !started {
        RUNNING.store(false, Ordering::Release);
    }
    started
}

fn run() {
    loop {
        thread::sleep(LONGEST);
        if push() {
            continue;
        }
        RUNNING.store(false, Ordering::Release);
        // What was held back meanwhile relies on this thread.
        let more = sockets().any(|s| s.held.load(Ordering::Acquire));
        if !more || RUNNING.swap(true, Ordering::AcqRel) {
            return;
        }
    }
}

/// All sockets. A context's lock keeps the process from forking while the
/// pool's is taken.
fn sockets() -> impl Iterator<Item = &'static Socket> {
    let _home = engine::lock(HomeId(0));
    SOCKETS.all()
}

/// Pushes what is held back, and says whether there was anything.
fn push() -> bool {
    let mut any = false;
    for socket in sockets() {
        if !socket.held.swap(false, Ordering::AcqRel) {
            continue;
        }
        any = true;
        if let Some(mut locked) = socket.lock_any()
            && let (state, Some(ctx)) = locked.parts()
        {
            // Sending says so if the connection is broken.
            let _ = send::push_held(state, ctx, socket.conn());
        }
    }
    any
}

/// Pushes all that is held back, at the end of the process.
pub fn push_all() {
    push();
}

/// This is a child made by fork: its parent has the thread, and pushes what it
/// held back.
pub fn after_fork() {
    RUNNING.store(false, Ordering::Release);
    for socket in SOCKETS.all() {
        socket.held.store(false, Ordering::Release);
    }
}
