//! The results as tables, in Markdown.

use std::fmt::Write;

use crate::loopback::Echo;
use crate::plan::{Algorithm, BYTES, CONNECTIONS, Cell, PENDING, Table, usual};
use crate::results::{Measured, Results};

/// The whole report. `charts` are named below the tables that they show.
pub fn report(results: &Results, charts: &[(&str, &str)]) -> String {
    let mut text = machine(results);
    for (title, section) in [
        ("Beside the original", original(results)),
        ("Sizes, connections, requests in flight", matrix(results)),
        ("Sockets", sockets(results)),
        ("Connections opened and closed", connects(results)),
        ("Memory of connections", memory(results)),
    ] {
        if section.is_empty() {
            continue;
        }
        let _ = write!(text, "\n### {title}\n\n{section}");
        for (_, path) in charts.iter().filter(|(of, _)| *of == title) {
            let _ = write!(text, "\n![{title}]({path})\n");
        }
    }
    text
}

fn machine(results: &Results) -> String {
    let m = &results.machine;
    let mut text = format!(
        "Machine: {}, {} CPUs, {} GiB, Linux {}; fast path on CPU {}, slow path and application on \
         CPU {}; {}.\n",
        m.cpu,
        m.cpus,
        (m.memory + (1 << 29)) >> 30,
        m.kernel,
        m.fast_cpu,
        m.app_cpu,
        if m.huge_pages {
            "huge pages"
        } else {
            "no huge pages"
        },
    );
    if let Some(commit) = &m.commit {
        let _ = writeln!(text, "Commit: {commit}.");
    }
    let _ = writeln!(
        text,
        "\n    tas/tas \\\n        {}",
        results.command.join(" \\\n        ")
    );
    text
}

fn original(results: &Results) -> String {
    let rows: Vec<_> = of(results, Table::Original).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| bytes | connections | in flight each | requests/s | original | ratio | cycles/request | \
         p50 µs | original | p99 µs | p99.9 µs |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let load = row.cell.load;
        let cc = match row.cell.setup.cc {
            Algorithm::ConstRate => String::new(),
            other => format!(", {}", other.name()),
        };
        let reference = row.cell.reference;
        let theirs = match reference.map(|r| r.requests_per_s) {
            Some(Some(requests)) => thousands(requests),
            Some(None) => "stalls".into(),
            None => String::new(),
        };
        let their_p50 = reference
            .and_then(|r| r.p50_us)
            .map_or(String::new(), micros);
        let ratio = row.ratio().map_or(String::new(), |r| format!("{r:.2}"));
        let _ = write!(
            text,
            "| {}{cc} | {} | {} | ",
            load.bytes,
            thousands(load.connections.into()),
            load.pending
        );
        let _ = match row.echo() {
            Some(run) => writeln!(
                text,
                "{}{} | {theirs} | {ratio} | {} | {} | {their_p50} | {} | {} |",
                thousands(run.requests_per_s),
                remarks(run),
                thousands(run.cycles_per_request()),
                round_trip(run, run.p50_us),
                round_trip(run, run.p99_us),
                round_trip(run, run.p999_us)
            ),
            None => writeln!(
                text,
                "{} | {theirs} | | | | {their_p50} | | |",
                why_not(row)
            ),
        };
    }
    text
}

fn matrix(results: &Results) -> String {
    let rows: Vec<_> = of(results, Table::Matrix).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| bytes | in flight each | connections | requests/s | cycles/request | p50 µs | p90 µs | \
         p99 µs | p99.9 µs |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for bytes in BYTES {
        for pending in PENDING {
            for connections in CONNECTIONS {
                let row = rows.iter().find(|row| {
                    let load = row.cell.load;
                    (load.bytes, load.pending, load.connections) == (bytes, pending, connections)
                });
                if let Some(row) = row {
                    matrix_row(&mut text, row);
                }
            }
        }
    }
    text
}

fn matrix_row(text: &mut String, row: &Measured<Cell, Echo>) {
    let load = row.cell.load;
    let _ = write!(
        text,
        "| {} | {} | {} | ",
        load.bytes,
        load.pending,
        thousands(load.connections.into())
    );
    let _ = match row.echo() {
        Some(run) => writeln!(
            text,
            "{}{} | {} | {} | {} | {} | {} |",
            thousands(run.requests_per_s),
            remarks(run),
            thousands(run.cycles_per_request()),
            round_trip(run, run.p50_us),
            round_trip(run, run.p90_us),
            round_trip(run, run.p99_us),
            round_trip(run, run.p999_us)
        ),
        None => writeln!(text, "{} | | | | | |", why_not(row)),
    };
}

