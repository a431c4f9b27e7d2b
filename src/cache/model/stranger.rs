//! Another registry of the same names, to which they may be routed for a while: every release is available there, with
//! the content that the registry never published.
//!
//! Owns its answers, and what is promised of whoever is routed to it. It never fails, so nothing is excused. Must not
//! know the other registry.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::ledger::{Id, RELEASES, releases_of};
use super::promises::{Promise, Verdict, hold};
use super::proxy::Seen;
use super::world::{Route, Shelf, name, purl};
use crate::clock::ManualClock;
use crate::domain::Sha256;
use crate::upstream::testing::upstream_at;
use crate::upstream::{Outgoing, Response, Transport, TransportError, Upstream};

/// The content that every release has there.
const CONTENT: usize = 1;
/// What its entity tags begin with.
const TAG: &str = "\"stranger-";

pub(super) struct Stranger {
    shelf: Arc<Shelf>,
    /// Its name in the configuration.
    name: &'static str,
    home: &'static str,
    /// Tags that it was sent and never gave.
    foreign: Mutex<Vec<HeaderValue>>,
}

/// Whether a tag is one of a stranger's.
pub(super) fn is_of_a_stranger(tag: &HeaderValue) -> bool {
    tag.as_bytes().starts_with(TAG.as_bytes())
}

impl Stranger {
    /// Another registry, and one that goes by the name of the registry under another URL.
    pub(super) fn all(shelf: &Arc<Shelf>) -> [Arc<Self>; 2] {
        [("other", "https://other.example"), ("public", "https://moved.example/base")].map(|(name, home)| {
            Arc::new(Self { shelf: Arc::clone(shelf), name, home, foreign: Mutex::default() })
        })
    }

    /// A way to ask it.
    pub(super) fn upstream(self: &Arc<Self>, clock: Arc<ManualClock>) -> Arc<Upstream> {
        upstream_at((self.name, self.home), self.clone(), clock)
    }

    /// What holds of every answer while the names are routed to it.
    pub(super) fn judge(&self, route: Route, seen: &Seen) -> Verdict {
        let integrity = |id: Id| self.shelf.content(id, CONTENT).integrity.as_str();
        let is_its_own = seen.status == 200
            && match route {
                Route::Index(volume) => releases_of(volume).all(|id| {
                    let rows = seen.json["items"].as_array().into_iter().flatten();
                    let mut rows = rows.filter(|row| row["version"] == name(id).1);
                    rows.next().is_some_and(|row| {
                        row["integrity"] == integrity(id) && row["status"]["state"] == "available"
                    }) && rows.next().is_none()
                }),
                Route::Exact(id) | Route::Summary(id) | Route::Detail(id) => {
                    seen.json["integrity"] == integrity(id)
                }
                Route::Archive(id) => seen.body == self.shelf.content(id, CONTENT).archive,
            };
        hold(Promise::Whose, is_its_own, || {
            format!("{} {} that is not {}'s", seen.status, seen.slug, self.name)
        })?;
        let foreign = self.foreign.lock().unwrap();
        hold(Promise::Whose, foreign.is_empty(), || format!("{} was sent {foreign:?}", self.name))
    }

    fn answer(&self, path: &str) -> Option<Bytes> {
        if let Some(file) = path.strip_prefix("/files/") {
            return Some(self.shelf.content(file.parse().ok()?, CONTENT).archive.clone());
        }
        let available = json!({ "state": "available" });
        let body = match Route::all().into_iter().find(|route| route.path() == path)? {
            Route::Index(volume) => {
                let items = releases_of(volume).map(|id| {
                    json!({
                        "version": name(id).1, "integrity": self.shelf.content(id, CONTENT).integrity,
                        "status": available, "release": { "url": Route::Exact(id).path() },
                    })
                });
                json!({ "items": items.collect::<Vec<_>>() })
            }
            Route::Exact(id) if id < RELEASES => json!({
                "name": name(id).0, "version": name(id).1, "purl": purl(id),
                "integrity": self.shelf.content(id, CONTENT).integrity, "status": available,
                "dist": {
                    "source": "cdn", "mediaType": "application/gzip", "url": format!("{}/files/{id}", self.home),
                },
            }),
            Route::Exact(_) | Route::Archive(_) | Route::Summary(_) | Route::Detail(_) => return None,
        };
        Some(body.to_string().into())
    }
}

#[async_trait]
impl Transport for Stranger {
    async fn send(&self, request: Outgoing<'_>) -> Result<Response, TransportError> {
        let path = request
            .url
            .as_str()
            .strip_prefix(self.home)
            .ok_or(TransportError::Forbidden(crate::upstream::Rule::Host))?;
        let sent = request.headers.get(IF_NONE_MATCH);
        self.foreign.lock().unwrap().extend(sent.filter(|tag| !is_of_a_stranger(tag)).cloned());
        let (status, body) = self.answer(path).map_or((404, Bytes::new()), |body| (200, body));
        let tag = HeaderValue::try_from(format!("{TAG}{}\"", Sha256::of(&body).hex())).unwrap();
        let (status, body) = if sent == Some(&tag) { (304, Bytes::new()) } else { (status, body) };
        let headers = HeaderMap::from_iter([(ETAG, tag)]);
        let body = stream::iter([Ok(body)]).boxed();
        Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body })
    }
}
