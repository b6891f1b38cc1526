//! One pair of queues of a port, and the frames that pass through it.

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrayvec::ArrayVec;
use dpdk_sys::rte_mbuf;
use tas_wire::MacAddr;

use super::fds::{FdKind, drain, forbid_blocking, kind};
use super::looped::Looped;
use super::port::PortShared;
use crate::nic::{BURST, Frame, Frames, NicQueue, RxChecksum};

/// A packet buffer of one segment, owned.
///
/// It has the layout of a pointer, so that a batch of frames is the array of
/// pointers that DPDK reads and writes.
#[repr(transparent)]
pub struct DpdkFrame(NonNull<rte_mbuf>);

// SAFETY: a buffer is owned by its one DpdkFrame, and may be used and freed on
// any thread.
unsafe impl Send for DpdkFrame {}

/// Reads or writes a field of the buffer's header, given by its offset.
macro_rules! field {
    ($frame:expr, $offset:ident, $type:ty) => {
        $frame
            .0
            .as_ptr()
            .byte_add(dpdk_sys::$offset as usize)
            .cast::<$type>()
    };
}

impl DpdkFrame {
    fn data_off(&self) -> usize {
        // SAFETY: the offsets are those of the installed headers, and the
        // buffer is ours.
        usize::from(unsafe { field!(self, TASNIC_MBUF_DATA_OFF, u16).read() })
    }

    fn data_len(&self) -> usize {
        // SAFETY: as in data_off.
        usize::from(unsafe { field!(self, TASNIC_MBUF_DATA_LEN, u16).read() })
    }

    fn data_ptr(&self) -> *mut u8 {
        // SAFETY: as in data_off; DPDK keeps data_off inside the buffer.
        unsafe {
            field!(self, TASNIC_MBUF_BUF_ADDR, *mut u8)
                .read()
                .add(self.data_off())
        }
    }

    fn ol_flags(&self) -> u64 {
        // SAFETY: as in data_off.
        unsafe { field!(self, TASNIC_MBUF_OL_FLAGS, u64).read() }
    }
}

/// What the flags of a received buffer say. "None" of a transport checksum means that there need be
/// none: virtio says so of frames that never left the machine.
#[inline]
fn checksum_by(flags: u64) -> RxChecksum {
    use dpdk_sys::{
        TASNIC_RX_IP_CSUM_BAD, TASNIC_RX_IP_CSUM_GOOD, TASNIC_RX_L4_CSUM_BAD,
        TASNIC_RX_L4_CSUM_GOOD, TASNIC_RX_L4_CSUM_NONE,
    };
    let ip = flags & dpdk_sys::TASNIC_RX_IP_CSUM_MASK;
    let l4 = flags & dpdk_sys::TASNIC_RX_L4_CSUM_MASK;
    if ip == TASNIC_RX_IP_CSUM_BAD || l4 == TASNIC_RX_L4_CSUM_BAD {
        RxChecksum::Bad
    } else if l4 != TASNIC_RX_L4_CSUM_GOOD && l4 != TASNIC_RX_L4_CSUM_NONE {
        RxChecksum::Unknown
    } else if ip == TASNIC_RX_IP_CSUM_GOOD {
        RxChecksum::Good
    } else {
        RxChecksum::Tcp
    }
}

impl Frame for DpdkFrame {
    #[inline]
    fn data(&self) -> &[u8] {
        // SAFETY: data_len bytes from data_ptr on lie in the segment, whose
        // memory was zeroed when DPDK mapped it; the buffer is ours, and the
        // borrow of self keeps it from being changed or freed.
        unsafe { slice::from_raw_parts(self.data_ptr(), self.data_len()) }
    }

