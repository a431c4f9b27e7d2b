//! The one fill of a document: what happens between asking an upstream and having an answer to give.
//!
//! In order: look again, ask, check the answer on its own, hold it against the pin, remember, store. Owns
//! that order. Must not know who waits, nor how old an answer may be.

use std::sync::Arc;

use tracing::error;

use super::document::{Content, Document, refusal};
use super::documents::{Documents, is_absence, place};
use super::envelope::{Envelope, Meta};
use super::failure::Failure;
use super::freshness::Freshness;
use crate::consistency::Pin;
use crate::domain::{DocumentKey, Facts, Purl};
use crate::store::StoreError;
use crate::upstream::{CouldNotAsk, Exchange, Upstream, Upstreams};

/// What a fill brought.
#[derive(Debug, Clone)]
pub(super) struct Filled {
    pub(super) document: Arc<Document>,
    pub(super) status: u16,
    pub(super) stored: bool,
}

impl Documents {
    /// The task that renews `key`. `seen` is what its starter found held.
    pub(super) fn fill(
        self: &Arc<Self>,
        key: &DocumentKey,
        seen: Option<&Arc<Document>>,
        request_id: &str,
    ) -> impl Future<Output = Result<Filled, Failure>> + Send + 'static {
        let (documents, key, request_id) = (Arc::clone(self), key.clone(), request_id.to_owned());
        let seen = seen.cloned();
        async move {
            if let Some(document) = documents.filled_meanwhile(&key, seen.as_ref()) {
                let status = document.meta.status;
                return Ok(Filled { document, status, stored: true });
            }
            let filled = documents.renew(&key, seen, &request_id).await?;
            documents.tell_releases(&key, &filled.document, &request_id);
            Ok(filled)
        }
    }

    /// What another fill brought between the starter's look and this fill's turn.
    fn filled_meanwhile(&self, key: &DocumentKey, seen: Option<&Arc<Document>>) -> Option<Arc<Document>> {
        let document = self.memory.get(key)?;
        let newer = seen.is_none_or(|seen| !Arc::ptr_eq(seen, &document));
        (newer && self.freshness(key, &document) == Freshness::Fresh).then_some(document)
    }

    async fn renew(
        &self,
        key: &DocumentKey,
        seen: Option<Arc<Document>>,
        request_id: &str,
    ) -> Result<Filled, Failure> {
        let (upstream, max) = {
            let live = self.live();
            (choose(&live.upstreams, key)?, live.max_document)
        };
        let known = seen.as_ref().filter(|seen| seen.meta.upstream == upstream.name() && !seen.is_refusal());
        let etag = known.and_then(|known| known.meta.etag.as_deref());
        let path = key.to_string();
        let asked = upstream.document(key.resource(), &path, etag, request_id, max);
        let asked = tokio::time::timeout(self.deadline, asked).await;
        let exchange = asked.map_err(|_| CouldNotAsk::TimedOut)??;
        let meta = |status, etag, upstream_age| Meta {
            key: path.clone(),
            status,
            fetched_at: self.now(),
            upstream_age,
            upstream: upstream.name().to_owned(),
            origin: upstream.origin().to_owned(),
            etag,
        };
        match exchange {
            Exchange::Found { body, etag, age } => {
                let document =
                    self.admit(key, Envelope { meta: meta(200, etag, age), body }, request_id).await?;
                Ok(self.keep(key, document, 200).await)
            }
            Exchange::NotModified => {
                let known = known.ok_or(Failure::Malformed)?;
                let document = known.confirmed(meta(200, known.meta.etag.clone(), 0));
                Ok(Filled { stored: false, ..self.keep(key, document, 304).await })
            }
            Exchange::Refused { status: status @ (403 | 404 | 409), body, .. } => {
                let envelope = Envelope { meta: meta(status, None, 0), body };
                let document = Document::new(key, envelope).map_err(|_| Failure::Malformed)?;
                // Absences that replace nothing stay in memory: inventing names must not fill the disk.
                if status == 404 && seen.is_none_or(|seen| is_absence(&seen)) {
                    let document = self.remember(key, document);
                    return Ok(Filled { document, status, stored: true });
                }
                Ok(self.keep(key, document, status).await)
            }
            Exchange::Refused { status, problem, .. } => {
                Err(Failure::Refused(Box::new(problem.unwrap_or_else(|| refusal(status, &[])))))
            }
        }
    }

    /// Checks a found document on its own and against the pin. One that is not believed is logged once, here.
    async fn admit(
        &self,
        key: &DocumentKey,
        envelope: Envelope,
        request_id: &str,
    ) -> Result<Document, Failure> {
        let upstream = envelope.meta.upstream.clone();
        let disbelieve = |stage, reason: String, failure| {
            self.metrics.integrity_failure(stage);
            let resource = key.resource().as_str();
            error!(upstream, resource, key = %key, request_id, stage, reason, "an upstream document is not believed");
            failure
        };
        let document = Document::new(key, envelope)
            .map_err(|malformed| disbelieve("document", malformed.to_string(), Failure::Malformed))?;
        if let Some(mismatch) = mismatch(&document) {
            let reason = format!("the document is about another release: {mismatch}");
            return Err(disbelieve("document", reason.clone(), Failure::Inconsistent(reason)));
        }
        let compared = self.compare_with_pin(key, &document).await;
        compared.map_err(|failure| disbelieve("pin", failure.to_string(), failure))?;
        Ok(document)
    }

    /// Exact metadata pins the first integrity seen; a trust subject must name it. A store that fails costs
    /// the pin, not the answer; a pin that is damaged is no licence to believe anything.
    async fn compare_with_pin(&self, key: &DocumentKey, document: &Document) -> Result<(), Failure> {
        let Some(integrity) = document.integrity() else { return Ok(()) };
        let compared = match key {
            DocumentKey::Release(name, version) => {
                let pin = Pin {
                    volume: name.clone(),
                    version: version.clone(),
                    integrity,
                    since: self.now(),
                    upstream: document.meta.upstream.clone(),
                };
                self.pins.admit(pin).await.map(Some)
            }
            DocumentKey::TrustSummary(name, version) | DocumentKey::TrustDetail(name, version) => {
                self.pins.of(&Purl::new(name, version)).await
            }
            _ => Ok(None),
        };
        match compared {
            Ok(Some(Pin { integrity: pinned, .. })) if pinned != integrity => {
                Err(Failure::IntegrityChanged { pinned, found: integrity })
            }
            Ok(_) => Ok(()),
            Err(error @ StoreError::Corrupt { .. }) => Err(error.into()),
            Err(error) => {
                error!(%error, key = %key, "cannot keep or read a pin");
                Ok(())
            }
        }
    }

    /// Remembers and stores an answer. A store that fails costs persistence, not the answer.
    async fn keep(&self, key: &DocumentKey, document: Document, status: u16) -> Filled {
        let stored = document.envelope().encode();
        let document = self.remember(key, document);
        if let Err(error) = self.store.write(&place(key), stored).await {
            error!(%error, key = %key, "cannot store a document");
        }
        Filled { document, status, stored: true }
    }
}

fn choose(upstreams: &Upstreams, key: &DocumentKey) -> Result<Arc<Upstream>, Failure> {
    match key.volume() {
        Some(name) => upstreams.for_volume(name).ok_or_else(|| Failure::NoUpstream(name.clone())).cloned(),
        None => upstreams.general().cloned().ok_or(Failure::Malformed),
    }
}

fn mismatch(document: &Document) -> Option<String> {
    let Content::Found(found) = &*document.content else { return None };
    match &found.facts {
        Facts::Release(release) => release.mismatch.as_ref(),
        Facts::Trust(trust) => trust.mismatch.as_ref(),
        Facts::Index(_) | Facts::None => None,
    }
    .map(ToString::to_string)
}
