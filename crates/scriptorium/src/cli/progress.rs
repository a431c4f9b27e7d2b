//! The progress bar of long commands.
//!
//! Owns when it is shown, and its form. Must not know what a command does.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

const BAR: &str = "{wide_bar} {bytes} of {total_bytes}, {eta} left";

/// The form of the bar of a mirror's run.
const RELEASES: &str = "{wide_bar} {pos} of {len} releases, {eta} left";

/// Whether a person watches; a program is shown nothing.
pub(super) fn is_watched(json: bool) -> bool {
    !json && io::stderr().is_terminal()
}

/// A bar of so many bytes; hidden without a number.
pub(super) fn bar(bytes: Option<u64>) -> ProgressBar {
    let Some(bytes) = bytes else { return ProgressBar::hidden() };
    let bar = ProgressBar::new(bytes);
    match ProgressStyle::with_template(BAR) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A bar of releases, which is hidden unless it is `watched`.
pub(super) fn releases(watched: bool) -> ProgressBar {
    if !watched {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template(RELEASES) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Moves a bar of releases.
pub(super) fn at(bar: &ProgressBar, done: usize, of: usize) {
    bar.set_length(of as u64);
    bar.set_position(done as u64);
}
