//! Programs: where they are, and whether a library can be preloaded into them.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Scripts may be interpreted by scripts; the kernel follows no more than these.
const MAX_SCRIPTS: usize = 5;
/// Bytes of a program that are looked at: what the kernel reads, and all
/// program headers that a linker writes.
const LOOK: u64 = 64 * 1024;

/// The dynamic linker of the C library that the library is made for.
const DYNAMIC_LINKER: &[u8] = b"ld-linux-x86-64.so.2";

/// Why a program cannot be run on TAS.
#[derive(Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// There is none of that name.
    NotFound,
    /// It cannot be executed.
    NotExecutable,
    /// It cannot be looked at.
    Unreadable(String),
    /// Neither a program nor a script.
    NoProgram,
    /// Made for another processor or word size.
    Architecture,
    /// It loads no libraries.
    Static,
    /// Another C library's dynamic linker loads it.
    OtherLinker(String),
    /// It runs with rights that its user does not have.
    Privileged,
    /// The interpreter of a script has one of these.
    Interpreter(PathBuf, Box<Obstacle>),
}

impl Obstacle {
    /// Whether there is no such program, rather than one that does not fit.
    pub fn is_absence(&self) -> bool {
        matches!(self, Obstacle::NotFound)
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Obstacle::NotFound => f.write_str("no such program"),
            Obstacle::NotExecutable => f.write_str("not executable for this user"),
            Obstacle::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Obstacle::NoProgram => f.write_str("neither a program nor a script with #!"),
            Obstacle::Architecture => f.write_str(
                "made for another kind of processor or word size; the library is for x86-64",
            ),
            Obstacle::Static => f.write_str(
                "statically linked, so no library can be preloaded into it",
            ),
            Obstacle::OtherLinker(linker) => write!(
                f,
                "loaded by {linker}, so of another C library than the GNU one",
            ),
            Obstacle::Privileged => f.write_str(
                "set-uid, set-gid or with capabilities: the system preloads nothing into it; run it \
                 as the user whose rights it takes",
            ),
            Obstacle::Interpreter(path, obstacle) => {
                write!(f, "its interpreter {} is {obstacle}", path.display())
            }
        }
    }
}

/// Finds a program as a shell does.
///
/// # Errors
/// It is not there, or not executable.
pub fn find(name: &OsStr, path: &OsStr) -> Result<PathBuf, Obstacle> {
    if name.as_bytes().contains(&b'/') {
        return executable(Path::new(name)).map(|()| name.into());
    }
    let mut obstacle = Obstacle::NotFound;
    for directory in std::env::split_paths(path) {
        let candidate = directory.join(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Obstacle::NotFound) => {}
            Err(other) => obstacle = other,
        }
    }
    Err(obstacle)
}

fn executable(path: &Path) -> Result<(), Obstacle> {
    let metadata = path.metadata().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Obstacle::NotExecutable,
        _ => Obstacle::NotFound,
    })?;
    let access = rustix::fs::access(path, rustix::fs::Access::EXEC_OK);
    match metadata.is_file() && access.is_ok() {
        true => Ok(()),
        false => Err(Obstacle::NotExecutable),
    }
}

/// Whether a library can be preloaded into a program, or the interpreter of a
/// script.
///
/// # Errors
/// What is in the way.
pub fn examine(path: &Path) -> Result<(), Obstacle> {
    examine_at_depth(path, 0)
}

fn examine_at_depth(path: &Path, depth: usize) -> Result<(), Obstacle> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Obstacle::NotFound,
        _ => Obstacle::Unreadable(error.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mut start = Vec::new();
    file.take(LOOK)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    if let Some(interpreter) = interpreter(&start) {
        if depth == MAX_SCRIPTS {
            return Err(Obstacle::NoProgram);
        }
        // Rights of a script do not count.
        return examine_at_depth(&interpreter, depth + 1)
            .map_err(|obstacle| Obstacle::Interpreter(interpreter, Box::new(obstacle)));
    }
    examine_elf(&start)?;
    match is_privileged(path, &metadata) {
        true => Err(Obstacle::Privileged),
        false => Ok(()),
    }
}

/// The interpreter in a script's first line.
fn interpreter(start: &[u8]) -> Option<PathBuf> {
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let word = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .find(|word| !word.is_empty())?;
    Some(OsStr::from_bytes(word).into())
}

/// Whether executing it gives rights that this process does not have.
fn is_privileged(path: &Path, metadata: &Metadata) -> bool {
    let user = rustix::process::geteuid();
    let group = rustix::process::getegid();
    let mode = metadata.mode();
    let set_uid = mode & 0o4000 != 0 && metadata.uid() != user.as_raw();
    let set_gid = mode & 0o2010 == 0o2010 && metadata.gid() != group.as_raw();
    let capable = !user.is_root() && {
        let mut value = [0u8; 64];
        rustix::fs::getxattr(path, "security.capability", &mut value[..]).is_ok()
    };
    set_uid || set_gid || capable
}

// ELF-64 (elf(5)): the places of what is looked at.
const CLASS: usize = 4;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: usize = 5;
const MACHINE: usize = 18;
const MACHINE_X86_64: u16 = 62;
const PROGRAM_HEADERS: usize = 32;
const PROGRAM_HEADER_LEN: usize = 54;
const PROGRAM_HEADER_NUM: usize = 56;
/// In a program header: type, place in the file, length.
const INTERPRETER: u32 = 3;
const PLACE: usize = 8;
const LENGTH: usize = 32;

fn examine_elf(start: &[u8]) -> Result<(), Obstacle> {
    if !start.starts_with(b"\x7fELF") {
        return Err(Obstacle::NoProgram);
    }
    let kind = (
        start.get(CLASS),
        start.get(LITTLE_ENDIAN),
        number::<2>(start, MACHINE),
    );
    if kind != (Some(&CLASS_64), Some(&1), Some(MACHINE_X86_64.into())) {
        return Err(Obstacle::Architecture);
    }
    match dynamic_linker(start) {
        None => Err(Obstacle::Static),
        Some(linker) if linker.ends_with(DYNAMIC_LINKER) => Ok(()),
        Some(linker) => Err(Obstacle::OtherLinker(
            String::from_utf8_lossy(linker).into_owned(),
        )),
    }
}

/// The program that the kernel starts to load this one.
fn dynamic_linker(elf: &[u8]) -> Option<&[u8]> {
    let headers = number::<8>(elf, PROGRAM_HEADERS)?;
    let len = number::<2>(elf, PROGRAM_HEADER_LEN)?;
    let count = number::<2>(elf, PROGRAM_HEADER_NUM)?;
    let at = |index: usize| headers.checked_add(index.checked_mul(len)?);
    let header = (0..count)
        .filter_map(at)
        .find(|header| number::<4>(elf, *header) == Some(INTERPRETER as usize))?;
    let place = number::<8>(elf, header.checked_add(PLACE)?)?;
    let len = number::<8>(elf, header.checked_add(LENGTH)?)?;
    let text = elf.get(place..place.checked_add(len)?)?;
    Some(text.strip_suffix(b"\0").unwrap_or(text))
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut word = [0u8; 8];
    let there = bytes.get(at..at.checked_add(N)?)?;
    for (place, byte) in word.iter_mut().zip(there) {
        *place = *byte;
    }
    usize::try_from(u64::from_le_bytes(word)).ok()
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
