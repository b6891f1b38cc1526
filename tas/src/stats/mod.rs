//! What the service tells of itself: groups of numbers in `/dev/shm/tas_stats`.
//!
//! Cores count right there. The slow path writes what it and its applications have whenever it
//! has worked. Whoever reads disturbs nobody.

mod column;
mod page;
mod publish;

pub use column::{Column, Kind};
pub use page::{Group, StatsError, StatsPage};
pub use publish::{AppValues, Publisher};

pub(crate) use column::columns;
