//! The TAS service.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use tas::config::Config;

fn main() -> ExitCode {
    let config = match Config::parse_from(std::env::args_os()) {
        Ok(config) => config,
        Err(exit) => {
            // Whoever closed these does not want to read them.
            let _ = std::io::stdout().write_all(exit.stdout.as_bytes());
            let _ = std::io::stderr().write_all(exit.stderr.as_bytes());
            return ExitCode::from(exit.status);
        }
    };
    start_log();
    match tas::service::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Messages go to stderr, a line each; `RUST_LOG` chooses more or fewer.
fn start_log() {
    let default = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(default)
        .format(|out, record| match record.level() {
            log::Level::Error => writeln!(out, "tas: {}", record.args()),
            log::Level::Warn => writeln!(out, "tas: warning: {}", record.args()),
            _ => writeln!(out, "tas: {}", record.args()),
        })
        .init();
}
