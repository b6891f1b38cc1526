//! What the command line makes the process print and exit with.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::command;

/// An exit that the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliExit {
    /// Exit status.
    pub status: u8,
    /// Text for standard output.
    pub stdout: String,
    /// Text for standard error.
    pub stderr: String,
}

impl CliExit {
    /// An answer to `--help` or `--version`.
    fn answer(stdout: String) -> Self {
        Self {
            status: 0,
            stdout,
            stderr: String::new(),
        }
    }

    /// A wrong command line: one line saying what is wrong, then the usage.
    pub(super) fn usage_error(message: &str) -> Self {
        let usage = command().render_usage();
        Self {
            status: 1,
            stdout: String::new(),
            stderr: format!(
                "tas: {}\n{usage}\nTry 'tas --help' for the options.\n",
                one_line(message)
            ),
        }
    }

    pub(super) fn from_clap(error: &clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Self::answer(error.render().to_string())
            }
            _ => Self::usage_error(&describe(error)),
        }
    }
}

/// What is wrong, without clap's paragraphs.
fn describe(error: &clap::Error) -> String {
    let argument = context(error, ContextKind::InvalidArg);
    // clap shows an option with the name of its value: `--cc <ALG>`.
    let option = argument.split([' ', '=']).next().unwrap_or_default();
    let value = context(error, ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::UnknownArgument if !argument.starts_with('-') => {
            format!("unexpected argument '{argument}': there are only options")
        }
        ErrorKind::UnknownArgument => match context(error, ContextKind::SuggestedArg) {
            hint if hint.is_empty() => format!("unknown option '{argument}'"),
            hint => format!("unknown option '{argument}', did you mean '{hint}'?"),
        },
        ErrorKind::InvalidValue if value.is_empty() => format!("{option} needs a value"),
        ErrorKind::InvalidValue => {
            let values = context(error, ContextKind::ValidValue);
            format!("invalid value '{value}' for {option}: not one of {values}")
        }
        ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error)
                .map(ToString::to_string)
                .unwrap_or_default();
            format!("invalid value '{value}' for {option}: {reason}")
        }
        ErrorKind::TooManyValues => format!("{option} takes no value, but was given '{value}'"),
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

/// `text` with its control characters escaped, so that an argument cannot
/// forge lines of output.
fn one_line(text: &str) -> String {
    text.chars().fold(String::new(), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}
