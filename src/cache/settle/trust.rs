//! Settling trust views: with the release they are about, and with what was seen before.
//!
//! Owns which identity a subject is held against, and with what a damaged history begins anew. Must not know the release's lifecycle: what is said about a
//! release stays true when it is withdrawn.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::error;

use super::{ROUNDS, Settled, Sides};
use crate::cache::document::Document;
use crate::cache::documents::Documents;
use crate::cache::failure::Failure;
use crate::consistency::history::{Seen, View};
use crate::consistency::{Difference, Pin, Source, reconcile_trust};
use crate::domain::{DocumentKey, Integrity, Purl, Registry, Trust, Version, VolumeName};
use crate::store::{Damage, StoreError};
use crate::upstream::Errand;

/// What is known of the release that a trust view is about.
struct Subject {
    exact: Option<Arc<Document>>,
    pin: Option<Pin>,
}

impl Subject {
    /// Whether what an earlier version saw of the release counts: its pins name no URL.
    fn inherits(&self) -> bool {
        self.pin.as_ref().is_some_and(|pin| pin.origin.is_none())
    }

    fn integrity(&self) -> Option<(Source, Integrity)> {
        let exact = self.exact.as_ref().and_then(|exact| exact.content.release()?.integrity);
        let exact = exact.map(|integrity| (Source::Exact, integrity));
        exact.or(self.pin.as_ref().map(|pin| (Source::Pin, pin.integrity)))
    }
}

impl Documents {
    pub(super) async fn settle_trust(
        self: &Arc<Self>,
        key: &DocumentKey,
        name: &VolumeName,
        version: &Version,
        document: Arc<Document>,
        errand: Errand<'_>,
    ) -> Result<Settled, Failure> {
        let (release, registry) = (Purl::new(name, version), document.meta.registry());
        let of_view = match key {
            DocumentKey::TrustDetail(..) => View::Detail,
            _ => View::Summary,
        };
        let mut view = document;
        let mut before: Option<Difference> = None;
        for round in 1.. {
            if !self.counts(key, &view) {
                return Err(Failure::Lost);
            }
            view = self.newest(key, view);
            let doubts = self.remembered(key).map_or(0, |held| held.doubts);
            let Some(trust) = view.content.trust() else { return Ok(Settled::Agreed(view)) };
            let subject = self.subject(&registry, name, version, errand).await?;
            let seen = self.seen(key, (&registry, &release, of_view), &subject).await?;
            let Some(difference) = differs(trust, &subject, &seen) else {
                self.history.extend(&registry, &release, of_view, &seen, trust).await?;
                match self.agree(key, &view, doubts, true).await {
                    Some(settled) => return Ok(settled),
                    None => continue,
                }
            };
            if before.as_ref() == Some(&difference) || round == ROUNDS {
                let exact = subject.exact.as_deref();
                let sides = Sides { exact, trust: Some(&view), pin: subject.pin.as_ref(), index: None };
                return Err(self.diverge(&registry, key, (name, version), difference, sides).await);
            }
            let since = view.landed.max(subject.exact.as_ref().map_or(0, |exact| exact.landed));
            let exact = DocumentKey::Release(name.clone(), version.clone());
            let both = tokio::join!(self.again(key, since, errand), self.again(&exact, since, errand));
            view = both.0?;
            before = Some(difference);
        }
        Err(Failure::Lost)
    }

    /// What was seen of a view. A damaged history is set aside, once for all who ask, and begins anew with the view that is
    /// held; one that is about something else, or is contested, says nothing of what was believed.
    async fn seen(
        &self,
        key: &DocumentKey,
        (registry, release, view): (&Registry, &Purl, View),
        subject: &Subject,
    ) -> Result<Seen, Failure> {
        let read = || self.history.of(registry, release, view, subject.inherits());
        match read().await {
            Err(StoreError::Corrupt(_)) => {}
            seen => return Ok(seen?),
        }
        let _alone = self.mending.lock().await;
        let damage = match read().await {
            Err(StoreError::Corrupt(damage)) => damage,
            seen => return Ok(seen?),
        };
        self.metrics.integrity_failure("stored-history");
        let Damage { path, expected, found } = &damage;
        error!(path, expected, found, key = %key, "a history of trust is damaged and is set aside");
        let is_open = self.divergences.of(registry, key).is_some();
        let held = self.held(key).await.filter(|held| !is_open && held.meta.is_of(registry));
        let trust = held.as_ref().and_then(|held| held.content.trust());
        let trust = trust.filter(|trust| reconcile_trust(trust, subject.integrity()).is_none());
        Ok(self.history.begin_anew(registry, release, view, &damage, trust).await?)
    }

    /// The release's identity: as its exact metadata says once settled, or as it was pinned where the metadata
    /// says nothing or cannot be had.
    fn subject<'a>(
        self: &'a Arc<Self>,
        registry: &'a Registry,
        name: &'a VolumeName,
        version: &'a Version,
        errand: Errand<'a>,
    ) -> BoxFuture<'a, Result<Subject, Failure>> {
        Box::pin(async move {
            let pin = self.pinned(registry, &Purl::new(name, version)).await?;
            let key = DocumentKey::Release(name.clone(), version.clone());
            match self.stated(&key, errand).await {
                Ok(answer) => Ok(Subject { exact: Some(answer.document), pin }),
                Err(failure @ Failure::Divergent(_)) => Err(failure),
                Err(_) if pin.is_some() => Ok(Subject { exact: None, pin }),
                Err(failure) => Err(failure),
            }
        })
    }
}

fn differs(trust: &Trust, subject: &Subject, seen: &Seen) -> Option<Difference> {
    reconcile_trust(trust, subject.integrity()).or_else(|| seen.difference(trust))
}
