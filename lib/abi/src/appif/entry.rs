//! Queue entries between an application and the slow path, and what they say.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{
    AppinAcceptConn, AppinConnAdopted, AppinConnInfo, AppinConnOpened, AppinListenNewconn,
    AppinStatus, AppoutAcceptConn, AppoutConnAdopt, AppoutConnClose, AppoutConnInfo,
    AppoutConnMove, AppoutConnOpen, AppoutConnOpenFrom, AppoutConnOptions, AppoutListenClose,
    AppoutListenOpen, AppoutListenOpenAt, AppoutListenWatch, AppoutReqScale, KernelAppinType,
    KernelAppoutType,
};
use crate::codec::{UnknownType, pack, unpack};

/// Entry of the queue application to slow path.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct KernelAppout {
    /// Payload.
    pub raw: [u8; 63],
    /// Value of a [`KernelAppoutType`]; 0 is a free entry.
    pub type_: u8,
}

bytes_conversions!(KernelAppout, 64);

impl Default for KernelAppout {
    fn default() -> Self {
        Self::zeroed()
    }
}

/// A request of an application to the slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppoutMsg {
    /// Open a connection.
    ConnOpen(AppoutConnOpen),
    /// Close a connection.
    ConnClose(AppoutConnClose),
    /// Move a connection to the context the request came from or names.
    ConnMove(AppoutConnMove),
    /// Open a listener.
    ListenOpen(AppoutListenOpen),
    /// Close a listener.
    ListenClose(AppoutListenClose),
    /// Offer a connection object to a listener.
    AcceptConn(AppoutAcceptConn),
    /// Ask for a number of cores.
    ReqScale(AppoutReqScale),
    /// Open a connection from a local address or port.
    ConnOpenFrom(AppoutConnOpenFrom),
    /// Open a listener on a local address, or change its backlog.
    ListenOpenAt(AppoutListenOpenAt),
    /// Set a connection's options.
    ConnOptions(AppoutConnOptions),
    /// Ask how a connection is doing.
    ConnInfo(AppoutConnInfo),
    /// Be told of connections that wait at a listener, or no longer.
    ListenWatch(AppoutListenWatch),
    /// Offer a connection object to a listener, for a connection that waits already.
    AcceptNow(AppoutAcceptConn),
    /// Use a connection that another process has used.
    ConnAdopt(AppoutConnAdopt),
}

impl AppoutMsg {
    /// Whether the original knows this request.
    #[must_use]
    pub fn is_original(&self) -> bool {
        KernelAppout::from(*self).type_ <= KernelAppoutType::ReqScale as u8
    }
}

impl From<AppoutMsg> for KernelAppout {
    fn from(msg: AppoutMsg) -> Self {
        let (raw, ty) = match msg {
            AppoutMsg::ConnOpen(m) => (pack(&m), KernelAppoutType::ConnOpen),
            AppoutMsg::ConnClose(m) => (pack(&m), KernelAppoutType::ConnClose),
            AppoutMsg::ConnMove(m) => (pack(&m), KernelAppoutType::ConnMove),
            AppoutMsg::ListenOpen(m) => (pack(&m), KernelAppoutType::ListenOpen),
            AppoutMsg::ListenClose(m) => (pack(&m), KernelAppoutType::ListenClose),
            AppoutMsg::AcceptConn(m) => (pack(&m), KernelAppoutType::AcceptConn),
            AppoutMsg::ReqScale(m) => (pack(&m), KernelAppoutType::ReqScale),
            AppoutMsg::ConnOpenFrom(m) => (pack(&m), KernelAppoutType::ConnOpenFrom),
            AppoutMsg::ListenOpenAt(m) => (pack(&m), KernelAppoutType::ListenOpenAt),
            AppoutMsg::ConnOptions(m) => (pack(&m), KernelAppoutType::ConnOptions),
            AppoutMsg::ConnInfo(m) => (pack(&m), KernelAppoutType::ConnInfo),
            AppoutMsg::ListenWatch(m) => (pack(&m), KernelAppoutType::ListenWatch),
            AppoutMsg::AcceptNow(m) => (pack(&m), KernelAppoutType::AcceptNow),
            AppoutMsg::ConnAdopt(m) => (pack(&m), KernelAppoutType::ConnAdopt),
        };
        Self {
            raw,
            type_: ty as u8,
        }
    }
}

impl TryFrom<KernelAppout> for AppoutMsg {
    type Error = UnknownType;

