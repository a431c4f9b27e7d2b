//! What is stored of one release: do its row, its exact metadata and its pin agree?
//!
//! Owns that comparison, and nothing of where the three come from.

use crate::cache::document::Content;
use crate::consistency::Pin;
use crate::domain::Row;

/// What the rows of a release's index, its exact metadata and its pin contradict each other in; `None` when they
/// agree as far as they go. A refusal contradicts a row that offers the release, and no other.
pub(super) fn disagreement(rows: &[Row], exact: Option<&Content>, pin: Option<&Pin>) -> Option<String> {
    let metadata = exact.and_then(Content::release);
    let pinned = pin.map(|pin| ("the pin", pin.integrity));
    let stated = metadata.and_then(|exact| exact.integrity).map(|integrity| ("exact metadata", integrity));
    let listed = rows.iter().filter_map(|row| row.integrity).map(|integrity| ("the index", integrity));
    if let Some(contents) = differing(pinned.into_iter().chain(stated).chain(listed)) {
        return Some(contents);
    }
    let stated = metadata.map(|exact| ("exact metadata", exact.state()));
    let listed = rows.iter().map(|row| ("the index", row.status.state));
    if let Some(states) = differing(stated.into_iter().chain(listed)) {
        return Some(states);
    }
    let refused = matches!(exact, Some(Content::Refused { .. }));
    let offered = rows.iter().find(|row| row.status.state.serves_bytes()).filter(|_| refused)?;
    Some(format!("exact metadata is refused, the index says {}", offered.status.state))
}

/// The first two that say different things.
fn differing<T: PartialEq + std::fmt::Display>(
    mut said: impl Iterator<Item = (&'static str, T)>,
) -> Option<String> {
    let (first, value) = said.next()?;
    let (other, different) = said.find(|(_, other)| *other != value)?;
    Some(format!("{first} says {value}, {other} says {different}"))
}
