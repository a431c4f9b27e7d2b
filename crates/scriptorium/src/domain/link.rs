//! Links in documents: the bytes of a document that this proxy replaces.
//!
//! Owns surgical edits: everything outside a replaced value stays as the registry wrote it, so unknown fields, their
//! order and the spelling of numbers survive. Must not know where the values are; `domain::check` finds them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::Digest;

use super::{Sha256, Version, VolumeName};

mod rendering;

pub(crate) use rendering::Rendering;

/// The new text of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// The JSON string of this proxy's base URL and a path.
    Link(String),
    Literal(Cow<'static, str>),
}

/// One replaced value. An index has one for each row, so the texts of all are in one string.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    start: usize,
    end: usize,
    /// Where its text ends; it begins where the text of the edit before ends.
    text: usize,
    is_link: bool,
}

/// A part of a joined document.
#[derive(Debug)]
pub(crate) enum TemplatePiece<'a> {
    Text(Cow<'static, str>),
    /// Bytes of a document.
    Of(&'a Template, Range<usize>),
}

/// A document with the places of its links. All readers share it; only the links are made for each base URL.
#[derive(Debug, Clone)]
pub(crate) struct Template(Arc<TemplateParts>);

#[derive(Debug)]
struct TemplateParts {
    body: Bytes,
    /// In the order of the body, without overlaps.
    edits: Vec<Edit>,
    texts: String,
    /// Bytes of the body that are replaced.
    replaced: usize,
    links: usize,
    digest: OnceLock<Sha256>,
}

/// Equal templates show the same in the same way.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&*self.0, &*other.0);
        let is_one_body = one.body.as_ptr() == other.body.as_ptr() && one.body.len() == other.body.len();
        one.edits == other.edits && one.texts == other.texts && (is_one_body || one.body == other.body)
    }
}

impl Eq for Template {}

impl Template {
    /// A document whose `values`, all borrowed from `body`, are replaced.
    pub(crate) fn new(body: Bytes, values: Vec<(&RawValue, Replacement)>) -> Self {
        let start = body.as_ptr() as usize;
        let place = |(value, with): (&RawValue, Replacement)| {
            let at = (value.get().as_ptr() as usize).wrapping_sub(start);
            (at..at.wrapping_add(value.get().len()), with)
        };
        let edits = values.into_iter().map(place).collect();
        Self::with(body, edits)
    }

    /// A document whose bytes at each span, without overlaps, are replaced.
    pub(crate) fn with(body: Bytes, mut edits: Vec<(Range<usize>, Replacement)>) -> Self {
        edits.sort_by_key(|(span, _)| span.start);
        let mut parts = TemplateParts::of(body, edits.len());
        for (span, with) in edits {
            match with {
                Replacement::Link(path) => parts.edit(span, &path, true),
                Replacement::Literal(text) => parts.edit(span, &text, false),
            }
        }
        parts.into()
    }

    /// The same document with further values replaced: the bytes at each span by a JSON text. An edit of the same
    /// span is dropped.
    pub(crate) fn replacing(&self, values: impl Iterator<Item = (Range<usize>, String)>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_by_key(|(span, _)| span.start);
        let places: HashSet<_> = values.iter().map(|(span, _)| span.clone()).collect();
        // A long document is hashed once, whatever is replaced in it.
        let digest = derived(&self.digest(), &values);
        let mut parts = TemplateParts::of(self.0.body.clone(), self.0.edits.len() + values.len());
        let mut values = values.iter().peekable();
        for (edit, text) in self.0.edits().filter(|(edit, _)| !places.contains(&(edit.start..edit.end))) {
            while let Some((span, text)) = values.next_if(|(span, _)| span.start < edit.start) {
                parts.edit(span.clone(), text, false);
            }
            parts.edit(edit.start..edit.end, text, edit.is_link);
        }
        for (span, text) in values {
            parts.edit(span.clone(), text, false);
        }
        parts.digest = digest.into();
        parts.into()
    }

    /// A document that was made here, without links.
    pub(crate) fn text(text: String) -> Self {
        TemplateParts::of(text.into(), 0).into()
    }

    /// Parts of documents one after the other, with their links.
    pub(crate) fn joined(pieces: Vec<TemplatePiece<'_>>) -> Self {
        let length = pieces.iter().map(|piece| match piece {
            TemplatePiece::Text(text) => text.len(),
            TemplatePiece::Of(_, span) => span.len(),
        });
        let (mut body, mut parts) = (Vec::with_capacity(length.sum()), TemplateParts::of(Bytes::new(), 0));
        for piece in pieces {
            match piece {
                TemplatePiece::Text(text) => body.extend_from_slice(text.as_bytes()),
                TemplatePiece::Of(Self(from), span) => {
                    let moved = |at: usize| at - span.start + body.len();
                    for (edit, text) in
                        from.edits_from(span.start).take_while(|(edit, _)| edit.end <= span.end)
                    {
                        parts.edit(moved(edit.start)..moved(edit.end), text, edit.is_link);
                    }
                    body.extend_from_slice(&from.body[span]);
                }
            }
        }
        parts.body = body.into();
        parts.into()
    }

