//! Documents of a bundle: each passes the check of a registry's answer, and counts as old as its registry confirmed it.
//!
//! A held document that was confirmed later stays. Owns which documents are taken. Must not know what a document says, but
//! for the integrity that its release's pin must allow.

use std::io::Read;
use std::pin::pin;

use bundle::{BundledDocument, ManifestItem};
use futures_util::StreamExt;
use futures_util::future::join_all;
use http::Method;

use super::LeftOutSubject;
use super::files::unread;
use super::items::items;
use super::taking::{NotIn, Taking, left_out};
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, Purl, Registry};
use crate::read::Document;
use crate::read::content::DocumentContent;
use crate::read::envelope::{Envelope, Meta};
use crate::read::keeping::Keeping;
use crate::read::place::place;
use crate::route::{self, ApiRoute};
use crate::store::StoreError;

/// Documents that are taken in at once; they share flushes.
const AT_ONCE: usize = 8;

/// A document that is here now.
struct TakenDocument {
    confirmed: Timestamp,
    is_release: bool,
}

impl Taking<'_> {
    /// Takes in either the indexes or all other documents.
    pub(super) async fn take_documents(&self, indexes: bool) -> Result<(), StoreError> {
        let is_wanted = move |route: &str| route.starts_with("/api/v1/index/") == indexes;
        let documents = items(&self.bundle, move |item| match item {
            ManifestItem::Document(document) if is_wanted(&document.route) => Some(document.clone()),
            _ => None,
        });
        let mut documents = pin!(documents.chunks(AT_ONCE));
        while let Some(some) = documents.next().await {
            let taken = some.into_iter().map(async |document| match document {
                Ok(document) => {
                    let taken = self.take_document(&document).await;
                    self.to.watch(document.size);
                    taken
                }
                Err(error) => Err(error.into()),
            });
            for taken in join_all(taken).await {
                if let Some(TakenDocument { confirmed, is_release }) = self.note(taken).await? {
                    self.confirmed(confirmed);
                    if is_release {
                        self.count_release();
                    }
                }
            }
        }
        Ok(())
    }

    async fn take_document(&self, listed: &BundledDocument) -> Result<TakenDocument, NotIn> {
        let about = |reason: String| NotIn::LeftOut(LeftOutSubject::Blob(listed.sha256.hex()), reason);
        let key = key(&listed.route)
            .ok_or_else(|| about(format!("`{}` is the route of no document", listed.route)))?;
        let release = key.volume().zip(key.version()).map(|(name, version)| Purl::new(name, version));
        let not_in = |reason: String| match (&release, key.volume()) {
            (Some(release), _) => left_out(release, reason),
            (None, Some(name)) => NotIn::LeftOut(LeftOutSubject::Release(name.to_string()), reason),
            (None, None) => about(reason),
        };
        let registry = self.registry_at(listed, &key).map_err(&not_in)?;
        let confirmed = Timestamp(listed.confirmed.seconds().saturating_mul(1000)).min(self.to.now);
        let taken = TakenDocument { confirmed, is_release: matches!(key, DocumentKey::Release(..)) };
        let place = place(registry, &key);
        let held = self.to.store.read(&place).await?.and_then(|stored| Envelope::decode(&stored).ok());
        let held = held.filter(|held| held.meta.key == listed.route && held.meta.is_of(registry));
        if held.as_ref().is_some_and(|held| held.meta.fetched_at > confirmed) {
            return Ok(taken);
        }
        let meta = Meta {
            key: listed.route.clone(),
            status: listed.status,
            fetched_at: confirmed,
            upstream_age: 0,
            upstream: registry.name().to_owned(),
            origin: registry.origin().to_owned(),
            etag: listed.etag.clone(),
            at: None,
            keeping: Keeping::default(),
            turn: None,
        };
        let body = self.body(listed).await?;
        let document = Document::new(&key, Envelope { meta, body: body.into() });
        let mut document = document.map_err(|malformed| not_in(malformed.to_string()))?;
        let is_answer = match &*document.content {
            DocumentContent::Found(_) => true,
            DocumentContent::Refused { is_own, .. } => {
                *is_own && matches!(listed.status, 403 | 404 | 409 | 410)
            }
        };
        if !is_answer {
            return Err(not_in(format!("the answer {} is not the registry's own", listed.status)));
        }
        let held = held.and_then(|held| Document::new(&key, held).ok());
        may_follow(held.as_ref(), &document).map_err(&not_in)?;
        let said = document.content.release().and_then(|found| found.integrity);
        if let Some((release, said)) = release.as_ref().zip(said) {
            self.agrees(registry, release, said).await?;
        }
        if let Some(release) = release.as_ref().filter(|release| self.contradicts(release)) {
            return Err(left_out(release, "it contradicts its pin"));
        }
        if let Some((release, trust)) = release.as_ref().zip(document.content.trust()) {
            self.fits(registry, &key, release, trust).await?;
        }
        document.meta.turn = held.and_then(|held| held.turn_to(&document));
        self.to.store.write(&place, document.envelope().encode()).await?;
        if said.is_some() {
            self.reconcile(registry, &key, confirmed).await?;
        }
        Ok(taken)
    }

    /// The registry of a document, if this proxy has it under that name and URL.
    fn registry_at(&self, listed: &BundledDocument, key: &DocumentKey) -> Result<&Registry, String> {
        let lacking =
            || format!("there is no upstream `{}` here at the URL that the bundle has", listed.upstream);
        let said = self.registries.named(&listed.upstream).ok_or_else(lacking)?;
        let ours = self.to.upstreams.named(&listed.upstream).ok_or_else(lacking)?;
        if **ours.registry() != *said {
            return Err(lacking());
        }
        let is_routed = key.volume().is_none_or(|name| {
            self.to.upstreams.for_volume(name).is_some_and(|routed| routed.name() == listed.upstream)
        });
        if is_routed { Ok(said) } else { Err("its volume is routed to another upstream here".to_owned()) }
    }

    async fn body(&self, listed: &BundledDocument) -> Result<Vec<u8>, NotIn> {
        let refused = |why: String| unread(&listed.sha256, why);
        if listed.size > self.to.max_document {
            return Err(refused(format!(
                "a document of {} bytes is larger than limits.max_document",
                listed.size
            )));
        }
        let mut blob = self.blobs.open(&listed.sha256).map_err(|error| refused(error.to_string()))?;
        let read = tokio::task::spawn_blocking(move || {
            let mut body = Vec::new();
            blob.read_to_end(&mut body).map(|_| body)
        });
        let read = read.await.map_err(|error| NotIn::Ended(std::io::Error::from(error).into()))?;
        read.map_err(|error| refused(error.to_string()))
    }
}

/// Refuses an index that lists nothing where the `held` one does.
fn may_follow(held: Option<&Document>, document: &Document) -> Result<(), String> {
    match (lists(document), held.and_then(lists)) {
        (Some(0), Some(rows @ 1..)) => {
            Err(format!("its index lists nothing, and the one that is here, with {rows} rows, stays"))
        }
        _ => Ok(()),
    }
}

/// How many versions an index lists; none for any other document.
fn lists(document: &Document) -> Option<usize> {
    document.content.rows().map(|rows| rows.by_version().count())
}

/// The document at `route`, in its one spelling.
pub(super) fn key(route: &str) -> Option<DocumentKey> {
    let (path, query) = route.split_once('?').map_or((route, None), |(path, query)| (path, Some(query)));
    match route::parse(&Method::GET, path, query) {
        Ok(ApiRoute::Document(key)) if key.to_string() == route => Some(key),
        Ok(_) | Err(_) => None,
    }
}
