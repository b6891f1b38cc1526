//! A DPDK named by `RTE_SDK` lies outside the loader's search path: what is
//! linked against it has to say where it is.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RTE_SDK");
    let by_prefix = env::var_os("RTE_SDK").is_some_and(|prefix| !prefix.is_empty());
    if let (true, Ok(libdir)) = (by_prefix, env::var("DEP_DPDK_LIBDIR")) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libdir}");
    }
}
