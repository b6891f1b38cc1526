//! The memory shared between service, applications and tools.
//!
//! Places are byte offsets into the region shared with applications.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::be::{BeU16, BeU32, VolatileU32};
use crate::packet::EthAddr;

mod entry;
mod layout;

pub use entry::{Arx, ArxMsg, Atx, AtxMsg};
pub use layout::*;

/// Bytes of the info region.
pub const FLEXNIC_INFO_BYTES: usize = 0x1000;
/// The fast path can serve.
pub const FLEXNIC_FLAG_READY: u64 = 1;
/// The regions other than the info region lie in the huge page file system.
pub const FLEXNIC_FLAG_HUGEPAGES: u64 = 2;

/// Application states in [`PlMem`].
pub const FLEXNIC_PL_APPST_NUM: usize = 8;
/// Contexts of one application in [`AppSt`].
pub const FLEXNIC_PL_APPST_CTX_NUM: usize = 31;
/// Cores in [`PlMem`].
pub const FLEXNIC_PL_APPST_CTX_MCS: usize = 16;
/// Contexts per core in [`PlMem`].
pub const FLEXNIC_PL_APPCTX_NUM: usize = 16;
/// Flow states.
pub const FLEXNIC_PL_FLOWST_NUM: usize = 128 * 1024;
/// Entries of the flow lookup table.
pub const FLEXNIC_PL_FLOWHT_ENTRIES: usize = FLEXNIC_PL_FLOWST_NUM * 2;
/// Entries looked at for one hash value.
pub const FLEXNIC_PL_FLOWHT_NBSZ: usize = 4;
/// RSS buckets.
pub const FLEXNIC_PL_MAX_FLOWGROUPS: usize = 4096;

/// Flag in `rx_base_sp`: the slow path handles the flow's segments.
pub const FLEXNIC_PL_FLOWST_SLOWPATH: u64 = 1;
/// Flag in `rx_base_sp`: ECN was negotiated.
pub const FLEXNIC_PL_FLOWST_ECN: u64 = 8;
/// Flag in `rx_base_sp`: the application has closed its direction.
pub const FLEXNIC_PL_FLOWST_TXFIN: u64 = 16;
/// Flag in `rx_base_sp`: the peer has closed its direction.
pub const FLEXNIC_PL_FLOWST_RXFIN: u64 = 32;
/// Bits of `rx_base_sp` that are the place of the receive buffer.
pub const FLEXNIC_PL_FLOWST_RX_MASK: u64 = !63u64;

/// Flag in a lookup table entry's `flow_id`: the entry is in use.
pub const FLEXNIC_PL_FLOWHTE_VALID: u32 = 1u32 << 31;
/// Shift of the position within the neighbourhood in an entry's `flow_id`.
pub const FLEXNIC_PL_FLOWHTE_POSSHIFT: u32 = 29;

/// Out-of-order segments are kept.
pub const FLEXNIC_PL_OOO_RECV: u32 = 1;

/// Free entry.
pub const FLEXTCP_PL_KRX_INVALID: u8 = 0x0;
/// A packet for the slow path.
pub const FLEXTCP_PL_KRX_PACKET: u8 = 0x1;
/// Free entry.
pub const FLEXTCP_PL_KTX_INVALID: u8 = 0x0;
/// A packet to send; its timestamp is filled in.
pub const FLEXTCP_PL_KTX_PACKET: u8 = 0x1;
/// A flow to retransmit.
pub const FLEXTCP_PL_KTX_CONNRETRAN: u8 = 0x2;
/// A packet to send as it is.
pub const FLEXTCP_PL_KTX_PACKET_NOTS: u8 = 0x3;
/// Free entry.
pub const FLEXTCP_PL_ARX_INVALID: u8 = 0x0;
/// Entry is a [`ArxConnUpdate`].
pub const FLEXTCP_PL_ARX_CONNUPDATE: u8 = 0x1;
/// The peer has closed its direction.
pub const FLEXTCP_PL_ARX_FLRXDONE: u8 = 0x1;
/// The connection was reset; comes together with [`FLEXTCP_PL_ARX_FLRXDONE`].
pub const FLEXTCP_PL_ARX_FLRESET: u8 = 0x2;
/// The peer did not answer any more; comes together with [`FLEXTCP_PL_ARX_FLRESET`].
pub const FLEXTCP_PL_ARX_FLTIMEDOUT: u8 = 0x4;
/// Entry is a [`AtxConnUpdate`].
pub const FLEXTCP_PL_ATX_CONNUPDATE: u8 = 0x1;
/// Nothing will be sent after this update.
pub const FLEXTCP_PL_ATX_FLTXDONE: u8 = 0x1;

