use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::{Backing, ShmOffset};

const REGION: u64 = 2 << 20;

fn arena() -> Arc<Arena> {
    let arena = Arena::reserve(REGION).unwrap();
    let backing = Backing::memfd("test", REGION, false).unwrap();
    arena.map(ShmOffset(0), &backing, REGION).unwrap();
    arena
}

fn pair<S: Slot>(arena: &Arc<Arena>, entries: u32) -> (Producer<S>, Consumer<S>) {
    let bytes = entries * S::SIZE as u32;
    (
        arena.producer(ShmOffset(64), bytes).unwrap(),
        arena.consumer(ShmOffset(64), bytes).unwrap(),
    )
}

fn behaves_like_a_queue<S: Slot + PartialEq + fmt::Debug>(entries: u32, steps: &[Option<S>]) {
    let arena = arena();
    let (mut producer, mut consumer) = pair::<S>(&arena, entries);
    let mut model = VecDeque::new();
    let mut marks = Vec::new();
    let (mut pushed, mut popped) = (0u64, 0u64);
    for step in steps {
        match step {
            Some(entry) if entry.as_bytes().last() == Some(&0) => {
                let full = model.len() == entries as usize;
                let want = if full {
                    PushError::Full
                } else {
                    PushError::FreeType
                };
                assert_eq!(producer.push(entry), Err(want));
            }
            Some(entry) => {
                assert_eq!(producer.has_room(), model.len() < entries as usize);
                if producer.push(entry).is_ok() {
                    model.push_back(*entry);
                    pushed += 1;
                } else {
                    assert_eq!(model.len(), entries as usize);
                }
                marks.push((producer.position(), pushed));
            }
            None => {
                assert_eq!(consumer.ready(), !model.is_empty());
                assert_eq!(consumer.peek(), model.front().copied());
                let want = model.pop_front();
                assert_eq!(consumer.pop(), want);
                popped += u64::from(want.is_some());
            }
        }
        for &(mark, count) in &marks {
            assert_eq!(producer.consumed_up_to(mark), popped >= count, "{mark:?}");
        }
    }
}

fn entries<const N: usize>() -> impl Strategy<Value = Vec<Option<[u8; N]>>> {
    let entry = prop_oneof![2 => prop::array::uniform(any::<u8>()).prop_map(Some), 1 => Just(None)];
    prop::collection::vec(entry, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn small_entries_queue(count in 1u32..9, steps in entries::<16>()) {
        behaves_like_a_queue(count, &steps);
    }

    #[test]
    fn middle_entries_queue(count in 1u32..9, steps in entries::<32>()) {
        behaves_like_a_queue(count, &steps);
    }

    #[test]
    fn large_entries_queue(count in 1u32..9, steps in entries::<64>()) {
        behaves_like_a_queue(count, &steps);
    }
}

#[test]
fn the_type_is_the_entrys_last_byte_in_memory() {
    let arena = arena();
    let (mut producer, mut consumer) = pair::<[u8; 16]>(&arena, 4);
    let mut entry = [0; 16];
    entry[15] = 9;
    entry[0] = 1;
    producer.push(&entry).unwrap();
    let mut bytes = [0; 16];
    arena.read(ShmOffset(64), &mut bytes).unwrap();
    assert_eq!(bytes, entry);
    assert_eq!(consumer.pop(), Some(entry));
    arena.read(ShmOffset(64 + 15), &mut bytes[..1]).unwrap();
    assert_eq!(bytes[0], 0);
    // A C program publishes and frees by that byte alone.
    arena.write(ShmOffset(64 + 16 + 15), &[3]).unwrap();
    assert_eq!(consumer.pop().map(|entry| entry[15]), Some(3));
}

#[test]
fn queues_that_cannot_be_are_refused() {
    let arena = arena();
    let make = |base, bytes| arena.consumer::<[u8; 64]>(ShmOffset(base), bytes).err();
    assert_eq!(make(0, 0), Some(RingError::BadLength));
    assert_eq!(make(0, 65), Some(RingError::BadLength));
    assert_eq!(make(4, 64), Some(RingError::Misaligned));
    assert_eq!(make(REGION - 64, 128), Some(RingError::OutOfBounds));
    assert_eq!(make(u64::MAX - 7, 64), Some(RingError::OutOfBounds));
    assert_eq!(make(REGION - 64, 64), None);
}

#[test]
fn positions_that_are_no_entry_are_refused() {
    let arena = arena();
    let slots = arena.slots::<[u8; 32]>(ShmOffset(0), 128).unwrap();
    for wrong in [1, 31, 33, 128, 160, u32::MAX, u32::MAX - 31] {
        let mut pos = wrong;
        assert_eq!(slots.push(&mut pos, &[1; 32]), Err(PushError::BadPosition));
        assert_eq!(slots.pop(&mut pos), None);
        assert!(!slots.ready(pos) && !slots.is_free(pos));
        assert_eq!(pos, wrong);
        slots.prefetch(pos);
    }
}

#[test]
fn two_threads_exchange_everything() {
    const COUNT: u32 = 100_000;
    let arena = arena();
    let (mut producer, mut consumer) = pair::<[u8; 32]>(&arena, 8);
    thread::scope(|scope| {
        scope.spawn(move || {
            for value in 0..COUNT {
                let mut entry = [1; 32];
                entry[..4].copy_from_slice(&value.to_ne_bytes());
                while producer.push(&entry).is_err() {
                    thread::yield_now();
                }
            }
        });
        for value in 0..COUNT {
            let entry = loop {
                match consumer.pop() {
                    Some(entry) => break entry,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(entry[..4], value.to_ne_bytes());
        }
    });
}

#[test]
fn a_hostile_peer_can_only_send_nonsense() {
    let arena = arena();
    let (mut producer, mut consumer) = pair::<[u8; 64]>(&arena, 16);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut noise = 0x9e37_79b9_7f4a_7c15u64;
            while !stop.load(Ordering::Relaxed) {
                noise = noise
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let at = ShmOffset(64 + (noise >> 32) % (16 * 64 - 8));
                arena
                    .write(at, &noise.to_ne_bytes()[..1 + (noise >> 60) as usize % 8])
                    .unwrap();
            }
        });
        let mut taken = 0u32;
        for round in 0..200_000u32 {
            if let Some(entry) = consumer.pop() {
                assert_ne!(entry[63], 0);
                taken += 1;
            }
            let _ = producer.push(&[round as u8 | 1; 64]);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(taken > 0);
    });
}
