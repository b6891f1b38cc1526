//! Prints the state of every flow of the running service.

#![forbid(unsafe_code)]

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use tas_tools::cli::{self, Statetool};
use tas_tools::region;
use tas_tools::state::{FlowJson, FlowText, each_flow};

fn main() -> ExitCode {
    match cli::parse::<Statetool>() {
        Ok(args) => region::exit("statetool", print(args.json)),
        Err(status) => status,
    }
}

fn print(json: bool) -> io::Result<()> {
    let internal = region::internal()?;
    let mut out = BufWriter::new(io::stdout().lock());
    if json {
        let mut flows = Vec::new();
        each_flow(&internal, |id, state| {
            flows.push(FlowJson::new(id, state));
            Ok(())
        })?;
        serde_json::to_writer_pretty(&mut out, &flows)?;
        writeln!(out)?;
    } else {
        each_flow(&internal, |id, state| {
            write!(out, "{}", FlowText { id, state })
        })?;
    }
    out.flush()
}
