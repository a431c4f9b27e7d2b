//! Lists in sentences.
//!
//! Owns how many of many are shown. Must not know what is listed.

use std::fmt::Display;

/// `a`, `b` and 7 more.
pub(crate) fn listed<T: Display>(items: &[T]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = items.iter().take(SHOWN).map(|item| format!("`{item}`")).collect();
    let shown = shown.join(", ");
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
