//! The low-level TAS library: contexts, connections and listeners for C
//! programs (`tas_ll.h`).
//!
//! All state of a context, connection or listener lives in the bytes that the
//! caller provides for it; only the connection to the service belongs to the
//! process. Every call works on the context it is given, which one thread uses
//! at a time, so there are no locks on the data path.
//!
//! When the service ends, calls that need it fail with `ECONNRESET`: a context
//! delivers what is still queued, then [`poll`](context::poll) fails, and a
//! sleeping [`wait`](wait::wait) returns with the same error.

#![deny(unsafe_code)]

pub mod calls;
pub mod conn;
pub mod context;
mod core_poll;
mod error;
mod events;
#[allow(unsafe_code)]
pub mod ffi;
pub mod fork;
mod handshake;
mod kernel_poll;
pub mod network;
mod pending;
pub mod service;
pub mod wait;

// Its C functions are part of this library.
use tas_utils as _;

pub use error::{Error, Result};
pub use events::{Event, Events, Sink};
pub use ffi::{ConnRef, ListenerRef, begin_turn, end_turn, note_read, take_turn};
