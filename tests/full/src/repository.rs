//! What is tested, and where it is.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A product of `make`, by its path in the repository.
///
/// # Panics
/// When it has not been built.
pub fn product(path: &str) -> PathBuf {
    let product = root().join(path);
    assert!(
        product.exists(),
        "{} is missing: run make first",
        product.display()
    );
    product.canonicalize().expect("path of a product")
}

/// A program of `tests/c/bench`: `echoserver_ll` is that on TAS,
/// `echoserver_linux` that on Linux sockets.
///
/// # Panics
/// When it cannot be built.
pub fn bench(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        product("lib/libtas.so");
        let made = Command::new("make")
            .args(["-s", "-C"])
            .arg(root().join("tests/c/bench"))
            .env_remove("MAKEFLAGS")
            .status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "cannot build tests/c/bench"
        );
    });
    product(&format!("target/tests/{name}"))
}

/// A load times `TAS_TEST_SCALE`.
///
/// # Panics
/// When that is not a number.
pub fn scaled(load: usize) -> usize {
    env::var("TAS_TEST_SCALE").map_or(load, |scale| {
        load * scale.parse::<usize>().expect("TAS_TEST_SCALE is a number")
    })
}