/// Version of [`InfoExt`] described here.
pub const TAS_INFO_EXT_VERSION: u32 = 4;
/// From this version on the page says whether the slow path sleeps.
pub const TAS_INFO_EXT_SLEEPS: u32 = 2;
/// From this version on the service knows the requests of types 16 and above, and every receive
/// buffer has a tail.
pub const TAS_INFO_EXT_SOCKETS: u32 = 4;
/// Bytes behind a receive buffer, zero at first, in which processes tell of it.
pub const TAS_RX_TAIL_LEN: u32 = 64;
/// Place in the tail of a word: one more than the position in the buffer up to which the process
/// has read, 0 for nowhere.
pub const TAS_RX_TAIL_READ: u32 = 0;
/// Place in the tail of a word: one more than the context whose process alone works on the
/// connection just now, of several that hold it; 0 for none.
pub const TAS_RX_TAIL_TURN: u32 = 4;
/// Place of [`InfoExt`] in the info page of an isolated application.
pub const TAS_INFO_EXT_OFF: usize = 64;
/// Addresses in [`InfoExt`].
pub const TAS_INFO_EXT_ADDRS: usize = 16;
/// Routes in [`InfoExt`].
pub const TAS_INFO_EXT_ROUTES: usize = 64;

/// A local address of the service.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct InfoAddr {
    /// Address, host order.
    pub ip: u32,
    /// Bits of the network's prefix, 0 to 32.
    pub prefix_len: u32,
}

assert_layout!(InfoAddr, size 8, align 4, { ip: 0, prefix_len: 4 });

/// A route of the service.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct InfoRoute {
    /// Destination network, host order.
    pub dest: u32,
    /// Mask of the network, host order.
    pub mask: u32,
    /// Next hop, host order.
    pub next_hop: u32,
    /// Zero.
    pub _pad: u32,
}

assert_layout!(InfoRoute, size 16, align 4, { dest: 0, mask: 4, next_hop: 8, _pad: 12 });

/// What an isolated application learns beyond [`FlexnicInfo`]: which peers
/// are reached through the service, and whether it sleeps.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct InfoExt {
    /// [`TAS_INFO_EXT_VERSION`].
    pub version: u32,
    /// Valid entries of `addrs`.
    pub addr_num: u32,
    /// Valid entries of `routes`.
    pub route_num: u32,
    /// Zero.
    pub _pad: u32,
    /// Local addresses.
    pub addrs: [InfoAddr; TAS_INFO_EXT_ADDRS],
    /// Routes.
    pub routes: [InfoRoute; TAS_INFO_EXT_ROUTES],
    /// Not 0 while the slow path sleeps: who has a request for it writes its
    /// eventfd. From version 2 on.
    pub slow_path_sleeps: u64,
}

assert_layout!(InfoExt, size 1176, align 8, {
    version: 0, addr_num: 4, route_num: 8, _pad: 12, addrs: 16, routes: 144, slow_path_sleeps: 1168
});
const _: () = assert!(TAS_INFO_EXT_OFF >= size_of::<FlexnicInfo>());
const _: () = assert!(TAS_INFO_EXT_OFF + size_of::<InfoExt>() <= FLEXNIC_INFO_BYTES);

/// Application to core: bytes consumed, bytes to send.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct AtxConnUpdate {
    /// Bytes of the receive buffer handed back.
    pub rx_bump: u32,
    /// Bytes newly in the transmit buffer.
    pub tx_bump: u32,
    /// Id of the flow.
    pub flow_id: u32,
    /// Sequence number of this update among the connection's.
    pub bump_seq: u16,
    /// 0 or [`FLEXTCP_PL_ATX_FLTXDONE`].
    pub flags: u8,
}

