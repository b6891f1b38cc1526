//! The TAS sockets library: what the kernel does for TCP sockets, done by the
//! TAS service, behind the same calls (`tas_sockets.h`).
//!
//! Every socket has a socket of the kernel's as its placeholder, which is its
//! descriptor: numbers never collide, limits and close-on-exec are the
//! kernel's, and so are names that are not decided yet. A descriptor leads to a
//! [`Socket`](socket::Socket) by a table that is read without locks. A socket is
//! at home in one of the process's contexts with the service, and whoever holds
//! that context's lock may work on it, whichever thread it is.
//!
//! Locks are taken in this order: context, epoll.

#![deny(unsafe_code)]

pub mod accept;
pub mod close;
pub mod connect;
pub mod control;
pub mod create;
mod dispatch;
pub mod engine;
pub mod epoll;
mod exit;
#[allow(unsafe_code)]
pub mod ffi;
pub mod fork;
mod hold;
pub mod homes;
pub mod listen;
mod migrate;
pub mod names;
pub mod operation;
pub mod options;
mod partial;
pub mod poll;
mod pool;
pub mod ready;
pub mod recv;
mod regain;
pub mod select;
pub mod send;
pub mod socket;
pub mod sys;
pub mod table;
mod usual;
pub mod wait;

/// Outcome of a call: its errno if it fails.
pub type Result<T> = std::result::Result<T, rustix::io::Errno>;
