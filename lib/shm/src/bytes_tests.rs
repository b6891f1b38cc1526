use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::Backing;

const REGION: u64 = 4 << 20;

fn arena() -> Arc<Arena> {
    let arena = Arena::reserve(REGION).unwrap();
    let backing = Backing::memfd("test", REGION, false).unwrap();
    arena.map(ShmOffset(0), &backing, REGION).unwrap();
    arena
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Write),
        (0usize..300).prop_map(Step::Read),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn sums_across_the_end(len in 1u32..400, pos in 0u32..400, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let arena = arena();
        let ring = ByteRing::new(ShmOffset(64), len);
        let pos = pos % len;
        let bytes = &bytes[..bytes.len().min(len as usize)];
        ring.write(&arena, pos, bytes).unwrap();
        let mut got = vec![0; bytes.len()];
        let sum = ring.read_sum(&arena, pos, &mut got).unwrap();
        prop_assert_eq!(&got, bytes);
        let expected = bytes.chunks(8).fold(0u128, |sum, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            sum + u128::from(u64::from_ne_bytes(word))
        });
        prop_assert_eq!(u128::from(sum) % 0xffff, expected % 0xffff);
        prop_assert_eq!(ring.read_sum(&arena, len, &mut [0]), Err(OutOfBounds));
    }

    /// What is fetched is where the bytes lie, also at the ring's end, and nothing else.
    #[test]
    fn fetches_the_lines_of_the_bytes(len in 1u32..3000, base in 0u64..500, pos in 0u32..3000, count in 0u32..3000) {
        let arena = arena();
        let ring = ByteRing::new(ShmOffset(base), len);
        let (pos, count) = (pos % len, count.min(len));
        let fetched = RefCell::new(BTreeSet::new());
        let line_of = |place: *const u8| arena.offset_of(place).unwrap().0 / 64;
        ring.fetch(&arena, pos, count, |place| {
            fetched.borrow_mut().insert(line_of(place));
        });
        let bytes = if count <= CACHE_LINE { count.min(1) } else { count };
        let lines = (0..bytes).map(|at| (base + u64::from((pos + at) % len)) / 64);
        prop_assert_eq!(fetched.into_inner(), lines.collect::<BTreeSet<_>>());
    }

    /// A ring with fill levels kept outside behaves like a bounded queue and
    /// leaves its neighbours alone.
    #[test]
    fn ring_is_a_queue(len in 1u32..400, base in 16u64..5000, steps in steps()) {
        let arena = arena();
        let ring = ByteRing::new(ShmOffset(base), len);
        arena.write(ShmOffset(base - 16), &[0xee; 16]).unwrap();
        arena.write(ShmOffset(base + u64::from(len)), &[0xee; 16]).unwrap();
        let mut model = VecDeque::new();
        let (mut head, mut tail) = (0, 0);
        for step in steps {
            match step {
                Step::Write(mut bytes) => {
                    bytes.truncate(len as usize - model.len());
                    prop_assert_eq!(ring.write(&arena, head, &bytes), Ok(()));
                    head = ring.advance(head, bytes.len() as u32);
                    model.extend(bytes);
                }
                Step::Read(count) => {
                    let mut got = vec![0; count.min(model.len())];
                    prop_assert_eq!(ring.read(&arena, tail, &mut got), Ok(()));
                    tail = ring.advance(tail, got.len() as u32);
                    let want: Vec<u8> = model.drain(..got.len()).collect();
                    prop_assert_eq!(got, want);
                }
            }
        }
        let mut fence = [0; 32];
        arena.read(ShmOffset(base - 16), &mut fence[..16]).unwrap();
        arena.read(ShmOffset(base + u64::from(len)), &mut fence[16..]).unwrap();
        prop_assert_eq!(fence, [0xee; 32]);
    }

    /// Whatever the numbers, a copy succeeds inside or fails; it never panics.
    #[test]
    fn any_numbers_are_safe(base in 0..REGION + 100, len: u32, pos: u32, count in 0usize..5000) {
        let arena = arena();
        let mut bytes = vec![0; count];
        let fits = u64::from(len) + base <= REGION && pos < len && count <= len as usize;
        let read = arena.read_ring(ShmOffset(base), len, pos, &mut bytes);
        let write = arena.write_ring(ShmOffset(base), len, pos, &bytes);
        prop_assert_eq!(read, write);
        if fits {
            prop_assert_eq!(read, Ok(()));
        }
        if pos > len || count > len as usize {
            prop_assert_eq!(read, Err(OutOfBounds));
        }
    }

    #[test]
    fn advance_stays_inside(len in 1u32.., a: u32, b: u32) {
        let ring = ByteRing::new(ShmOffset(0), len);
        let (pos, by) = (a % len, b % len);
        let want = (u64::from(pos) + u64::from(by)) % u64::from(len);
        prop_assert_eq!(u64::from(ring.advance(pos, by)), want);
        prop_assert_eq!(ring.advance(pos, len), pos);
    }
}

#[test]
fn a_ring_of_nothing_takes_nothing() {
    let arena = arena();
    assert_eq!(arena.write_ring(ShmOffset(0), 0, 0, b"x"), Err(OutOfBounds));
    assert_eq!(arena.write_ring(ShmOffset(0), 0, 0, b""), Ok(()));
    assert_eq!(
        arena.write_ring(ShmOffset(u64::MAX), 10, 9, b"ab"),
        Err(OutOfBounds)
    );
}