fn sockets(results: &Results) -> String {
    if results.sockets.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| bytes | connections | in flight each | quiet | low-level requests/s | sockets requests/s \
         | time per request | low-level p50 µs | sockets p50 µs |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in &results.sockets {
        let load = row.cell.load;
        let _ = write!(
            text,
            "| {} | {} | {} | {} | ",
            load.bytes,
            thousands(load.connections.into()),
            load.pending,
            thousands(row.cell.idle.into())
        );
        let _ = match row.median(|pair| pair.sockets.requests_per_s) {
            Some(pair) => {
                let low_level = pair.low_level.as_ref();
                writeln!(
                    text,
                    "{} | {} | {} | {} | {} |",
                    low_level.map_or(String::new(), |run| thousands(run.requests_per_s)),
                    thousands(pair.sockets.requests_per_s),
                    pair.time_ratio()
                        .map_or(String::new(), |r| format!("{r:.2}")),
                    low_level.map_or(String::new(), |run| micros(run.p50_us)),
                    micros(pair.sockets.p50_us)
                )
            }
            None => writeln!(text, "{} | | | | |", failure(&row.failure)),
        };
    }
    text
}

fn connects(results: &Results) -> String {
    if results.connect.is_empty() {
        return String::new();
    }
    let mut text =
        String::from("| at a time | connections opened and closed per second |\n| --- | --- |\n");
    for row in &results.connect {
        let figure = row.median(|run| run.connects_per_s).map_or_else(
            || failure(&row.failure),
            |run| thousands(run.connects_per_s),
        );
        let _ = writeln!(text, "| {} | {figure} |", row.cell);
    }
    text
}

fn memory(results: &Results) -> String {
    if results.memory.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| connections | buffers | used | bytes of memory per end |\n| --- | --- | --- | --- |\n",
    );
    for row in &results.memory {
        let figure = row
            .median(|bytes| *bytes)
            .map_or_else(|| failure(&row.failure), |bytes| thousands(*bytes));
        let _ = writeln!(
            text,
            "| {} | 2 × {} | {} | {figure} |",
            thousands(row.cell.connections.into()),
            thousands(row.cell.setup.buffer.into()),
            if row.cell.used { "yes" } else { "no" }
        );
    }
    text
}

fn of(results: &Results, table: Table) -> impl Iterator<Item = &Measured<Cell, Echo>> {
    results.echo.iter().filter(move |m| m.cell.table == table)
}

fn why_not(row: &Measured<Cell, Echo>) -> String {
    match &row.cell.skipped {
        Some(reason) => format!("not measured: {reason}"),
        None => failure(&row.failure),
    }
}

fn failure(reason: &Option<String>) -> String {
    format!("FAILED: {}", reason.as_deref().unwrap_or("no result"))
}

/// Worth a remark: connections that got no response at all, because of a stall
/// or of a round that takes longer than the measurement; and retransmission
/// timeouts, if there are many.
fn remarks(run: &Echo) -> String {
    let timeouts = run.counted("timeouts");
    let mut remarks = Vec::new();
    if run.silent_connections > 0 {
        let silent = thousands(run.silent_connections as f64);
        remarks.push(format!("{silent} connections silent"));
    }
    if timeouts > run.requests / 100 {
        remarks.push(format!("{} timeouts", thousands(timeouts as f64)));
    }
    match remarks.as_slice() {
        [] => String::new(),
        remarks => format!(" ({})", remarks.join(", ")),
    }
}

/// 1234567.8 as 1,234,568.
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A round trip, if any was timed.
fn round_trip(run: &Echo, us: f64) -> String {
    match run.timed {
        0 => "none ended".into(),
        _ => micros(us),
    }
}

/// With as many decimals as mean something.
fn micros(us: f64) -> String {
    match us {
        us if us < 10.0 => format!("{us:.2}"),
        us if us < 100.0 => format!("{us:.1}"),
        us => thousands(us),
    }
}

/// One line while it runs.
pub fn progress(cell: &Cell, run: &Echo) -> String {
    let mut text = format!(
        "{} bytes, {} connections, {} in flight",
        cell.load.bytes, cell.load.connections, cell.load.pending
    );
    if cell.setup.cc != usual().cc {
        let _ = write!(text, ", {}", cell.setup.cc.name());
    }
    let _ = write!(
        text,
        ": {} requests/s, p50 {} µs, application busy {:.0} %",
        thousands(run.requests_per_s),
        micros(run.p50_us),
        100.0 * run.busy
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (999.5, "1,000"),
            (1_234_567.8, "1,234,568"),
            (-1234.0, "-1,234"),
            (-123.0, "-123"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn times_have_three_digits_or_more() {
        for (us, text) in [(2.345, "2.35"), (45.67, "45.7"), (1234.5, "1,234")] {
            assert_eq!(micros(us), text);
        }
    }
}
