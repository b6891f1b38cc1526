//! Whole services in one thread, on virtual time and a network in memory.
//!
//! The cores and the slow path are the real ones; only the port ([`crate::nic::sim`]), the clock
//! and the sockets on which applications attach are not. [`App`] does to the queues what libtas
//! does. Everything follows from the seed, so whatever goes wrong can be repeated. Tests and
//! fuzzers build on this.
//!
//! ```
//! use tas::sim::{Event, HostConf, Step, World};
//! use tas::types::Micros;
//!
//! let mut world = World::new(1);
//! let server = world.add(HostConf::new([10, 0, 0, 1])).unwrap();
//! let client = world.add(HostConf::new([10, 0, 0, 2])).unwrap();
//! let mut there = world.host(server).attach(1).unwrap();
//! let mut here = world.host(client).attach(1).unwrap();
//! let listener = there.listen(0, 80, 16);
//! there.accept(0, listener);
//! here.open(0, [10, 0, 0, 1].into(), 80);
//! let done = world.run(Micros::from_millis(100), |_, _| {
//!     there.poll();
//!     match here.poll().as_slice() {
//!         [] => Step::Idle,
//!         events if events.iter().any(|e| matches!(e, Event::Opened(_))) => Step::Done,
//!         _ => Step::Worked,
//!     }
//! });
//! assert!(done);
//! ```

mod app;
mod bottleneck;
mod conn;
mod family;
mod host;
mod stream;
mod world;

pub use app::{App, Event, ListenerName, Queues};
pub use bottleneck::{Bottleneck, BottleneckConf, Sight};
pub use conn::{Conn, ConnName};
pub use host::{Host, HostConf};
pub use stream::Stream;
pub use world::{HostIndex, Step, World};