assert_layout!(AtxConnUpdate, size 15, align 1, {
    rx_bump: 0, tx_bump: 4, flow_id: 8, bump_seq: 12, flags: 14
});

/// The service's description of itself, at the start of the info region.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct FlexnicInfo {
    /// [`FLEXNIC_FLAG_READY`], [`FLEXNIC_FLAG_HUGEPAGES`].
    pub flags: u64,
    /// Bytes of the region shared with applications.
    pub dma_mem_size: u64,
    /// Bytes of the region shared with tools.
    pub internal_mem_size: u64,
    /// The NIC's address: six bytes in memory order, then two zero bytes.
    pub mac_address: u64,
    /// TSC cycles an application polls before it blocks, all ones for never.
    pub poll_cycle_app: u64,
    /// TSC cycles the service polls before it blocks, all ones for never.
    pub poll_cycle_tas: u64,
    /// Number of queue manager queues.
    pub qmq_num: u32,
    /// Largest number of fast-path cores.
    pub cores_num: u32,
}

assert_layout!(FlexnicInfo, size 56, align 1, {
    flags: 0, dma_mem_size: 8, internal_mem_size: 16, mac_address: 24, poll_cycle_app: 32, poll_cycle_tas: 40, qmq_num: 48, cores_num: 52
});

/// Core to application: received bytes, acknowledged bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct ArxConnUpdate {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Bytes newly in the receive buffer.
    pub rx_bump: u32,
    /// Place in the receive buffer of the first of them.
    pub rx_pos: u32,
    /// Bytes of the transmit buffer set free.
    pub tx_bump: u32,
    /// [`FLEXTCP_PL_ARX_FLRXDONE`], [`FLEXTCP_PL_ARX_FLRESET`],
    /// [`FLEXTCP_PL_ARX_FLTIMEDOUT`].
    pub flags: u8,
}

assert_layout!(ArxConnUpdate, size 21, align 1, {
    opaque: 0, rx_bump: 8, rx_pos: 12, tx_bump: 16, flags: 20
});

/// Contexts of one application.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct AppSt {
    /// Number of valid entries in `ctx_ids`.
    pub ctx_num: u16,
    /// Ids of the contexts.
    pub ctx_ids: [u16; FLEXNIC_PL_APPST_CTX_NUM],
}

assert_layout!(AppSt, size 64, align 1, {
    ctx_num: 0, ctx_ids: 2
});

/// One core's registers of one context.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct AppCtx {
    /// Place of the queue core to application.
    pub rx_base: u64,
    /// Place of the queue application to core.
    pub tx_base: u64,
    /// Bytes of the queue core to application.
    pub rx_len: u32,
    /// Bytes of the queue application to core.
    pub tx_len: u32,
    /// Index of the application in [`PlMem::appst`].
    pub appst_id: u32,
    /// Eventfd that wakes the context.
    pub evfd: i32,
    /// TSC when the eventfd was last written.
    pub last_ts: u64,
    /// Byte position of the next entry to produce.
    pub rx_head: u32,
    /// Byte position of the next entry to consume.
    pub tx_head: u32,
    /// Bytes of the receive queue believed free.
    pub rx_avail: u32,
}

assert_layout!(AppCtx, size 52, align 1, {
    rx_base: 0, tx_base: 8, rx_len: 16, tx_len: 20, appst_id: 24, evfd: 28, last_ts: 32, rx_head: 40, tx_head: 44, rx_avail: 48
});

