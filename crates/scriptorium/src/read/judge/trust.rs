//! Settling trust views: they are compared with the release they are about, and with their own history.
//!
//! Owns which identity a subject is compared with, and with what a damaged history begins again. Must not know the release's
//! lifecycle: a statement about a release stays true when the release is withdrawn.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::error;

use super::sides::Sides;
use super::{Judge, ROUNDS, Settled};
use crate::consistency::history::{Seen, TrustView};
use crate::consistency::{ClaimSource, Difference, Pin, reconcile_trust};
use crate::domain::{DocumentKey, Integrity, Purl, Registry, Trust, Version, VolumeName};
use crate::read::document::Document;
use crate::read::failure::ReadFailure;
use crate::store::{Damage, StoreError};
use crate::upstream::FetchContext;

/// What is known of the release that a trust view is about.
struct Subject {
    exact: Option<Arc<Document>>,
    pin: Option<Pin>,
}

impl Subject {
    /// Whether a history of an earlier version counts: pins of that version name no URL.
    fn inherits(&self) -> bool {
        self.pin.as_ref().is_some_and(|pin| pin.origin.is_none())
    }

    fn integrity(&self) -> Option<(ClaimSource, Integrity)> {
        let exact = self.exact.as_ref().and_then(|exact| exact.content.release()?.integrity);
        let exact = exact.map(|integrity| (ClaimSource::Exact, integrity));
        exact.or(self.pin.as_ref().map(|pin| (ClaimSource::Pin, pin.integrity)))
    }
}

impl Judge {
    pub(super) async fn settle_trust(
        self: &Arc<Self>,
        key: &DocumentKey,
        name: &VolumeName,
        version: &Version,
        document: Arc<Document>,
        context: FetchContext<'_>,
    ) -> Result<Settled, ReadFailure> {
        let (release, registry) = (Purl::new(name, version), document.meta.registry());
        let of_view = TrustView::of(key);
        let mut view = document;
        let mut before: Option<Difference> = None;
        for round in 1.. {
            if !self.env.counts(key, &view) {
                return Err(ReadFailure::Lost);
            }
            view = self.shelf.newest(key, view);
            let began = self.env.question();
            let Some(trust) = view.content.trust() else { return Ok(Settled::Agreed(view)) };
            let subject = self.subject(&registry, name, version, context).await?;
            let seen = self.seen(key, (&registry, &release, of_view), &subject).await?;
            let Some(difference) = differs(trust, &subject, &seen) else {
                self.history.extend(&registry, &release, of_view, &seen, trust).await?;
                match self.agree(key, &view, began, true).await {
                    Some(settled) => return Ok(settled),
                    None => continue,
                }
            };
            if before.as_ref() == Some(&difference) || round == ROUNDS {
                let exact = subject.exact.as_deref();
                let sides = Sides { exact, trust: Some(&view), pin: subject.pin.as_ref(), index: None };
                return Err(self.diverge(&registry, key, &release, difference, sides).await);
            }
            let since =
                view.reading.landed.max(subject.exact.as_ref().map_or(0, |exact| exact.reading.landed));
            let exact = DocumentKey::Release(name.clone(), version.clone());
            let both = tokio::join!(self.again(key, since, context), self.again(&exact, since, context));
            view = both.0?;
            before = Some(difference);
        }
        Err(ReadFailure::Lost)
    }

    /// The history of a view. A damaged one is set aside and begins again with the held view, unless that is about something
    /// else or in divergence.
    async fn seen(
        &self,
        key: &DocumentKey,
        (registry, release, view): (&Registry, &Purl, TrustView),
        subject: &Subject,
    ) -> Result<Seen, ReadFailure> {
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
        self.env.metrics.integrity_failure("stored-history");
        let Damage { path, expected, found } = &damage;
        error!(path, expected, found, key = %key, "a damaged trust history is set aside");
        let is_open = self.shelf.divergences.of(registry, key).is_some();
        let held = self.shelf.held(key).await.filter(|held| !is_open && held.meta.is_of(registry));
        let trust = held.as_ref().and_then(|held| held.content.trust());
        let trust = trust.filter(|trust| reconcile_trust(trust, subject.integrity()).is_none());
        Ok(self.history.begin_anew(registry, release, view, &damage, trust).await?)
    }

    /// The integrity of the release: that of its settled exact metadata, else that of the pin.
    fn subject<'a>(
        self: &'a Arc<Self>,
        registry: &'a Registry,
        name: &'a VolumeName,
        version: &'a Version,
        context: FetchContext<'a>,
    ) -> BoxFuture<'a, Result<Subject, ReadFailure>> {
        Box::pin(async move {
            let pin = self.pinned(registry, &Purl::new(name, version)).await?;
            let key = DocumentKey::Release(name.clone(), version.clone());
            match self.stated(&key, context).await {
                Ok(answer) => Ok(Subject { exact: Some(answer.document), pin }),
                Err(failure @ ReadFailure::Divergent(_)) => Err(failure),
                Err(_) if pin.is_some() => Ok(Subject { exact: None, pin }),
                Err(failure) => Err(failure),
            }
        })
    }
}

fn differs(trust: &Trust, subject: &Subject, seen: &Seen) -> Option<Difference> {
    reconcile_trust(trust, subject.integrity()).or_else(|| seen.difference(trust))
}
