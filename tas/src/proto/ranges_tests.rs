use proptest::prelude::*;

use super::*;

fn seq(n: u32) -> SeqNum {
    SeqNum(n)
}

fn ranges(held: &[(u32, u32)]) -> Ranges {
    let mut ranges = Ranges::new_zeroed();
    for &(start, end) in held {
        ranges.insert(seq(start), seq(end));
    }
    ranges
}

#[test]
fn touching_and_overlapping_ranges_become_one() {
    let mut held = ranges(&[(10, 20), (30, 40), (50, 60)]);
    assert_eq!(held.insert(seq(20), seq(25)), Insert::New);
    assert_eq!(held.to_vec(), [(10, 25), (30, 40), (50, 60)]);
    assert_eq!(held.insert(seq(24), seq(55)), Insert::New);
    assert_eq!(held.to_vec(), [(10, 60)]);
}

#[test]
fn what_is_held_already_is_a_duplicate() {
    let mut held = ranges(&[(10, 20)]);
    assert_eq!(held.insert(seq(10), seq(20)), Insert::Duplicate);
    assert_eq!(held.insert(seq(12), seq(15)), Insert::Duplicate);
    assert_eq!(held.insert(seq(12), seq(21)), Insert::New);
}

#[test]
fn when_full_only_ranges_that_join_others_are_taken() {
    let mut held = Ranges::new_zeroed();
    for i in 0..MAX_RANGES as u32 {
        assert_eq!(held.insert(seq(i * 10), seq(i * 10 + 5)), Insert::New);
    }
    assert_eq!(held.insert(seq(1000), seq(1005)), Insert::Full);
    assert_eq!(held.insert(seq(7), seq(8)), Insert::Full);
    assert_eq!(held.to_vec().len(), MAX_RANGES);
    assert_eq!(held.insert(seq(5), seq(10)), Insert::New);
    assert_eq!(held.insert(seq(1000), seq(1005)), Insert::New);
}

#[test]
fn rfc2018_4_the_newest_block_comes_first() {
    let mut held = ranges(&[(10, 20), (30, 40), (50, 60), (70, 80)]);
    held.insert(seq(40), seq(45));
    assert_eq!(reported(&held, 3), [(30, 45), (70, 80), (50, 60)]);
}

#[test]
fn rfc2018_4_others_follow_in_the_order_in_which_they_were_reported() {
    let mut held = ranges(&[(90, 95), (10, 20), (70, 80), (30, 40)]);
    assert_eq!(reported(&held, 4), [(30, 40), (70, 80), (10, 20), (90, 95)]);
    // What has been delivered is not reported, what has not been lately comes last.
    held.insert(seq(95), seq(99));
    held.take_in_order(seq(10));
    held.take_in_order(seq(30));
    assert_eq!(reported(&held, 4), [(90, 99), (70, 80)]);
    assert_eq!(reported(&held, 1), [(90, 99)]);
}

#[test]
fn ranges_that_grew_together_are_reported_once() {
    let mut held = ranges(&[(10, 20), (30, 40), (50, 60)]);
    held.insert(seq(20), seq(30));
    held.insert(seq(60), seq(70));
    assert_eq!(reported(&held, 4), [(50, 70), (10, 40)]);
}

#[test]
fn the_part_of_a_segment_that_is_held_is_known() {
    let held = ranges(&[(10, 20), (30, 40)]);
    let overlap = |start, end| {
        held.overlap(seq(start), seq(end))
            .map(|block| (block.left.0, block.right.0))
    };
    assert_eq!(overlap(0, 10), None);
    assert_eq!(overlap(0, 11), Some((10, 11)));
    assert_eq!(overlap(12, 15), Some((12, 15)));
    assert_eq!(overlap(15, 35), Some((15, 20)));
    assert_eq!(overlap(20, 30), None);
    assert_eq!(overlap(25, 50), Some((30, 40)));
    assert_eq!(overlap(40, 50), None);
}

fn reported(held: &Ranges, max: usize) -> Vec<(u32, u32)> {
    let mut blocks = SackBlocks::default();
    held.report(&mut blocks, max);
    let blocks = blocks.as_slice().iter();
    blocks.map(|b| (b.left.0, b.right.0)).collect()
}

proptest! {
    /// A bitmap says the same, wherever in the sequence space it happens.
    #[test]
    fn same_as_a_bitmap(
        base in any::<u32>(),
        inserts in prop::collection::vec((1u32..400, 1u32..60, any::<bool>()), 1..150),
    ) {
        let mut held = Ranges::new_zeroed();
        let mut model = [false; 512];
        let mut next = 0u32;
        for (at, len, take) in inserts {
            let (start, end) = (next.max(at).max(next + 1), next.max(at).max(next + 1) + len);
            let span = start as usize..end.min(512) as usize;
            if end < 512 {
                let expected = if model[span.clone()].iter().all(|&b| b) {
                    Insert::Duplicate
                } else {
                    Insert::New
                };
                let got = held.insert(seq(base) + start, seq(base) + end);
                if got == Insert::Full {
                    prop_assert_eq!(held.to_vec().len(), MAX_RANGES);
                } else {
                    prop_assert_eq!(got, expected);
                    model[span].fill(true);
                }
            }
            if take {
                // One more in order, and whatever joins up with it.
                next += 1;
                while next < 512 && model[next as usize] {
                    next += 1;
                }
                model[..next.min(512) as usize].fill(false);
                let before = seq(base) + next.min(512);
                let reached = held.take_in_order(before);
                prop_assert_eq!(reached, before);
            }
            let bits = |model: &[bool]| {
                let mut runs = Vec::new();
                let mut at = 0;
                for run in model.chunk_by(|a, b| a == b) {
                    if run[0] {
                        runs.push((
                            base.wrapping_add(at as u32),
                            base.wrapping_add((at + run.len()) as u32),
                        ));
                    }
                    at += run.len();
                }
                runs
            };
            prop_assert_eq!(held.to_vec(), bits(&model));
        }
    }

    /// What joins up with the data in order is handed out with it.
    #[test]
    fn in_order_data_takes_what_it_reaches(base in any::<u32>(), gap in 1u32..100) {
        let at = |n: u32| seq(base.wrapping_add(n));
        let mut held = Ranges::new_zeroed();
        held.insert(at(gap), at(gap + 10));
        held.insert(at(gap + 20), at(gap + 30));
        prop_assert_eq!(held.take_in_order(at(gap - 1)), at(gap - 1));
        prop_assert_eq!(held.take_in_order(at(gap)), at(gap + 10));
        prop_assert_eq!(held.take_in_order(at(gap + 25)), at(gap + 30));
        prop_assert!(held.is_empty());
    }
}
