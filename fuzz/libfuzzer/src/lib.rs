//! Programs that run the targets of `tas-fuzz` under libFuzzer, each named like its target.

pub use libfuzzer_sys;
pub use tas_fuzz;

/// Makes a program of a target.
#[macro_export]
macro_rules! target {
    ($($target:ident)::+) => {
        use $crate::libfuzzer_sys;

        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::tas_fuzz::$($target)::+(data));
    };
}
