//! What boxes on the way do to packets that use ECN.

use tas_wire::{Packet, TcpFlags, Verify, checksum, ethernet, parse_with};

use super::network::is_ipv4;

/// What becomes of ECN on a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EcnPath {
    /// Nothing happens to it.
    #[default]
    Kept,
    /// SYNs that ask for it are lost (RFC 3168 §6.1.1.1).
    SynsLost,
    /// Its field in the IP header is cleared.
    Cleared,
}

impl EcnPath {
    /// Does what becomes of a frame; false if it is lost.
    pub(super) fn pass(self, frame: &mut [u8]) -> bool {
        match self {
            EcnPath::Kept => true,
            EcnPath::SynsLost => !asks_for_ecn(frame),
            EcnPath::Cleared => {
                clear(frame);
                true
            }
        }
    }
}

fn asks_for_ecn(frame: &[u8]) -> bool {
    let setup = TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR;
    matches!(parse_with(frame, Verify::NONE), Ok(Packet::Tcp(packet))
        if packet.tcp.flags.contains(setup))
}

fn clear(frame: &mut [u8]) {
    if !is_ipv4(frame) {
        return;
    }
    let header = &mut frame[ethernet::HEADER_LEN..ethernet::HEADER_LEN + 20];
    header[1] &= !3;
    header[10..12].fill(0);
    let sum = checksum::ipv4_header(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
