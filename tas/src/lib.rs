//! The TAS service: a fast path of polling cores, a slow path, and the pure TCP between them.

#![deny(unsafe_code)]

pub mod config;
pub mod fast;
pub mod flowtable;
pub mod link;
pub mod memory;
pub mod metrics;
pub mod nic;
pub mod proto;
mod rest;
pub mod service;
pub mod sim;
pub mod slow;
pub mod stats;
pub mod steering;
pub mod trace_files;
pub mod types;
