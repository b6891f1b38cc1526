use proptest::prelude::*;

use super::SeqNum;

const HALF: u32 = 1 << 31;

proptest! {
    #[test]
    fn addition_and_subtraction_are_inverse(a: u32, n: u32) {
        let a = SeqNum(a);
        prop_assert_eq!(a + n - n, a);
        prop_assert_eq!((a + n).since(a), n);
        let mut b = a;
        b += n;
        b -= n;
        prop_assert_eq!(b, a);
    }

    #[test]
    fn signed_distance_agrees_with_offset(a: u32, n in -(HALF as i64 - 1)..HALF as i64) {
        let a = SeqNum(a);
        let b = a + n as u32;
        prop_assert_eq!(i64::from(b - a), n);
        prop_assert_eq!(i64::from(a - b), -n);
    }

    #[test]
    fn exactly_one_of_before_equal_after(a: u32, b: u32) {
        let (a, b) = (SeqNum(a), SeqNum(b));
        let holds = [a.lt(b), a == b, a.gt(b)];
        prop_assert_eq!(holds.iter().filter(|h| **h).count(), 1);
        prop_assert_eq!(a.le(b), a.lt(b) || a == b);
        prop_assert_eq!(a.ge(b), a.gt(b) || a == b);
    }

    #[test]
    fn order_is_antisymmetric_below_half_the_space(a: u32, n in 1..HALF) {
        let a = SeqNum(a);
        let b = a + n;
        prop_assert!(a.lt(b) && b.gt(a) && !b.lt(a) && !a.gt(b));
        prop_assert_eq!(a.max(b), b);
        prop_assert_eq!(b.max(a), b);
        prop_assert_eq!(a.min(b), a);
        prop_assert_eq!(b.min(a), a);
    }

    #[test]
    fn order_is_transitive_within_half_the_space(a: u32, n in 1..HALF / 2, m in 1..HALF / 2) {
        let a = SeqNum(a);
        let (b, c) = (a + n, a + n + m);
        prop_assert!(a.lt(b) && b.lt(c) && a.lt(c));
    }

    #[test]
    fn order_is_invariant_under_translation(a: u32, b: u32, n: u32) {
        let (a, b) = (SeqNum(a), SeqNum(b));
        prop_assert_eq!(a.lt(b), (a + n).lt(b + n));
        prop_assert_eq!(a.gt(b), (a + n).gt(b + n));
    }

    #[test]
    fn window_contains_its_offsets_only(start: u32, len: u32, n: u32) {
        let start = SeqNum(start);
        prop_assert_eq!((start + n).in_window(start, len), n < len);
        prop_assert!(!start.in_window(start, 0));
    }
}

#[test]
fn half_the_space_apart_is_before_both_ways() {
    let (a, b) = (SeqNum(5), SeqNum(5) + HALF);
    assert!(a.lt(b) && b.lt(a) && !a.gt(b) && !b.gt(a));
}

#[test]
fn order_wraps() {
    assert!(SeqNum(u32::MAX).lt(SeqNum(0)));
    assert!(SeqNum(0).gt(SeqNum(u32::MAX - 10)));
    assert_eq!(SeqNum(3) - SeqNum(u32::MAX), 4);
    assert!(SeqNum(1).in_window(SeqNum(u32::MAX), 3));
    assert!(!SeqNum(2).in_window(SeqNum(u32::MAX), 3));
}
