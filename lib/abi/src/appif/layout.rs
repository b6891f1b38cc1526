//! The queue entries in the shape C programs use, and the socket's name.
//!
//! The unions cannot be read without unsafe code, so Rust code uses
//! [`KernelAppout`](super::KernelAppout) and [`KernelAppin`](super::KernelAppin);
//! the sizes are asserted equal.

use super::{
    AppinAcceptConn, AppinConnAdopted, AppinConnInfo, AppinConnOpened, AppinListenNewconn,
    AppinStatus, AppoutAcceptConn, AppoutConnAdopt, AppoutConnClose, AppoutConnInfo,
    AppoutConnMove, AppoutConnOpen, AppoutConnOpenFrom, AppoutConnOptions, AppoutListenClose,
    AppoutListenOpen, AppoutListenOpenAt, AppoutListenWatch, AppoutReqScale, KernelAppin,
    KernelAppout,
};

/// Abstract name of the handshake socket.
pub const KERNEL_SOCKET_PATH: &str = "\0flexnic_os";
/// Abstract name of the handshake socket for applications with a region of
/// their own.
pub const TAS_SOCKET_PATH: &str = "\0tas";
/// Abstract name of the socket where a child made by fork is announced.
pub const TAS_JOIN_SOCKET_PATH: &str = "\0tas_join";

/// Payload of [`AppoutEntry`].
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub union AppoutData {
    /// For `KERNEL_APPOUT_CONN_OPEN`.
    pub conn_open: AppoutConnOpen,
    /// For `KERNEL_APPOUT_CONN_CLOSE`.
    pub conn_close: AppoutConnClose,
    /// For `KERNEL_APPOUT_CONN_MOVE`.
    pub conn_move: AppoutConnMove,
    /// For `KERNEL_APPOUT_LISTEN_OPEN`.
    pub listen_open: AppoutListenOpen,
    /// For `KERNEL_APPOUT_LISTEN_CLOSE`.
    pub listen_close: AppoutListenClose,
    /// For `KERNEL_APPOUT_ACCEPT_CONN`.
    pub accept_conn: AppoutAcceptConn,
    /// For `KERNEL_APPOUT_REQ_SCALE`.
    pub req_scale: AppoutReqScale,
    /// For `KERNEL_APPOUT_CONN_OPEN_FROM`.
    pub conn_open_from: AppoutConnOpenFrom,
    /// For `KERNEL_APPOUT_LISTEN_OPEN_AT`.
    pub listen_open_at: AppoutListenOpenAt,
    /// For `KERNEL_APPOUT_CONN_OPTIONS`.
    pub conn_options: AppoutConnOptions,
    /// For `KERNEL_APPOUT_CONN_INFO`.
    pub conn_info: AppoutConnInfo,
    /// For `KERNEL_APPOUT_LISTEN_WATCH`.
    pub listen_watch: AppoutListenWatch,
    /// For `KERNEL_APPOUT_CONN_ADOPT`.
    pub conn_adopt: AppoutConnAdopt,
    /// All bytes.
    pub raw: [u8; 63],
}

/// Entry of the queue application to slow path.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct AppoutEntry {
    /// Payload.
    pub data: AppoutData,
    /// `KERNEL_APPOUT_*`, written last.
    pub r#type: u8,
}

assert_layout!(AppoutEntry, size 64, align 1, { data: 0, r#type: 63 });
assert_layout!(KernelAppout, size 64, align 1, { raw: 0, type_: 63 });

/// Payload of [`AppinEntry`].
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub union AppinData {
    /// For `KERNEL_APPIN_STATUS_*`.
    pub status: AppinStatus,
    /// For `KERNEL_APPIN_CONN_OPENED`.
    pub conn_opened: AppinConnOpened,
    /// For `KERNEL_APPIN_LISTEN_NEWCONN`.
    pub listen_newconn: AppinListenNewconn,
    /// For `KERNEL_APPIN_ACCEPTED_CONN`.
    pub accept_connection: AppinAcceptConn,
    /// For `KERNEL_APPIN_CONN_INFO`.
    pub conn_info: AppinConnInfo,
    /// For `KERNEL_APPIN_CONN_ADOPTED`.
    pub conn_adopted: AppinConnAdopted,
    /// All bytes.
    pub raw: [u8; 63],
}

/// Entry of the queue slow path to application.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct AppinEntry {
    /// Payload.
    pub data: AppinData,
    /// `KERNEL_APPIN_*`, written last.
    pub r#type: u8,
}

assert_layout!(AppinEntry, size 64, align 1, { data: 0, r#type: 63 });
assert_layout!(KernelAppin, size 64, align 1, { raw: 0, type_: 63 });
