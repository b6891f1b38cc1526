//! Trace buffers of the cores.
//!
//! A buffer is a ring of records: head, payload, tail.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::be::VolatileU64;

/// Name of a core's trace region, for `printf` with the core's number.
pub const FLEXNIC_TRACE_NAME: &str = "flexnic_trace_%u";

/// A frame was received.
pub const FLEXNIC_TRACE_EV_RXPKT: u16 = 1;
/// A frame was sent.
pub const FLEXNIC_TRACE_EV_TXPKT: u16 = 2;
/// Application memory was read; [`TraceEntryDma`].
pub const FLEXNIC_TRACE_EV_DMARD: u16 = 3;
/// Application memory was written; [`TraceEntryDma`].
pub const FLEXNIC_TRACE_EV_DMAWR: u16 = 4;
/// [`TraceEntryQmanSet`].
pub const FLEXNIC_TRACE_EV_QMSET: u16 = 6;
/// [`TraceEntryQmanEvent`].
pub const FLEXNIC_TRACE_EV_QMEVT: u16 = 7;
/// An application rang the doorbell.
pub const FLEXNIC_PL_TREV_ADB: u16 = 0x100;
/// [`TrevAtx`].
pub const FLEXNIC_PL_TREV_ATX: u16 = 0x101;
/// [`TrevArx`].
pub const FLEXNIC_PL_TREV_ARX: u16 = 0x102;
/// [`TrevRxfs`].
pub const FLEXNIC_PL_TREV_RXFS: u16 = 0x103;
/// [`TrevTxack`].
pub const FLEXNIC_PL_TREV_TXACK: u16 = 0x104;
/// [`TrevTxseg`].
pub const FLEXNIC_PL_TREV_TXSEG: u16 = 0x105;
/// The queue manager asked for an application queue.
pub const FLEXNIC_PL_TREV_ACTXQMAN: u16 = 0x106;
/// [`TrevAfloqman`].
pub const FLEXNIC_PL_TREV_AFLOQMAN: u16 = 0x107;
/// [`TrevRexmit`].
pub const FLEXNIC_PL_TREV_REXMIT: u16 = 0x108;

/// Start of a core's trace buffer.
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
pub struct TraceHeader {
    /// Byte position behind the last record.
    pub end_last: VolatileU64,
    /// Bytes of the buffer behind this header.
    pub length: u64,
}

assert_layout!(TraceHeader, size 16, align 1, {
    end_last: 0, length: 8
});

/// Start of a record.
///
/// cbindgen:field-names=[ts, seq, type, length]
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
pub struct TraceEntryHead {
    /// CLOCK_MONOTONIC when it was written, in nanoseconds.
    pub ts: u64,
    /// Number of the record.
    pub seq: u32,
    /// `FLEXNIC_TRACE_EV_*` or `FLEXNIC_PL_TREV_*`.
    pub type_: u16,
    /// Bytes of payload between head and tail.
    pub length: u16,
}

assert_layout!(TraceEntryHead, size 16, align 1, {
    ts: 0, seq: 8, type_: 12, length: 14
});

/// End of a record, for walking backwards.
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
pub struct TraceEntryTail {
    /// Bytes of payload between head and tail.
    pub length: u16,
}

assert_layout!(TraceEntryTail, size 2, align 1, {
    length: 0
});

/// Access to application memory.
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
pub struct TraceEntryDma {
    /// Place of the first byte.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// The bytes.
    pub data: [u8; 0],
}

assert_layout!(TraceEntryDma, size 16, align 1, {
    addr: 0, len: 8, data: 16
});

/// Change of a queue in the queue manager.
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
pub struct TraceEntryQmanSet {
    /// Identifier.
    pub id: u32,
    /// Rate in kbit/s.
    pub rate: u32,
    /// Bytes to send.
    pub avail: u32,
    /// Largest number of bytes per event.
    pub max_chunk: u16,
    /// Opaque byte of the queue.
    pub opaque: u8,
    /// Which of the values were set.
    pub flags: u8,
}

assert_layout!(TraceEntryQmanSet, size 16, align 1, {
    id: 0, rate: 4, avail: 8, max_chunk: 12, opaque: 14, flags: 15
});

/// A queue in the queue manager became due.
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
pub struct TraceEntryQmanEvent {
    /// Identifier.
    pub id: u32,
    /// Bytes to send.
    pub bytes: u16,
    /// Opaque byte of the queue.
    pub opaque: u8,
    /// Zero.
    pub pad: u8,
}

assert_layout!(TraceEntryQmanEvent, size 8, align 1, {
    id: 0, bytes: 4, opaque: 6, pad: 7
});

/// An update from the application was taken.
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
pub struct TrevAtx {
    /// Bytes consumed.
    pub rx_bump: u32,
    /// Bytes to send.
    pub tx_bump: u32,
    /// Sequence number in the update.
    pub bump_seq_ent: u32,
    /// Flags.
    pub flags: u32,
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Id of the flow.
    pub flow_id: u32,
    /// Id of the context.
    pub db_id: u32,
    /// Place in the transmit buffer of the next byte to send.
    pub tx_next_pos: u32,
    /// Sequence number of the next byte to send, SND.NXT.
    pub tx_next_seq: u32,
    /// `tx_avail` before the update.
    pub tx_avail_prev: u32,
    /// Place in the receive buffer of the next byte in order.
    pub rx_next_pos: u32,
    /// Free bytes in the receive buffer.
    pub rx_avail: u32,
    /// Bytes of the transmit buffer.
    pub tx_len: u32,
    /// Bytes of the receive buffer.
    pub rx_len: u32,
    /// Bytes the peer's window still admits.
    pub rx_remote_avail: u32,
    /// Bytes sent and not yet acknowledged.
    pub tx_sent: u32,
    /// Sequence number the flow expected.
    pub bump_seq_flow: u32,
}

