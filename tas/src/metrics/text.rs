//! The text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

use crate::stats::{Column, Group, Kind, StatsPage};

/// All numbers of a page.
pub fn exposition(page: &StatsPage) -> String {
    let mut text = String::new();
    let version = env!("CARGO_PKG_VERSION");
    let _ = write!(
        text,
        "# HELP tas_build_info The service's version.\n# TYPE tas_build_info gauge\n\
         tas_build_info{{version=\"{version}\"}} 1\n"
    );
    for (group, rows) in Group::all().iter().zip(page.rows()) {
        let labels: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| labels(group, index, row))
            .collect();
        for (index, column) in group.columns.iter().enumerate() {
            let numbers = rows.iter().filter_map(|row| row.get(index));
            family(&mut text, group.name, column, labels.iter().zip(numbers));
        }
    }
    text
}

/// What tells a row from the others of its group.
fn labels(group: &Group, index: usize, row: &[u64]) -> String {
    let names: Vec<String> = group
        .columns
        .iter()
        .zip(row)
        .filter(|(column, _)| column.kind == Kind::Label)
        .map(|(column, value)| format!("{}=\"{value}\"", column.name))
        .collect();
    match (names.is_empty(), group.name) {
        (false, _) => format!("{{{}}}", names.join(",")),
        (true, "core") => format!("{{core=\"{index}\"}}"),
        (true, _) => String::new(),
    }
}

fn family<'a>(
    text: &mut String,
    group: &str,
    column: &Column,
    numbers: impl Iterator<Item = (&'a String, &'a u64)>,
) {
    let name = &column.name;
    let (name, kind) = match column.kind {
        Kind::Counter => (format!("tas_{group}_{name}_total"), "counter"),
        Kind::Gauge => (format!("tas_{group}_{name}"), "gauge"),
        Kind::Label => return,
    };
    let help = column.help.replace('\\', "\\\\").replace('\n', "\\n");
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    for (labels, number) in numbers {
        let _ = writeln!(text, "{name}{labels} {number}");
    }
}
