//! The picture as text: cells for the terminal view, and lines for scripts.

use std::fmt::Write as _;

use super::model::{AppRow, ConnRow, CoreRow, Picture, Summary};

/// A table's heads.
pub const CORE_HEADS: [&str; 9] = [
    "CORE", "BUSY%", "RX/s", "TX/s", "RXB/s", "TXB/s", "RTO/s", "DROP/s", "SLEEP/s",
];
/// A table's heads.
pub const APP_HEADS: [&str; 9] = [
    "PID", "NAME", "UID", "CTX", "CONN", "LISTEN", "MEM", "OF", "OFFENCES",
];
/// A table's heads.
pub const CONN_HEADS: [&str; 9] = [
    "ID", "LOCAL", "REMOTE", "RXB/s", "TXB/s", "RXQ", "TXQ", "RTT us", "LIMIT",
];

/// A number in four or five characters: 950, 12.3k, 4.56M.
pub fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v < 1e3 => (v, ""),
        v if v < 1e6 => (v / 1e3, "k"),
        v if v < 1e9 => (v / 1e6, "M"),
        v => (v / 1e9, "G"),
    };
    match (scaled, unit) {
        (v, "") if v == v.trunc() || v >= 100.0 => format!("{v:.0}"),
        (v, _) if v < 10.0 => format!("{v:.2}{unit}"),
        (v, _) if v < 100.0 => format!("{v:.1}{unit}"),
        (v, _) => format!("{v:.0}{unit}"),
    }
}

/// A number of bytes in units of 1024.
pub fn bytes(value: u64) -> String {
    match value {
        v if v < 1 << 10 => format!("{v}"),
        v if v < 1 << 20 => format!("{}K", v >> 10),
        v if v < 1 << 30 => format!("{}M", v >> 20),
        v => format!("{:.1}G", v as f64 / f64::from(1 << 30)),
    }
}

/// The line above the tables.
pub fn summary(of: &Summary) -> String {
    let (hours, minutes, seconds) = (of.uptime / 3600, of.uptime / 60 % 60, of.uptime % 60);
    let (active, cores) = of.cores;
    format!(
        "tas pid {} up {hours}:{minutes:02}:{seconds:02}  cores {active}/{cores}  connections {} \
         (opening {}, time-wait {})  listeners {}  opens/s {}",
        of.pid,
        of.connections,
        of.opening,
        of.time_wait,
        of.listeners,
        short(of.opens)
    )
}

/// A core's cells.
pub fn core(row: &CoreRow) -> [String; 9] {
    [
        row.core.to_string(),
        format!("{:.1}", row.busy),
        short(row.rx_frames),
        short(row.tx_frames),
        short(row.rx_bytes),
        short(row.tx_bytes),
        short(row.timeouts),
        short(row.drops),
        short(row.sleeps),
    ]
}

/// An application's cells.
pub fn app(row: &AppRow) -> [String; 9] {
    [
        row.pid.to_string(),
        // A process chooses its name, and terminals obey some characters.
        row.name
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect(),
        row.uid.to_string(),
        row.contexts.to_string(),
        row.connections.to_string(),
        row.listeners.to_string(),
        bytes(row.memory_used),
        bytes(row.memory_size),
        row.offences.to_string(),
    ]
}

/// A connection's cells.
pub fn conn(row: &ConnRow) -> [String; 9] {
    let limit = match row.limit {
        0 => "-".to_owned(),
        kbps => format!("{}bit", short(f64::from(kbps) * 1e3)),
    };
    [
        row.id.to_string(),
        row.local.to_string(),
        row.remote.to_string(),
        short(row.rx),
        short(row.tx),
        bytes(row.rx_queue.into()),
        bytes(row.tx_queue.into()),
        row.rtt.to_string(),
        limit,
    ]
}

/// Everything as text for scripts.
pub fn text(picture: &Picture) -> String {
    let mut text = summary(&picture.summary);
    text.push('\n');
    table(&mut text, &CORE_HEADS, picture.cores.iter().map(core));
    table(&mut text, &APP_HEADS, picture.apps.iter().map(app));
    table(&mut text, &CONN_HEADS, picture.conns.iter().map(conn));
    text
}

fn table(text: &mut String, heads: &[&str; 9], rows: impl Iterator<Item = [String; 9]>) {
    let heads = heads.map(str::to_owned);
    let rows: Vec<[String; 9]> = std::iter::once(heads).chain(rows).collect();
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    text.push('\n');
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (7.0, "7"),
            (0.5, "0.50"),
            (999.4, "999"),
            (1000.0, "1.00k"),
            (12_345.0, "12.3k"),
            (456_789.0, "457k"),
            (4_560_000.0, "4.56M"),
            (9.9e9, "9.90G"),
            (1e13, "10000G"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(
            [0, 1023, 1024, 3 << 20, 3 << 29].map(bytes),
            ["0", "1023", "1K", "3M", "1.5G"]
        );
    }

    #[test]
    fn names_cannot_speak_to_the_terminal() {
        let row = AppRow {
            name: "a\u{1b}[2Jb\n".to_owned(),
            ..AppRow::default()
        };
        assert_eq!(app(&row)[1], "a?[2Jb?");
    }
}
