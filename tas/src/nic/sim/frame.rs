//! Frames in ordinary memory, from a pool that can run out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tas_wire::{Packet, Verify, checksum, ethernet, parse_with};

use super::RxChecks;
use crate::nic::{Frame, RxChecksum};

/// Buffers that a port has.
#[derive(Debug)]
pub(super) struct Pool {
    left: AtomicUsize,
}

impl Pool {
    pub(super) fn new(buffers: usize) -> Arc<Pool> {
        Arc::new(Pool {
            left: AtomicUsize::new(buffers),
        })
    }

    /// Takes a buffer; false when none is left.
    fn take(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    pub(super) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

/// A frame of the simulated port.
#[derive(Debug)]
pub struct SimFrame {
    bytes: Vec<u8>,
    capacity: usize,
    checksum: RxChecksum,
    /// Where the TCP header begins of a frame whose checksum the port is to fill in.
    tcp_at: Option<usize>,
    pool: Arc<Pool>,
}

impl SimFrame {
    /// A frame from `pool`; `None` when it is empty.
    pub(super) fn new(pool: &Arc<Pool>, capacity: usize) -> Option<SimFrame> {
        pool.take().then(|| SimFrame {
            bytes: Vec::new(),
            capacity,
            checksum: RxChecksum::Unknown,
            tcp_at: None,
            pool: Arc::clone(pool),
        })
    }

    /// Makes it a received frame. A port that checks says what it found.
    pub(super) fn receive(&mut self, bytes: Vec<u8>, checks: RxChecks) {
        self.bytes = bytes;
        let (verify, good) = match checks {
            RxChecks::None => return,
            RxChecks::Tcp => (TCP_ALONE, RxChecksum::Tcp),
            RxChecks::All => (Verify::ALL, RxChecksum::Good),
        };
        self.checksum = match parse_with(&self.bytes, verify) {
            Ok(Packet::Tcp(_)) => good,
            Ok(_) => RxChecksum::Unknown,
            Err(_) => RxChecksum::Bad,
        };
        if self.checksum == RxChecksum::Tcp {
            spoil(&mut self.bytes);
        }
    }

    /// The bytes as they go out, with the checksums that the port was asked for.
    pub(super) fn transmit(mut self) -> Vec<u8> {
        if let Some(at) = self.tcp_at {
            fill_in(&mut self.bytes, at);
        }
        std::mem::take(&mut self.bytes)
    }
}

/// What a port checks that knows nothing of IPv4 headers.
const TCP_ALONE: Verify = Verify {
    ip: false,
    transport: true,
};

/// Makes the TCP checksum one that nobody has filled in.
fn spoil(bytes: &mut [u8]) {
    let field = ethernet::HEADER_LEN + usize::from(bytes[ethernet::HEADER_LEN] & 15) * 4 + 16;
    bytes[field] ^= 0x5a;
}

/// What hardware does: sums up what it finds, the TCP checksum field included, which holds the
/// pseudo header's sum.
fn fill_in(bytes: &mut [u8], tcp_at: usize) {
    let field = tcp_at + 16;
    if bytes.len() >= field + 2 {
        let sum = checksum::ones_complement_sum(&bytes[tcp_at..], checksum::Sum::default());
        bytes[field..field + 2].copy_from_slice(&sum.finish().to_be_bytes());
    }
}

impl Drop for SimFrame {
    fn drop(&mut self) {
        self.pool.left.fetch_add(1, Ordering::Relaxed);
    }
}

impl Frame for SimFrame {
    fn data(&self) -> &[u8] {
        &self.bytes
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn set_len(&mut self, len: usize) -> bool {
        let fits = len <= self.capacity;
        if fits {
            self.bytes.resize(len, 0xa5);
        }
        fits
    }

    fn rx_checksum(&self) -> RxChecksum {
        self.checksum
    }

    fn offload_checksums(&mut self, l2_len: u8, l3_len: u8, _l4_len: u8) {
        self.tcp_at = Some(usize::from(l2_len) + usize::from(l3_len));
    }

    fn rss_hash(&self) -> Option<u32> {
        None
    }
}
