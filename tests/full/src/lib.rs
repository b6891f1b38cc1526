//! Runs the service and programs on two machines, which are two network
//! namespaces of this one joined by a veth pair, each with a `/dev/shm` of its
//! own. Everything ends with the value that started it, also when a test
//! panics; needs root.
//!
//! The service, the library and the tools are those in the repository, built
//! by `make`; the C programs of `tests/c/bench` are built on first use.
//!
//! `TAS_TEST_SCALE=N` multiplies the loads.
#![forbid(unsafe_code)]

mod guest;
mod net;
mod path;
mod program;
mod repository;
mod rest;
mod tas;
mod world;

pub use guest::{Binding, Guest, Hardware};
pub use net::{Behind, Net, Side};
pub use path::{Line, Path};
pub use program::{Finished, Program};
pub use repository::{bench, product, scaled};
pub use rest::{Watchdog, cpu_seconds, main_thread_cpu_seconds, slices, use_one_cpu};
pub use tas::{Memory, PORT, Tas, TasOptions};
pub use world::{Stack, World};
