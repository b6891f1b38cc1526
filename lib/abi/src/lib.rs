//! Every layout and constant that the service shares with C programs, other
//! processes and tools. No logic but encoding and decoding of queue entries.

#![no_std]
#![forbid(unsafe_code)]

/// Asserts size, alignment and the offset of every field.
macro_rules! assert_layout {
    ($t:ty, size $size:literal, align $align:literal, { $($field:ident : $offset:literal),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$t>() == $size);
            assert!(align_of::<$t>() == $align);
            $(assert!(core::mem::offset_of!($t, $field) == $offset);)*
        };
    };
}

#[macro_use]
mod codec;

pub mod appif;
pub mod be;
pub mod ll;
pub mod memif;
pub mod packet;
pub mod stats;
pub mod trace;
pub mod trace_control;

pub use codec::UnknownType;