    #[inline]
    fn prefetch(&self) {
        tas_shm::prefetch(self.data_ptr());
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in data, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.data_ptr(), self.data_len()) }
    }

    #[inline]
    fn capacity(&self) -> usize {
        // SAFETY: as in data_off.
        let buf_len = unsafe { field!(self, TASNIC_MBUF_BUF_LEN, u16).read() };
        usize::from(buf_len).saturating_sub(self.data_off())
    }

    #[inline]
    fn set_len(&mut self, len: usize) -> bool {
        let Ok(len) = u16::try_from(len) else {
            return false;
        };
        if usize::from(len) > self.capacity() {
            return false;
        }
        // SAFETY: as in data_off; the length fits the segment, which is the
        // only one of the packet.
        unsafe {
            field!(self, TASNIC_MBUF_DATA_LEN, u16).write(len);
            field!(self, TASNIC_MBUF_PKT_LEN, u32).write(u32::from(len));
        }
        true
    }

    #[inline]
    fn rx_checksum(&self) -> RxChecksum {
        let flags = self.ol_flags();
        // From ourselves, and never on a wire, where a port would have filled it in.
        if flags & dpdk_sys::TASNIC_TX_TCP_CSUM == dpdk_sys::TASNIC_TX_TCP_CSUM {
            return RxChecksum::Good;
        }
        checksum_by(flags)
    }

    #[inline]
    fn offload_checksums(&mut self, l2_len: u8, l3_len: u8, l4_len: u8) {
        let lengths = u64::from(l2_len) << dpdk_sys::TASNIC_TX_L2_LEN_SHIFT
            | u64::from(l3_len) << dpdk_sys::TASNIC_TX_L3_LEN_SHIFT
            | u64::from(l4_len) << dpdk_sys::TASNIC_TX_L4_LEN_SHIFT;
        let flags = self.ol_flags() | dpdk_sys::TASNIC_TX_TCP_CSUM;
        // SAFETY: as in data_off.
        unsafe {
            field!(self, TASNIC_MBUF_OL_FLAGS, u64).write(flags);
            field!(self, TASNIC_MBUF_TX_OFFLOAD, u64).write(lengths);
        }
    }

    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        if self.ol_flags() & dpdk_sys::TASNIC_RX_RSS_HASH == 0 {
            return None;
        }
        // SAFETY: as in data_off; the flag says that the field is set.
        Some(unsafe { field!(self, TASNIC_MBUF_RSS_HASH, u32).read() })
    }
}

impl Drop for DpdkFrame {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the buffer is ours, and this is the last use.
        unsafe { dpdk_sys::tasnic_free(self.0.as_ptr()) }
    }
}

/// What wakes the owner of a queue that blocks. The descriptors are duplicates of the driver's.
#[derive(Debug)]
pub(super) enum WakeSource {
    /// Nothing.
    None,
    /// Descriptors that are readable while frames wait.
    Sources(Vec<OwnedFd>),
    /// A receive interrupt, delivered through a descriptor.
    Interrupt([OwnedFd; 1], FdKind),
}

impl WakeSource {
    /// For the descriptor DPDK names for a queue's receive interrupt.
    pub(super) fn from_interrupt(fd: RawFd) -> Self {
        match (kind(fd), duplicate(fd)) {
            (_, None) => WakeSource::None,
            // net_tap passes its device off as an interrupt: reading it as
            // one would eat a frame.
            (kind, Some(fd)) if kind.is_frame_source() => WakeSource::Sources(vec![fd]),
            (kind, Some(fd)) => {
                forbid_blocking(fd.as_raw_fd());
                WakeSource::Interrupt([fd], kind)
            }
        }
    }

    pub(super) fn from_sources(fds: Vec<RawFd>) -> Self {
        let duplicates: Option<Vec<OwnedFd>> = fds.into_iter().map(duplicate).collect();
        match duplicates {
            // Blocking on some of the sources would miss frames of the others.
            None => WakeSource::None,
            Some(fds) if fds.is_empty() => WakeSource::None,
            Some(fds) => WakeSource::Sources(fds),
        }
    }
}

/// A descriptor of our own for what a driver has opened.
fn duplicate(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: the driver keeps the descriptor open while the port is, and the port is open now.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned().ok()
}

/// What a queue dropped on its own; read by the port's statistics.
#[derive(Debug, Default)]
pub(super) struct QueueDrops {
    /// Received frames that span several buffers.
    pub(super) rx: AtomicU64,
    /// Frames the driver refuses to send.
    pub(super) tx: AtomicU64,
}

/// Whose turn it is at a transmit queue that several cores share. Nobody waits for it: a core that
/// finds it taken tries again in its next turn, as with a queue that is full.
#[derive(Clone, Debug, Default)]
pub(super) struct TxLock(Arc<AtomicBool>);

/// The turn at a transmit queue, until it is dropped.
struct TxTurn<'a>(&'a AtomicBool);

impl TxLock {
    fn try_take(&self) -> Option<TxTurn<'_>> {
        // Acquire: what the core before did to the queue happened before.
        (!self.0.swap(true, Ordering::Acquire)).then(|| TxTurn(&self.0))
    }
}

impl Drop for TxTurn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A core's queues of a DPDK port.
pub struct DpdkQueue {
    port: Arc<PortShared>,
    /// The transmit queue; the receive queue has the same number.
    queue: u16,
    /// Other cores share the transmit queue.
    tx_lock: Option<TxLock>,
    pool: NonNull<dpdk_sys::rte_mempool>,
    /// Empty buffers, taken from the pool in bulk.
    spare: ArrayVec<DpdkFrame, BURST>,
    /// `None`: there is no receive queue.
    wake: Option<WakeSource>,
    /// Sent to ourselves.
    looped: Looped,
}

