//! Looking again at what was believed: is it still what it says, here and at the registries?
//!
//! Owns what is compared with what, and what an operator is told to do about a difference. Must not know who
//! asked, nor how findings are shown.

pub mod pins;
