//! Looking again at what was believed: is it still what it says, here and at the registries?
//!
//! `walk` goes over a whole store, slowly (`pace`) when `pass` does so behind a running proxy; `pins` asks the
//! registries. Owns what is compared with what, and what an operator is told to do about a difference. Must not
//! know who asked, nor how findings are shown.

mod archive;
mod document;
pub mod finding;
mod framing;
pub mod pace;
pub mod pass;
pub mod pins;
pub mod walk;

pub use finding::{Finding, Report};
pub use pace::Pace;
pub use walk::{Walk, walk};

#[cfg(test)]
mod tests;
