//! The C interface, and the only unsafe code of the crate.

pub mod address;
pub mod call;
pub mod calls;
pub mod cancel;
pub mod cell;
mod compat;
pub mod data;
pub mod events;
mod handlers;
pub mod hooks;
pub mod kernel;
pub mod messages;
pub mod options;
pub mod poll;
pub mod raw;
pub mod signals;
pub mod transfer;
pub mod user;

use call::{done, guard, waiting, waiting_done};
