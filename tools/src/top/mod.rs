//! tas-top: what the service does, again and again.

pub mod json;
pub mod keys;
pub mod model;
pub mod plain;
pub mod source;
pub mod view;
