//! Another registry of the same names, to which they may be routed for a while: every release is available there, with
//! the content that the registry never published.
//!
//! Owns its answers, and what is promised of whoever is routed to it. It never fails, so nothing is excused. Must not
//! know the other registry.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bibliotheca::{ScriptedReply, hex_digest};
use http::HeaderValue;
use http::header::IF_NONE_MATCH;
use serde_json::json;

use super::ledger::{Id, RELEASES, releases_of};
use super::promise::{Promise, Verdict, hold};
use super::proxy::Seen;
use super::world::{Route, STRANGERS_TAG, Shelf, is_of_a_stranger, name};
use crate::clock::ManualClock;
use crate::upstream::testing::{received, response, upstream_at};
use crate::upstream::{Outgoing, RegistryClient, RegistryResponse, Transport, TransportError};

/// The content that every release has there.
const CONTENT: usize = 1;

pub(super) struct Stranger {
    shelf: Arc<Shelf>,
    /// Its name in the configuration.
    name: &'static str,
    home: &'static str,
    /// Tags that it was sent and never gave.
    foreign: Mutex<Vec<HeaderValue>>,
}

impl Stranger {
    /// Another registry, and one that goes by the name of the registry under another URL.
    pub(super) fn all(shelf: &Arc<Shelf>) -> [Arc<Self>; 2] {
        [("other", "https://other.example"), ("public", "https://moved.example/base")].map(|(name, home)| {
            Arc::new(Self { shelf: Arc::clone(shelf), name, home, foreign: Mutex::default() })
        })
    }

    /// A way to ask it.
    pub(super) fn upstream(self: &Arc<Self>, clock: Arc<ManualClock>) -> Arc<RegistryClient> {
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

    fn answer(&self, path: &str) -> Option<ScriptedReply> {
        if let Some(file) = path.strip_prefix("/files/") {
            let content = self.shelf.content(file.parse().ok()?, CONTENT);
            return Some(ScriptedReply::archive(content.archive.clone()));
        }
        let release = |id: Id| &self.shelf.content(id, CONTENT).release;
        Some(match Route::all().into_iter().find(|route| route.path() == path)? {
            Route::Index(volume) => {
                let rows: Vec<_> = releases_of(volume).map(|id| release(id).row("")).collect();
                ScriptedReply::answer(200, &json!({ "items": rows }))
            }
            Route::Exact(id) if id < RELEASES => {
                let mut exact = release(id).metadata("");
                exact["dist"]["url"] = format!("{}/files/{id}", self.home).into();
                ScriptedReply::answer(200, &exact)
            }
            Route::Exact(_) | Route::Archive(_) | Route::Summary(_) | Route::Detail(_) => return None,
        })
    }
}

#[async_trait]
impl Transport for Stranger {
    async fn send(&self, request: Outgoing<'_>) -> Result<RegistryResponse, TransportError> {
        let path = request
            .url
            .as_str()
            .strip_prefix(self.home)
            .ok_or(TransportError::Forbidden(crate::upstream::GuardRule::Host))?;
        let sent = request.headers.get(IF_NONE_MATCH);
        self.foreign.lock().unwrap().extend(sent.filter(|tag| !is_of_a_stranger(tag)).cloned());
        let reply = self.answer(path).unwrap_or_else(|| ScriptedReply::new(404, "text/plain", ""));
        let reply = reply.clone().with("etag", &format!("{STRANGERS_TAG}{}\"", hex_digest(reply.body())));
        Ok(response(&reply.to(&received(path, &request))))
    }
}
