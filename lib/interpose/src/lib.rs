//! `libtas_interpose.so`: stands, preloaded, in front of the C library's
//! functions that take descriptors, so that programs that nobody changed run
//! on TAS.
//!
//! Each function asks whether a descriptor is one of the sockets library's,
//! which takes two loads, and calls it or the real function. Which new sockets
//! are to be TAS's is decided by [`policy`], from the environment's
//! [`settings`] and what the service and the kernel route.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod ffi;
mod kernel_routes;
mod policy;
#[allow(unsafe_code)]
mod raw;
#[allow(unsafe_code)]
mod real;
mod rules;
mod settings;
mod sockets;
mod state;
