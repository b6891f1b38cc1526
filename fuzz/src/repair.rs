//! Makes lengths and checksums of a frame right, which chance hardly ever does.

use tas_wire::checksum::{self, Sum};
use tas_wire::{EtherType, Ipv4Addr, Protocol, ethernet};

/// What is made right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repair {
    /// Nothing.
    Nothing,
    /// Checksums.
    Checksums,
    /// The total length of the IP packet, and checksums.
    All,
}

/// Makes a frame right, as far as it is IPv4 and long enough.
pub fn repair(frame: &mut [u8], what: Repair) {
    if what == Repair::Nothing {
        return;
    }
    let Ok((eth, packet)) = ethernet::Header::parse(frame) else {
        return;
    };
    let at = frame.len() - packet.len();
    if eth.ethertype == EtherType::IPV4
        && let Some(packet) = frame.get_mut(at..)
    {
        repair_ip(packet, what);
    }
}

fn repair_ip(packet: &mut [u8], what: Repair) {
    let len = packet.len();
    let Some([first, _, length @ ..]) = packet.first_chunk_mut::<20>() else {
        return;
    };
    let header_len = usize::from(*first & 0x0f) * 4;
    if what == Repair::All {
        let total = u16::try_from(len).unwrap_or(u16::MAX);
        length[..2].copy_from_slice(&total.to_be_bytes());
    }
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let Some(packet) = packet.get_mut(..total) else {
        return;
    };
    let Some((header, payload)) = packet.split_at_mut_checked(header_len) else {
        return;
    };
    if header.len() < 20 {
        return;
    }
    set(header, 10, checksum::ipv4_header);
    let address =
        |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let (src, dst) = (address(12), address(16));
    match Protocol(header[9]) {
        Protocol::TCP => set(payload, 16, |segment| checksum::tcp(src, dst, segment)),
        Protocol::ICMP => set(payload, 2, |message| {
            checksum::ones_complement_sum(message, Sum::ZERO).finish()
        }),
        _ => {}
    }
}

/// Sets the checksum at a place, if there is room for it.
fn set(bytes: &mut [u8], at: usize, sum: impl Fn(&[u8]) -> u16) {
    if bytes.len() < at + 2 {
        return;
    }
    bytes[at..at + 2].fill(0);
    let sum = sum(bytes);
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}
