//! Utility functions that C programs link: random numbers, timeouts, parsing
//! of addresses.
//!
//! Each module is also built into an object of its own (`build-objects.sh`).
//! So it depends on nothing but `core` and the C library, and on no function
//! of `core` that is not inlined, panics included.

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod rng;
pub mod timeout;
pub mod utils;
