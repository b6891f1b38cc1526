//! The service's statistics: a region that describes itself, which tools map read-only.
//!
//! It begins with [`StatsHeader`]; at once behind it are the groups, each of which names its
//! columns and has rows of 64-bit numbers in host order. Every number has one writer and is
//! written at once.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Name of the region in /dev/shm.
pub const STATS_NAME: &str = "tas_stats";
/// [`StatsHeader::magic`].
pub const STATS_MAGIC: u64 = u64::from_le_bytes(*b"TASstats");
/// [`StatsHeader::version`] described here.
pub const STATS_VERSION: u32 = 1;
/// Most groups, columns of a group, and rows of a group that a reader accepts.
pub const STATS_GROUPS_MAX: u32 = 16;
/// See [`STATS_GROUPS_MAX`].
pub const STATS_COLUMNS_MAX: u32 = 256;
/// See [`STATS_GROUPS_MAX`].
pub const STATS_ROWS_MAX: u32 = 4096;

/// What a column's numbers are: it only grows.
pub const STATS_COUNTER: u32 = 1;
/// What a column's numbers are: a present value.
pub const STATS_GAUGE: u32 = 2;
/// What a column's numbers are: a name of the row. A row whose first column is a name that is 0
/// is not in use.
pub const STATS_LABEL: u32 = 3;

/// Start of the region.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct StatsHeader {
    /// [`STATS_MAGIC`], written last.
    pub magic: u64,
    /// [`STATS_VERSION`].
    pub version: u32,
    /// Groups.
    pub groups: u32,
    /// Bytes of the region.
    pub len: u64,
    /// The service's process.
    pub pid: u32,
    /// Zero.
    pub _pad: u32,
    /// CLOCK_MONOTONIC when the service started, in nanoseconds.
    pub started: u64,
    /// What columns in cycles count in a second.
    pub cycles_per_second: u64,
}

assert_layout!(StatsHeader, size 48, align 8, {
    magic: 0, version: 8, groups: 12, len: 16, pid: 24, _pad: 28, started: 32,
    cycles_per_second: 40
});

/// A group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StatsGroup {
    /// Its name, with zeros behind it.
    pub name: [u8; 32],
    /// Columns: numbers in a row.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
    /// Place of the first [`StatsColumn`].
    pub columns_at: u64,
    /// Place of the first row.
    pub values_at: u64,
    /// Bytes from one row to the next.
    pub stride: u64,
}

assert_layout!(StatsGroup, size 64, align 8, {
    name: 0, columns: 32, rows: 36, columns_at: 40, values_at: 48, stride: 56
});

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct StatsColumn {
    /// Its name, with zeros behind it.
    pub name: [u8; 40],
    /// [`STATS_COUNTER`], [`STATS_GAUGE`] or [`STATS_LABEL`].
    pub kind: u32,
    /// Zero.
    pub _pad: u32,
    /// What it means, with zeros behind it.
    pub help: [u8; 208],
}

assert_layout!(StatsColumn, size 256, align 4, { name: 0, kind: 40, _pad: 44, help: 48 });
