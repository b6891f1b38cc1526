use std::fs::File;
use std::os::fd::AsFd;

use super::*;
use crate::{Backing, Mapping};

const MIB: u64 = 1 << 20;

fn vanishing() -> (Backing, File) {
    let backing = Backing::memfd_unsealed("test", 4 * MIB, false).unwrap();
    let tenant = File::from(backing.fd().try_clone_to_owned().unwrap());
    (backing, tenant)
}

#[test]
fn a_vanished_page_becomes_zeros_and_is_counted() {
    let arena = Arena::reserve(8 * MIB).unwrap();
    let (backing, tenant) = vanishing();
    arena.map(ShmOffset(4 * MIB), &backing, 4 * MIB).unwrap();
    arena.write(ShmOffset(4 * MIB), &[7; 16]).unwrap();
    arena.write(ShmOffset(6 * MIB), &[7; 16]).unwrap();
    let mut guard = install(&arena, 2 * MIB).unwrap();
    assert_eq!(guard.drain().count(), 0);

    tenant.set_len(4096).unwrap();
    let mut got = [1; 16];
    arena.read(ShmOffset(6 * MIB), &mut got).unwrap();
    assert_eq!(got, [0; 16]);
    arena.write(ShmOffset(6 * MIB + 4096), &got).unwrap();
    arena.read(ShmOffset(6 * MIB + 8), &mut got[..8]).unwrap();
    // What is still there stays.
    arena.read(ShmOffset(4 * MIB), &mut got).unwrap();
    assert_eq!(got, [7; 16]);

    assert_eq!(guard.drain().collect::<Vec<_>>(), [(ShmOffset(6 * MIB), 2)]);
    assert_eq!(guard.drain().count(), 0);
    // The place can be cleared and used again.
    arena.unmap(ShmOffset(4 * MIB), 4 * MIB).unwrap();
}

#[test]
fn queues_outlive_their_memory() {
    let arena = Arena::reserve(2 * MIB).unwrap();
    let (backing, tenant) = vanishing();
    arena.map(ShmOffset(0), &backing, 2 * MIB).unwrap();
    let mut consumer = arena.consumer::<[u8; 64]>(ShmOffset(8192), 640).unwrap();
    let mut producer = arena.producer::<[u8; 64]>(ShmOffset(8192), 640).unwrap();
    let mut guard = install(&arena, 2 * MIB).unwrap();
    producer.push(&[1; 64]).unwrap();
    tenant.set_len(0).unwrap();
    assert_eq!(consumer.pop(), None);
    assert_eq!(guard.drain().collect::<Vec<_>>(), [(ShmOffset(0), 1)]);
}

/// Needs a kernel with huge pages, but none in the pool.
#[test]
fn a_vanished_huge_page_is_replaced_whole() {
    let Ok(backing) = Backing::memfd_unsealed("test", 4 * MIB, true) else {
        return;
    };
    let arena = Arena::reserve(8 * MIB).unwrap();
    arena.map(ShmOffset(2 * MIB), &backing, 4 * MIB).unwrap();
    let mut guard = install(&arena, MIB).unwrap();
    File::from(backing.fd().try_clone_to_owned().unwrap())
        .set_len(0)
        .unwrap();
    arena.write(ShmOffset(3 * MIB + 5000), &[7; 16]).unwrap();
    let mut got = [0; 16];
    arena.read(ShmOffset(3 * MIB + 5000), &mut got).unwrap();
    assert_eq!(got, [7; 16]);
    arena.read(ShmOffset(2 * MIB), &mut got).unwrap();
    assert_eq!(got, [0; 16]);
    assert_eq!(guard.drain().collect::<Vec<_>>(), [(ShmOffset(3 * MIB), 1)]);
    arena.unmap(ShmOffset(2 * MIB), 4 * MIB).unwrap();
}

#[test]
fn a_stride_of_nothing_is_refused() {
    assert!(install(&Arena::reserve(1).unwrap(), 0).is_err());
}

/// Runs `act` in a child process and returns the signal that ended it.
fn dies_of(act: impl FnOnce()) -> Option<i32> {
    // SAFETY: the child only touches memory, makes system calls and exits.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            act();
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(child, &mut status, 0);
        libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
    }
}

#[test]
fn faults_elsewhere_and_sent_signals_still_kill() {
    let arena = Arena::reserve(2 * MIB).unwrap();
    let _guard = install(&arena, 2 * MIB).unwrap();
    let (backing, tenant) = vanishing();
    let outside = Mapping::new(backing.fd().as_fd(), 4096, false).unwrap();
    tenant.set_len(0).unwrap();
    let place = outside.as_ptr();
    // SAFETY: a mapped address; that the page is gone is the point.
    let touch = || unsafe {
        let _ = place.as_ptr().read_volatile();
    };
    assert_eq!(dies_of(touch), Some(libc::SIGBUS));
    // SAFETY: no preconditions.
    let send = || unsafe {
        let _ = libc::raise(libc::SIGBUS);
    };
    assert_eq!(dies_of(send), Some(libc::SIGBUS));
}
