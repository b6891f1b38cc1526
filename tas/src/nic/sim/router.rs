//! What a router says of packets that it cannot pass on.

use tas_wire::{MacAddr, checksum, ethernet};

use super::Path;

/// Its addresses.
const MAC: MacAddr = MacAddr([2, 0xfe, 0, 0, 0, 1]);
const IP: [u8; 4] = [10, 0, 0, 254];
const IP_LEN: usize = 20;
const ICMP_LEN: usize = 8;
/// Bytes that an error quotes after the IP header (RFC 792).
const QUOTED: usize = 8;

/// What becomes of packets that are larger than a wire's MTU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TooLarge {
    /// A router tells the sender: fragmentation needed.
    #[default]
    Told,
    /// Nobody says a word.
    Lost,
}

impl Path {
    /// Whether the frame holds an IP packet that is too large for the wire.
    pub(super) fn is_too_large(&self, frame: &[u8]) -> bool {
        let header = ethernet::HEADER_LEN;
        self.mtu > 0
            && super::network::is_ipv4(frame)
            && frame.len() > header + usize::from(self.mtu)
    }
}

/// The frame in which a router says that `frame` was too large for a wire with this MTU (RFC 1191
/// §4).
pub(super) fn fragmentation_needed(frame: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let sender = frame.get(6..12)?;
    let packet = frame.get(ethernet::HEADER_LEN..)?;
    let quoted = packet.get(..IP_LEN + QUOTED)?;
    let total = IP_LEN + ICMP_LEN + quoted.len();

    let mut out = [sender, &MAC.0, &[8, 0]].concat();
    let mut ip = [0; IP_LEN];
    ip[0] = 0x45;
    ip[3] = total as u8;
    ip[8] = 64;
    ip[9] = 1;
    ip[12..16].copy_from_slice(&IP);
    ip[16..20].copy_from_slice(&quoted[12..16]);
    let sum = checksum::ipv4_header(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&ip);

    let [high, low] = mtu.to_be_bytes();
    let mut icmp = [&[3, 4, 0, 0, 0, 0, high, low], quoted].concat();
    let sum = checksum::ones_complement_sum(&icmp, checksum::Sum::ZERO).finish();
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&icmp);
    Some(out)
}
