//! tas
