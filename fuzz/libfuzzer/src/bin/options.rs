#![no_main]
tas_libfuzzer::target!(options::run);
