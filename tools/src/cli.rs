//! The command lines of the tools.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tas_abi::trace_control::trace_events;

/// A tool as it is installed.
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// The section of its manual page.
    pub section: &'static str,
    /// Its command line.
    pub command: clap::Command,
}

/// All tools.
pub fn tools() -> Vec<Tool> {
    [
        ("tas-statetool", "8", Statetool::command()),
        ("tas-tracetool", "8", Tracetool::command()),
        ("tas-scaletool", "8", Scaletool::command()),
        ("tas-top", "8", Top::command()),
        ("tas-run", "1", Run::command()),
    ]
    .map(|(name, section, command)| Tool {
        name,
        section,
        command: command.name(name),
    })
    .into()
}

/// Parses the command line. If that is the end of it, as after `--help`, the exit status is
/// returned: 0, or 1 for anything wrong.
///
/// # Errors
/// The exit status.
pub fn parse<T: Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        // Whoever closed what it is written to does not want to read it.
        let _ = error.print();
        match error.use_stderr() {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    })
}

/// Prints the state of every connection of the running service.
#[derive(Debug, Parser)]
#[command(name = "statetool", version, after_help = NEEDS)]
pub struct Statetool {
    /// Print one JSON document: an array with an object for each connection
    #[arg(long)]
    pub json: bool,
}

const NEEDS: &str = "Needs the rights of the service's user, and its mount namespace.";

/// Prints what a fast-path core of the running service has recorded, the newest record first, and
/// switches recording.
#[derive(Debug, Parser)]
#[command(name = "tracetool", version, after_help = NEEDS)]
pub struct Tracetool {
    /// Core; the default is 0 to print records, and all cores otherwise
    #[arg(value_name = "CORE")]
    pub core: Option<u32>,

    /// Start recording: all events, or some of rxpkt, txpkt, atx, arx, rxfs, txack, txseg,
    /// afloqman, rexmit, qmset, qmevt, dmard, dmawr with commas between
    #[arg(long, value_name = "EVENTS", num_args = 0..=1, require_equals = true,
          default_missing_value = "all", value_parser = events, group = "action")]
    pub on: Option<u16>,

    /// Bytes of each frame, or of data copied, to record
    #[arg(long, value_name = "BYTES", default_value_t = 128, requires = "on")]
    pub snap: u16,

    /// Stop recording; what is recorded stays
    #[arg(long, group = "action")]
    pub off: bool,

    /// Print what is being recorded, and the size of the buffer
    #[arg(long, group = "action")]
    pub status: bool,

    /// Write the recorded frames to this file, for tcpdump or Wireshark; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "action")]
    pub pcap: Option<PathBuf>,

    /// Go on with new records as they come, the oldest first
    #[arg(long, short, conflicts_with = "action")]
    pub follow: bool,
}

/// Asks the running service for a number of fast-path cores.
#[derive(Debug, Parser)]
#[command(name = "scaletool", version, after_help = SCALING)]
pub struct Scaletool {
    /// Cores that are to be on: 1 to the service's --fp-cores-max
    #[arg(value_name = "CORES", value_parser = clap::value_parser!(u32).range(1..))]
    pub cores: u32,
}

const SCALING: &str = "With autoscaling the number holds for 10 seconds; then the load decides \
    again.\n\nMay be used by whoever may attach applications to the service.";

/// Shows the running service's cores, applications and connections, with rates, drops and
/// retransmissions; h explains the keys.
#[derive(Debug, Parser)]
#[command(name = "tas-top", version, after_help = NEEDS)]
pub struct Top {
    /// Seconds between two looks, 0.1 to 60
    #[arg(long, short = 'd', value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    pub interval: f64,

    /// Look twice, print plain text, and end
    #[arg(long, group = "output")]
    pub once: bool,

    /// Print plain text again and again
    #[arg(long, short, group = "output")]
    pub batch: bool,

    /// Look once and print all numbers as one JSON document
    #[arg(long, conflicts_with = "batch")]
    pub json: bool,
}