// SAFETY: the pool may be used from any thread, and the queues are used by the
// one owner of this value only.
unsafe impl Send for DpdkQueue {}

impl DpdkQueue {
    /// `pool` belongs to `port`, and `own` is its address. Only one value for a `queue` has a `wake`, and with it the receive
    /// queue; all values for it have the same lock if there are several.
    pub(super) fn new(
        port: Arc<PortShared>,
        own: MacAddr,
        queue: u16,
        pool: NonNull<dpdk_sys::rte_mempool>,
        wake: Option<WakeSource>,
        tx_lock: Option<TxLock>,
    ) -> Self {
        Self {
            port,
            queue,
            tx_lock,
            pool,
            spare: ArrayVec::new(),
            wake,
            looped: Looped::new(own),
        }
    }

    fn count(&self, counter: impl Fn(&QueueDrops) -> &AtomicU64, add: u64) {
        if let Some(drops) = self.port.drops.get(usize::from(self.queue)) {
            counter(drops).fetch_add(add, Ordering::Relaxed);
        }
    }

    /// Refills the spare buffers; fewer than wanted when the pool runs dry.
    #[cold]
    fn refill(&mut self) {
        let base = self.spare.as_mut_ptr();
        let mut want = BURST;
        while want > 0 {
            // SAFETY: the spare list is empty and has room for BURST pointers,
            // which is what a DpdkFrame is. The pool fills in all or none.
            let got = unsafe {
                dpdk_sys::tasnic_alloc_bulk(
                    self.pool.as_ptr(),
                    base.cast::<*mut rte_mbuf>(),
                    want as u32,
                )
            };
            if got > 0 {
                // SAFETY: so many elements were just written, each an owned
                // buffer.
                unsafe { self.spare.set_len(got as usize) };
                return;
            }
            want /= 4;
        }
    }

    /// How many frames from the front the driver is fit to send.
    fn prepare(&self, frames: &mut Frames<DpdkFrame>) -> usize {
        if !self.port.prepare {
            return frames.len();
        }
        // SAFETY: the vector is an array of len pointers to buffers we own;
        // the queue is ours.
        let fit = unsafe {
            dpdk_sys::tasnic_tx_prepare(
                self.port.id,
                self.queue,
                frames.as_mut_ptr().cast::<*mut rte_mbuf>(),
                frames.len() as u16,
            )
        };
        usize::from(fit).min(frames.len())
    }

    /// Hands up to `num` frames from the front to the port.
    fn send(&self, frames: &mut Frames<DpdkFrame>, num: usize) -> usize {
        let base = frames.as_mut_ptr();
        // SAFETY: num is at most the length of the vector, an array of
        // pointers to buffers we own; the queue is ours.
        let sent = unsafe {
            dpdk_sys::tasnic_tx_burst(
                self.port.id,
                self.queue,
                base.cast::<*mut rte_mbuf>(),
                num as u16,
            )
        };
        let sent = usize::from(sent).min(num);
        let left = frames.len() - sent;
        // SAFETY: the first `sent` buffers now belong to the port, so they are
        // overwritten and not dropped; the other `left` move to the front.
        unsafe {
            ptr::copy(base.add(sent), base, left);
            frames.set_len(left);
        }
        sent
    }
}

impl NicQueue for DpdkQueue {
    type Frame = DpdkFrame;

    #[inline]
    fn rx_burst(&mut self, out: &mut Frames<DpdkFrame>) -> usize {
        let back = self.looped.give(out);
        let (len, room) = (out.len(), out.remaining_capacity());
        if room == 0 || self.wake.is_none() {
            return back;
        }
        let mut dropped = 0;
        // SAFETY: behind the first len elements there is room for `room`
        // pointers; the queue is ours.
        let got = unsafe {
            dpdk_sys::tasnic_rx_burst(
                self.port.id,
                self.queue,
                out.as_mut_ptr().add(len).cast::<*mut rte_mbuf>(),
                room as u16,
                &raw mut dropped,
            )
        };
        let got = usize::from(got).min(room);
        // SAFETY: so many elements were just written, each an owned buffer of
        // one segment.
        unsafe { out.set_len(len + got) };
        if dropped > 0 {
            self.count(|d| &d.rx, dropped);
        }
        back + got
    }

