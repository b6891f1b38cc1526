use std::collections::HashSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::FlowTuple;
use crate::strategies::tuple;

proptest! {
    #[test]
    fn reversing_twice_changes_nothing(t in tuple()) {
        prop_assert_eq!(t.reversed().reversed(), t);
        prop_assert_eq!(t.reversed().local_port, t.remote_port);
        prop_assert_eq!(t.reversed().remote_ip, t.local_ip);
    }

    /// A flipped input bit flips about half of the output bits.
    #[test]
    fn every_input_bit_reaches_the_hash(t in tuple(), bit in 0u32..96) {
        let mut u = t;
        match bit {
            0..32 => u.local_ip = Ipv4Addr::from_bits(t.local_ip.to_bits() ^ 1 << bit),
            32..64 => u.remote_ip = Ipv4Addr::from_bits(t.remote_ip.to_bits() ^ 1 << (bit - 32)),
            64..80 => u.local_port ^= 1 << (bit - 64),
            _ => u.remote_port ^= 1 << (bit - 80),
        }
        prop_assert_ne!(t.hash(), u.hash());
    }

    #[test]
    fn seed_changes_the_hash(t in tuple(), seed in 1u64..) {
        prop_assert_eq!(t.hash(), t.hash_seeded(0));
        prop_assert_ne!(t.hash_seeded(seed), t.hash_seeded(seed.rotate_left(1) ^ 1));
    }
}

/// What a load generator does: one server, consecutive ports and addresses.
#[test]
fn neighbouring_connections_spread_over_buckets() {
    const BUCKETS: usize = 4096;
    let mut low = vec![0u32; BUCKETS];
    let mut high = vec![0u32; BUCKETS];
    let mut distinct = HashSet::new();
    for host in 0..16u32 {
        for port in 0..4096u16 {
            let t = FlowTuple {
                local_ip: Ipv4Addr::new(10, 0, 0, 1),
                local_port: 11211,
                remote_ip: Ipv4Addr::from_bits(0x0a00_0064 + host),
                remote_port: 32768 + port,
            };
            let h = t.hash();
            distinct.insert(h);
            low[h as usize % BUCKETS] += 1;
            high[(h >> 20) as usize] += 1;
        }
    }
    assert!(distinct.len() > 65_500, "{} distinct", distinct.len());
    // 16 expected per bucket; of 4,096 Poisson draws none should pass 45.
    for buckets in [low, high] {
        assert!(
            buckets.iter().all(|&n| n < 45),
            "{:?}",
            buckets.iter().max()
        );
    }
}
