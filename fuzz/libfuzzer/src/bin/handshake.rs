#![no_main]
tas_libfuzzer::target!(handshake::run);
