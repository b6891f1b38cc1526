//! rng.o: the C functions of one module, without the Rust runtime, for programs
//! that link the object by its path.

#![no_std]
#![deny(unsafe_code)]
#![allow(dead_code, reason = "the crate uses more of the module than the C functions do")]

#[path = "../src/rng/mod.rs"]
mod rng;
