#![no_main]
tas_libfuzzer::target!(command_line::run);