/// State of one established flow; two cache lines.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C, align(64))]
pub struct FlowSt {
    /// The application's name for the connection.
    pub opaque: u64,
    /// Place of the receive buffer (multiple of 64), flags in the low six bits.
    pub rx_base_sp: u64,
    /// Place of the transmit buffer.
    pub tx_base: u64,
    /// Bytes of the receive buffer.
    pub rx_len: u32,
    /// Bytes of the transmit buffer.
    pub tx_len: u32,
    /// Local address.
    pub local_ip: BeU32,
    /// Remote address.
    pub remote_ip: BeU32,
    /// Local port.
    pub local_port: BeU16,
    /// Remote port.
    pub remote_port: BeU16,
    /// Ethernet address of the next hop.
    pub remote_mac: EthAddr,
    /// Id of the context.
    pub db_id: u16,
    /// RSS bucket the flow's segments arrive in.
    pub flow_group: u16,
    /// Number of the application update expected next; the first is 0.
    pub bump_seq: u16,
    /// Unused: a flow is owned by one core.
    pub lock: VolatileU32,
    /// Free bytes in the receive buffer.
    pub rx_avail: u32,
    /// Place in the receive buffer of the next byte in order.
    pub rx_next_pos: u32,
    /// Sequence number of the next byte in order, RCV.NXT.
    pub rx_next_seq: u32,
    /// Bytes the peer's window still admits.
    pub rx_remote_avail: u32,
    /// Duplicate acknowledgements in a row.
    pub rx_dupack_cnt: u32,
    /// Sequence number of the first byte received out of order.
    pub rx_ooo_start: u32,
    /// Bytes received out of order from `rx_ooo_start` on.
    pub rx_ooo_len: u32,
    /// Bytes in the transmit buffer not yet sent.
    pub tx_avail: u32,
    /// Bytes sent and not yet acknowledged.
    pub tx_sent: u32,
    /// Place in the transmit buffer of the next byte to send.
    pub tx_next_pos: u32,
    /// Sequence number of the next byte to send, SND.NXT.
    pub tx_next_seq: u32,
    /// Peer's timestamp to echo, TS.Recent.
    pub tx_next_ts: u32,
    /// Sending rate in kbit/s, 0 for unlimited.
    pub tx_rate: u32,
    /// Retransmission events since last read.
    pub cnt_tx_drops: u16,
    /// Acknowledgements since last read.
    pub cnt_rx_acks: u16,
    /// Bytes acknowledged since last read.
    pub cnt_rx_ack_bytes: u32,
    /// Bytes acknowledged with ECE since last read.
    pub cnt_rx_ecn_bytes: u32,
    /// Estimate of the round-trip time in microseconds.
    pub rtt_est: u32,
}

assert_layout!(FlowSt, size 128, align 64, {
    opaque: 0, rx_base_sp: 8, tx_base: 16, rx_len: 24, tx_len: 28, local_ip: 32, remote_ip: 36, local_port: 40, remote_port: 42, remote_mac: 44, db_id: 50, flow_group: 52, bump_seq: 54, lock: 56, rx_avail: 60, rx_next_pos: 64, rx_next_seq: 68, rx_remote_avail: 72, rx_dupack_cnt: 76, rx_ooo_start: 80, rx_ooo_len: 84, tx_avail: 88, tx_sent: 92, tx_next_pos: 96, tx_next_seq: 100, tx_next_ts: 104, tx_rate: 108, cnt_tx_drops: 112, cnt_rx_acks: 114, cnt_rx_ack_bytes: 116, cnt_rx_ecn_bytes: 120, rtt_est: 124
});

/// Entry of the flow lookup table.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct FlowHte {
    /// Flow id, position within the neighbourhood, valid bit.
    pub flow_id: u32,
    /// Hash of the four-tuple.
    pub flow_hash: u32,
}

assert_layout!(FlowHte, size 8, align 1, {
    flow_id: 0, flow_hash: 4
});

/// Contents of the internal region.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct PlMem {
    /// Registers of the contexts, by core.
    pub appctx: [[AppCtx; FLEXNIC_PL_APPST_CTX_MCS]; FLEXNIC_PL_APPCTX_NUM],
    /// Flow states, by flow id.
    pub flowst: [FlowSt; FLEXNIC_PL_FLOWST_NUM],
    /// Flow lookup table.
    pub flowht: [FlowHte; FLEXNIC_PL_FLOWHT_ENTRIES],
    /// Registers of the slow path, by core.
    pub kctx: [AppCtx; FLEXNIC_PL_APPST_CTX_MCS],
    /// Applications.
    pub appst: [AppSt; FLEXNIC_PL_APPST_NUM],
    /// Core that serves each RSS bucket.
    pub flow_group_steering: [u8; FLEXNIC_PL_MAX_FLOWGROUPS],
}

assert_layout!(PlMem, size 18893120, align 64, {
    appctx: 0, flowst: 13312, flowht: 16790528, kctx: 18887680, appst: 18888512, flow_group_steering: 18889024
});
