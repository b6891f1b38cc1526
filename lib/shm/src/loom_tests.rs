//! Every interleaving of the protocols, within small bounds.

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::biased::Gate;
use crate::doorbell::{SleepGate, Throttle};
use crate::owned::{OwnerId, Owners};
use crate::slots::RawSlots;
use crate::waker::{announce, awake, ends_sleep, must_wake};

type Entry = [u8; 16];

/// Memory for a queue, shared by both sides of a model.
struct Queue {
    words: Vec<AtomicU64>,
}

impl Queue {
    fn new(entries: usize) -> Arc<Queue> {
        let words = (0..entries * size_of::<Entry>() / 8).map(|_| AtomicU64::new(0));
        Arc::new(Queue {
            words: words.collect(),
        })
    }

    fn slots(&self) -> RawSlots<Entry> {
        let base = NonNull::from(self.words.as_slice()).cast();
        // SAFETY: loom's atomics, which the queue keeps alive for the model.
        unsafe { RawSlots::from_raw(base, self.words.len() as u32 * 8) }.unwrap()
    }
}

#[test]
fn entries_arrive_whole_and_in_order() {
    const COUNT: u8 = 3;
    loom::model(|| {
        let queue = Queue::new(2);
        let other = Arc::clone(&queue);
        let producer = thread::spawn(move || {
            let (slots, mut pos) = (other.slots(), 0);
            for value in 1..=COUNT {
                while slots.push(&mut pos, &[value; 16]).is_err() {
                    thread::yield_now();
                }
            }
        });
        let (slots, mut pos) = (queue.slots(), 0);
        for value in 1..=COUNT {
            let entry = loop {
                match slots.pop(&mut pos) {
                    Some(entry) => break entry,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(entry, [value; 16]);
        }
        producer.join().unwrap();
    });
}

#[test]
fn a_free_slot_means_that_the_entry_was_read() {
    loom::model(|| {
        let queue = Queue::new(1);
        let taken = Arc::new(UnsafeCell::new(0u8));
        let (other, seen) = (Arc::clone(&queue), Arc::clone(&taken));
        let mut pos = 0;
        queue.slots().push(&mut pos, &[7; 16]).unwrap();
        let consumer = thread::spawn(move || {
            let mut pos = 0;
            // SAFETY: the main thread looks only after the slot became free.
            seen.with_mut(|seen| unsafe { *seen = 1 });
            assert!(other.slots().pop(&mut pos).is_some());
        });
        while !queue.slots().is_free(0) {
            thread::yield_now();
        }
        // SAFETY: the consumer's write came before its release of the slot.
        assert_eq!(taken.with(|taken| unsafe { *taken }), 1);
        consumer.join().unwrap();
    });
}

/// A counter that both sides agree on and that moves when they look at it.
/// Relaxed: time alone orders nothing, so that the model finds missing fences.
struct Clock(AtomicU64);

impl Clock {
    /// Lets `ticks` pass, then looks.
    fn after(&self, ticks: u64) -> u64 {
        self.0.fetch_add(ticks, Ordering::Relaxed) + ticks
    }
}

/// An eventfd of which one may wait; a wait that never ends is a deadlock to loom.
struct Event {
    readable: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn notify(&self) {
        *self.readable.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait_and_drain(&self) {
        let mut readable = self.readable.lock().unwrap();
        while !*readable {
            readable = self.changed.wait(readable).unwrap();
        }
        *readable = false;
    }
}

/// `idle` ticks pass between two polls of the consumer, one between two entries.
fn no_wakeup_is_lost(poll_cycle: u64, idle: u64, entries: u8) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(move || {
        let queue = Queue::new(entries.into());
        let clock = Arc::new(Clock(AtomicU64::new(100)));
        let event = Arc::new(Event {
            readable: Mutex::new(false),
            changed: Condvar::new(),
        });

        let (to, time, bell) = (Arc::clone(&queue), Arc::clone(&clock), Arc::clone(&event));
        let producer = thread::spawn(move || {
            let (slots, mut pos) = (to.slots(), 0);
            let mut throttle = Throttle::new(poll_cycle);
            for value in 1..=entries {
                slots.push(&mut pos, &[value; 16]).unwrap();
                if throttle.due(|| time.after(1)) {
                    bell.notify();
                }
            }
        });

        let (slots, mut pos) = (queue.slots(), 0);
        let mut gate = SleepGate::starting(poll_cycle, || clock.after(0));
        let mut taken = 0;
        while taken < entries {
            if slots.pop(&mut pos).is_some() {
                taken += 1;
                gate.active_at(|| clock.after(0));
            } else if gate.may_sleep_at(|| clock.after(idle)) {
                if !slots.ready(pos) {
                    event.wait_and_drain();
                    gate.active_at(|| clock.after(0));
                }
            } else {
                thread::yield_now();
            }
        }
        producer.join().unwrap();
    });
}

#[test]
fn no_wakeup_is_lost_by_a_consumer_that_looks_rarely() {
    no_wakeup_is_lost(1, 2, 2);
}

#[test]
fn no_wakeup_is_lost_by_a_consumer_that_polls_for_long() {
    no_wakeup_is_lost(2, 1, 2);
}

#[test]
fn no_wakeup_is_lost_by_a_consumer_that_sleeps_at_once() {
    no_wakeup_is_lost(0, 1, 2);
}

#[test]
fn no_wakeup_is_lost_over_several_kicks() {
    no_wakeup_is_lost(1, 2, 3);
}

/// A sleeper that says when it sleeps. What it is woken for lies in a queue, or
/// in one of two: it must look at all of them after it has said so.
fn no_announced_sleep_is_slept_through(queues: usize, entries: u8, wakes: fn(&AtomicU64) -> bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(move || {
        let queues: Vec<_> = (0..queues).map(|_| Queue::new(entries.into())).collect();
        let asleep = Arc::new(AtomicU64::new(0));
        let event = Arc::new(Event {
            readable: Mutex::new(false),
            changed: Condvar::new(),
        });

        let producers: Vec<_> = queues
            .iter()
            .map(|to| {
                let (to, flag) = (Arc::clone(to), Arc::clone(&asleep));
                let bell = Arc::clone(&event);
                thread::spawn(move || {
                    let (slots, mut pos) = (to.slots(), 0);
                    for value in 1..=entries {
                        slots.push(&mut pos, &[value; 16]).unwrap();
                        if wakes(&flag) {
                            bell.notify();
                        }
                    }
                })
            })
            .collect();

        let mut places = vec![0; queues.len()];
        let mut taken = 0;
        while taken < queues.len() * usize::from(entries) {
            let mut take = || {
                let each = queues.iter().zip(&mut places);
                each.filter_map(|(queue, pos)| queue.slots().pop(pos))
                    .count()
            };
            taken += take();
            announce(&asleep);
            let late = take();
            taken += late;
            if late == 0 && taken < queues.len() * usize::from(entries) {
                event.wait_and_drain();
            }
            awake(&asleep);
        }
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

#[test]
fn no_announced_sleep_is_slept_through_with_one_producer() {
    no_announced_sleep_is_slept_through(1, 2, must_wake);
    no_announced_sleep_is_slept_through(1, 2, ends_sleep);
}

#[test]
fn no_announced_sleep_is_slept_through_with_two_producers() {
    no_announced_sleep_is_slept_through(2, 1, must_wake);
    no_announced_sleep_is_slept_through(2, 1, ends_sleep);
}

/// One flow and its owner.
struct Flow {
    owner: Box<[AtomicU32; 1]>,
    state: UnsafeCell<u32>,
}

#[test]
fn a_flow_moves_between_owners_without_a_race() {
    loom::model(|| {
        let flow = Flow {
            owner: Box::new([AtomicU32::new(0)]),
            state: UnsafeCell::new(0),
        };
        let word = NonNull::from(&flow.owner[0]);
        // SAFETY: one atomic, which `flow` keeps alive for the model.
        let owners = Arc::new((unsafe { Owners::from_raw(word, 1) }, flow));
        let other = Arc::clone(&owners);
        let mut first = owners.0.token(OwnerId(0));
        let mut second = owners.0.token(OwnerId(1));

        let taker = thread::spawn(move || {
            let (owners, flow) = &*other;
            while !owners.holds(&second, 0) {
                thread::yield_now();
            }
            // SAFETY: owned; loom reports it if that is not exclusive.
            flow.state.with_mut(|state| unsafe {
                assert_eq!(*state, 1);
                *state = 2;
            });
            assert!(owners.hand_over(&mut second, 0, OwnerId(0)));
        });

        let (owners, flow) = &*owners;
        assert!(owners.holds(&first, 0));
        // SAFETY: owned, as above.
        flow.state.with_mut(|state| unsafe { *state = 1 });
        assert!(owners.hand_over(&mut first, 0, OwnerId(1)));
        while !owners.holds(&first, 0) {
            thread::yield_now();
        }
        // SAFETY: owned again.
        assert_eq!(flow.state.with(|state| unsafe { *state }), 2);
        taker.join().unwrap();
    });
}

/// The kernel's barrier for all threads is a barrier on both sides here, which
/// is what it amounts to.
#[test]
fn owner_and_other_are_never_inside_together() {
    loom::model(|| {
        let gate = Arc::new(Gate::new());
        let value = Arc::new(UnsafeCell::new(0));
        gate.open();
        let (other_gate, other_value) = (Arc::clone(&gate), Arc::clone(&value));
        let other = thread::spawn(move || {
            other_gate.close(|| fence(Ordering::SeqCst));
            while other_gate.is_inside() {
                thread::yield_now();
            }
            // SAFETY: loom tells if the owner is at it too.
            other_value.with_mut(|value| unsafe { *value += 1 });
        });
        if gate.enter(|| fence(Ordering::SeqCst)) {
            // SAFETY: as above.
            value.with_mut(|value| unsafe { *value += 1 });
            gate.leave();
        }
        other.join().unwrap();
    });
}
