//! How far a long command is.
//!
//! Owns for whom that is shown, and how. Must not know what takes so long.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

const BAR: &str = "{wide_bar} {bytes} of {total_bytes}, {eta} left";

/// Whether a person waits; nobody else is shown anything.
pub(super) fn is_watched(json: bool) -> bool {
    !json && io::stderr().is_terminal()
}

/// A bar of so many bytes; without them, one that is never seen.
pub(super) fn bar(bytes: Option<u64>) -> ProgressBar {
    let Some(bytes) = bytes else { return ProgressBar::hidden() };
    let bar = ProgressBar::new(bytes);
    match ProgressStyle::with_template(BAR) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
