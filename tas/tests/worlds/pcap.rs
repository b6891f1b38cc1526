//! Packet traces that Wireshark and tcpdump read (the classic libpcap format).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tas::nic::sim::Seen;

/// Microseconds, this machine's order of bytes.
const MAGIC: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;
const SNAPLEN: u32 = 65_535;

/// A trace that is being written.
pub struct Trace(BufWriter<File>);

impl Trace {
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> io::Result<Trace> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&MAGIC.to_ne_bytes())?;
        file.write_all(&2u16.to_ne_bytes())?;
        file.write_all(&4u16.to_ne_bytes())?;
        for word in [0, 0, SNAPLEN, ETHERNET] {
            file.write_all(&word.to_ne_bytes())?;
        }
        Ok(Trace(file))
    }

    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, seen: &Seen) -> io::Result<()> {
        let len = seen.frame.len() as u32;
        let at = seen.at.0;
        for word in [(at / 1_000_000) as u32, (at % 1_000_000) as u32, len, len] {
            self.0.write_all(&word.to_ne_bytes())?;
        }
        self.0.write_all(&seen.frame)
    }
}
