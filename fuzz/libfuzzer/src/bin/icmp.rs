#![no_main]
tas_libfuzzer::target!(service::routers);
