//! Full-system tests.
