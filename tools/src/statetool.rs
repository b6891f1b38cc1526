//! Prints flow states.

fn main() {}
