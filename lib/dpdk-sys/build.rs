//! Finds DPDK, compiles the shim against it and generates the bindings.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// Where a DPDK installed under a prefix keeps its pkg-config files.
const PKGCONFIG_DIRS: [&str; 3] = [
    "lib/pkgconfig",
    "lib/x86_64-linux-gnu/pkgconfig",
    "lib64/pkgconfig",
];

/// The libraries the shim and the bindings call. Drivers are no part of it:
/// EAL loads them at run time from the directory DPDK was built for.
const LIBRARIES: [&str; 4] = ["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_eal"];

/// Split off from rte_eal in DPDK 23.11.
const LOG_LIBRARY: &str = "rte_log";

/// Functions used as DPDK declares them.
const FUNCTIONS: &str = "rte_eal_init|rte_eal_cleanup|rte_eal_remote_launch|rte_eal_wait_lcore|\
    rte_eal_get_runtime_dir|rte_strerror|rte_lcore_count|rte_get_main_lcore|rte_get_next_lcore|\
    rte_version|rte_mempool_in_use_count|tasnic_.*";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for file in ["src/shim.h", "src/shim.c", "src/bindings.h"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for var in [
        "RTE_SDK",
        "PKG_CONFIG",
        "PKG_CONFIG_PATH",
        "PKG_CONFIG_LIBDIR",
    ] {
        println!("cargo:rerun-if-env-changed={var}");
    }

    if let Err(message) = build() {
        // cargo shows a build script's stderr; a panic would bury the line in
        // a backtrace hint.
        eprintln!("error: {message}");
        exit(1);
    }
}

fn build() -> Result<(), String> {
    let dpdk = PkgConfig::locate()?;
    dpdk.run(&["--atleast-version=21.11"])
        .map_err(|_| "DPDK 21.11 or newer is needed, pkg-config finds an older one".to_string())?;
    let cflags: Vec<String> = words(&dpdk.run(&["--cflags"])?);
    let libdir = PathBuf::from(dpdk.run(&["--variable=libdir"])?.trim());
    if !libdir.join("librte_eal.so").exists() {
        return Err(format!(
            "DPDK's shared libraries are missing: looked for librte_eal.so in {}",
            libdir.display()
        ));
    }

    compile_shim(&cflags);
    generate_bindings(&cflags)?;

    println!("cargo:rustc-link-search=native={}", libdir.display());
    for library in LIBRARIES {
        println!("cargo:rustc-link-lib=dylib={library}");
    }
    if libdir.join(format!("lib{LOG_LIBRARY}.so")).exists() {
        println!("cargo:rustc-link-lib=dylib={LOG_LIBRARY}");
    }
    // For dependents, as DEP_DPDK_LIBDIR: a prefix outside the loader's
    // search path needs an rpath, which only the final link can set.
    println!("cargo:libdir={}", libdir.display());
    Ok(())
}

fn compile_shim(cflags: &[String]) {
    let mut cc = cc::Build::new();
    cc.file("src/shim.c").std("gnu11").opt_level(3);
    for flag in cflags {
        cc.flag(flag);
    }
    cc.compile("tasnic_shim");
}

fn generate_bindings(cflags: &[String]) -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    bindgen::Builder::default()
        .header("src/bindings.h")
        .clang_args(cflags)
        .allowlist_function(FUNCTIONS)
        .allowlist_type("tasnic_.*|lcore_function_t|rte_rmt_call_main_t")
        .allowlist_recursively(false)
        .allowlist_var("TASNIC_.*")
        // Only ever handled by pointer.
        .raw_line("/// A packet buffer.\n#[repr(C)]\npub struct rte_mbuf {\n    _opaque: [u8; 0],\n}")
        .raw_line("/// A pool of packet buffers.\n#[repr(C)]\npub struct rte_mempool {\n    _opaque: [u8; 0],\n}")
        .prepend_enum_name(false)
        .layout_tests(false)
        .derive_default(true)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
        .generate()
        .map_err(|e| format!("cannot generate bindings to DPDK: {e}"))?
        .write_to_file(out.join("bindings.rs"))
        .map_err(|e| format!("cannot write the bindings to DPDK: {e}"))
}

/// The pkg-config command, told which DPDK to look at.
struct PkgConfig {
    search: Option<PathBuf>,
}

impl PkgConfig {
    /// Under `RTE_SDK` alone when that is set, else wherever pkg-config looks.
    fn locate() -> Result<Self, String> {
        let Some(prefix) = env::var_os("RTE_SDK").filter(|p| !p.is_empty()) else {
            let found = Self { search: None };
            found.run(&["--exists"]).map_err(|e| {
                format!(
                    "DPDK is missing: looked for libdpdk.pc through pkg-config ({e}); \
                     install libdpdk-dev or set RTE_SDK to DPDK's installation prefix"
                )
            })?;
            return Ok(found);
        };
        let prefix = Path::new(&prefix);
        let places = PKGCONFIG_DIRS.map(|dir| prefix.join(dir));
        match places.iter().find(|dir| dir.join("libdpdk.pc").is_file()) {
            Some(dir) => Ok(Self {
                search: Some(dir.clone()),
            }),
            None => Err(format!(
                "DPDK is missing: looked for libdpdk.pc in {} (RTE_SDK={})",
                places.map(|dir| dir.display().to_string()).join(", "),
                prefix.display()
            )),
        }
    }

    /// What pkg-config prints for libdpdk, or what it complains about, on one line.
    fn run(&self, args: &[&str]) -> Result<String, String> {
        let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
        let mut command = Command::new(&program);
        command.args(args).arg("--print-errors").arg("libdpdk");
        if let Some(dir) = &self.search {
            // In front of what is already set: DPDK's own dependencies live there.
            let mut path = dir.clone().into_os_string();
            if let Some(rest) = env::var_os("PKG_CONFIG_PATH") {
                path.push(":");
                path.push(rest);
            }
            command.env("PKG_CONFIG_PATH", path);
        }
        let output = command
            .output()
            .map_err(|e| format!("cannot run {}: {e}", program.display()))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(words(&complaint).join(" "))
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_string).collect()
}
