#![no_main]
tas_libfuzzer::target!(frames::run);
