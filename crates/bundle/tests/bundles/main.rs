//! Bundles on disk: written, damaged in every way, and read.
//!
//! Owns the list of the tests. Must not know how the crate does it: only what it offers is called.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod damaged;
mod fixture;
mod hostile;
mod killed;
mod round_trip;
mod texts;
mod tools;
