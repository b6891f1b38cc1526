//! Names of the regions, and the queue entries in the shape C programs use.
//!
//! The unions cannot be read without unsafe code, so Rust code uses
//! [`Arx`](super::Arx) and [`Atx`](super::Atx); the sizes are asserted equal.

use crate::be::VolatileU8;

use super::{Arx, ArxConnUpdate, Atx, AtxConnUpdate};

/// Name of the info region, always in /dev/shm.
pub const FLEXNIC_NAME_INFO: &str = "tas_info";
/// Name of the region shared with applications.
pub const FLEXNIC_NAME_DMA_MEM: &str = "tas_memory";
/// Name of the region shared with tools.
pub const FLEXNIC_NAME_INTERNAL_MEM: &str = "tas_internal";
/// Where the regions lie with huge pages.
pub const FLEXNIC_HUGE_PREFIX: &str = "/dev/hugepages";

/// A packet for the slow path.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct KrxPacket {
    /// Bytes of the packet.
    pub len: u16,
    /// Core it arrived on.
    pub fn_core: u16,
    /// RSS bucket it arrived in.
    pub flow_group: u16,
}

/// Payload of [`KrxEntry`].
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub union KrxData {
    /// For `FLEXTCP_PL_KRX_PACKET`.
    pub packet: KrxPacket,
    /// All bytes.
    pub raw: [u8; 55],
}

/// Entry of the queue core to slow path.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct KrxEntry {
    /// Place of the packet.
    pub addr: u64,
    /// Payload.
    pub msg: KrxData,
    /// `FLEXTCP_PL_KRX_*`, written last.
    pub r#type: VolatileU8,
}

assert_layout!(KrxPacket, size 6, align 1, { len: 0, fn_core: 2, flow_group: 4 });
assert_layout!(KrxEntry, size 64, align 1, { addr: 0, msg: 8, r#type: 63 });

/// A packet to send.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct KtxPacket {
    /// Place of the packet.
    pub addr: u64,
    /// Bytes of the packet.
    pub len: u16,
}

/// A flow to retransmit.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct KtxConnRetran {
    /// Id of the flow.
    pub flow_id: u32,
}

/// Payload of [`KtxEntry`].
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub union KtxData {
    /// For `FLEXTCP_PL_KTX_PACKET`.
    pub packet: KtxPacket,
    /// For `FLEXTCP_PL_KTX_CONNRETRAN`.
    pub connretran: KtxConnRetran,
    /// All bytes.
    pub raw: [u8; 63],
}

/// Entry of the queue slow path to core.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct KtxEntry {
    /// Payload.
    pub msg: KtxData,
    /// `FLEXTCP_PL_KTX_*`, written last.
    pub r#type: VolatileU8,
}

assert_layout!(KtxPacket, size 16, align 8, { addr: 0, len: 8 });
assert_layout!(KtxConnRetran, size 4, align 1, { flow_id: 0 });
assert_layout!(KtxEntry, size 64, align 1, { msg: 0, r#type: 63 });

/// Payload of [`ArxEntry`].
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub union ArxData {
    /// For `FLEXTCP_PL_ARX_CONNUPDATE`.
    pub connupdate: ArxConnUpdate,
    /// All bytes.
    pub raw: [u8; 31],
}

/// Entry of the queue core to application.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct ArxEntry {
    /// Payload.
    pub msg: ArxData,
    /// `FLEXTCP_PL_ARX_*`, written last.
    pub r#type: VolatileU8,
}

assert_layout!(ArxEntry, size 32, align 1, { msg: 0, r#type: 31 });
assert_layout!(Arx, size 32, align 1, { raw: 0, type_: 31 });

/// Payload of [`AtxEntry`].
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub union AtxData {
    /// For `FLEXTCP_PL_ATX_CONNUPDATE`.
    pub connupdate: AtxConnUpdate,
    /// All bytes.
    pub raw: [u8; 15],
}

/// Entry of the queue application to core.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct AtxEntry {
    /// Payload.
    pub msg: AtxData,
    /// `FLEXTCP_PL_ATX_CONNUPDATE` or 0 for free, written last.
    pub r#type: VolatileU8,
}

assert_layout!(AtxEntry, size 16, align 1, { msg: 0, r#type: 15 });
assert_layout!(Atx, size 16, align 1, { raw: 0, type_: 15 });
