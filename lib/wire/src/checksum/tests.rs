use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::strategies::ip;

/// RFC 1071 §1, word by word.
fn naive(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

proptest! {
    #[test]
    fn agrees_with_the_definition(bytes in vec(any::<u8>(), 0..2000), skip in 0usize..9) {
        let bytes = &bytes[skip.min(bytes.len())..];
        prop_assert_eq!(ones_complement_sum(bytes, Sum::ZERO).fold(), naive(bytes));
    }

    #[test]
    fn parts_of_even_length_add_up(bytes in vec(any::<u8>(), 0..300), cut in 0usize..150) {
        let (a, b) = bytes.split_at((cut * 2).min(bytes.len() & !1));
        let whole = ones_complement_sum(&bytes, Sum::ZERO).fold();
        let chained = ones_complement_sum(b, ones_complement_sum(a, Sum::ZERO));
        let joined = ones_complement_sum(b, Sum::ZERO).join(ones_complement_sum(a, Sum::ZERO));
        prop_assert_eq!(chained.fold(), whole);
        prop_assert_eq!(joined.fold(), whole);
    }

    #[test]
    fn words_add_like_bytes(words in vec(any::<u32>(), 0..50)) {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        let whole = words.iter().fold(Sum::ZERO, |sum, w| sum.add_u32(*w));
        let halves = words.iter().fold(Sum::ZERO, |sum, w| {
            sum.add_u16((w >> 16) as u16).add_u16(*w as u16)
        });
        prop_assert_eq!(whole.fold(), naive(&bytes));
        prop_assert_eq!(halves.fold(), naive(&bytes));
    }

    #[test]
    fn native_words_add_like_bytes(words in vec(any::<u64>(), 0..50)) {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let sum = words.iter().fold(0u64, |sum, w| {
            let (sum, carry) = sum.overflowing_add(*w);
            sum + u64::from(carry)
        });
        prop_assert_eq!(Sum::of_words(sum).fold(), naive(&bytes));
    }

    #[test]
    fn joining_never_loses_a_carry(a: u32, b: u32) {
        let expected = naive(&[a.to_be_bytes(), b.to_be_bytes()].concat());
        prop_assert_eq!(Sum(a).join(Sum(b)).fold(), expected);
    }

    #[test]
    fn copies_and_sums(src in vec(any::<u8>(), 0..500), room in 0usize..500) {
        let mut dst = vec![0; room];
        let sum = copy_and_sum(&src, &mut dst);
        let len = src.len().min(room);
        prop_assert_eq!(&dst[..len], &src[..len]);
        prop_assert!(dst[len..].iter().all(|b| *b == 0));
        prop_assert_eq!(sum.fold(), naive(&src[..len]));
    }

    #[test]
    fn any_single_bit_error_in_a_segment_is_found(
        src in ip(),
        dst in ip(),
        mut segment in vec(any::<u8>(), 20..1500),
        bit: prop::sample::Index,
    ) {
        segment[16..18].fill(0);
        let sum = tcp(src, dst, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        prop_assert!(verify_tcp(src, dst, &segment));
        let bit = bit.index(segment.len() * 8);
        segment[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify_tcp(src, dst, &segment));
    }
}

#[test]
fn rfc_1071_example() {
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(ones_complement_sum(&bytes, Sum::ZERO).fold(), 0xddf2);
}

#[test]
fn no_overflow_on_the_longest_input() {
    let len = (MAX_ROUNDS + 3) * ROUND + 5;
    let patterns: [fn(usize) -> u8; 3] = [
        |_| 0xff,
        |at| if at % 4 < 2 { 0xff } else { 0 },
        |at| if at % 1000 == 0 { 0xfe } else { 0xff },
    ];
    for pattern in patterns {
        let bytes: Vec<u8> = (0..len).map(pattern).collect();
        let sum = ones_complement_sum(&bytes, Sum::ZERO);
        assert_eq!(sum.fold(), naive(&bytes));
        let sum = ones_complement_sum(&bytes[1..], Sum(u32::MAX));
        assert_eq!(sum.fold(), naive(&bytes[1..]));
    }
}

#[test]
fn header_with_its_checksum_gives_zero() {
    let mut header = [
        0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 192, 168, 0, 1, 192, 168, 0, 199,
    ];
    let sum = ipv4_header(&header);
    assert_eq!(sum, 0xb861);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(ipv4_header(&header), 0);
}

#[test]
fn pseudo_header_is_that_of_the_rfc() {
    let (src, dst) = (Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::new(192, 0, 2, 255));
    let bytes = [10, 1, 2, 3, 192, 0, 2, 255, 0, 6, 0x12, 0x34];
    let sum = pseudo_header_sum(src, dst, Protocol::TCP, 0x1234);
    assert_eq!(sum.fold(), naive(&bytes));
}