/// Runs a program on TAS: its TCP sockets become those of the running service where the service's
/// network reaches.
#[derive(Debug, Parser)]
#[command(name = "tas-run", version, after_help = RUNNING)]
pub struct Run {
    /// Listeners that are TAS's, as rules: -:22 leaves port 22 to the kernel, +:80,+:443 leaves
    /// all others to it
    #[arg(long, value_name = "RULES", allow_hyphen_values = true)]
    pub listen: Option<OsString>,

    /// Connections that are TAS's, as rules: -10.0.0.0/8:22,-192.168.0.0/16
    #[arg(long, value_name = "RULES", allow_hyphen_values = true)]
    pub connect: Option<OsString>,

    /// Write what becomes of each socket to the end of this file; without one to standard error
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          default_missing_value = "stderr")]
    pub log: Option<OsString>,

    /// Without a service, use the kernel's sockets instead of failing
    #[arg(long)]
    pub fallback: bool,

    /// The library to preload, if it is not the one installed with this program
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,

    /// Program to run, and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

const RUNNING: &str = "Rules are separated by commas: + or nothing allows, - denies and comes first; \
    then IPv4 addresses as 10.0.0.0/8, a colon, ports as 80 or 80-90; either part may be left \
    out, * is everything.\n\nThe exit status is the program's; 127 if there is no such program, \
    126 if it cannot be run on TAS, 1 if there is no service.";

fn interval(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("not a number from 0.1 to 60".to_owned()),
    }
}

fn events(text: &str) -> Result<u16, String> {
    trace_events(text).map_err(|name| format!("no event is named '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(args: &[&str]) -> Result<Tracetool, clap::Error> {
        Tracetool::try_parse_from([&["tracetool"], args].concat())
    }

    #[test]
    fn intervals_are_bounded() {
        let top = |args: &[&str]| Top::try_parse_from([&["tas-top"], args].concat());
        assert_eq!(top(&["-d", "0.5"]).unwrap().interval, 0.5);
        assert!(top(&["--once", "--json"]).unwrap().json);
        for wrong in ["0", "0.09", "61", "nan", "inf", "-1", "x"] {
            assert!(top(&[&format!("--interval={wrong}")]).is_err(), "{wrong}");
        }
        assert!(top(&["--once", "--batch"]).is_err());
    }

    #[test]
    fn arguments_after_the_program_are_its_own() {
        let run = |args: &[&str]| Run::try_parse_from([&["tas-run"], args].concat());
        let args = run(&["--listen", "-:22", "ls", "--fallback", "-l"]).unwrap();
        assert_eq!(args.listen.as_deref(), Some("-:22".as_ref()));
        assert_eq!(args.command, ["ls", "--fallback", "-l"]);
        assert!(!args.fallback);
        let log = |args: &[&str]| run(args).unwrap().log;
        assert_eq!(log(&["--log", "ls"]), Some("stderr".into()));
        assert_eq!(log(&["--log=x", "ls"]), Some("x".into()));
        assert!(run(&[]).is_err());
        assert!(run(&["--nonsense", "ls"]).is_err());
    }

    #[test]
    fn tracing_is_switched_by_name() {
        assert_eq!(trace(&["--on"]).unwrap().on, Some(0x1fff));
        let some = trace(&["--on=rxpkt,atx", "--snap=9", "3"]).unwrap();
        assert_eq!((some.on, some.snap, some.core), (Some(5), 9, Some(3)));
        // The number is that of the core.
        let all = trace(&["--on", "3"]).unwrap();
        assert_eq!((all.on, all.core), (Some(0x1fff), Some(3)));
        for wrong in [
            &["--on=x"][..],
            &["--on", "--off"],
            &["--off", "--pcap=a"],
            &["--snap=3"],
            &["--snap=70000", "--on"],
            &["-1"],
            &["1", "2"],
        ] {
            assert!(trace(wrong).is_err(), "{wrong:?}");
        }
    }
}
