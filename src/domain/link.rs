//! Links in documents: which bytes of a document this proxy replaces, and the document with them replaced.
//!
//! Owns surgical edits: everything outside a replaced value stays byte for byte as the registry wrote it, so
//! unknown fields, their order and the spelling of numbers survive. Must not know where the values stand;
//! `domain::check` finds them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Sha256, Version, VolumeName};

/// What a value is replaced with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// The JSON string of this proxy's base URL and a path.
    Link(String),
    /// This JSON text.
    Literal(Cow<'static, str>),
}

/// One replaced value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    span: Range<usize>,
    with: Replacement,
}

/// What a joined document is made of.
#[derive(Debug)]
pub enum Piece<'a> {
    /// This text.
    Text(Cow<'static, str>),
    /// These bytes of a document.
    Of(&'a Template, Range<usize>),
}

/// A document with the places of its links: rendered once for each base URL it is asked under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    body: Bytes,
    edits: Vec<Edit>,
}

impl Template {
    /// A document whose `values`, all borrowed from `body`, are replaced.
    #[must_use]
    pub fn new(body: Bytes, values: Vec<(&RawValue, Replacement)>) -> Self {
        let start = body.as_ptr() as usize;
        let place = |(value, with): (&RawValue, Replacement)| {
            let at = (value.get().as_ptr() as usize).wrapping_sub(start);
            (at..at.wrapping_add(value.get().len()), with)
        };
        let edits = values.into_iter().map(place).collect();
        Self::with(body, edits)
    }

    /// A document whose bytes at each span, none of which overlap, are replaced.
    #[must_use]
    pub fn with(body: Bytes, edits: Vec<(Range<usize>, Replacement)>) -> Self {
        let mut edits: Vec<_> = edits.into_iter().map(|(span, with)| Edit { span, with }).collect();
        edits.sort_by_key(|edit| edit.span.start);
        Self { body, edits }
    }

    /// The same document with further values replaced: the bytes at each span by a JSON text. What was to replace just
    /// these bytes gives way.
    #[must_use]
    pub fn replacing(&self, values: impl Iterator<Item = (Range<usize>, String)>) -> Self {
        let mut edits: Vec<_> =
            values.map(|(span, text)| Edit { span, with: Replacement::Literal(text.into()) }).collect();
        let places: HashSet<_> = edits.iter().map(|edit| edit.span.clone()).collect();
        edits.extend(self.edits.iter().filter(|edit| !places.contains(&edit.span)).cloned());
        edits.sort_by_key(|edit| edit.span.start);
        Self { body: self.body.clone(), edits }
    }

    /// A document that was made here, without links.
    #[must_use]
    pub fn text(text: String) -> Self {
        Self { body: text.into(), edits: Vec::new() }
    }

    /// Pieces of documents one after the other, each with its links.
    #[must_use]
    pub fn joined(pieces: Vec<Piece<'_>>) -> Self {
        let (mut body, mut edits) = (Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Text(text) => body.extend_from_slice(text.as_bytes()),
                Piece::Of(Self { body: from, edits: of }, span) => {
                    let moved = |at: usize| at - span.start + body.len();
                    let within = |edit: &&Edit| span.start <= edit.span.start && edit.span.end <= span.end;
                    edits.extend(of.iter().filter(within).map(|Edit { span, with }| Edit {
                        span: moved(span.start)..moved(span.end),
                        with: with.clone(),
                    }));
                    body.extend_from_slice(&from[span]);
                }
            }
        }
        Self { body: body.into(), edits }
    }

    /// Whether anything is left of the bytes at `span` once edits are made.
    #[must_use]
    pub fn keeps(&self, span: &Range<usize>) -> bool {
        !self.edits.iter().any(|edit| edit.span.start <= span.start && span.end <= edit.span.end)
    }

    /// The registry's own bytes.
    #[must_use]
    pub fn original(&self) -> &Bytes {
        &self.body
    }

    /// The document for clients who reach this proxy at `base` (no slash at its end).
    #[must_use]
    pub fn render(&self, base: &str) -> Bytes {
        if self.edits.is_empty() {
            return self.body.clone();
        }
        let mut rendered = Vec::with_capacity(self.body.len() + self.edits.len() * (base.len() + 16));
        let mut copied = 0;
        for Edit { span, with } in &self.edits {
            rendered.extend_from_slice(&self.body[copied..span.start]);
            match with {
                Replacement::Link(path) => {
                    rendered.push(b'"');
                    rendered.extend_from_slice(base.as_bytes());
                    rendered.extend_from_slice(path.as_bytes());
                    rendered.push(b'"');
                }
                Replacement::Literal(text) => rendered.extend_from_slice(text.as_bytes()),
            }
            copied = span.end;
        }
        rendered.extend_from_slice(&self.body[copied..]);
        rendered.into()
    }
}

/// Where a bibliotheca serves a volume's version index.
#[must_use]
pub fn index_path(name: &VolumeName) -> String {
    format!("/api/v1/index/volumes/{name}")
}

/// Where a bibliotheca serves a release's exact metadata.
#[must_use]
pub fn release_path(name: &VolumeName, version: &Version) -> String {
    format!("/api/v1/volumes/{name}/{version}")
}

/// Where this proxy serves the trust artifact of a release whose bytes hash to `digest`.
#[must_use]
pub fn trust_artifact_path(name: &VolumeName, version: &Version, digest: &Sha256) -> String {
    format!("/trust-artifacts/{name}/{version}/{}", digest.hex())
}

/// Where this proxy serves a release's archive.
#[must_use]
pub fn archive_path(name: &VolumeName, version: &Version) -> String {
    format!("/archives/{name}/{version}.tar.gz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_values_change() {
        let body = Bytes::from_static(br#"{ "z":1.10, "url" : "x","n":1e400,"u":"\u0041", "flag":true }"#);
        #[derive(serde::Deserialize)]
        struct Parts<'a> {
            #[serde(borrow)]
            url: &'a RawValue,
            #[serde(borrow)]
            flag: &'a RawValue,
        }
        let text = std::str::from_utf8(&body).unwrap();
        let parts: Parts<'_> = serde_json::from_str(text).unwrap();
        let template = Template::new(
            body.clone(),
            vec![
                (parts.flag, Replacement::Literal("false".into())),
                (parts.url, Replacement::Link("/p".into())),
            ],
        );
        assert_eq!(
            template.render("https://here"),
            br#"{ "z":1.10, "url" : "https://here/p","n":1e400,"u":"\u0041", "flag":false }"#[..]
        );
        assert_eq!(template.original(), &body);
    }
}
