//! Fuzz targets: one for every input of the service that somebody else writes.
//!
//! A target is a function of bytes. It panics when the service would, or when something that must
//! hold does not. `fuzz/libfuzzer` runs targets under libFuzzer, and `tests/corpus.rs` runs them
//! on the committed corpora: `fuzz/corpus/TARGET/*`.
#![forbid(unsafe_code)]

pub mod command_line;
pub mod flow;
pub mod frames;
pub mod handshake;
pub mod options;
pub mod pair;
pub mod repair;
pub mod service;

mod bytes;

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its corpus and its program.
    pub name: &'static str,
    /// Runs it on one input.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("application", service::application),
    target("command_line", command_line::run),
    target("flow", flow::run),
    target("frames", frames::run),
    target("handshake", handshake::run),
    target("icmp", service::routers),
    target("network", service::network),
    target("options", options::run),
    target("pair", pair::run),
    target("service", service::everybody),
];
