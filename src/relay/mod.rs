//! Handing on what clients write: bounded, checked where it can be, and judged by the registry alone.
//!
//! Owns the way of a write from the client to the registry and back. Must not know HTTP framing on either side.

pub mod body;
