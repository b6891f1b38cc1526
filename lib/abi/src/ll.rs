//! Objects of the low-level library, allocated by its callers.

use core::ffi::c_void;

use zerocopy::{FromZeros, Immutable, KnownLayout};

use crate::codec::UnknownType;

/// Contexts of one process.
pub const FLEXTCP_MAX_CONTEXTS: usize = 32;
/// Cores of the service.
pub const FLEXTCP_MAX_FTCPCORES: usize = 16;
/// Several listeners may share the port.
pub const FLEXTCP_LISTEN_REUSEPORT: u32 = 0x1;

/// Queues between a context and one core; lengths, positions and room in bytes.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct FlextcpQueue {
    /// Queue application to core.
    pub txq_base: *mut c_void,
    /// Queue core to application.
    pub rxq_base: *mut c_void,
    /// Byte position of the next entry to consume.
    pub rxq_head: u32,
    /// Byte position of the next entry to produce.
    pub txq_tail: u32,
    /// Bytes of the transmit queue believed free.
    pub txq_avail: u32,
    /// Unused.
    pub _pad: u32,
    /// TSC when the core was last woken.
    pub last_ts: u64,
}

assert_layout!(FlextcpQueue, size 40, align 8, {
    txq_base: 0, rxq_base: 8, rxq_head: 16, txq_tail: 20, txq_avail: 24, _pad: 28, last_ts: 32
});

/// A thread's connection to the service.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct FlextcpContext {
    /// Queue application to slow path.
    pub kin_base: *mut c_void,
    /// Entries of it.
    pub kin_len: u32,
    /// Next entry of it to produce.
    pub kin_head: u32,
    /// Queue slow path to application.
    pub kout_base: *mut c_void,
    /// Entries of it.
    pub kout_len: u32,
    /// Next entry of it to consume.
    pub kout_head: u32,
    /// Bytes of each queue core to application.
    pub rxq_len: u32,
    /// Bytes of each queue application to core.
    pub txq_len: u32,
    /// Queues to and from each core.
    pub queues: [FlextcpQueue; FLEXTCP_MAX_FTCPCORES],
    /// First connection with updates to post.
    pub bump_pending_first: *mut FlextcpConnection,
    /// Last connection with updates to post.
    pub bump_pending_last: *mut FlextcpConnection,
    /// Private to the library.
    pub flags: u32,
    /// Id of the context.
    pub db_id: u16,
    /// Number of the context within the process.
    pub ctx_id: u16,
    /// Valid entries of `queues`.
    pub num_queues: u16,
    /// Queue to poll first next time.
    pub next_queue: u16,
    /// TSC when an event was last seen.
    pub last_inev_ts: u64,
    /// Eventfd that wakes the context.
    pub evfd: i32,
}

assert_layout!(FlextcpContext, size 728, align 8, {
    kin_base: 0, kin_len: 8, kin_head: 12, kout_base: 16, kout_len: 24, kout_head: 28, rxq_len: 32, txq_len: 36, queues: 40, bump_pending_first: 680, bump_pending_last: 688, flags: 696, db_id: 700, ctx_id: 702, num_queues: 704, next_queue: 706, last_inev_ts: 712, evfd: 720
});

/// A connection.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct FlextcpConnection {
    /// Receive buffer.
    pub rxb_base: *mut u8,
    /// Bytes of it.
    pub rxb_len: u32,
    /// Position of the next byte to be received.
    pub rxb_head: u32,
    /// Bytes the application has not handed back.
    pub rxb_used: u32,
    /// Bytes handed back and not yet posted.
    pub rxb_bump: u32,
    /// Transmit buffer.
    pub txb_base: *mut u8,
    /// Bytes of it.
    pub txb_len: u32,
    /// Position of the next byte to be allocated.
    pub txb_head: u32,
    /// Bytes sent and not yet acknowledged.
    pub txb_sent: u32,
    /// Bytes allocated and not yet sent.
    pub txb_allocated: u32,
    /// Bytes sent and not yet posted.
    pub txb_bump: u32,
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Sequence number of the first byte received.
    pub seq_rx: u32,
    /// Sequence number of the first byte sent.
    pub seq_tx: u32,
    /// Id of the flow.
    pub flow_id: u32,
    /// Sequence number of the next update.
    pub bump_seq: u32,
    /// Next connection with updates to post.
    pub bump_next: *mut FlextcpConnection,
    /// Previous connection with updates to post.
    pub bump_prev: *mut FlextcpConnection,
    /// Fast-path core that owns the flow.
    pub fn_core: u16,
    /// Whether the connection is on the list of those with updates to post.
    pub bump_pending: u8,
    /// State, private to the library.
    pub status: u8,
    /// Flags, private to the library.
    pub flags: u8,
    /// Whether the peer has closed its direction.
    pub rx_closed: u8,
}

assert_layout!(FlextcpConnection, size 104, align 8, {
    rxb_base: 0, rxb_len: 8, rxb_head: 12, rxb_used: 16, rxb_bump: 20, txb_base: 24, txb_len: 32, txb_head: 36, txb_sent: 40, txb_allocated: 44, txb_bump: 48, local_ip: 52, remote_ip: 56, local_port: 60, remote_port: 62, seq_rx: 64, seq_tx: 68, flow_id: 72, bump_seq: 76, bump_next: 80, bump_prev: 88, fn_core: 96, bump_pending: 98, status: 99, flags: 100, rx_closed: 101
});

/// A listener.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct FlextcpListener {
    /// Connections offered to it.
    pub conns: *mut FlextcpConnection,
    /// Local port, host order.
    pub local_port: u16,
    /// State, private to the library.
    pub status: u8,
}

