//! Prints the trace buffers of the running service, and switches them.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tas_tools::cli::{self, Tracetool};
use tas_tools::pcap::Pcap;
use tas_tools::region;
use tas_tools::trace::{Record, TraceBuffer, path, wanted_text};

/// How often [`Tracetool::follow`] looks.
const LOOK: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    match cli::parse::<Tracetool>() {
        Ok(args) => region::exit("tracetool", run(&args)),
        Err(status) => status,
    }
}

fn run(args: &Tracetool) -> io::Result<()> {
    let writable = args.on.is_some() || args.off;
    let printing = !writable && !args.status && args.pcap.is_none();
    let mut buffers = Vec::new();
    for core in cores(args.core, printing) {
        buffers.push((core, TraceBuffer::open(core, writable)?));
    }
    if let Some(events) = args.on {
        return buffers
            .iter()
            .try_for_each(|(_, buffer)| buffer.switch(events, args.snap));
    }
    if args.off {
        return buffers
            .iter()
            .try_for_each(|(_, buffer)| buffer.switch(0, 0));
    }
    if args.status {
        return status(&buffers);
    }
    let mut buffers: Vec<TraceBuffer> = buffers.into_iter().map(|(_, buffer)| buffer).collect();
    if args.follow && !buffers.iter().all(TraceBuffer::can_follow) {
        let why = "this service's tracing cannot be followed";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    match &args.pcap {
        Some(file) => capture(file, &mut buffers, args.follow),
        None if args.follow => {
            let mut out = io::stdout().lock();
            follow(&mut buffers, |records| {
                records
                    .iter()
                    .try_for_each(|record| writeln!(out, "{record}"))?;
                out.flush()
            })
        }
        None => print(&buffers),
    }
}

/// The core asked for, or those that there are; the first alone if records are printed.
fn cores(core: Option<u32>, printing: bool) -> Vec<u32> {
    match core {
        Some(core) => vec![core],
        None if printing => vec![0],
        None => {
            let there = (1..).take_while(|core| path(*core).exists());
            // The first is opened in any case, so that its absence is reported.
            std::iter::once(0).chain(there).collect()
        }
    }
}

fn print(buffers: &[TraceBuffer]) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for buffer in buffers {
        for record in buffer.records()? {
            writeln!(out, "{record}")?;
        }
    }
    out.flush()
}

fn status(buffers: &[(u32, TraceBuffer)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (core, buffer) in buffers {
        let wanted = wanted_text(buffer.wanted()?);
        writeln!(out, "core {core}: {wanted} ring={}", buffer.ring_len())?;
    }
    Ok(())
}

fn capture(file: &Path, buffers: &mut [TraceBuffer], on: bool) -> io::Result<()> {
    let out: Box<dyn Write> = match file.to_str() {
        Some("-") => Box::new(io::stdout().lock()),
        _ => Box::new(File::create(file).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?),
    };
    let mut pcap = Pcap::new(BufWriter::new(out))?;
    let mut write = |records: &[Record]| {
        records.iter().try_for_each(|record| pcap.write(record))?;
        pcap.flush()
    };
    match on {
        true => follow(buffers, write),
        false => write(&in_order(buffers)?),
    }
}

/// What all buffers have that is new, in the order of time.
fn in_order(buffers: &mut [TraceBuffer]) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    for (core, buffer) in buffers.iter_mut().enumerate() {
        let news = buffer.news()?;
        if news.lost > 0 {
            eprintln!(
                "tracetool: buffer {core}: {} records were overwritten before they could be read",
                news.lost
            );
        }
        records.extend(news.records);
    }
    records.sort_by_key(|record| record.ts);
    Ok(records)
}

fn follow(
    buffers: &mut [TraceBuffer],
    mut take: impl FnMut(&[Record]) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        let there = buffers.iter().any(TraceBuffer::is_there);
        let records = in_order(buffers)?;
        if !records.is_empty() {
            take(&records)?;
        } else if there {
            std::thread::sleep(LOOK);
        } else {
            return Ok(());
        }
    }
}
