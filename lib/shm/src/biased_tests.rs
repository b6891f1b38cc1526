use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::BiasedMutex;

#[test]
fn the_owner_and_others_count_together() {
    const EACH: u64 = 20_000;
    let lock = Arc::new(BiasedMutex::new(0u64));
    let threads: Vec<_> = (0..3)
        .map(|index| {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                if index == 0 {
                    lock.own();
                }
                // The owner ten times as often, so that it finds its way back.
                let rounds = if index == 0 { EACH * 10 } else { EACH };
                for round in 0..rounds {
                    *lock.lock().unwrap() += 1;
                    if index != 0 && round % 64 == 0 {
                        thread::yield_now();
                    }
                }
                if index == 0 {
                    lock.disown();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*lock.lock().unwrap(), EACH * 12);
}

#[test]
fn whoever_has_it_is_not_let_in_again() {
    let lock = BiasedMutex::new(());
    lock.own();
    let held = lock.lock().unwrap();
    assert!(lock.lock().is_none());
    assert!(lock.try_lock().is_none());
    drop(held);
    assert!(lock.lock().is_some());
}

#[test]
fn others_wait_until_the_owner_is_out() {
    let lock = BiasedMutex::new(0);
    let (inside, tried) = (AtomicBool::new(false), AtomicBool::new(false));
    lock.own();
    thread::scope(|scope| {
        let mut held = lock.lock().unwrap();
        inside.store(true, Ordering::SeqCst);
        scope.spawn(|| {
            let refused = lock.try_lock().is_none();
            tried.store(true, Ordering::SeqCst);
            assert!(refused);
            assert_eq!(*lock.lock().unwrap(), 1);
            assert!(!inside.load(Ordering::SeqCst));
        });
        while !tried.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        // Time in which it could get in.
        for _ in 0..1000 {
            thread::yield_now();
        }
        *held = 1;
        inside.store(false, Ordering::SeqCst);
        drop(held);
    });
}

#[test]
fn another_thread_can_own_it_afterwards() {
    let lock = BiasedMutex::new(0);
    for _ in 0..3 {
        thread::scope(|scope| {
            scope.spawn(|| {
                lock.own();
                *lock.lock().unwrap() += 1;
                lock.disown();
            });
        });
    }
    assert_eq!(*lock.lock().unwrap(), 3);
}

/// A signal's handler may interrupt the owner on the slow way too.
#[test]
fn the_owner_is_not_let_in_beside_itself_on_its_way_back() {
    let lock = BiasedMutex::new(());
    lock.own();
    thread::scope(|scope| {
        scope.spawn(|| drop(lock.lock()));
    });
    for _ in 0..2 * super::CALM {
        let held = lock.lock().unwrap();
        assert!(lock.try_lock().is_none());
        drop(held);
    }
}