assert_layout!(TrevAtx, size 76, align 1, {
    rx_bump: 0, tx_bump: 4, bump_seq_ent: 8, flags: 12, local_ip: 16, remote_ip: 20, local_port: 24, remote_port: 26, flow_id: 28, db_id: 32, tx_next_pos: 36, tx_next_seq: 40, tx_avail_prev: 44, rx_next_pos: 48, rx_avail: 52, tx_len: 56, rx_len: 60, rx_remote_avail: 64, tx_sent: 68, bump_seq_flow: 72
});

/// An update to the application was posted.
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
pub struct TrevArx {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Bytes newly in the receive buffer.
    pub rx_bump: u32,
    /// Bytes of the transmit buffer set free.
    pub tx_bump: u32,
    /// Place in the receive buffer of the first of them.
    pub rx_pos: u32,
    /// Flags.
    pub flags: u32,
    /// Id of the flow.
    pub flow_id: u32,
    /// Id of the context.
    pub db_id: u32,
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
}

assert_layout!(TrevArx, size 44, align 1, {
    opaque: 0, rx_bump: 8, tx_bump: 12, rx_pos: 16, flags: 20, flow_id: 24, db_id: 28, local_ip: 32, remote_ip: 36, local_port: 40, remote_port: 42
});

/// A segment of a known flow arrived.
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
pub struct TrevRxfs {
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Id of the flow.
    pub flow_id: u32,
    /// Sequence number of the segment.
    pub flow_seq: u32,
    /// Acknowledgement number of the segment.
    pub flow_ack: u32,
    /// TCP flags of the segment.
    pub flow_flags: u16,
    /// Payload bytes of the segment.
    pub flow_len: u16,
    /// `rx_next_pos` of the flow.
    pub fs_rx_nextpos: u32,
    /// `rx_next_seq` of the flow.
    pub fs_rx_nextseq: u32,
    /// `rx_avail` of the flow.
    pub fs_rx_avail: u32,
    /// `tx_next_pos` of the flow.
    pub fs_tx_nextpos: u32,
    /// `tx_next_seq` of the flow.
    pub fs_tx_nextseq: u32,
    /// `tx_sent` of the flow.
    pub fs_tx_sent: u32,
    /// `tx_avail` of the flow.
    pub fs_tx_avail: u32,
}

assert_layout!(TrevRxfs, size 56, align 1, {
    local_ip: 0, remote_ip: 4, local_port: 8, remote_port: 10, flow_id: 12, flow_seq: 16, flow_ack: 20, flow_flags: 24, flow_len: 26, fs_rx_nextpos: 28, fs_rx_nextseq: 32, fs_rx_avail: 36, fs_tx_nextpos: 40, fs_tx_nextseq: 44, fs_tx_sent: 48, fs_tx_avail: 52
});

/// An acknowledgement without data was sent.
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
pub struct TrevTxack {
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Sequence number of the segment.
    pub flow_seq: u32,
    /// Acknowledgement number of the segment.
    pub flow_ack: u32,
    /// TCP flags of the segment.
    pub flow_flags: u16,
}

assert_layout!(TrevTxack, size 22, align 1, {
    local_ip: 0, remote_ip: 4, local_port: 8, remote_port: 10, flow_seq: 12, flow_ack: 16, flow_flags: 20
});

/// A segment with data was sent.
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
pub struct TrevTxseg {
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Sequence number of the segment.
    pub flow_seq: u32,
    /// Acknowledgement number of the segment.
    pub flow_ack: u32,
    /// TCP flags of the segment.
    pub flow_flags: u16,
    /// Payload bytes of the segment.
    pub flow_len: u16,
}

assert_layout!(TrevTxseg, size 24, align 1, {
    local_ip: 0, remote_ip: 4, local_port: 8, remote_port: 10, flow_seq: 12, flow_ack: 16, flow_flags: 20, flow_len: 22
});

/// The queue manager asked for a segment.
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
pub struct TrevAfloqman {
    /// Place of the transmit buffer.
    pub tx_base: u64,
    /// Bytes in the transmit buffer not yet sent.
    pub tx_avail: u32,
    /// Place in the transmit buffer of the next byte to send.
    pub tx_next_pos: u32,
    /// Bytes of the transmit buffer.
    pub tx_len: u32,
    /// Bytes the peer's window still admits.
    pub rx_remote_avail: u32,
    /// Bytes sent and not yet acknowledged.
    pub tx_sent: u32,
    /// Id of the flow.
    pub flow_id: u32,
}

assert_layout!(TrevAfloqman, size 32, align 1, {
    tx_base: 0, tx_avail: 8, tx_next_pos: 12, tx_len: 16, rx_remote_avail: 20, tx_sent: 24, flow_id: 28
});

/// A flow went back to retransmit.
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
pub struct TrevRexmit {
    /// Id of the flow.
    pub flow_id: u32,
    /// Bytes in the transmit buffer not yet sent.
    pub tx_avail: u32,
    /// Bytes sent and not yet acknowledged.
    pub tx_sent: u32,
    /// Place in the transmit buffer of the next byte to send.
    pub tx_next_pos: u32,
    /// Sequence number of the next byte to send, SND.NXT.
    pub tx_next_seq: u32,
    /// Bytes the peer's window still admits.
    pub rx_remote_avail: u32,
}

assert_layout!(TrevRexmit, size 24, align 1, {
    flow_id: 0, tx_avail: 4, tx_sent: 8, tx_next_pos: 12, tx_next_seq: 16, rx_remote_avail: 20
});
