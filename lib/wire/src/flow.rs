//! The four-tuple that names a connection.

use core::net::Ipv4Addr;

/// A connection as this host sees it. Ports in host byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowTuple {
    /// This host's address.
    pub local_ip: Ipv4Addr,
    /// This host's port.
    pub local_port: u16,
    /// The peer's address.
    pub remote_ip: Ipv4Addr,
    /// The peer's port.
    pub remote_port: u16,
}

// Odd constants with well spread bits: the golden ratio, and the two
// multipliers of the splitmix64 finaliser, which mixes every input bit into
// every output bit.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX_1: u64 = 0xbf58_476d_1ce4_e5b9;
const MIX_2: u64 = 0x94d0_49bb_1331_11eb;

impl FlowTuple {
    /// The same connection as the peer sees it.
    #[must_use]
    pub const fn reversed(self) -> FlowTuple {
        FlowTuple {
            local_ip: self.remote_ip,
            local_port: self.remote_port,
            remote_ip: self.local_ip,
            remote_port: self.local_port,
        }
    }

    /// A well mixed 32-bit hash, the same in every process.
    #[inline]
    pub const fn hash(&self) -> u32 {
        self.hash_seeded(0)
    }

    /// Like [`FlowTuple::hash`], varied by a secret so that a peer cannot
    /// choose ports that all fall into one bucket by looking at the source.
    #[inline]
    pub const fn hash_seeded(&self, seed: u64) -> u32 {
        let ips = (self.remote_ip.to_bits() as u64) << 32 | self.local_ip.to_bits() as u64;
        let ports = (self.remote_port as u64) << 16 | self.local_port as u64;
        let mut h = (ips ^ seed).wrapping_mul(GOLDEN);
        h = (h ^ (h >> 32) ^ ports).wrapping_mul(MIX_1);
        h = (h ^ (h >> 29)).wrapping_mul(MIX_2);
        (h >> 32) as u32
    }
}

#[cfg(test)]
mod tests;
