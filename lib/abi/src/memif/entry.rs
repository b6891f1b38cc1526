//! Queue entries between a core and an application, and what they say.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{ArxConnUpdate, AtxConnUpdate, FLEXTCP_PL_ARX_CONNUPDATE, FLEXTCP_PL_ATX_CONNUPDATE};
use crate::codec::{UnknownType, pack, unpack};

/// Entry of the queue core to application.
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
#[repr(C)]
pub struct Arx {
    /// Payload.
    pub raw: [u8; 31],
    /// `FLEXTCP_PL_ARX_*`; 0 is a free entry.
    pub type_: u8,
}

/// What a core tells an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArxMsg {
    /// Bytes received or acknowledged, or the peer's end.
    ConnUpdate(ArxConnUpdate),
}

impl From<ArxMsg> for Arx {
    #[inline]
    fn from(msg: ArxMsg) -> Self {
        match msg {
            ArxMsg::ConnUpdate(m) => Self {
                raw: pack(&m),
                type_: FLEXTCP_PL_ARX_CONNUPDATE,
            },
        }
    }
}

impl TryFrom<Arx> for ArxMsg {
    type Error = UnknownType;

    #[inline]
    fn try_from(entry: Arx) -> Result<Self, UnknownType> {
        match entry.type_ {
            FLEXTCP_PL_ARX_CONNUPDATE => Ok(Self::ConnUpdate(unpack(&entry.raw))),
            other => Err(UnknownType(other)),
        }
    }
}

/// Entry of the queue application to core.
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
#[repr(C)]
pub struct Atx {
    /// Payload.
    pub raw: [u8; 15],
    /// `FLEXTCP_PL_ATX_CONNUPDATE`; 0 is a free entry.
    pub type_: u8,
}

/// What an application tells a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtxMsg {
    /// Bytes consumed or to be sent, or the application's end.
    ConnUpdate(AtxConnUpdate),
}

impl From<AtxMsg> for Atx {
    #[inline]
    fn from(msg: AtxMsg) -> Self {
        match msg {
            AtxMsg::ConnUpdate(m) => Self {
                raw: pack(&m),
                type_: FLEXTCP_PL_ATX_CONNUPDATE,
            },
        }
    }
}

impl TryFrom<Atx> for AtxMsg {
    type Error = UnknownType;

    #[inline]
    fn try_from(entry: Atx) -> Result<Self, UnknownType> {
        match entry.type_ {
            FLEXTCP_PL_ATX_CONNUPDATE => Ok(Self::ConnUpdate(unpack(&entry.raw))),
            other => Err(UnknownType(other)),
        }
    }
}

bytes_conversions!(Arx, 32);
bytes_conversions!(Atx, 16);
