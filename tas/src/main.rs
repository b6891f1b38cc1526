//! The TAS service.

fn main() {}
