//! The process's settings, and its contact with the service.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use tas_ll::network;

use crate::policy::{self, Owner, Reason, Surroundings};
use crate::settings::{Log, Settings};
use crate::{kernel_routes, real, sockets};

/// Exit status of a program that needs what is not there.
const FAILED: i32 = 1;

/// The settings, read when the first socket is made: a program without
/// sockets has nothing to hear of.
fn settings() -> &'static Settings {
    static SETTINGS: OnceLock<Settings> = OnceLock::new();
    SETTINGS.get_or_init(|| {
        if real::is_privileged() {
            return Settings {
                disabled: true,
                ..Settings::default()
            };
        }
        let (settings, unreadable) = Settings::read(|name| std::env::var_os(name));
        match unreadable {
            Some(error) if !settings.disabled => {
                fall_back(&settings, &error);
                Settings {
                    disabled: true,
                    ..settings
                }
            }
            _ => settings,
        }
    })
}

/// Says why the process runs without TAS, or ends it if it must not.
fn fall_back(settings: &Settings, why: &impl fmt::Display) {
    if settings.required {
        complain(format_args!(
            "{why}; ending, as TAS_INTERPOSE_REQUIRED is set"
        ));
        std::process::exit(FAILED);
    }
    complain(format_args!("{why}; using the kernel's sockets"));
}

/// Prints a line on stderr.
fn complain(line: fmt::Arguments<'_>) {
    // Nowhere to report that stderr is closed.
    let _ = io::stderr().write_all(format!("libtas_interpose: {line}\n").as_bytes());
}

/// Whether new sockets may become TAS's.
pub(crate) fn may_have_sockets() -> bool {
    !settings().disabled && LIVE.0.get() != Some(&false)
}

/// The real surroundings: whether there is a service, once that was tried.
struct Live(OnceLock<bool>);

static LIVE: Live = Live(OnceLock::new());

impl Surroundings for Live {
    fn attached(&self) -> bool {
        let attach = || {
            sockets::attach()
                .inspect_err(|why| fall_back(settings(), why))
                .is_ok()
        };
        *self.0.get_or_init(attach)
    }

    fn is_local(&self, address: Ipv4Addr) -> bool {
        network::get().is_some_and(|network| network.is_local(address.to_bits()))
    }

    fn prefix(&self, address: Ipv4Addr) -> Option<u32> {
        network::get().and_then(|network| network.prefix_to(address.to_bits()))
    }

    fn kernel_prefix(&self, address: Ipv4Addr) -> Option<u32> {
        kernel_routes::prefix_to(address)
    }
}

/// Whose a socket is that binds to `local`.
pub(crate) fn on_bind(local: SocketAddr, only_v6: bool) -> Owner {
    tell("bind", local, policy::bound(local, only_v6, &LIVE))
}

/// Whose a listener on `local` is.
pub(crate) fn on_listen(local: SocketAddr, only_v6: bool) -> Owner {
    let rules = &settings().listen;
    tell(
        "listen",
        local,
        policy::listening(local, only_v6, rules, &LIVE),
    )
}

/// Whose a connection to `peer` is.
pub(crate) fn on_connect(peer: SocketAddr, only_v6: bool) -> Owner {
    let rules = &settings().connect;
    tell(
        "connect",
        peer,
        policy::connecting(peer, only_v6, rules, &LIVE),
    )
}

/// Logs a decision, if the user wants to know.
fn tell(call: &str, address: SocketAddr, decision: Result<(), Reason>) -> Owner {
    if let Some(log) = &settings().log {
        let mut line = format!(
            "libtas_interpose[{}]: {call} {address}: ",
            std::process::id()
        );
        // Writing to a string does not fail.
        let _ = match decision {
            Ok(()) => writeln!(line, "TAS"),
            Err(reason) => writeln!(line, "kernel ({reason})"),
        };
        // A log that cannot be written must not stop the program.
        let _ = match log {
            Log::Stderr => io::stderr().write_all(line.as_bytes()),
            Log::File(path) => OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(line.as_bytes())),
        };
    }
    match decision {
        Ok(()) => Owner::Tas,
        Err(_) => Owner::Kernel,
    }
}
