use proptest::collection::vec;
use proptest::prelude::*;
use smoltcp::wire as oracle;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..64)) {
        TcpOptions::parse(&bytes);
    }

    /// Bytes that look like options more often than random ones do.
    #[test]
    fn any_option_soup_is_survived(bytes in vec(prop_oneof![0u8..12, Just(18), Just(26), Just(34)], 0..41)) {
        TcpOptions::parse(&bytes);
    }

    #[test]
    fn layout_of_a_data_segment_means_the_same_either_way(val: u32, ecr: u32) {
        let mut bytes = NOP_NOP_TIMESTAMPS.to_vec();
        bytes.extend_from_slice(&val.to_be_bytes());
        bytes.extend_from_slice(&ecr.to_be_bytes());
        let options = TcpOptions::parse(&bytes);
        prop_assert_eq!(options.timestamps, Some(Timestamps { val, ecr }));
        prop_assert_eq!(options, TcpOptions::parse_any(&bytes));
    }

    /// Whatever the oracle, which is stricter, accepts means the same to us.
    #[test]
    fn agrees_with_the_oracle(bytes in vec(prop_oneof![0u8..11, any::<u8>()], 0..41)) {
        let mut summary = TcpOptions::default();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Ok((next, option)) = oracle::TcpOption::parse(rest) else {
                return Ok(());
            };
            match option {
                oracle::TcpOption::EndOfList => break,
                oracle::TcpOption::MaxSegmentSize(n) => summary.mss = Some(n),
                oracle::TcpOption::WindowScale(n) => {
                    summary.window_scale = Some(WindowScale::new(n));
                }
                oracle::TcpOption::SackPermitted => summary.sack_permitted = true,
                oracle::TcpOption::TimeStamp { tsval: val, tsecr: ecr } => {
                    summary.timestamps = Some(Timestamps { val, ecr });
                }
                _ => {}
            }
            rest = next;
        }
        let ours = TcpOptions { sack: SackBlocks::default(), ..TcpOptions::parse(&bytes) };
        prop_assert_eq!(ours, summary);
    }

    #[test]
    fn window_field_offers_what_it_can(bits: u8, bytes: u32) {
        let scale = WindowScale::new(bits);
        let offered = scale.bytes(scale.field(bytes));
        prop_assert!(scale.bits() <= 14);
        prop_assert!(offered <= bytes);
        if bytes >> scale.bits() <= 0xffff {
            prop_assert!(bytes - offered < 1 << scale.bits());
        } else {
            prop_assert_eq!(offered, scale.bytes(u16::MAX));
        }
    }
}

#[test]
fn syn_of_linux() {
    let options = TcpOptions::parse(&[
        2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
    ]);
    assert_eq!(options.mss, Some(1460));
    assert!(options.sack_permitted);
    assert_eq!(options.timestamps, Some(Timestamps { val: 1, ecr: 0 }));
    assert_eq!(options.window_scale.map(WindowScale::bits), Some(7));
}

/// RFC 7323 §2.3.
#[test]
fn window_scale_above_14_counts_as_14() {
    let options = TcpOptions::parse(&[3, 3, 15, 0]);
    assert_eq!(options.window_scale, Some(WindowScale::MAX));
}

#[test]
fn option_of_unexpected_length_is_skipped() {
    let options = TcpOptions::parse(&[2, 5, 1, 2, 3, 3, 3, 4, 4, 3, 0, 5, 3, 0]);
    assert_eq!(options.mss, None);
    assert_eq!(options.window_scale, Some(WindowScale::new(4)));
    assert!(!options.sack_permitted);
    assert!(options.sack.is_empty());
}

#[test]
fn impossible_length_ends_the_parsing() {
    for bad in [[99, 0], [99, 1], [99, 41]] {
        let mut bytes = vec![2, 4, 5, 0];
        bytes.extend_from_slice(&bad);
        bytes.extend_from_slice(&[4, 2]);
        let options = TcpOptions::parse(&bytes);
        assert_eq!(options.mss, Some(0x500));
        assert!(!options.sack_permitted, "{bad:?}");
    }
    // A kind without its length.
    assert_eq!(TcpOptions::parse(&[1, 1, 1, 2]), TcpOptions::default());
}

#[test]
fn nothing_counts_after_the_end() {
    assert_eq!(TcpOptions::parse(&[0, 2, 4, 5, 0]), TcpOptions::default());
}

#[test]
fn four_sack_blocks_fit_and_more_are_left_out() {
    let mut bytes = vec![5, 34];
    bytes.extend((0u8..32).map(|n| n / 4));
    bytes.extend_from_slice(&[5, 10, 9, 9, 9, 9, 9, 9, 9, 9]);
    let sack = TcpOptions::parse(&bytes).sack;
    assert_eq!(sack.as_slice().len(), 4);
    assert_eq!(sack.as_slice()[3].left, SeqNum(0x0606_0606));
    assert_eq!(sack.into_iter().count(), 4);
}
