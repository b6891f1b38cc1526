//! What a core counts.

use std::sync::atomic::{AtomicU64, Ordering};

use tas_wire::ParseError;
use zerocopy::FromBytes;

use crate::stats::{Column, Kind};

/// A counter with one writer, read by others at any time.
#[derive(Debug, Default, FromBytes)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the counter's one writer may: two would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// The count.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// The counters of one core, in the order of [`CoreCounters::columns`].
        #[derive(Debug, Default, FromBytes)]
        #[repr(C, align(128))]
        pub struct CoreCounters {
            $($(#[doc = $doc])+ pub $name: Counter,)*
            /// Received frames dropped because of their form, by [`ParseError::index`].
            pub malformed: [Counter; ParseError::ALL.len()],
        }

        impl CoreCounters {
            /// What is counted, for readers.
            pub fn columns() -> Vec<Column> {
                let named = [$((stringify!($name), concat!($($doc),+)),)*];
                let named = named.map(|(name, help)| Column::new(name, Kind::Counter, help));
                let malformed = ParseError::ALL.iter().map(|error| {
                    let help = format!("Frames dropped because of their form: {}.", error.name());
                    Column::new(format!("malformed_{}", error.name()), Kind::Counter, &help)
                });
                named.into_iter().chain(malformed).collect()
            }

            /// Every counter with its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                let named = [$((stringify!($name), &self.$name),)*];
                let malformed = ParseError::ALL.iter().map(|error| error.name()).zip(&self.malformed);
                named.into_iter().chain(malformed).map(|(name, counter)| (name, counter.get()))
            }
        }
    };
}

counters! {
    /// Frames received.
    rx_frames,
    /// Frames given to the port.
    tx_frames,
    /// Payload bytes taken in order.
    rx_bytes,
    /// Payload bytes sent, retransmissions included.
    tx_bytes,
    /// Pure acknowledgements sent.
    acks_sent,
    /// Segments received that acknowledged new data.
    acks_received,
    /// Acknowledgements received with the ECN echo.
    ecn_echoes,
    /// Retransmission timeouts.
    timeouts,
    /// Losses that acknowledgements told of, each of one segment or of several at once.
    recoveries,
    /// Recoveries that were taken back, since nothing had been lost.
    recoveries_undone,
    /// Probes of the last data outstanding, to learn whether it was lost.
    tail_probes,
    /// Segments received with selective acknowledgements that make no sense.
    bad_sacks,
    /// Flows whose segments became smaller because a router said that they were too large.
    path_mtu_lowered,
    /// Times that segments got through only after they had become smaller, without a word of a
    /// router.
    black_holes,
    /// Segments received that do not fit their connection and may be forged. At most 10 of a
    /// connection in 4 s are answered, by challenge ACKs.
    challenges,
    /// Frames passed to the slow path.
    to_slow,
    /// Frames dropped because the slow path's queue was full.
    to_slow_dropped,
    /// Segments dropped because they were for an address that is not ours.
    foreign_address,
    /// IP packets dropped because of their protocol.
    unknown_protocol,
    /// Frames of the slow path not sent because the port took none.
    control_dropped,
    /// Frames not sent because buffers had run out.
    no_buffers,
    /// Entries taken from applications' queues.
    app_entries,
    /// Entries of applications that broke the rules, ignored.
    app_bad_entries,
    /// Entries of applications for flows that had ended, or repeated; ignored.
    app_stale_entries,
    /// Entries posted to applications.
    events,
    /// Times that an application's queue had no room.
    events_delayed,
    /// Frames passed on to the core that has their flow.
    steered,
    /// Frames for other cores dropped because those did not keep up.
    steered_dropped,
    /// Entries of applications passed on to the core that has their flow.
    updates_steered,
    /// Flows handed over to other cores.
    flows_moved,
    /// Cycles of turns in which there was something to do.
    busy_cycles,
    /// Cycles in which others had the core's CPU for 0.5 ms or longer at a time, and after which
    /// there was something to do.
    kept_away_cycles,
    /// Times this core blocked.
    sleeps,
}
