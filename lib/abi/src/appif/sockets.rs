//! What sockets need beyond the original's messages (additions): only for applications on
//! [`TAS_SOCKET_PATH`](super::TAS_SOCKET_PATH), where the info page has version 4.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `rxq_len` of a [`UxsockRequest`](super::UxsockRequest) that asks for no context but says what
/// the application is. It comes without a descriptor.
pub const TAS_UXSOCK_DECLARE: u32 = 0xffff_ffff;
/// `txq_len` of such a request: the connections of the application end as those of sockets do when
/// it ends.
pub const TAS_UXSOCK_SOCKETS: u32 = 1;

/// Shortest and longest buffer that a connection may be given, bytes.
pub const TAS_CONN_BUFFER_MIN: u32 = 2048;
/// See [`TAS_CONN_BUFFER_MIN`].
pub const TAS_CONN_BUFFER_MAX: u32 = 64 << 20;

/// Probe the peer of an idle connection.
pub const TAS_CONN_KEEPALIVE: u32 = 0x1;

/// Both sides use timestamps.
pub const TAS_CONN_INFO_TIMESTAMPS: u8 = 0x1;
/// Both sides use selective acknowledgements.
pub const TAS_CONN_INFO_SACK: u8 = 0x2;
/// Both sides use explicit congestion notification.
pub const TAS_CONN_INFO_ECN: u8 = 0x8;

/// Open a connection from a given local address or port; answered like [`AppoutConnOpen`].
///
/// [`AppoutConnOpen`]: super::AppoutConnOpen
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
pub struct AppoutConnOpenFrom {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local address, host order; 0: the one towards the remote address.
    pub local_ip: u32,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Local port, host order; 0: any.
    pub local_port: u16,
    /// Bytes of the receive buffer; 0: as many as usual.
    pub rx_len: u32,
    /// Bytes of the transmit buffer; 0: as many as usual.
    pub tx_len: u32,
}

assert_layout!(AppoutConnOpenFrom, size 28, align 1, {
    opaque: 0, remote_ip: 8, local_ip: 12, remote_port: 16, local_port: 18, rx_len: 20, tx_len: 24
});

/// Open a listener on a local address, or change the backlog of an open one of this name.
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
pub struct AppoutListenOpenAt {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// Local address, host order; 0: all.
    pub local_ip: u32,
    /// Most connections waiting to be accepted.
    pub backlog: u32,
    /// Bytes of its connections' receive buffers; 0: as many as usual.
    pub rx_len: u32,
    /// Bytes of its connections' transmit buffers; 0: as many as usual.
    pub tx_len: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// 0 or [`KERNEL_APPOUT_LISTEN_REUSEPORT`](super::KERNEL_APPOUT_LISTEN_REUSEPORT).
    pub flags: u8,
}

assert_layout!(AppoutListenOpenAt, size 27, align 1, {
    opaque: 0, local_ip: 8, backlog: 12, rx_len: 16, tx_len: 20, local_port: 24, flags: 26
});

/// Set all options of an open connection. There is no answer.
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
pub struct AppoutConnOptions {
    /// The application's name for the object.
    pub opaque: u64,
    /// Remote address, host order.
    pub remote_ip: u32,
    /// Local address, host order.
    pub local_ip: u32,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// 0 or [`TAS_CONN_KEEPALIVE`].
    pub flags: u32,
    /// Seconds without a segment of the peer after which it is probed.
    pub keep_idle: u32,
    /// Seconds between probes.
    pub keep_interval: u32,
    /// Probes without an answer after which the connection is over.
    pub keep_count: u32,
    /// Milliseconds that sent data may wait for its acknowledgement; 0: as long as usual.
    pub user_timeout: u32,
}

assert_layout!(AppoutConnOptions, size 40, align 1, {
    opaque: 0, remote_ip: 8, local_ip: 12, remote_port: 16, local_port: 18, flags: 20, keep_idle: 24, keep_interval: 28, keep_count: 32, user_timeout: 36
});

/// Ask how a connection is doing; answered by [`AppinConnInfo`].
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
pub struct AppoutConnInfo {
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
}

assert_layout!(AppoutConnInfo, size 20, align 1, {
    opaque: 0, remote_ip: 8, local_ip: 12, remote_port: 16, local_port: 18
});

/// How a connection is doing.
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
pub struct AppinConnInfo {
    /// The application's name for the object, echoed back.
    pub opaque: u64,
    /// 0 or a negative errno; the other fields hold only for 0.
    pub status: i32,
    /// Smoothed round-trip time, microseconds; 0: not measured.
    pub rtt: u32,
    /// Its mean deviation, microseconds.
    pub rtt_var: u32,
    /// Retransmission timeout, microseconds.
    pub rto: u32,
    /// Rate of congestion control, kilobits per second; 0: unlimited.
    pub rate: u32,
    /// What that rate lets out in a round-trip time, or the peer's window if that is less, bytes.
    pub cwnd: u32,
    /// The peer's window, bytes.
    pub snd_wnd: u32,
    /// Bytes sent and not acknowledged.
    pub in_flight: u32,
    /// Bytes that wait to be sent.
    pub unsent: u32,
    /// Segments sent again since the connection was opened.
    pub retransmits: u32,
    /// Most data in a segment.
    pub mss: u16,
    /// Largest segment of the peer.
    pub rcv_mss: u16,
    /// State, numbered as on Linux: 1 ESTABLISHED, 4 FIN-WAIT-1, 5 FIN-WAIT-2, 6 TIME-WAIT,
    /// 7 CLOSED, 8 CLOSE-WAIT, 9 LAST-ACK, 11 CLOSING.
    pub state: u8,
    /// Timeouts since the peer last acknowledged something.
    pub retries: u8,
    /// `TAS_CONN_INFO_*`.
    pub options: u8,
    /// Scale of the windows that the peer announces.
    pub snd_wscale: u8,
    /// Scale of the windows that we announce.
    pub rcv_wscale: u8,
}

assert_layout!(AppinConnInfo, size 57, align 1, {
    opaque: 0, status: 8, rtt: 12, rtt_var: 16, rto: 20, rate: 24, cwnd: 28, snd_wnd: 32, in_flight: 36, unsent: 40, retransmits: 44, mss: 48, rcv_mss: 50, state: 52, retries: 53, options: 54, snd_wscale: 55, rcv_wscale: 56
});
