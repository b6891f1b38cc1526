//! Integers in network byte order, and names for volatile C integers.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `volatile uint8_t` for C programs.
pub type VolatileU8 = u8;
/// `volatile uint32_t` for C programs.
pub type VolatileU32 = u32;
/// `volatile uint64_t` for C programs.
pub type VolatileU64 = u64;

macro_rules! be {
    ($name:ident, $int:ident, $n:literal) => {
        #[doc = concat!("A `", stringify!($int), "` in network byte order.")]
        #[derive(
            Clone,
            Copy,
            Default,
            PartialEq,
            Eq,
            Hash,
            FromBytes,
            IntoBytes,
            KnownLayout,
            Immutable,
            Unaligned,
        )]
        #[repr(transparent)]
        pub struct $name(pub [u8; $n]);

        impl $name {
            /// From host byte order.
            pub const fn new(value: $int) -> Self {
                Self(value.to_be_bytes())
            }

            /// In host byte order.
            pub const fn get(self) -> $int {
                $int::from_be_bytes(self.0)
            }

            /// Sets the value, given in host byte order.
            pub const fn set(&mut self, value: $int) {
                *self = Self::new(value);
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self::new(value)
            }
        }

        impl From<$name> for $int {
            fn from(value: $name) -> Self {
                value.get()
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(&self.get(), f)
            }
        }

        const _: () = assert!(size_of::<$name>() == $n && align_of::<$name>() == 1);
    };
}

be!(BeU16, u16, 2);
be!(BeU32, u32, 4);
be!(BeU64, u64, 8);
