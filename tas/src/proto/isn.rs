//! Initial sequence numbers and timestamp offsets that nobody off the path can guess.
#![forbid(unsafe_code)]

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tas_wire::{FlowTuple, Ipv4Addr, SeqNum};

use crate::types::Micros;

/// The secret of RFC 6528 §3.
#[derive(Clone)]
pub struct IsnSecret {
    key: [u8; 16],
}

impl IsnSecret {
    /// A secret from 16 random bytes.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> IsnSecret {
        IsnSecret { key }
    }

    /// `ISN = M + F(tuple, secret)` with the 4 µs clock M (RFC 6528 §3).
    #[must_use]
    pub fn isn(&self, tuple: &FlowTuple, now: Micros) -> SeqNum {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u8(b'i');
        hasher.write_u32(tuple.local_ip.to_bits());
        hasher.write_u32(tuple.remote_ip.to_bits());
        hasher.write_u16(tuple.local_port);
        hasher.write_u16(tuple.remote_port);
        SeqNum(hasher.finish() as u32) + (now.0 / 4) as u32
    }

    /// What a SYN cookie proves: that its SYN-ACK reached the peer (RFC 4987 §3.6). `rest` is what
    /// else it vouches for.
    #[must_use]
    pub fn cookie(&self, tuple: &FlowTuple, irs: SeqNum, rest: u32) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u8(b'c');
        hasher.write_u32(tuple.local_ip.to_bits());
        hasher.write_u32(tuple.remote_ip.to_bits());
        hasher.write_u16(tuple.local_port);
        hasher.write_u16(tuple.remote_port);
        hasher.write_u32(irs.0);
        hasher.write_u32(rest);
        hasher.finish() as u32
    }

    /// Offset of the timestamp clock towards a peer (RFC 7323 §5.4). It is the same for all
    /// connections of two hosts, so that timestamps rise from one connection to the next and a
    /// peer in TIME-WAIT can tell the new from the old (RFC 6191).
    #[must_use]
    pub fn timestamp_offset(&self, local: Ipv4Addr, remote: Ipv4Addr) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u8(b't');
        hasher.write_u32(local.to_bits());
        hasher.write_u32(remote.to_bits());
        hasher.finish() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUPLE: FlowTuple = FlowTuple {
        local_ip: Ipv4Addr::new(10, 0, 0, 1),
        local_port: 80,
        remote_ip: Ipv4Addr::new(10, 0, 0, 2),
        remote_port: 40000,
    };

    #[test]
    fn advances_every_four_microseconds() {
        let secret = IsnSecret::new([7; 16]);
        let first = secret.isn(&TUPLE, Micros(1000));
        assert_eq!(secret.isn(&TUPLE, Micros(1003)), first);
        assert_eq!(secret.isn(&TUPLE, Micros(1004)), first + 1);
        // The clock wraps with the sequence space.
        assert_eq!(secret.isn(&TUPLE, Micros(1000 + (4 << 32))), first);
    }

    #[test]
    fn differs_by_tuple_and_secret() {
        let secret = IsnSecret::new([7; 16]);
        let isn = secret.isn(&TUPLE, Micros(0));
        for other in [
            FlowTuple {
                local_port: 81,
                ..TUPLE
            },
            FlowTuple {
                remote_port: 40001,
                ..TUPLE
            },
            TUPLE.reversed(),
        ] {
            assert_ne!(secret.isn(&other, Micros(0)), isn);
        }
        assert_ne!(IsnSecret::new([8; 16]).isn(&TUPLE, Micros(0)), isn);
    }

    #[test]
    fn timestamp_offset_is_per_pair_of_hosts() {
        let secret = IsnSecret::new([7; 16]);
        let offset = secret.timestamp_offset(TUPLE.local_ip, TUPLE.remote_ip);
        assert_eq!(
            secret.timestamp_offset(TUPLE.local_ip, TUPLE.remote_ip),
            offset
        );
        assert_ne!(
            secret.timestamp_offset(TUPLE.remote_ip, TUPLE.local_ip),
            offset
        );
    }
}
