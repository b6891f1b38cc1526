//! Turning typed messages into the payload bytes of queue entries and back.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The type byte of a queue entry names no message of that queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownType(pub u8);

impl core::fmt::Display for UnknownType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "unknown queue entry type {}", self.0)
    }
}

impl core::error::Error for UnknownType {}

/// `msg` followed by zeros.
#[inline]
pub(crate) fn pack<T: IntoBytes + Immutable, const N: usize>(msg: &T) -> [u8; N] {
    const { assert!(size_of::<T>() <= N) };
    let mut raw = [0; N];
    for (to, from) in raw.iter_mut().zip(msg.as_bytes()) {
        *to = *from;
    }
    raw
}

/// The message at the start of `raw`.
#[inline]
pub(crate) fn unpack<T: FromBytes + IntoBytes, const N: usize>(raw: &[u8; N]) -> T {
    const { assert!(size_of::<T>() <= N) };
    let mut msg = T::new_zeroed();
    for (to, from) in msg.as_mut_bytes().iter_mut().zip(raw) {
        *to = *from;
    }
    msg
}

/// Lossless conversions between an entry and its bytes in the queue.
macro_rules! bytes_conversions {
    ($t:ty, $n:literal) => {
        impl $t {
            /// Bytes of an entry.
            pub const SIZE: usize = $n;

            /// A free entry.
            pub const fn zeroed() -> Self {
                Self {
                    raw: [0; $n - 1],
                    type_: 0,
                }
            }

            /// The entry whose bytes these are.
            #[inline]
            pub fn from_bytes(bytes: &[u8; $n]) -> Self {
                zerocopy::transmute!(*bytes)
            }

            /// The bytes of the entry.
            #[inline]
            pub fn to_bytes(self) -> [u8; $n] {
                zerocopy::transmute!(self)
            }
        }
    };
}
