//! Runs a program on TAS.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fmt};

use tas_abi::appif::{KERNEL_SOCKET_PATH, TAS_SOCKET_PATH};
use tas_shm::fdpass::abstract_connect;
use tas_tools::cli::{self, Run};
use tas_tools::program::{self, Obstacle};

/// The library's name, and where it is, seen from this program: in the tree, and
/// as it is installed.
const LIBRARY: &str = "libtas_interpose.so";
const PLACES: [&str; 3] = ["../lib", "../lib/x86_64-linux-gnu", "."];

/// A service that says nothing for this long is taken for broken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Exit status as of env(1) and shells.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let args = match cli::parse::<Run>() {
        Ok(args) => args,
        Err(status) => return status,
    };
    let Failure { status, line } = run(&args);
    eprintln!("tas-run: {line}");
    status.into()
}

/// Why the program was not run.
struct Failure {
    status: u8,
    line: String,
}

impl Failure {
    fn new(status: u8, line: impl fmt::Display) -> Failure {
        Failure {
            status,
            line: line.to_string(),
        }
    }
}

/// Returns only if the program cannot be run.
fn run(args: &Run) -> Failure {
    prepare(args).map_or_else(
        |failure| failure,
        |mut command| {
            let error = command.exec();
            let status = match error.kind() {
                io::ErrorKind::NotFound => NOT_FOUND,
                _ => NOT_RUN,
            };
            let program = command.get_program().display();
            Failure::new(status, format_args!("{program}: {error}"))
        },
    )
}

fn prepare(args: &Run) -> Result<Command, Failure> {
    let library = match &args.library {
        Some(path) => present(path)?,
        None => search()?,
    };
    // The command line has one at least.
    let Some((name, rest)) = args.command.split_first() else {
        return Err(Failure::new(FAILED, "no program"));
    };
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let program = program::find(name, &path)
        .and_then(|program| program::examine(&program).map(|()| program))
        .map_err(|obstacle| refuse(name, &obstacle))?;
    if let Err(line) = ask_service() {
        if !args.fallback {
            return Err(Failure::new(FAILED, line));
        }
        eprintln!("tas-run: {line}; running on the kernel's sockets");
    }
    let mut command = Command::new(program);
    command
        .arg0(name)
        .args(rest)
        .env("LD_PRELOAD", preloads(&library, env::var_os("LD_PRELOAD")))
        .env_remove("TAS_INTERPOSE_DISABLE");
    if args.fallback {
        command.env_remove("TAS_INTERPOSE_REQUIRED");
    } else {
        command.env("TAS_INTERPOSE_REQUIRED", "1");
    }
    for (name, value) in [
        ("TAS_INTERPOSE_LISTEN", args.listen.as_deref()),
        ("TAS_INTERPOSE_CONNECT", args.connect.as_deref()),
        ("TAS_INTERPOSE_LOG", args.log.as_deref()),
    ] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    Ok(command)
}

fn refuse(program: &OsStr, obstacle: &Obstacle) -> Failure {
    let status = match obstacle.is_absence() {
        true => NOT_FOUND,
        false => NOT_RUN,
    };
    Failure::new(status, format_args!("{}: {obstacle}", program.display()))
}

/// The library's whole path.
fn present(path: &Path) -> Result<PathBuf, Failure> {
    let path = path
        .canonicalize()
        .map_err(|error| Failure::new(FAILED, format_args!("{}: {error}", path.display())))?;
    // ld.so(8): they separate the names in LD_PRELOAD.
    if path
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b": ".contains(byte))
    {
        return Err(Failure::new(
            FAILED,
            format_args!(
                "{}: no path with spaces or colons can be preloaded",
                path.display()
            ),
        ));
    }
    Ok(path)
}

/// Finds the library beside this program.
fn search() -> Result<PathBuf, Failure> {
    let own = env::current_exe()
        .map_err(|error| Failure::new(FAILED, format_args!("cannot find myself: {error}")))?;
    let here = own.parent().unwrap_or(Path::new("/"));
    let places = PLACES.map(|place| here.join(place));
    match places
        .iter()
        .map(|place| place.join(LIBRARY))
        .find(|path| path.exists())
    {
        Some(path) => present(&path),
        None => Err(Failure::new(
            FAILED,
            format_args!(
                "{LIBRARY} is not in {}; --library tells where it is",
                places.map(|place| place.display().to_string()).join(", ")
            ),
        )),
    }
}

/// Looks whether the service is there and lets this user in.
fn ask_service() -> Result<(), String> {
    let mut socket = match abstract_connect(TAS_SOCKET_PATH.as_bytes()) {
        Ok(socket) => socket,
        Err(_) if abstract_connect(KERNEL_SOCKET_PATH.as_bytes()).is_ok() => {
            return Err("the service is not one of this version".into());
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err("no TAS service is running in this network namespace".into());
        }
        Err(error) => return Err(format!("cannot reach the TAS service: {error}")),
    };
    let mut byte = [0];
    let answer = socket
        .set_read_timeout(Some(ANSWER_TIMEOUT))
        .and_then(|()| socket.read(&mut byte));
    match answer {
        Ok(0) => Err(
            "the TAS service refuses this user (its --shm-group, --allow-uid and --allow-gid say \
             whom it lets in)"
                .into(),
        ),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the TAS service does not answer: {error}")),
    }
}

/// The library before what is preloaded anyway.
fn preloads(library: &Path, before: Option<OsString>) -> OsString {
    let mut all = library.as_os_str().to_owned();
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        all.push(":");
        all.push(before);
    }
    all
}
