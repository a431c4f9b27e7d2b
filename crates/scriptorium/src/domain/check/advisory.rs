//! Advisories, one or a list (specification, "Advisories").
//!
//! Owns that each has a name and is unambiguous. Otherwise its list is no answer, since an advisory is never left out
//! silently. Must not know what an advisory affects.

use serde::Deserialize;

use super::extent::few;
use super::shape::{ADVISORIES, ADVISORY};
use super::{Edits, Malformed, parse};

#[derive(Deserialize)]
struct List {
    #[serde(rename = "items", deserialize_with = "few")]
    _items: Vec<Advisory>,
}

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
    parse::<List>(text, &ADVISORIES).map(|_| Edits::new())
}

pub(super) fn read(text: &str) -> Result<Edits, Malformed> {
    parse::<Advisory>(text, &ADVISORY).map(|_| Edits::new())
}
