//! Search results (specification, "Search").
//!
//! Owns that a result that cannot be read is left out, and the links of results. Must not know what was searched for.

use std::ops::Range;

use serde::Deserialize;

use super::cut::without;
use super::shape::{RESULT, RESULTS};
use super::{Edits, Items, Link, Malformed, nothing, parse, string};
use crate::domain::link::Replacement;
use crate::domain::members::span;
use crate::domain::{Version, VolumeName};

#[derive(Deserialize)]
struct SearchResult<'a> {
    #[serde(rename = "name")]
    _name: VolumeName,
    #[serde(rename = "latestVersion")]
    _latest: Version,
    #[serde(borrow, default)]
    release: Option<Link<'a>>,
}

pub(super) fn read(text: &str, origin: &str) -> Result<Edits, Malformed> {
    let items = parse::<Items<'_>>(text, &RESULTS)?.items;
    let read: Vec<_> = items.iter().map(|item| link(text, item.get(), origin)).collect();
    let parts: Vec<_> = items.iter().map(|item| span(text, item)).collect();
    let cuts = without(&parts, |at| read[at].is_err()).into_iter().map(|cut| (cut, nothing()));
    Ok(read.iter().filter_map(|read| read.clone().ok().flatten()).chain(cuts).collect())
}

/// The link of a result to its release; a link into the registry becomes one into this proxy.
fn link(text: &str, item: &str, origin: &str) -> Result<Option<(Range<usize>, Replacement)>, Malformed> {
    let Some(link) = parse::<SearchResult<'_>>(item, &RESULT)?.release else { return Ok(None) };
    let url = string(link.url)?;
    let Some(path) = url.strip_prefix(origin).filter(|path| path.starts_with("/api/v1/")) else {
        return Ok(None);
    };
    if path.bytes().any(|byte| byte == b'"' || byte == b'\\' || byte.is_ascii_control()) {
        return Err(Malformed("release.url is no URL".to_owned()));
    }
    Ok(Some((span(text, link.url), Replacement::Link(path.to_owned()))))
}
