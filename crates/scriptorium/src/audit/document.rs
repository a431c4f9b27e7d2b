//! Checks one stored document: its checksum, its place, and that it answers its question.
//!
//! Owns these checks. Must not know what other documents say.

use std::io;

use bytes::Bytes;
use http::Method;

use super::finding::{Finding, FindingKind, quoted};
use crate::domain::{DocumentKey, Registry};
use crate::read::Document;
use crate::read::envelope::Envelope;
use crate::read::place::{earlier_place, place};
use crate::route::{self, ApiRoute};
use crate::store::{StorageKey, Store};

/// The key and the document that `stored` holds, or what is wrong with it.
pub(super) fn judge(key: &StorageKey, stored: &Bytes) -> Result<(DocumentKey, Document), Finding> {
    let wrong =
        |expected: &str, found: String| Finding::new(FindingKind::Document, key.path(), expected, found);
    let envelope = Envelope::decode(stored)
        .map_err(|error| wrong("a document with the checksum it was written with", error.to_string()))?;
    let asked = envelope.meta.key.clone();
    let question =
        question(&asked).ok_or_else(|| wrong("the answer to a question", format!("`{}`", quoted(&asked))))?;
    let registry = envelope.meta.registry();
    let its = place(&registry, &question);
    if its != *key && earlier_place(&question) != *key {
        let found = format!("the answer of {registry} to {asked}, which belongs at {}", its.path());
        return Err(wrong("the answer that belongs here", found));
    }
    let shape = |error: String| wrong("a document as the specification describes it", error).of(&asked);
    let document = Document::new(&question, envelope).map_err(|malformed| shape(malformed.to_string()))?;
    Ok((question, document))
}

/// The same on a thread that blocks no request.
pub(super) async fn judge_apart(key: &StorageKey, stored: Bytes) -> Result<(DocumentKey, Document), Finding> {
    let its = key.clone();
    let judged = tokio::task::spawn_blocking(move || judge(&its, &stored)).await;
    judged.map_err(|died| Finding::unreadable(key.path(), &io::Error::other(died).into()))?
}

/// The stored answer of `registry` to `question`, if it can be used.
pub(super) async fn held(store: &dyn Store, registry: &Registry, question: &DocumentKey) -> Option<Document> {
    let place = place(registry, question);
    let stored = store.read(&place).await.ok()??;
    let (answered, document) = judge(&place, &stored).ok()?;
    (answered == *question).then_some(document)
}

/// Keys are stored in their canonical spelling, which is a route.
fn question(text: &str) -> Option<DocumentKey> {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    match route::parse(&Method::GET, path, query) {
        Ok(ApiRoute::Document(key)) if key.to_string() == text => Some(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AdvisoryQuery, SearchQuery};

    #[test]
    fn every_canonical_question_is_read_back() {
        let (name, version) = (|| "@acme/x".parse().unwrap(), || "1.0.0+b".parse().unwrap());
        for key in [
            DocumentKey::Index(name()),
            DocumentKey::Release(name(), version()),
            DocumentKey::TrustSummary(name(), version()),
            DocumentKey::TrustDetail(name(), version()),
            DocumentKey::Search(SearchQuery::parse("q=a%20b&limit=5").unwrap()),
            DocumentKey::Search(SearchQuery::parse("x=y").unwrap()),
            DocumentKey::Advisories(AdvisoryQuery::parse("a=b&a=%2f").unwrap()),
            DocumentKey::Advisories(AdvisoryQuery::default()),
            DocumentKey::Advisories(AdvisoryQuery::about(name())),
            DocumentKey::Advisory("GHSA-1:x".parse().unwrap()),
            DocumentKey::Capabilities,
        ] {
            assert_eq!(question(&key.to_string()), Some(key.clone()), "{key}");
        }
        for text in ["", "/", "/archives/x/1.0.0.tar.gz", "/api/v1/volumes/%40acme/x/1.0.0", "\u{1b}[2J"] {
            assert_eq!(question(text), None, "{text}");
        }
    }
}
