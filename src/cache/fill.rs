//! The one fill of a document: what happens between asking an upstream and having an answer to give.
//!
//! In order: look again, ask, check the answer on its own, hold it against the pin, remember, store. Owns
//! that order. Must not know who waits, nor how old an answer may be.

use std::sync::Arc;

use tracing::error;

use super::document::{Document, refusal};
use super::documents::{Documents, is_absence, place};
use super::envelope::{Envelope, Meta};
use super::failure::Failure;
use super::freshness::Freshness;
use crate::consistency::PinError;
use crate::domain::check::Violation;
use crate::domain::{DocumentKey, Integrity, Purl};
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
                let document = Document::new(key, envelope).map_err(|violation| refuse(&violation))?;
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
            .map_err(|violation| disbelieve("document", violation.to_string(), refuse(&violation)))?;
        let compared = self.compare_with_pin(key, document.integrity()).await;
        compared.map_err(|failure| disbelieve("pin", failure.to_string(), failure))?;
        Ok(document)
    }

    /// Exact metadata pins the first integrity seen; a trust subject must name it. A store that fails costs
    /// the pin, not the answer; a pin that is damaged is no licence to believe anything.
    async fn compare_with_pin(&self, key: &DocumentKey, integrity: Option<Integrity>) -> Result<(), Failure> {
        let Some(integrity) = integrity else { return Ok(()) };
        let compared = match key {
            DocumentKey::Release(name, version) => {
                self.pins.admit(&Purl::new(name, version), integrity).await
            }
            DocumentKey::TrustSummary(name, version) | DocumentKey::TrustDetail(name, version) => {
                self.pins.agree(&Purl::new(name, version), integrity).await.map(drop)
            }
            _ => Ok(()),
        };
        match compared {
            Ok(()) => Ok(()),
            Err(PinError::Changed { pinned, found }) => Err(Failure::IntegrityChanged { pinned, found }),
            Err(PinError::Store(error @ StoreError::Corrupt { .. })) => Err(error.into()),
            Err(PinError::Store(error)) => {
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

fn refuse(violation: &Violation) -> Failure {
    match violation {
        Violation::Malformed(_) => Failure::Malformed,
        Violation::OtherIdentity { .. } => Failure::Inconsistent(violation.to_string()),
    }
}