assert_layout!(FlextcpListener, size 16, align 8, {
    conns: 0, local_port: 8, status: 10
});
/// Outcome of opening a listener.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvListenOpen {
    /// 0 or a negative errno.
    pub status: i16,
    /// The listener.
    pub listener: *mut FlextcpListener,
}

assert_layout!(EvListenOpen, size 16, align 8, { status: 0, listener: 8 });

/// A connection waits to be accepted.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvListenNewconn {
    /// Remote port, host order.
    pub remote_port: u16,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// The listener.
    pub listener: *mut FlextcpListener,
}

assert_layout!(EvListenNewconn, size 16, align 8, { remote_port: 0, remote_ip: 4, listener: 8 });

/// A connection was accepted.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvListenAccept {
    /// 0 or a negative errno.
    pub status: i16,
    /// The connection.
    pub conn: *mut FlextcpConnection,
}

assert_layout!(EvListenAccept, size 16, align 8, { status: 0, conn: 8 });

/// Outcome of opening a connection.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvConnOpen {
    /// 0 or a negative errno.
    pub status: i16,
    /// The connection.
    pub conn: *mut FlextcpConnection,
}

assert_layout!(EvConnOpen, size 16, align 8, { status: 0, conn: 8 });

/// Bytes were received.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvConnReceived {
    /// The bytes, in the receive buffer.
    pub buf: *mut c_void,
    /// How many.
    pub len: usize,
    /// The connection.
    pub conn: *mut FlextcpConnection,
}

assert_layout!(EvConnReceived, size 24, align 8, { buf: 0, len: 8, conn: 16 });

/// The transmit buffer has room again.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvConnSendbuf {
    /// The connection.
    pub conn: *mut FlextcpConnection,
}

assert_layout!(EvConnSendbuf, size 8, align 8, { conn: 0 });

/// The peer has closed its direction.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvConnRxclosed {
    /// The connection.
    pub conn: *mut FlextcpConnection,
}

assert_layout!(EvConnRxclosed, size 8, align 8, { conn: 0 });

/// All bytes and the end were acknowledged.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvConnTxclosed {
    /// The connection.
    pub conn: *mut FlextcpConnection,
}

assert_layout!(EvConnTxclosed, size 8, align 8, { conn: 0 });

/// Outcome of moving a connection.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvConnMoved {
    /// 0 or a negative errno.
    pub status: i16,
    /// The connection.
    pub conn: *mut FlextcpConnection,
}

assert_layout!(EvConnMoved, size 16, align 8, { status: 0, conn: 8 });

/// The connection is gone.
#[derive(Clone, Copy, Debug, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct EvConnClosed {
    /// 0 or a negative errno.
    pub status: i16,
    /// The connection.
    pub conn: *mut FlextcpConnection,
}

assert_layout!(EvConnClosed, size 16, align 8, { status: 0, conn: 8 });

/// Payload of [`FlextcpEvent`], by its type.
#[derive(Clone, Copy, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub union FlextcpEventData {
    /// Outcome of opening a listener.
    pub listen_open: EvListenOpen,
    /// A connection waits to be accepted.
    pub listen_newconn: EvListenNewconn,
    /// A connection was accepted.
    pub listen_accept: EvListenAccept,
    /// Outcome of opening a connection.
    pub conn_open: EvConnOpen,
    /// Bytes were received.
    pub conn_received: EvConnReceived,
    /// The transmit buffer has room again.
    pub conn_sendbuf: EvConnSendbuf,
    /// The peer has closed its direction.
    pub conn_rxclosed: EvConnRxclosed,
    /// All bytes and the end were acknowledged.
    pub conn_txclosed: EvConnTxclosed,
    /// Outcome of moving a connection.
    pub conn_moved: EvConnMoved,
    /// The connection is gone.
    pub conn_closed: EvConnClosed,
}

/// What happened on a context.
#[derive(Clone, Copy, FromZeros, KnownLayout, Immutable)]
#[repr(C)]
pub struct FlextcpEvent {
    /// `FLEXTCP_EV_*`.
    pub event_type: u8,
    /// Payload.
    pub ev: FlextcpEventData,
}

assert_layout!(FlextcpEvent, size 32, align 8, { event_type: 0, ev: 8 });

/// Types of [`FlextcpEvent`], its `event_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum FlextcpEventType {
    /// Outcome of opening a listener.
    ListenOpen = 0,
    /// A connection waits to be accepted.
    ListenNewconn = 1,
    /// A connection was accepted.
    ListenAccept = 2,
    /// Outcome of opening a connection.
    ConnOpen = 3,
    /// The connection is gone.
    ConnClosed = 4,
    /// Bytes were received.
    ConnReceived = 5,
    /// The transmit buffer has room again.
    ConnSendbuf = 6,
    /// The peer has closed its direction.
    ConnRxclosed = 7,
    /// All bytes and the end were acknowledged.
    ConnTxclosed = 8,
    /// Outcome of moving a connection.
    ConnMoved = 9,
}

impl TryFrom<u8> for FlextcpEventType {
    type Error = UnknownType;

    fn try_from(value: u8) -> Result<Self, UnknownType> {
        Ok(match value {
            0 => Self::ListenOpen,
            1 => Self::ListenNewconn,
            2 => Self::ListenAccept,
            3 => Self::ConnOpen,
            4 => Self::ConnClosed,
            5 => Self::ConnReceived,
            6 => Self::ConnSendbuf,
            7 => Self::ConnRxclosed,
            8 => Self::ConnTxclosed,
            9 => Self::ConnMoved,
            other => return Err(UnknownType(other)),
        })
    }
}
