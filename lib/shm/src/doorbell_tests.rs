use std::fs::File;
use std::thread;
use std::time::Duration;

use super::*;
use crate::{Backing, TscClock};

#[test]
fn kicks_are_counted_until_drained() {
    let event = EventFd::new().unwrap();
    assert!(!event.drain());
    event.notify();
    event.try_clone().unwrap().notify();
    assert!(event.drain());
    assert!(!event.drain());
}

#[test]
fn draining_never_blocks_even_if_a_peer_made_it_blocking() {
    let event = EventFd::new().unwrap();
    // SAFETY: no pointers involved.
    unsafe { libc::fcntl(event.as_fd().as_raw_fd(), libc::F_SETFL, 0) };
    assert!(!event.drain());
    event.notify();
    assert!(event.drain());
}

#[test]
fn kicks_keep_their_distance() {
    let event = EventFd::new().unwrap();
    let poll_cycle = TscClock::global().us_to_cycles(50_000);
    let mut bell = Doorbell::new(event.try_clone().unwrap(), poll_cycle);
    assert!(bell.ring_if_needed());
    assert!(event.drain());
    assert!(!bell.ring_if_needed());
    assert!(!event.drain());
    thread::sleep(Duration::from_millis(60));
    assert!(bell.ring_if_needed());
    assert!(event.drain());
    bell.ring();
    assert!(event.drain());
}

#[test]
fn who_never_sleeps_is_never_kicked() {
    let event = EventFd::new().unwrap();
    let mut bell = Doorbell::new(event.try_clone().unwrap(), u64::MAX);
    assert!(!bell.ring_if_needed());
    assert!(!event.drain());
    let gate = SleepGate::new(u64::MAX);
    assert!(!gate.may_sleep());
}

#[test]
fn sleep_is_allowed_after_the_interval_only() {
    let poll_cycle = TscClock::global().us_to_cycles(20_000);
    let mut gate = SleepGate::new(poll_cycle);
    assert!(!gate.may_sleep());
    thread::sleep(Duration::from_millis(25));
    assert!(gate.may_sleep());
    gate.active();
    assert!(!gate.may_sleep());
}

#[test]
fn only_eventfds_are_taken_from_peers() {
    EventFd::from_peer(EventFd::new().unwrap().into()).unwrap();
    assert!(EventFd::from_peer(File::open("/dev/null").unwrap().into()).is_err());
    let memfd = Backing::memfd("anon_inode:[eventfd]", 4096, false).unwrap();
    assert!(EventFd::from_peer(memfd.fd().try_clone_to_owned().unwrap()).is_err());
}
