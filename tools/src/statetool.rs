//! Prints the state of every flow of the running service.

#![forbid(unsafe_code)]

mod state;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use state::{FlowText, in_use};
use tas_abi::memif::{
    FLEXNIC_FLAG_HUGEPAGES, FLEXNIC_INFO_BYTES, FLEXNIC_PL_FLOWST_NUM, FlexnicInfo, FlowSt, PlMem,
};
use tas_shm::{Backing, Mapping};

const USAGE: &str = "usage: statetool
Prints the state of every flow of the running service, which takes its user's rights.";

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        None => {}
        Some(argument) if argument == "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(_) => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    match open_internal().and_then(|internal| print(&internal)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever stops reading has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("statetool: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Maps what only the service writes.
fn open_internal() -> io::Result<Mapping> {
    let info = map(Path::new("/dev/shm/tas_info"), FLEXNIC_INFO_BYTES as u64)?;
    let info: FlexnicInfo = info.read_at(0)?;
    let huge = info.flags & FLEXNIC_FLAG_HUGEPAGES != 0;
    let directory = Path::new(if huge { "/dev/hugepages" } else { "/dev/shm" });
    map(&directory.join("tas_internal"), info.internal_mem_size)
}

fn map(path: &Path, len: u64) -> io::Result<Mapping> {
    let explain = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => " (is tas running here?)",
            io::ErrorKind::PermissionDenied => " (only the service's user may look)",
            _ => "",
        };
        io::Error::new(error.kind(), format!("{}: {error}{hint}", path.display()))
    };
    let backing = Backing::open(path, false).map_err(explain)?;
    Mapping::new(backing.fd(), len, false).map_err(explain)
}

fn print(internal: &Mapping) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for id in 0..FLEXNIC_PL_FLOWST_NUM {
        let at = std::mem::offset_of!(PlMem, flowst) + id * size_of::<FlowSt>();
        let state: FlowSt = internal.read_at(at as u64)?;
        if in_use(&state) {
            write!(
                out,
                "{}",
                FlowText {
                    id: id as u32,
                    state: &state
                }
            )?;
        }
    }
    out.flush()
}
