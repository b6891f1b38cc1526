//! What the command-line tools are made of.

#![forbid(unsafe_code)]

pub mod cli;
pub mod pcap;
pub mod program;
pub mod region;
pub mod state;
pub mod stats;
pub mod top;
pub mod trace;
pub mod trace_text;