    #[inline]
    fn tx_burst(&mut self, frames: &mut Frames<DpdkFrame>) -> usize {
        let mut removed = self.looped.take(frames);
        let _turn = match &self.tx_lock {
            None => None,
            Some(lock) => match lock.try_take() {
                None => return removed,
                turn => turn,
            },
        };
        while !frames.is_empty() {
            let fit = self.prepare(frames);
            let sent = if fit > 0 { self.send(frames, fit) } else { 0 };
            removed += sent;
            if sent < fit || frames.is_empty() {
                break;
            }
            // The driver will never send the frame that is now in front: it
            // must not hold up those behind it.
            drop(frames.remove(0));
            removed += 1;
            self.count(|d| &d.tx, 1);
        }
        removed
    }

    #[inline]
    fn recycle(&mut self, frames: &mut Frames<DpdkFrame>) {
        let (num, room) = (frames.len(), self.spare.remaining_capacity());
        // SAFETY: both vectors are arrays of pointers to buffers we own, of so many elements and
        // with so much room. Every buffer ends up in the spare list or is freed, so that the
        // frames own nothing any more; those in the spare list are as if just allocated.
        unsafe {
            let kept = dpdk_sys::tasnic_recycle(
                self.pool.as_ptr(),
                frames.as_mut_ptr().cast::<*mut rte_mbuf>(),
                num as u32,
                self.spare
                    .as_mut_ptr()
                    .add(self.spare.len())
                    .cast::<*mut rte_mbuf>(),
                room as u32,
            );
            frames.set_len(0);
            self.spare.set_len(self.spare.len() + kept as usize);
        }
    }

    #[inline]
    fn alloc(&mut self) -> Option<DpdkFrame> {
        if self.spare.is_empty() {
            self.refill();
        }
        self.spare.pop()
    }

    fn receives(&self) -> bool {
        self.wake.is_some() || !self.looped.is_empty()
    }

    fn wait_fds(&self) -> &[OwnedFd] {
        match &self.wake {
            None | Some(WakeSource::None) => &[],
            Some(WakeSource::Sources(fds)) => fds,
            Some(WakeSource::Interrupt(fd, _)) => fd,
        }
    }

    fn arm(&mut self) -> bool {
        match &self.wake {
            None | Some(WakeSource::None) => false,
            Some(WakeSource::Sources(_)) => true,
            // SAFETY: the queue is ours and its port is started.
            Some(WakeSource::Interrupt(..)) => unsafe {
                dpdk_sys::tasnic_rx_intr_enable(self.port.id, self.queue) == 0
            },
        }
    }

    fn disarm(&mut self) {
        if let Some(WakeSource::Interrupt([fd], kind)) = &self.wake {
            // SAFETY: as in arm. An interrupt that stays enabled costs a
            // wake-up and no more.
            let _ = unsafe { dpdk_sys::tasnic_rx_intr_disable(self.port.id, self.queue) };
            drain(fd.as_raw_fd(), *kind);
        }
    }
}

const _: () = assert!(mem::size_of::<DpdkFrame>() == mem::size_of::<*mut rte_mbuf>());

#[cfg(test)]
mod tests {
    use dpdk_sys::{
        TASNIC_RX_IP_CSUM_BAD, TASNIC_RX_IP_CSUM_GOOD, TASNIC_RX_L4_CSUM_BAD,
        TASNIC_RX_L4_CSUM_GOOD, TASNIC_RX_L4_CSUM_NONE, TASNIC_RX_RSS_HASH,
    };

    use super::*;

    #[test]
    fn checksums_are_trusted_as_far_as_the_driver_vouches_for_them() {
        let (ip_good, ip_bad) = (TASNIC_RX_IP_CSUM_GOOD, TASNIC_RX_IP_CSUM_BAD);
        let (l4_good, l4_bad) = (TASNIC_RX_L4_CSUM_GOOD, TASNIC_RX_L4_CSUM_BAD);
        let cases = [
            (0, RxChecksum::Unknown),
            (TASNIC_RX_RSS_HASH, RxChecksum::Unknown),
            (ip_good, RxChecksum::Unknown),
            (l4_good, RxChecksum::Tcp),
            (TASNIC_RX_L4_CSUM_NONE, RxChecksum::Tcp),
            (ip_good | l4_good, RxChecksum::Good),
            (ip_good | TASNIC_RX_L4_CSUM_NONE, RxChecksum::Good),
            (ip_bad | l4_good, RxChecksum::Bad),
            (ip_good | l4_bad, RxChecksum::Bad),
            (l4_bad, RxChecksum::Bad),
        ];
        for (flags, says) in cases {
            assert_eq!(checksum_by(flags), says, "{flags:#x}");
            assert_eq!(checksum_by(flags | TASNIC_RX_RSS_HASH), says, "{flags:#x}");
        }
    }
}
