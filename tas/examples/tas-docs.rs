//! Writes what is derived from the code into a source tree: the reference of
//! the options and of the counters, manual pages and shell completions.
//!
//! `cargo run -p tas --example tas-docs -- ROOT` (`make docs` does it).
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use clap::{Arg, Command};
use clap_complete::Shell;
use tas::stats::{Column, Group};

/// Sections of the manual page that the options do not tell.
const MANUAL_SECTIONS: &str = r#".SH "EXIT STATUS"
0 after SIGTERM or SIGINT, and for \-\-help and \-\-version; 1 if the command
line is wrong; otherwise not 0 when the service cannot start or fails, with the
reason on standard error.
.SH FILES
.TP
/dev/shm/tas_info
what applications need to know before they attach
.TP
/dev/hugepages/tas_memory, /dev/shm/tas_memory
the region that applications of the original handshake share
.TP
/dev/hugepages/tas_internal, /dev/shm/tas_internal
flow states, for the service and its tools
.TP
/dev/shm/flexnic_trace_CORE
what each core records; see tas-tracetool(8)
.TP
/dev/shm/tas_stats
counters; see tas-top(8)
.PP
All of them are removed when the service ends.
"#;

fn main() -> io::Result<()> {
    let Some(root) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("usage: tas-docs ROOT"));
    };
    let command = tas::config::command();
    write_file(&root.join("doc/options.md"), options(&command).as_bytes())?;
    write_file(&root.join("doc/counters.md"), counters().as_bytes())?;
    let mut page = manual(&command, "8")?;
    page.extend_from_slice(MANUAL_SECTIONS.as_bytes());
    write_file(&root.join("share/man/tas.8"), &page)?;
    completions(&root, "tas", &command)?;
    for tool in tas_tools::cli::tools() {
        let page = root
            .join("share/man")
            .join(format!("{}.{}", tool.name, tool.section));
        write_file(&page, &manual(&tool.command, tool.section)?)?;
        completions(&root, tool.name, &tool.command)?;
    }
    Ok(())
}

fn completions(root: &Path, name: &str, command: &Command) -> io::Result<()> {
    for (shell, file) in [
        (Shell::Bash, format!("{name}.bash")),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), name, &mut script);
        write_file(&root.join("share/completions").join(file), &script)?;
    }
    Ok(())
}

fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, content)
}

fn manual(command: &Command, section: &str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .section(section)
        .manual("TAS")
        .render(&mut page)?;
    Ok(page)
}

/// The reference of the counters, a table for each group.
fn counters() -> String {
    let mut text = String::from(
        "# Counters\n\n\
         Generated from the declarations by `make docs`.\n\n\
         The service keeps these numbers in `/dev/shm/tas_stats`, which its user may read: cores\n\
         count right there, and the slow path writes its numbers and its applications' whenever it\n\
         has worked, at most every millisecond. The page describes itself\n\
         (`lib/abi/src/stats.rs`), so readers need not know the names. `tas-top` shows them, and\n\
         `tas-top --once --json` prints them all. With `--metrics-addr` they are served to\n\
         Prometheus, as `tas_GROUP_NAME`, counters with `_total` behind.\n\n\
         Counters only grow, from the service's start on. Gauges are present values. Labels tell\n\
         which application a row is about.\n",
    );
    for group in Group::all() {
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\n| name | kind | meaning |\n| --- | --- | --- |\n",
            group.name, group.about
        );
        for Column { name, kind, help } in group.columns {
            let kind = format!("{kind:?}").to_lowercase();
            let _ = writeln!(text, "| `{name}` | {kind} | {help} |");
        }
    }
    text
}

/// The parameter reference, a table for each group of options.
fn options(command: &Command) -> String {
    let mut text = String::from(
        "# Options of the service\n\n\
         Generated from the command line's definition by `make docs`; `tas --help` prints the same.\n\n\
         `tas [OPTION]... --ip-addr=IP[/PREFIXLEN]`\n\n\
         Options take their value as `--name=value` or `--name value`. The last of a repeated\n\
         option wins where it does not say that it may be repeated. A wrong command line gives\n\
         one line saying what is wrong, the usage, and exit status 1. `US` stands for\n\
         microseconds, `KBPS` for kbit/s, `GBPS` for Gbit/s.\n",
    );
    let mut heading = None;
    for arg in command.get_arguments() {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            let _ = write!(
                text,
                "\n## {}\n\n| option | default | meaning |\n| --- | --- | --- |\n",
                heading.unwrap_or("Other")
            );
        }
        text.push_str(&row(arg));
    }
    text
}

fn row(arg: &Arg) -> String {
    let name = arg.get_long().unwrap_or_default();
    let value = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values())
        .map(|names| names.iter().map(|n| format!("={n}")).collect::<String>())
        .unwrap_or_default();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (meaning, default) = split_default(&help);
    let values: Vec<_> = arg
        .get_possible_values()
        .iter()
        .filter(|_| arg.get_action().takes_values())
        .map(|v| format!("`{}`", v.get_name()))
        .collect();
    let values = match values.is_empty() {
        true => String::new(),
        false => format!(": {}", values.join(", ")),
    };
    let default = match arg.get_default_values() {
        _ if !arg.get_action().takes_values() => "off".to_owned(),
        [] if default.is_empty() => "none".to_owned(),
        [] => default.to_owned(),
        given => given
            .iter()
            .map(|v| format!("`{}`", v.to_string_lossy()))
            .collect(),
    };
    format!("| `--{name}{value}` | {default} | {meaning}{values} |\n").replace("  |", " |")
}

/// Separates a trailing `[default: ...]` that the help text spells out.
fn split_default(help: &str) -> (&str, &str) {
    help.split_once("[default: ")
        .map_or((help, ""), |(meaning, default)| {
            (meaning.trim_end(), default.trim_end_matches(']'))
        })
}
