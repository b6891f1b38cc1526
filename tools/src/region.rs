//! Finds and maps what the service shares with its tools.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tas_abi::memif::{FLEXNIC_FLAG_HUGEPAGES, FLEXNIC_INFO_BYTES, FlexnicInfo};
use tas_shm::{Backing, Mapping};

/// Where the service's small files are.
pub const SHM_DIR: &str = "/dev/shm";

/// Opens a file of the service, with an error that says what to do.
///
/// # Errors
/// The system refuses.
pub fn open(path: &Path, writable: bool) -> io::Result<Backing> {
    Backing::open(path, writable).map_err(|error| explain(path, &error))
}

/// Maps the first `len` bytes of a file of the service.
///
/// # Errors
/// The system refuses.
pub fn map(path: &Path, len: u64) -> io::Result<Mapping> {
    let backing = open(path, false)?;
    Mapping::new(backing.fd(), len, false).map_err(|error| explain(path, &error))
}

fn explain(path: &Path, error: &io::Error) -> io::Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => " (is tas running here?)",
        io::ErrorKind::PermissionDenied => " (only the service's user may look)",
        _ => "",
    };
    io::Error::new(error.kind(), format!("{}: {error}{hint}", path.display()))
}

/// What the service tells every application about itself.
///
/// # Errors
/// There is no service, or it does not let us look.
pub fn info() -> io::Result<FlexnicInfo> {
    let path = Path::new(SHM_DIR).join("tas_info");
    Ok(map(&path, FLEXNIC_INFO_BYTES as u64)?.read_at(0)?)
}

/// Maps the flow states, which only the service writes.
///
/// # Errors
/// There is no service, or it does not let us look.
pub fn internal() -> io::Result<Arc<Mapping>> {
    let info = info()?;
    let huge = info.flags & FLEXNIC_FLAG_HUGEPAGES != 0;
    let directory = Path::new(if huge { "/dev/hugepages" } else { SHM_DIR });
    map(&directory.join("tas_internal"), info.internal_mem_size).map(Arc::new)
}

/// A tool's exit status: whoever stops reading its output has seen enough.
pub fn exit(tool: &str, result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{tool}: {error}");
            ExitCode::FAILURE
        }
    }
}
