//! The TAS service.
