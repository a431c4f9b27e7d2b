//! One truth out of several answers over time.
//!
//! Owns the pins: what was first seen of a release and may never change. Must not know HTTP, nor how answers
//! are fetched or cached.

pub mod pins;

pub use pins::{Pin, Pins};
