//! Asks the running service for a number of fast-path cores.

#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tas_abi::ll::FlextcpContext;
use tas_ll::{Error, calls, service};
use tas_tools::cli::{self, Scaletool};
use zerocopy::FromZeros;

/// How long the service may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match cli::parse::<Scaletool>() {
        Ok(args) => tas_tools::region::exit("scaletool", run(args.cores)),
        Err(status) => status,
    }
}

fn run(cores: u32) -> io::Result<()> {
    // The library has said why.
    service::init().map_err(|_| io::Error::other("cannot attach to the service"))?;
    let mut ctx = FlextcpContext::new_zeroed();
    service::create_context(&mut ctx)
        .map_err(|_| io::Error::other("the service gives no context"))?;
    let there = ctx.num_queues;
    calls::scale_and_wait(&mut ctx, cores, TIMEOUT).map_err(|error| explain(&error, cores, there))
}

fn explain(error: &Error, cores: u32, there: u16) -> io::Error {
    let kind = io::Error::from_raw_os_error(error.errno()).kind();
    match kind {
        io::ErrorKind::InvalidInput => io::Error::new(
            kind,
            format!("the service has {there} fast-path cores, not {cores} (--fp-cores-max)"),
        ),
        io::ErrorKind::TimedOut => io::Error::new(kind, "the service does not answer"),
        _ => io::Error::other(error.to_string()),
    }
}