    /// Whether any of the bytes at `span` are left after the edits.
    pub(crate) fn keeps(&self, span: &Range<usize>) -> bool {
        let edits = &self.0.edits;
        let before = edits.partition_point(|edit| edit.start <= span.start);
        edits[..before].last().is_none_or(|edit| span.end > edit.end)
    }

    /// The registry's bytes.
    pub(crate) fn original(&self) -> &Bytes {
        &self.0.body
    }

    /// The number of links. Without links, a document is the same for all clients.
    pub(crate) fn links(&self) -> usize {
        self.0.links
    }

    /// A digest of everything but the base URL. It depends on how the document was derived, so two documents with the
    /// same bytes may have different digests.
    pub(crate) fn digest(&self) -> Sha256 {
        *self.0.digest.get_or_init(|| self.0.digest())
    }

    /// Its length for a base URL of `base` bytes.
    pub(crate) fn length(&self, base: usize) -> usize {
        let TemplateParts { body, texts, replaced, links, .. } = &*self.0;
        body.len() - replaced + texts.len() + links * (base + QUOTES)
    }

    /// About how many bytes of memory it takes beside the registry's bytes.
    pub(crate) fn overhead(&self) -> usize {
        self.0.edits.len() * size_of::<Edit>() + self.0.texts.len()
    }

    /// The document for clients who reach this proxy at `base` (no slash at its end), piece by piece.
    pub(crate) fn rendering(&self, base: &str) -> Rendering {
        Rendering::new(self.clone(), base)
    }

    /// The same as a whole.
    pub(crate) fn render(&self, base: &str) -> Bytes {
        if self.0.edits.is_empty() {
            return self.0.body.clone();
        }
        self.rendering(base).whole()
    }
}

/// The quotes around a link.
const QUOTES: usize = 2;

impl From<TemplateParts> for Template {
    fn from(parts: TemplateParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl TemplateParts {
    fn of(body: Bytes, edits: usize) -> Self {
        let (edits, texts) = (Vec::with_capacity(edits), String::new());
        Self { body, edits, texts, replaced: 0, links: 0, digest: OnceLock::new() }
    }

    fn edit(&mut self, span: Range<usize>, text: &str, is_link: bool) {
        self.texts.push_str(text);
        self.replaced += span.len();
        self.links += usize::from(is_link);
        self.edits.push(Edit { start: span.start, end: span.end, text: self.texts.len(), is_link });
    }

    fn text(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.edits[before].text);
        &self.texts[start..self.edits[at].text]
    }

    fn edits(&self) -> impl Iterator<Item = (&Edit, &str)> {
        self.edits_from(0)
    }

    /// The edits that begin at `start` or later.
    fn edits_from(&self, start: usize) -> impl Iterator<Item = (&Edit, &str)> {
        let first = self.edits.partition_point(|edit| edit.start < start);
        (first..self.edits.len()).map(|at| (&self.edits[at], self.text(at)))
    }

    fn digest(&self) -> Sha256 {
        let mut hash = sha2::Sha256::new();
        hash.update((self.body.len() as u64).to_be_bytes());
        hash.update(&self.body);
        for (edit, text) in self.edits() {
            for number in [edit.start, edit.end, text.len(), usize::from(edit.is_link)] {
                hash.update((number as u64).to_be_bytes());
            }
            hash.update(text);
        }
        Sha256::new(hash.finalize().into())
    }
}

/// The digest of a document that was derived by replacing these values.
fn derived(from: &Sha256, values: &[(Range<usize>, String)]) -> Sha256 {
    let mut hash = sha2::Sha256::new();
    hash.update(from.as_bytes());
    for (span, text) in values {
        for number in [span.start, span.end, text.len()] {
            hash.update((number as u64).to_be_bytes());
        }
        hash.update(text);
    }
    Sha256::new(hash.finalize().into())
}

/// The path of a volume's version index at a bibliotheca.
pub(crate) fn index_path(name: &VolumeName) -> String {
    format!("/api/v1/index/volumes/{name}")
}

/// The path of a release's exact metadata at a bibliotheca.
pub(crate) fn release_path(name: &VolumeName, version: &Version) -> String {
    format!("/api/v1/volumes/{name}/{version}")
}

/// The path here of the trust artifact whose bytes hash to `digest`.
pub(crate) fn trust_artifact_path(name: &VolumeName, version: &Version, digest: &Sha256) -> String {
    format!("/trust-artifacts/{name}/{version}/{}", digest.hex())
}

/// The path here of a release's archive.
pub(crate) fn archive_path(name: &VolumeName, version: &Version) -> String {
    format!("/archives/{name}/{version}.tar.gz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_values_change() {
        let body = Bytes::from_static(br#"{ "z":1.10, "url" : "x","n":1e400,"u":"\u0041", "flag":true }"#);
        #[derive(serde::Deserialize)]
        struct TemplateParts<'a> {
            #[serde(borrow)]
            url: &'a RawValue,
            #[serde(borrow)]
            flag: &'a RawValue,
        }
        let text = std::str::from_utf8(&body).unwrap();
        let parts: TemplateParts<'_> = serde_json::from_str(text).unwrap();
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
