#![no_main]
tas_libfuzzer::target!(pair::run);
