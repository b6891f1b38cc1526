//! Receive-side scaling: which bucket of its redirection table a port puts a frame into.

use tas_wire::FlowTuple;

/// Bytes of the input for TCP over IPv4: two addresses and two ports.
const INPUT: usize = 12;
/// The part of it that the addresses take.
const ADDRESSES: usize = 8;

/// What a port spreads frames over its queues by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rss {
    /// The key of the hash; at least [`Rss::KEY_MIN`] bytes.
    pub key: Vec<u8>,
    /// The ports are part of the hash, not the addresses alone.
    pub ports: bool,
    /// Buckets of the redirection table: a frame is in that of its hash modulo this.
    pub buckets: u16,
}

impl Rss {
    /// Bytes of a key that the input needs.
    pub const KEY_MIN: usize = INPUT + 4;

    /// The Toeplitz hash that the port computes of the peer's segments.
    #[must_use]
    pub fn hash(&self, tuple: &FlowTuple) -> u32 {
        let mut input = [0; INPUT];
        input[..4].copy_from_slice(&tuple.remote_ip.octets());
        input[4..8].copy_from_slice(&tuple.local_ip.octets());
        input[8..10].copy_from_slice(&tuple.remote_port.to_be_bytes());
        input[10..].copy_from_slice(&tuple.local_port.to_be_bytes());
        let len = if self.ports { INPUT } else { ADDRESSES };
        toeplitz(&self.key, input.get(..len).unwrap_or_default())
    }

    /// The bucket of a hash.
    #[must_use]
    pub fn bucket(&self, hash: u32) -> u16 {
        (hash % u32::from(self.buckets.max(1))) as u16
    }
}

/// Each bit of the input that is set adds the 32 bits of the key that begin at its place.
fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
    let mut key = key.iter().copied().chain(std::iter::repeat(0));
    let mut window = (0..4).fold(0u32, |word, _| {
        word << 8 | u32::from(key.next().unwrap_or(0))
    });
    let mut hash = 0;
    for byte in input {
        let mut next = key.next().unwrap_or(0);
        for bit in (0..8).rev() {
            if byte >> bit & 1 != 0 {
                hash ^= window;
            }
            window = window << 1 | u32::from(next >> 7);
            next <<= 1;
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the examples with which the hash is published, in Microsoft's "Verifying the
    /// RSS hash calculation".
    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    fn tuple(remote: ([u8; 4], u16), local: ([u8; 4], u16)) -> FlowTuple {
        FlowTuple {
            local_ip: local.0.into(),
            local_port: local.1,
            remote_ip: remote.0.into(),
            remote_port: remote.1,
        }
    }

    #[test]
    fn hashes_as_published() {
        let examples = [
            (
                tuple(([66, 9, 149, 187], 2794), ([161, 142, 100, 80], 1766)),
                (0x323e_8fc2, 0x51cc_c178),
            ),
            (
                tuple(([199, 92, 111, 2], 14230), ([65, 69, 140, 83], 4739)),
                (0xd718_262a, 0xc626_b0ea),
            ),
        ];
        let rss = |ports| Rss {
            key: KEY.to_vec(),
            ports,
            buckets: 128,
        };
        for (tuple, (addresses, all)) in examples {
            assert_eq!(rss(false).hash(&tuple), addresses);
            assert_eq!(rss(true).hash(&tuple), all);
            assert_eq!(u32::from(rss(true).bucket(all)), all & 127);
        }
    }
}