    fn try_from(entry: KernelAppout) -> Result<Self, UnknownType> {
        let raw = &entry.raw;
        Ok(match KernelAppoutType::try_from(entry.type_)? {
            KernelAppoutType::ConnOpen => Self::ConnOpen(unpack(raw)),
            KernelAppoutType::ConnClose => Self::ConnClose(unpack(raw)),
            KernelAppoutType::ConnMove => Self::ConnMove(unpack(raw)),
            KernelAppoutType::ListenOpen => Self::ListenOpen(unpack(raw)),
            KernelAppoutType::ListenClose => Self::ListenClose(unpack(raw)),
            KernelAppoutType::AcceptConn => Self::AcceptConn(unpack(raw)),
            KernelAppoutType::ReqScale => Self::ReqScale(unpack(raw)),
            KernelAppoutType::ConnOpenFrom => Self::ConnOpenFrom(unpack(raw)),
            KernelAppoutType::ListenOpenAt => Self::ListenOpenAt(unpack(raw)),
            KernelAppoutType::ConnOptions => Self::ConnOptions(unpack(raw)),
            KernelAppoutType::ConnInfo => Self::ConnInfo(unpack(raw)),
            KernelAppoutType::ListenWatch => Self::ListenWatch(unpack(raw)),
            KernelAppoutType::AcceptNow => Self::AcceptNow(unpack(raw)),
            KernelAppoutType::ConnAdopt => Self::ConnAdopt(unpack(raw)),
            KernelAppoutType::Invalid => return Err(UnknownType(entry.type_)),
        })
    }
}

/// Entry of the queue slow path to application.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct KernelAppin {
    /// Payload.
    pub raw: [u8; 63],
    /// Value of a [`KernelAppinType`]; 0 is a free entry.
    pub type_: u8,
}

bytes_conversions!(KernelAppin, 64);

impl Default for KernelAppin {
    fn default() -> Self {
        Self::zeroed()
    }
}

/// An answer or event of the slow path to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppinMsg {
    /// Outcome of closing a connection.
    StatusConnClose(AppinStatus),
    /// Outcome of moving a connection.
    StatusConnMove(AppinStatus),
    /// Outcome of opening a listener.
    StatusListenOpen(AppinStatus),
    /// Outcome of closing a listener.
    StatusListenClose(AppinStatus),
    /// Outcome of a scale request.
    StatusReqScale(AppinStatus),
    /// Outcome of opening a connection.
    ConnOpened(AppinConnOpened),
    /// A connection waits to be accepted.
    ListenNewconn(AppinListenNewconn),
    /// A connection was accepted.
    AcceptedConn(AppinAcceptConn),
    /// How a connection is doing.
    ConnInfo(AppinConnInfo),
    /// Outcome of adopting a connection.
    ConnAdopted(AppinConnAdopted),
    /// Another process uses a connection now.
    ConnTaken(AppinStatus),
}

impl From<AppinMsg> for KernelAppin {
    fn from(msg: AppinMsg) -> Self {
        let (raw, ty) = match msg {
            AppinMsg::StatusConnClose(m) => (pack(&m), KernelAppinType::StatusConnClose),
            AppinMsg::StatusConnMove(m) => (pack(&m), KernelAppinType::StatusConnMove),
            AppinMsg::StatusListenOpen(m) => (pack(&m), KernelAppinType::StatusListenOpen),
            AppinMsg::StatusListenClose(m) => (pack(&m), KernelAppinType::StatusListenClose),
            AppinMsg::StatusReqScale(m) => (pack(&m), KernelAppinType::StatusReqScale),
            AppinMsg::ConnOpened(m) => (pack(&m), KernelAppinType::ConnOpened),
            AppinMsg::ListenNewconn(m) => (pack(&m), KernelAppinType::ListenNewconn),
            AppinMsg::AcceptedConn(m) => (pack(&m), KernelAppinType::AcceptedConn),
            AppinMsg::ConnInfo(m) => (pack(&m), KernelAppinType::ConnInfo),
            AppinMsg::ConnAdopted(m) => (pack(&m), KernelAppinType::ConnAdopted),
            AppinMsg::ConnTaken(m) => (pack(&m), KernelAppinType::ConnTaken),
        };
        Self {
            raw,
            type_: ty as u8,
        }
    }
}

impl TryFrom<KernelAppin> for AppinMsg {
    type Error = UnknownType;

    fn try_from(entry: KernelAppin) -> Result<Self, UnknownType> {
        let raw = &entry.raw;
        Ok(match KernelAppinType::try_from(entry.type_)? {
            KernelAppinType::StatusConnClose => Self::StatusConnClose(unpack(raw)),
            KernelAppinType::StatusConnMove => Self::StatusConnMove(unpack(raw)),
            KernelAppinType::StatusListenOpen => Self::StatusListenOpen(unpack(raw)),
            KernelAppinType::StatusListenClose => Self::StatusListenClose(unpack(raw)),
            KernelAppinType::StatusReqScale => Self::StatusReqScale(unpack(raw)),
            KernelAppinType::ConnOpened => Self::ConnOpened(unpack(raw)),
            KernelAppinType::ListenNewconn => Self::ListenNewconn(unpack(raw)),
            KernelAppinType::AcceptedConn => Self::AcceptedConn(unpack(raw)),
            KernelAppinType::ConnInfo => Self::ConnInfo(unpack(raw)),
            KernelAppinType::ConnAdopted => Self::ConnAdopted(unpack(raw)),
            KernelAppinType::ConnTaken => Self::ConnTaken(unpack(raw)),
            KernelAppinType::Invalid => return Err(UnknownType(entry.type_)),
        })
    }
}
