//! Settings from the environment.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::rules::{Malformed, Rules};

/// What the environment asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `TAS_INTERPOSE_DISABLE`: all sockets are the kernel's.
    pub disabled: bool,
    /// `TAS_INTERPOSE_REQUIRED`: without the service the program ends.
    pub required: bool,
    /// `TAS_INTERPOSE_LOG`: where decisions are told.
    pub log: Option<Log>,
    /// `TAS_INTERPOSE_LISTEN`
    pub listen: Rules,
    /// `TAS_INTERPOSE_CONNECT`
    pub connect: Rules,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// To standard error.
    Stderr,
    /// To the end of a file.
    File(PathBuf),
}

/// A variable that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    variable: &'static str,
    why: Malformed,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.why)
    }
}

impl Settings {
    /// Reads the variables by `get`. Rules that cannot be read are returned
    /// too: the settings beside them are without any.
    pub(crate) fn read(get: impl Fn(&str) -> Option<OsString>) -> (Settings, Option<Unreadable>) {
        let is_set = |name| get(name).is_some_and(|value| !value.is_empty() && value != "0");
        let mut settings = Settings {
            disabled: is_set("TAS_INTERPOSE_DISABLE"),
            required: is_set("TAS_INTERPOSE_REQUIRED"),
            log: get("TAS_INTERPOSE_LOG").and_then(log),
            ..Settings::default()
        };
        let rules = |variable| {
            let text = get(variable).unwrap_or_default();
            text.to_string_lossy()
                .parse::<Rules>()
                .map_err(|why| Unreadable { variable, why })
        };
        match (
            rules("TAS_INTERPOSE_LISTEN"),
            rules("TAS_INTERPOSE_CONNECT"),
        ) {
            (Ok(listen), Ok(connect)) => {
                (settings.listen, settings.connect) = (listen, connect);
                (settings, None)
            }
            (Err(error), _) | (_, Err(error)) => (settings, Some(error)),
        }
    }
}

fn log(value: OsString) -> Option<Log> {
    match value.to_str() {
        Some("" | "0") => None,
        Some("1" | "stderr") => Some(Log::Stderr),
        _ => Some(Log::File(value.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> (Settings, Option<Unreadable>) {
        Settings::read(|name| {
            let (_, value) = vars.iter().find(|(var, _)| *var == name)?;
            Some(value.into())
        })
    }

    #[test]
    fn nothing_is_set_by_default() {
        assert_eq!(read(&[]), (Settings::default(), None));
        let off = [
            "TAS_INTERPOSE_DISABLE",
            "TAS_INTERPOSE_REQUIRED",
            "TAS_INTERPOSE_LOG",
        ];
        for value in ["", "0"] {
            assert_eq!(
                read(&off.map(|name| (name, value))),
                (Settings::default(), None)
            );
        }
    }

    #[test]
    fn every_variable_is_read() {
        let (settings, error) = read(&[
            ("TAS_INTERPOSE_DISABLE", "1"),
            ("TAS_INTERPOSE_REQUIRED", "yes"),
            ("TAS_INTERPOSE_LOG", "/tmp/log"),
            ("TAS_INTERPOSE_LISTEN", "-:22"),
            ("TAS_INTERPOSE_CONNECT", "10.0.0.0/8"),
        ]);
        assert_eq!(error, None);
        assert!(settings.disabled && settings.required);
        assert_eq!(settings.log, Some(Log::File("/tmp/log".into())));
        assert_eq!(settings.listen, "-:22".parse().unwrap());
        assert_eq!(settings.connect, "10.0.0.0/8".parse().unwrap());
    }

    #[test]
    fn malformed_rules_name_their_variable() {
        let (settings, error) = read(&[
            ("TAS_INTERPOSE_CONNECT", ":x"),
            ("TAS_INTERPOSE_REQUIRED", "1"),
        ]);
        assert_eq!(
            error.map(|error| error.to_string()).as_deref(),
            Some("TAS_INTERPOSE_CONNECT: ':x': no port number")
        );
        assert!(settings.required);
    }
}
