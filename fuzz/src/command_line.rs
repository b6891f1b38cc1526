//! The service's command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use tas::config::{self, Config};
use tas::memory::ArenaPlan;
use tas::service;

/// Most arguments.
const ARGS_MAX: usize = 64;

/// The input is arguments, one a line.
///
/// # Panics
/// Parsing does, or what it returns is not within what the service was made for.
pub fn run(data: &[u8]) {
    // No program is given a zero byte in an argument.
    if data.contains(&0) {
        return;
    }
    let name = b"tas".as_slice();
    let given = data.split(|byte| *byte == b'\n').take(ARGS_MAX);
    let args = || {
        let args = [name].into_iter().chain(given.clone());
        args.map(OsStr::from_bytes)
    };
    match Config::parse_from(args()) {
        Ok(config) => {
            check(&config);
            assert_eq!(Config::parse_from(args()), Ok(config));
        }
        Err(exit) if exit.status == 0 => {
            assert!(!exit.stdout.is_empty() && exit.stderr.is_empty());
        }
        Err(exit) => {
            assert_eq!((exit.status, exit.stdout.as_str()), (1, ""));
            // No argument forges lines, nor anything for the terminal.
            assert_eq!(exit.stderr.lines().count(), 3, "{:?}", exit.stderr);
            assert!(exit.stderr.starts_with("tas: "));
            assert!(!exit.stderr.replace('\n', "").contains(char::is_control));
        }
    }
}

fn check(config: &Config) {
    assert!((1..=config::MAX_ADDRESSES).contains(&config.addresses.len()));
    assert!(config.routes.len() <= config::MAX_ROUTES);
    assert!((1..=config::MAX_CORES).contains(&config.fp.cores_max));
    let plan = ArenaPlan::new(config);
    assert!(plan.total() < 1 << 47, "more than there are addresses");
    let params = service::tcp_params(config);
    assert!(params.rto_min <= params.rto_max);
    // Neither panics.
    let _ = config.not_acting();
}
