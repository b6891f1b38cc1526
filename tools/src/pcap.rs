//! Writes frames as a capture file that tcpdump and Wireshark read.

use std::io::{self, Write};

use rustix::time::{ClockId, clock_gettime};
use tas_abi::trace::{FLEXNIC_TRACE_EV_RXPKT, FLEXNIC_TRACE_EV_TXPKT};

use crate::trace::Record;

/// Timestamps have nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
const SNAP_MAX: u32 = 65535;
const LINKTYPE_ETHERNET: u32 = 1;
const ETHERNET_LEN: usize = 14;
const SECOND: u64 = 1_000_000_000;

/// A capture file that is being written.
pub struct Pcap<W> {
    out: W,
    /// What is added to the records' clock to get the time of day, in nanoseconds.
    epoch: u64,
}

impl<W: Write> Pcap<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(out: W) -> io::Result<Pcap<W>> {
        let now = |clock| {
            let now = clock_gettime(clock);
            now.tv_sec as u64 * SECOND + now.tv_nsec as u64
        };
        Self::with_epoch(
            out,
            now(ClockId::Realtime).wrapping_sub(now(ClockId::Monotonic)),
        )
    }

    fn with_epoch(mut out: W, epoch: u64) -> io::Result<Pcap<W>> {
        out.write_all(&MAGIC.to_ne_bytes())?;
        for part in VERSION {
            out.write_all(&part.to_ne_bytes())?;
        }
        // Time zone and accuracy, which nobody uses.
        for word in [0, 0, SNAP_MAX, LINKTYPE_ETHERNET] {
            out.write_all(&u32::to_ne_bytes(word))?;
        }
        Ok(Pcap { out, epoch })
    }

    /// Writes the frame of a record; other records have none.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        if !matches!(record.kind, FLEXNIC_TRACE_EV_RXPKT | FLEXNIC_TRACE_EV_TXPKT) {
            return Ok(());
        }
        let time = record.ts.wrapping_add(self.epoch);
        let words = [
            (time / SECOND) as u32,
            (time % SECOND) as u32,
            record.body.len() as u32,
            length_on_the_wire(&record.body) as u32,
        ];
        for word in words {
            self.out.write_all(&word.to_ne_bytes())?;
        }
        self.out.write_all(&record.body)
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// How long a frame was before it was cut: an IPv4 header says so, if it is there.
fn length_on_the_wire(frame: &[u8]) -> usize {
    match frame.get(12..18) {
        Some(&[0x08, 0x00, _, _, high, low]) => {
            let total = usize::from(u16::from_be_bytes([high, low]));
            frame.len().max(ETHERNET_LEN + total)
        }
        _ => frame.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u16, body: &[u8]) -> Record {
        Record {
            ts: 1_500_000_001,
            seq: 0,
            kind,
            body: body.to_vec(),
        }
    }

    #[test]
    fn frames_alone_are_written_with_their_time_and_length() {
        let mut file = Vec::new();
        let mut pcap = Pcap::with_epoch(&mut file, 10 * SECOND).unwrap();
        let mut frame = [0u8; 40];
        frame[12] = 8;
        // Total length 1000.
        frame[16..18].copy_from_slice(&1000u16.to_be_bytes());
        pcap.write(&record(FLEXNIC_TRACE_EV_RXPKT, &frame)).unwrap();
        pcap.write(&record(0x101, &frame)).unwrap();
        pcap.write(&record(FLEXNIC_TRACE_EV_TXPKT, &[1; 10]))
            .unwrap();
        pcap.flush().unwrap();
        let word = |at: usize| u32::from_ne_bytes(file[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(16), word(20)), (MAGIC, 65535, 1));
        assert_eq!([24, 28, 32, 36].map(word), [11, 500_000_001, 40, 1014]);
        assert_eq!([80, 84, 88, 92].map(word), [11, 500_000_001, 10, 10]);
        assert_eq!(file.len(), 24 + 16 + 40 + 16 + 10);
    }
}
