//! Additions for processes that fork: joining a family, and the messages by which its members
//! share listeners and connections.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Version of the conversation on the joining socket.
pub const TAS_JOIN_VERSION: u32 = 1;
/// `rxq_len` of a request on the handshake socket that asks for no context but for the
/// application's token, which is answered as `app_out_off`. It comes without a descriptor.
pub const TAS_UXSOCK_TOKEN: u32 = 0xffff_fffe;
/// `rxq_len` of a request on the handshake socket that asks for no context: `txq_len` is the id of
/// the process that the socket belongs to from now on. It comes without a descriptor.
pub const TAS_UXSOCK_PROCESS: u32 = 0xffff_fffd;

/// What a process sends first on the joining socket, followed
/// by `listeners` of [`JoinListener`] and `conns` of [`JoinConn`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct JoinRequest {
    /// [`TAS_JOIN_VERSION`].
    pub version: u32,
    /// Listeners that are inherited.
    pub listeners: u32,
    /// Connections that are inherited.
    pub conns: u32,
    /// 0.
    pub reserved: u32,
    /// The parent's token.
    pub token: u64,
}

assert_layout!(JoinRequest, size 24, align 8, {
    version: 0, listeners: 4, conns: 8, reserved: 12, token: 16
});

/// A listener as its opener names it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct JoinListener {
    /// The parent's name for it, and the new member's.
    pub opaque: u64,
    /// Local port, host order.
    pub local_port: u16,
    /// 0.
    pub reserved: [u16; 3],
}

assert_layout!(JoinListener, size 16, align 8, { opaque: 0, local_port: 8, reserved: 10 });

/// A connection as its holders name it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct JoinConn {
    /// The parent's name for it, and the new member's.
    pub opaque: u64,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// Id of the flow.
    pub flow_id: u32,
}

assert_layout!(JoinConn, size 24, align 8, {
    opaque: 0, remote_ip: 8, local_ip: 12, remote_port: 16, local_port: 18, flow_id: 20
});

/// The answer to [`JoinRequest`]: the socket is the new member's. Who is refused gets none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct JoinAnswer {
    /// [`TAS_JOIN_VERSION`].
    pub version: u32,
    /// 0.
    pub reserved: u32,
    /// The new member's token, for its children.
    pub token: u64,
}

assert_layout!(JoinAnswer, size 16, align 8, { version: 0, reserved: 4, token: 8 });

/// Whether a context is told of connections that wait at a listener.
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
pub struct AppoutListenWatch {
    /// The application's name for the listener.
    pub opaque: u64,
    /// Local port, host order.
    pub local_port: u16,
    /// 1 or 0.
    pub on: u8,
}

assert_layout!(AppoutListenWatch, size 11, align 1, { opaque: 0, local_port: 8, on: 10 });

/// Make the asking context the one that uses a connection.
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
pub struct AppoutConnAdopt {
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
    /// Id of the flow.
    pub flow_id: u32,
}

assert_layout!(AppoutConnAdopt, size 24, align 1, {
    opaque: 0, remote_ip: 8, local_ip: 12, remote_port: 16, local_port: 18, flow_id: 20
});

/// The peer has closed its direction.
pub const TAS_ADOPTED_RXDONE: u8 = 1;
/// The connection is over by reset or timeout.
pub const TAS_ADOPTED_RESET: u8 = 2;
/// Our direction is closed: the byte that stands for the FIN is in the transmit buffer.
pub const TAS_ADOPTED_TXDONE: u8 = 4;
/// The connection is over by timeout; comes together with [`TAS_ADOPTED_RESET`].
pub const TAS_ADOPTED_TIMEDOUT: u8 = 8;

/// A connection is used by the context that asked for it, and stands like this.
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
pub struct AppinConnAdopted {
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
    /// Id of the flow.
    pub flow_id: u32,
    /// Position in the receive buffer of the next byte to arrive.
    pub rx_pos: u32,
    /// Bytes before it that were not handed back.
    pub rx_used: u32,
    /// Position in the transmit buffer of the next byte to add.
    pub tx_pos: u32,
    /// Bytes before it that are not acknowledged, the FIN's included.
    pub tx_used: u32,
    /// Number that the next update must have.
    pub bump_seq: u16,
    /// Fast-path core that owns the flow.
    pub fn_core: u16,
    /// `TAS_ADOPTED_*`.
    pub flags: u8,
}

assert_layout!(AppinConnAdopted, size 61, align 1, {
    opaque: 0, rx_off: 8, tx_off: 16, rx_len: 24, tx_len: 28, status: 32, flow_id: 36, rx_pos: 40, rx_used: 44, tx_pos: 48, tx_used: 52, bump_seq: 56, fn_core: 58, flags: 60
});
