//! A port in memory that receives what it transmits, and costs next to nothing itself.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tas::nic::{Frame, Frames, NicQueue, RxChecksum};

const CAPACITY: usize = 2048;

type Buffer = Box<[u8; CAPACITY]>;

/// Buffers of frames that were dropped, for the next ones.
static POOL: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());

fn pool() -> MutexGuard<'static, Vec<Buffer>> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A frame.
pub struct LoopedFrame {
    /// There until the frame is dropped.
    buffer: Option<Buffer>,
    len: usize,
}

impl LoopedFrame {
    fn new() -> LoopedFrame {
        let free = pool().pop();
        LoopedFrame {
            buffer: Some(free.unwrap_or_else(|| Box::new([0; CAPACITY]))),
            len: 0,
        }
    }
}

impl Drop for LoopedFrame {
    fn drop(&mut self) {
        pool().extend(self.buffer.take());
    }
}

impl Frame for LoopedFrame {
    #[inline]
    fn data(&self) -> &[u8] {
        self.buffer
            .as_ref()
            .and_then(|buffer| buffer.get(..self.len))
            .unwrap_or_default()
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        self.buffer
            .as_mut()
            .and_then(|buffer| buffer.get_mut(..self.len))
            .unwrap_or_default()
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }

    #[inline]
    fn set_len(&mut self, len: usize) -> bool {
        let fits = len <= CAPACITY;
        if fits {
            self.len = len;
        }
        fits
    }

    #[inline]
    fn rx_checksum(&self) -> RxChecksum {
        RxChecksum::Unknown
    }

    fn offload_checksums(&mut self, _l2_len: u8, _l3_len: u8, _l4_len: u8) {}

    fn rss_hash(&self) -> Option<u32> {
        None
    }
}

/// The port's queue.
#[derive(Default)]
pub struct LoopedQueue(VecDeque<LoopedFrame>);

impl NicQueue for LoopedQueue {
    type Frame = LoopedFrame;

    fn rx_burst(&mut self, out: &mut Frames<LoopedFrame>) -> usize {
        let count = out.remaining_capacity().min(self.0.len());
        out.extend(self.0.drain(..count));
        count
    }

    fn tx_burst(&mut self, frames: &mut Frames<LoopedFrame>) -> usize {
        let count = frames.len();
        self.0.extend(frames.drain(..));
        count
    }

    fn alloc(&mut self) -> Option<LoopedFrame> {
        Some(LoopedFrame::new())
    }

    fn wait_fds(&self) -> &[OwnedFd] {
        &[]
    }

    fn arm(&mut self) -> bool {
        false
    }

    fn disarm(&mut self) {}
}
