//! Advisories, one or a list (specification, "Advisories").
//!
//! Owns that each has a name and is unambiguous. One that is not is left out of a list, so that it does not take the others
//! with it; whoever obeys advisories asks for it by [`check_advisory`], since an advisory is never left out silently. Must not
//! know what an advisory affects.

use serde::Deserialize;

use super::cut::without;
use super::shape::{ADVISORIES, ADVISORY};
use super::{Edits, Items, Malformed, nothing, parse};
use crate::domain::members::span;

#[derive(Deserialize)]
struct Advisory {
    #[serde(rename = "id")]
    _id: Id,
}

#[derive(Deserialize)]
struct Id {
    #[serde(rename = "local")]
    _local: String,
}

pub(super) fn read_list(text: &str) -> Result<Edits, Malformed> {
    let items = parse::<Items<'_>>(text, &ADVISORIES)?.items;
    let parts: Vec<_> = items.iter().map(|item| span(text, item)).collect();
    let is_malformed: Vec<_> = items.iter().map(|item| check_advisory(item.get()).is_err()).collect();
    Ok(without(&parts, |at| is_malformed[at]).into_iter().map(|cut| (cut, nothing())).collect())
}

pub(super) fn read(text: &str) -> Result<Edits, Malformed> {
    check_advisory(text).map(|()| Edits::new())
}

/// Whether `text` is an advisory that everybody reads alike.
///
/// # Errors
/// [`Malformed`] if it is not.
pub(crate) fn check_advisory(text: &str) -> Result<(), Malformed> {
    parse::<Advisory>(text, &ADVISORY).map(drop)
}
