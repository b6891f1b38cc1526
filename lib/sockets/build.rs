//! Compiles the part that only C can be.

fn main() {
    let source = "src/ffi/cancel.c";
    println!("cargo:rerun-if-changed={source}");
    cc::Build::new()
        .file(source)
        .std("gnu11")
        .opt_level(2)
        .warnings_into_errors(true)
        // Where C has exceptions, pthread.h hides what cleanup handlers are made of.
        .flag("-fno-exceptions")
        // The unwinding passes the frame of the system call to come back.
        .flag("-fasynchronous-unwind-tables")
        .compile("tas_cancel");
}
