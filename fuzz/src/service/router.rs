//! Routers on the way of the good connections. Whatever they say, the connections go on.

use std::collections::VecDeque;

use tas::nic::sim::{Path, PortId, Seen, TooLarge};
use tas::types::Micros;
use tas_wire::{EtherType, MacAddr, Protocol, ethernet};

use crate::bytes::Bytes;
use crate::repair::{Repair, repair};

const MAC: MacAddr = MacAddr([2, 0xfe, 0, 0, 0, 1]);
const IP: [u8; 4] = [10, 0, 0, 254];
/// Segments of which they know.
const REMEMBERED: usize = 64;
/// The narrowest way on which the service can send what it is made to send.
const NARROWEST: u16 = 576;

/// What routers have seen.
#[derive(Default)]
pub struct Router {
    /// The senders and IP packets of the last segments, the newest first.
    segments: VecDeque<(PortId, MacAddr, Vec<u8>)>,
}

/// What becomes of the way.
pub fn path(bytes: &mut Bytes<'_>) -> Path {
    let how = bytes.u8();
    let mtu = match how >> 4 {
        0..=3 => 0,
        4..=7 => NARROWEST,
        8..=11 => 1200,
        _ => NARROWEST + u16::from(bytes.u8()) * 4,
    };
    Path {
        delay: Micros(u64::from(how & 7) << 6),
        mtu,
        too_large: if how & 8 == 0 {
            TooLarge::Told
        } else {
            TooLarge::Lost
        },
        ..Path::default()
    }
}

impl Router {
    /// Sees what was sent.
    pub fn learn(&mut self, seen: &[Seen]) {
        for seen in seen {
            if let Ok((header, packet)) = ethernet::Header::parse(&seen.frame)
                && header.ethertype == EtherType::IPV4
                && packet.get(9) == Some(&Protocol::TCP.0)
            {
                self.segments.truncate(REMEMBERED - 1);
                self.segments
                    .push_front((seen.from, header.src, packet.to_vec()));
            }
        }
    }

    /// A message that quotes a segment, perhaps not quite as it was; and whose segment.
    pub fn report(&self, bytes: &mut Bytes<'_>) -> Option<(Vec<u8>, PortId)> {
        let how = bytes.u8();
        // Most likely the last one, or one not much older.
        let age = match how & 3 {
            0 | 1 => how >> 2 & 7,
            _ => bytes.u8(),
        };
        let age = usize::from(age).checked_rem(self.segments.len())?;
        let (port, sender, segment) = self.segments.get(age)?;
        let mut quoted = segment.clone();
        if how & 0x20 != 0 {
            change(&mut quoted, bytes);
        }
        let source = <[u8; 4]>::try_from(quoted.get(12..16)?).ok()?;
        quoted.truncate(match how >> 6 {
            0 => 28,
            1 => usize::from(bytes.u8()),
            _ => quoted.len(),
        });
        let (kind, code) = match bytes.u8() {
            0..=127 => (3, 4),
            128..=191 => (3, bytes.u8() % 20),
            other => (other % 20, bytes.u8() % 20),
        };
        let mut frame = vec![0; ethernet::HEADER_LEN];
        frame[..6].copy_from_slice(&sender.0);
        frame[6..12].copy_from_slice(&MAC.0);
        frame[12..14].copy_from_slice(&EtherType::IPV4.0.to_be_bytes());
        frame.extend_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, Protocol::ICMP.0, 0, 0]);
        frame.extend_from_slice(&IP);
        frame.extend_from_slice(&source);
        frame.extend_from_slice(&[kind, code, 0, 0, bytes.u8() & 1, 0]);
        frame.extend_from_slice(&bytes.u16().to_be_bytes());
        frame.extend_from_slice(&quoted);
        repair(&mut frame, Repair::All);
        Some((frame, *port))
    }
}

/// Changes some of what a message quotes.
fn change(quoted: &mut [u8], bytes: &mut Bytes<'_>) {
    let how = bytes.u8();
    if how & 1 != 0
        && let Some(length) = quoted.get_mut(2..4)
    {
        length.copy_from_slice(&bytes.u16().to_be_bytes());
    }
    if how & 2 != 0
        && let Some(number) = quoted.first_chunk_mut::<28>()
    {
        let seq = u32::from_be_bytes([number[24], number[25], number[26], number[27]]);
        let seq = seq.wrapping_add_signed(bytes.u16().cast_signed().into());
        number[24..].copy_from_slice(&seq.to_be_bytes());
    }
    for _ in 0..how >> 6 {
        let at = usize::from(bytes.u8()) % 60;
        if let Some(byte) = quoted.get_mut(at) {
            *byte = bytes.u8();
        }
    }
}
