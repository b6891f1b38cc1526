//! Bindings to the DPDK that is installed (21.11 to 25.11).
//!
//! Most of it is a small C interface of our own, `src/shim.h`: it turns DPDK's
//! inline functions into real ones and hides what differs between releases.
//! The fields of a packet buffer are reached by the `TASNIC_MBUF_*` offsets,
//! which come from the installed headers, so that the data path needs no
//! function call for them.

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
