//! Columns of the statistics: names, kinds and meanings, taken from the declarations.

use tas_abi::stats::{STATS_COUNTER, STATS_GAUGE, STATS_LABEL};

/// What a column's numbers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// They only grow.
    Counter,
    /// Present values.
    Gauge,
    /// Names of the row; the first column's is 0 in rows that are not in use.
    Label,
}

impl Kind {
    /// As in the shared page.
    pub fn word(self) -> u32 {
        match self {
            Kind::Counter => STATS_COUNTER,
            Kind::Gauge => STATS_GAUGE,
            Kind::Label => STATS_LABEL,
        }
    }
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its numbers are.
    pub kind: Kind,
    /// What it means: a sentence.
    pub help: String,
}

impl Column {
    /// A column; `help` is the text of a documentation comment.
    pub fn new(name: impl Into<String>, kind: Kind, help: &str) -> Column {
        Column {
            name: name.into(),
            kind,
            help: help.trim().to_owned(),
        }
    }
}

/// Declares a structure of numbers whose documentation describes the columns of a group.
macro_rules! columns {
    ($(#[$meta:meta])* pub struct $Name:ident {
        $($(#[doc = $doc:literal])+ $kind:ident $field:ident,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $Name {
            $($(#[doc = $doc])+ pub $field: u64,)*
        }

        impl $Name {
            /// The columns, in order.
            pub fn columns() -> Vec<$crate::stats::Column> {
                vec![$($crate::stats::Column::new(
                    stringify!($field),
                    $crate::stats::Kind::$kind,
                    concat!($($doc),+),
                ),)*]
            }

            /// The numbers, in order.
            pub fn values(&self) -> impl Iterator<Item = u64> {
                [$(self.$field,)*].into_iter()
            }
        }
    };
}

pub(crate) use columns;
