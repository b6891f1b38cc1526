#![no_main]
tas_libfuzzer::target!(flow::run);
