use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{before, in_parent};
use crate::{create, engine};

/// Who makes a context holds its lock when it asks whether the process is
/// connected; a fork takes the same locks.
#[test]
fn a_fork_and_a_first_context_do_not_wait_for_each_other() {
    const ROUNDS: usize = 300;
    create::claim_tables();
    let (done, finished) = mpsc::channel();
    let over: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let maker = done.clone();
    thread::spawn(move || {
        let id = engine::of_thread();
        while !over.load(Ordering::Relaxed) {
            let mut home = engine::lock(id).unwrap();
            // Without a service this fails, having asked.
            let _ = home.context(id);
        }
        maker.send(()).unwrap();
    });
    thread::spawn(move || {
        for _ in 0..ROUNDS {
            before();
            in_parent();
        }
        over.store(true, Ordering::Relaxed);
        done.send(()).unwrap();
    });
    for _ in 0..2 {
        finished.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}
