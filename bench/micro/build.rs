//! Remembers what the code is compiled with: counts of instructions depend on it.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let from_env = |name: &str| {
        println!("cargo:rerun-if-env-changed={name}");
        env::var(name).unwrap_or_default()
    };
    let rustc = from_env("RUSTC");
    let version = Command::new(&rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default();
    let mut parts = vec![
        version.trim().to_owned(),
        from_env("TARGET"),
        format!(
            "{} opt-level {}",
            from_env("PROFILE"),
            from_env("OPT_LEVEL")
        ),
    ];
    // Only what departs from Cargo.toml is told to a build script.
    for setting in ["LTO", "CODEGEN_UNITS", "DEBUG"] {
        let name = format!("CARGO_PROFILE_RELEASE_{setting}");
        let value = from_env(&name);
        if !value.is_empty() {
            parts.push(format!("{name}={value}"));
        }
    }
    let flags = from_env("CARGO_ENCODED_RUSTFLAGS").replace('\x1f', " ");
    if !flags.is_empty() {
        parts.push(flags);
    }
    println!("cargo:rustc-env=BUILT_WITH={}", parts.join(", "));
}
