//! What the slow path writes into the page.

use std::sync::Arc;

use tas_shm::SharedTable;

use super::column::{Column, Kind, columns};
use crate::slow::Control;
use crate::slow::tcp::Counts;
use crate::types::Micros;

/// Shortest time between two rounds of writing while there is no end of work.
const BUSY_INTERVAL: Micros = Micros::from_millis(50);
/// The same when the slow path pauses.
const PAUSE_INTERVAL: Micros = Micros::from_millis(1);

columns! {
    /// An application's numbers.
    pub struct AppValues {
        /// Process id.
        Label pid,
        /// The service's number for the application.
        Label id,
        /// User id.
        Label uid,
        /// 1 if it shares the region of the original's handshake, 0 if it has one of its own.
        Gauge legacy,
        /// Contexts.
        Gauge contexts,
        /// Connections, those being opened included.
        Gauge connections,
        /// Listeners.
        Gauge listeners,
        /// Bytes of its region in use, for queues and buffers; the region may be shared.
        Gauge memory_used,
        /// Bytes of its region.
        Gauge memory_size,
        /// Times it broke the rules, as far as they were reported: a context is reported once.
        Counter offences,
    }
}

/// Columns of the slow path's row.
pub fn slow_columns() -> Vec<Column> {
    let cores = Column::new("active_cores", Kind::Gauge, "Fast-path cores that are on.");
    let refused = Column::new(
        "apps_refused",
        Kind::Counter,
        "Programs that wanted to attach, or to announce a child, and might not.",
    );
    let withheld = Column::new(
        "log_withheld",
        Kind::Counter,
        "Lines about programs that were not logged, since there were too many.",
    );
    let further = [cores, refused, withheld];
    Counts::columns().into_iter().chain(further).collect()
}

/// Writes the slow path's rows.
pub struct Publisher {
    slow: Arc<SharedTable>,
    apps: Arc<SharedTable>,
    /// Something may have changed since the last round.
    dirty: bool,
    last: Micros,
    /// Rows of applications in use after the last round.
    used: usize,
}

impl Publisher {
    /// Writes into these tables.
    pub fn new(slow: Arc<SharedTable>, apps: Arc<SharedTable>) -> Publisher {
        Publisher {
            slow,
            apps,
            dirty: true,
            last: Micros(0),
            used: 0,
        }
    }

    /// At the end of a turn in which the slow path `worked` or did not.
    pub fn tick(&mut self, now: Micros, worked: bool, control: &Control) {
        self.dirty |= worked;
        let interval = match worked {
            true => BUSY_INTERVAL,
            false => PAUSE_INTERVAL,
        };
        if self.dirty && now.since(self.last) >= interval {
            self.last = now;
            self.dirty = false;
            self.write(control);
        }
    }

    fn write(&mut self, control: &Control) {
        let cores = u64::from(control.active_cores());
        let counts = control.counts();
        let further = [cores].into_iter().chain(control.complaints());
        put(&self.slow, 0, counts.values().chain(further));
        let mut row = 0;
        for app in control.app_values() {
            put(&self.apps, row, app.values());
            row += 1;
        }
        for unused in row..self.used {
            put(&self.apps, unused, AppValues::default().values());
        }
        self.used = row;
    }
}

/// Writes a row. The last number is written first, so that a row whose first one is there is
/// complete.
fn put(table: &SharedTable, row: usize, values: impl Iterator<Item = u64>) {
    let values: Vec<u64> = values.collect();
    let at = row * values.len();
    for (index, value) in values.into_iter().enumerate().rev() {
        table.store((at + index) as u32, value);
    }
}
