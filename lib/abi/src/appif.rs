//! Messages between an application and the slow path.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::codec::UnknownType;

mod entry;
mod family;
mod layout;
mod sockets;

pub use entry::{AppinMsg, AppoutMsg, KernelAppin, KernelAppout};
pub use family::*;
pub use layout::*;
pub use sockets::*;

/// Most queue pairs the original libraries expect in one message.
pub const KERNEL_UXSOCK_MAXQ: usize = 8;
/// Several listeners may share the port.
pub const KERNEL_APPOUT_LISTEN_REUSEPORT: u8 = 0x1;
/// Reset the connection instead of finishing it.
pub const KERNEL_APPOUT_CLOSE_RESET: u32 = 0x1;

/// Version of the handshake on [`TAS_SOCKET_PATH`].
pub const TAS_UXSOCK_VERSION: u32 = 1;

/// First message of the service on [`TAS_SOCKET_PATH`], with three
/// descriptors: slow path's eventfd, info page, region.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct UxsockHello {
    /// Number of fast-path cores.
    pub cores_num: u32,
    /// [`TAS_UXSOCK_VERSION`].
    pub version: u32,
    /// Bytes of the application's region.
    pub region_len: u64,
}

assert_layout!(UxsockHello, size 16, align 8, { cores_num: 0, version: 4, region_len: 8 });

/// Places of the queues between a context and one core.
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
pub struct UxsockQueue {
    /// Place of the queue core to application.
    pub rxq_off: u64,
    /// Place of the queue application to core.
    pub txq_off: u64,
}

assert_layout!(UxsockQueue, size 16, align 1, { rxq_off: 0, txq_off: 8 });

/// Request for a context, sent on the handshake socket with the context's eventfd.
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
pub struct UxsockRequest {
    /// Bytes of each queue core to application.
    pub rxq_len: u32,
    /// Bytes of each queue application to core.
    pub txq_len: u32,
}

assert_layout!(UxsockRequest, size 8, align 1, {
    rxq_len: 0, txq_len: 4
});

/// Answer to [`UxsockRequest`], followed by `flexnic_qs_num` of [`UxsockQueue`].
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
pub struct UxsockResponse {
    /// Place of the queue application to slow path.
    pub app_out_off: u64,
    /// Place of the queue slow path to application.
    pub app_in_off: u64,
    /// Bytes of the queue application to slow path.
    pub app_out_len: u32,
    /// Bytes of the queue slow path to application.
    pub app_in_len: u32,
    /// 0, or the request was refused.
    pub status: u32,
    /// Id of the context.
    pub flexnic_db_id: u16,
    /// Number of queue pairs that follow, one per core.
    pub flexnic_qs_num: u16,
    /// Queue pairs, in core order.
    pub flexnic_qs: [UxsockQueue; 0],
}

assert_layout!(UxsockResponse, size 32, align 1, {
    app_out_off: 0, app_in_off: 8, app_out_len: 16, app_in_len: 20, status: 24, flexnic_db_id: 28, flexnic_qs_num: 30, flexnic_qs: 32
});

/// Open a connection.
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
pub struct AppoutConnOpen {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Flags, 0.
    pub flags: u32,
    /// Remote port, host order.
    pub remote_port: u16,
}

assert_layout!(AppoutConnOpen, size 18, align 1, {
    opaque: 0, remote_ip: 8, flags: 12, remote_port: 16
});

/// Close a connection.
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
pub struct AppoutConnClose {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// 0 or [`KERNEL_APPOUT_CLOSE_RESET`].
    pub flags: u32,
}

assert_layout!(AppoutConnClose, size 24, align 1, {
    opaque: 0, remote_ip: 8, local_ip: 12, remote_port: 16, local_port: 18, flags: 20
});

/// Move a connection to another context.
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
pub struct AppoutConnMove {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// Id of the context.
    pub db_id: u16,
}

assert_layout!(AppoutConnMove, size 22, align 1, {
    opaque: 0, remote_ip: 8, local_ip: 12, remote_port: 16, local_port: 18, db_id: 20
});

/// Open a listener.
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
pub struct AppoutListenOpen {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Most connections waiting to be accepted.
    pub backlog: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// 0 or [`KERNEL_APPOUT_LISTEN_REUSEPORT`].
    pub flags: u8,
}

assert_layout!(AppoutListenOpen, size 15, align 1, {
    opaque: 0, backlog: 8, local_port: 12, flags: 14
});

/// Close a listener.
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
pub struct AppoutListenClose {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Local port, host order.
    pub local_port: u16,
}

assert_layout!(AppoutListenClose, size 10, align 1, {
    opaque: 0, local_port: 8
});

/// Offer a connection object to a listener.
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
pub struct AppoutAcceptConn {
    /// The application's name for the listener.
    pub listen_opaque: u64,
    /// The application's name for the connection.
    pub conn_opaque: u64,
    /// Local port, host order.
    pub local_port: u16,
}

assert_layout!(AppoutAcceptConn, size 18, align 1, {
    listen_opaque: 0, conn_opaque: 8, local_port: 16
});

/// Ask for a number of fast-path cores.
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
pub struct AppoutReqScale {
    /// Cores wanted.
    pub num_cores: u32,
}

assert_layout!(AppoutReqScale, size 4, align 1, {
    num_cores: 0
});

/// Outcome of a request that returns nothing else.
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
pub struct AppinStatus {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// 0 or a negative errno.
    pub status: i32,
}

assert_layout!(AppinStatus, size 12, align 1, {
    opaque: 0, status: 8
});

