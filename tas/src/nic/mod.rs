//! The network interface as the rest of the service sees it.
//!
//! A fast-path core owns one [`NicQueue`] outright and drives it in batches.
//! The traits are generic so that the data path is monomorphised: nothing
//! here is ever used through `dyn`.

use std::os::fd::OwnedFd;

use arrayvec::ArrayVec;
use tas_wire::MacAddr;

use crate::types::CoreId;

pub mod dpdk;
mod rss;
pub mod sim;

pub use rss::Rss;

/// Most frames that one [`NicQueue::rx_burst`] or [`NicQueue::tx_burst`] moves.
pub const BURST: usize = 64;

/// A batch of frames on its way between a queue and its owner.
pub type Frames<F> = ArrayVec<F, BURST>;

/// What is known of a port once it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The port's own Ethernet address.
    pub mac: MacAddr,
    /// Largest Ethernet payload in bytes (IP header included).
    pub mtu: u16,
    /// Number of receive queues, equal to the number of transmit queues. There may be more cores:
    /// those without a queue of their own receive nothing, and share the others to send.
    pub queues: u16,
    /// How the port spreads frames over its queues, when that can be told of a connection and
    /// changed with [`Redirect`].
    pub rss: Option<Rss>,
    /// The port fills in the TCP checksum of frames marked with
    /// [`Frame::offload_checksums`]; false: the sender must compute them.
    pub tx_checksum_offload: bool,
    /// [`Frame::rx_checksum`] can say something other than
    /// [`RxChecksum::Unknown`].
    pub rx_checksum_offload: bool,
    /// Name of the driver, for messages.
    pub driver: String,
}

/// What the hardware says about the checksums of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecksum {
    /// Not checked: the receiver must check in software.
    Unknown,
    /// TCP's is correct, or was never filled in since the frame comes from this very machine: a
    /// hypervisor or one of its guests. The IPv4 header's was not checked.
    Tcp,
    /// IPv4 header and TCP checksums are both correct.
    Good,
    /// At least one of them is wrong.
    Bad,
}

/// One Ethernet frame (no FCS) in one contiguous buffer, freed on drop.
pub trait Frame: Send {
    /// The bytes of the frame, Ethernet header first.
    fn data(&self) -> &[u8];

    /// Starts fetching the first bytes of the frame.
    fn prefetch(&self) {}

    /// The bytes of the frame, to be changed in place.
    fn data_mut(&mut self) -> &mut [u8];

    /// Largest length in bytes that [`Frame::set_len`] accepts.
    fn capacity(&self) -> usize;

    /// Makes the frame `len` bytes long; bytes that this adds at the end have
    /// unspecified (initialised) content. Returns false, and changes nothing,
    /// when `len` exceeds the capacity.
    fn set_len(&mut self, len: usize) -> bool;

    /// What the port found out about the checksums on receipt.
    fn rx_checksum(&self) -> RxChecksum;

    /// Asks the port to fill in the TCP checksum.
    ///
    /// Lengths are in bytes, `l4_len` is that of the TCP header with options.
    /// The IPv4 header must carry its checksum already, and the TCP checksum
    /// field the folded, uncomplemented sum of the pseudo header, which is
    /// what hardware wants to find there. Only valid on a port whose
    /// [`PortInfo::tx_checksum_offload`] is true.
    fn offload_checksums(&mut self, l2_len: u8, l3_len: u8, l4_len: u8);

    /// The receive-side-scaling hash, when the port computed one.
    fn rss_hash(&self) -> Option<u32>;
}

/// A core's access to a port, owned by one thread: a transmit queue, possibly shared behind the
/// scenes, and usually a receive queue.
pub trait NicQueue: Send {
    /// The frames that this queue receives, allocates and sends.
    type Frame: Frame;

    /// Appends received frames to `out` as long as it has room, and returns
    /// how many were added.
    fn rx_burst(&mut self, out: &mut Frames<Self::Frame>) -> usize;

    /// Sends frames from the front and removes those the port took; the rest
    /// stay in order. Returns how many were removed.
    fn tx_burst(&mut self, frames: &mut Frames<Self::Frame>) -> usize;

    /// Drops received frames, possibly keeping their buffers for [`NicQueue::alloc`].
    fn recycle(&mut self, frames: &mut Frames<Self::Frame>) {
        frames.clear();
    }

    /// An empty frame (length 0), or `None` when buffers have run out.
    fn alloc(&mut self) -> Option<Self::Frame>;

    /// Frames may come to this queue; false: there is nothing to poll or to wait for.
    fn receives(&self) -> bool {
        true
    }

    /// File descriptors of which at least one becomes readable when received
    /// frames wait. Empty when the port has none: whoever wants to block must
    /// then bound its sleep by a timer.
    fn wait_fds(&self) -> &[OwnedFd];

    /// Prepares for blocking on [`NicQueue::wait_fds`]. After true, the caller
    /// must poll once more before it blocks, since a frame may have arrived
    /// before arming. False: the queue cannot wake its owner.
    fn arm(&mut self) -> bool;

    /// Ends what [`NicQueue::arm`] began; to be called after each wake-up.
    fn disarm(&mut self);
}

/// A port's redirection table: which core's queue each bucket of connections goes to.
pub trait Redirect: Send {
    /// Sends bucket `i` to the queue of core `cores[i]`; the table has one entry for each bucket.
    ///
    /// # Errors
    /// The port refuses it.
    fn redirect(&mut self, cores: &[CoreId]) -> Result<(), String>;
}

/// Counters of a port since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received.
    pub rx_packets: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames dropped by the port because no receive descriptor was free.
    pub rx_missed: u64,
    /// Frames received with errors.
    pub rx_errors: u64,
    /// Receive attempts that failed for lack of buffers.
    pub rx_nombuf: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
}