/// A connection request was answered.
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
pub struct AppinConnOpened {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Place of the receive buffer.
    pub rx_off: u64,
    /// Place of the transmit buffer.
    pub tx_off: u64,
    /// Bytes of the receive buffer.
    pub rx_len: u32,
    /// Bytes of the transmit buffer.
    pub tx_len: u32,
    /// 0 or a negative errno; the other fields hold only for 0.
    pub status: i32,
    /// Sequence number of the first byte received.
    pub seq_rx: u32,
    /// Sequence number of the first byte sent.
    pub seq_tx: u32,
    /// Id of the flow.
    pub flow_id: u32,
    /// Local address, host order.
    pub local_ip: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Fast-path core that owns the flow.
    pub fn_core: u16,
}

assert_layout!(AppinConnOpened, size 56, align 1, {
    opaque: 0, rx_off: 8, tx_off: 16, rx_len: 24, tx_len: 28, status: 32, seq_rx: 36, seq_tx: 40, flow_id: 44, local_ip: 48, local_port: 52, fn_core: 54
});

/// A connection waits to be accepted.
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
pub struct AppinListenNewconn {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Remote port, host order.
    pub remote_port: u16,
}

assert_layout!(AppinListenNewconn, size 14, align 1, {
    opaque: 0, remote_ip: 8, remote_port: 12
});

/// A connection was accepted.
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
pub struct AppinAcceptConn {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Place of the receive buffer.
    pub rx_off: u64,
    /// Place of the transmit buffer.
    pub tx_off: u64,
    /// Bytes of the receive buffer.
    pub rx_len: u32,
    /// Bytes of the transmit buffer.
    pub tx_len: u32,
    /// 0 or a negative errno; the other fields hold only for 0.
    pub status: i32,
    /// Sequence number of the first byte received.
    pub seq_rx: u32,
    /// Sequence number of the first byte sent.
    pub seq_tx: u32,
    /// Id of the flow.
    pub flow_id: u32,
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Fast-path core that owns the flow.
    pub fn_core: u16,
}

assert_layout!(AppinAcceptConn, size 60, align 1, {
    opaque: 0, rx_off: 8, tx_off: 16, rx_len: 24, tx_len: 28, status: 32, seq_rx: 36, seq_tx: 40, flow_id: 44, local_ip: 48, remote_ip: 52, remote_port: 56, fn_core: 58
});
/// Requests of an application to the slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum KernelAppoutType {
    /// Free entry.
    Invalid = 0,
    /// Open a connection.
    ConnOpen = 1,
    /// Close a connection.
    ConnClose = 2,
    /// Move a connection.
    ConnMove = 3,
    /// Open a listener.
    ListenOpen = 4,
    /// Close a listener.
    ListenClose = 5,
    /// Offer a connection to a listener.
    AcceptConn = 6,
    /// Ask for a number of cores.
    ReqScale = 7,
    /// Open a connection from a local address or port (addition).
    ConnOpenFrom = 16,
    /// Open a listener on a local address, or change its backlog (addition).
    ListenOpenAt = 17,
    /// Set a connection's options (addition).
    ConnOptions = 18,
    /// Ask how a connection is doing (addition).
    ConnInfo = 19,
    /// Be told of connections that wait at a listener, or no longer (addition).
    ListenWatch = 24,
    /// Offer a connection to a listener, for one that waits already (addition).
    AcceptNow = 25,
    /// Use a connection that another process has used (addition).
    ConnAdopt = 26,
}

impl TryFrom<u8> for KernelAppoutType {
    type Error = UnknownType;

    fn try_from(value: u8) -> Result<Self, UnknownType> {
        Ok(match value {
            0 => Self::Invalid,
            1 => Self::ConnOpen,
            2 => Self::ConnClose,
            3 => Self::ConnMove,
            4 => Self::ListenOpen,
            5 => Self::ListenClose,
            6 => Self::AcceptConn,
            7 => Self::ReqScale,
            16 => Self::ConnOpenFrom,
            17 => Self::ListenOpenAt,
            18 => Self::ConnOptions,
            19 => Self::ConnInfo,
            24 => Self::ListenWatch,
            25 => Self::AcceptNow,
            26 => Self::ConnAdopt,
            other => return Err(UnknownType(other)),
        })
    }
}

/// Answers and events of the slow path to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum KernelAppinType {
    /// Free entry.
    Invalid = 0,
    /// Outcome of closing a connection.
    StatusConnClose = 1,
    /// Outcome of moving a connection.
    StatusConnMove = 2,
    /// Outcome of opening a listener.
    StatusListenOpen = 3,
    /// Outcome of closing a listener.
    StatusListenClose = 4,
    /// Outcome of a scale request.
    StatusReqScale = 5,
    /// Outcome of opening a connection.
    ConnOpened = 6,
    /// A connection waits to be accepted.
    ListenNewconn = 7,
    /// A connection was accepted.
    AcceptedConn = 8,
    /// How a connection is doing (addition).
    ConnInfo = 16,
    /// Outcome of adopting a connection (addition).
    ConnAdopted = 24,
    /// Another process uses a connection now (addition).
    ConnTaken = 25,
}

impl TryFrom<u8> for KernelAppinType {
    type Error = UnknownType;

    fn try_from(value: u8) -> Result<Self, UnknownType> {
        Ok(match value {
            0 => Self::Invalid,
            1 => Self::StatusConnClose,
            2 => Self::StatusConnMove,
            3 => Self::StatusListenOpen,
            4 => Self::StatusListenClose,
            5 => Self::StatusReqScale,
            6 => Self::ConnOpened,
            7 => Self::ListenNewconn,
            8 => Self::AcceptedConn,
            16 => Self::ConnInfo,
            24 => Self::ConnAdopted,
            25 => Self::ConnTaken,
            other => return Err(UnknownType(other)),
        })
    }
}
