//! A document: an answer of a registry, definite either way, with what is known about it.
//!
//! A document is immutable: a change of its standing makes another document with the same content. Owns what belongs to a
//! document. Must not know how old it may be when it is served, nor what is compared with it (`judge`).

use std::sync::Arc;

use bytes::Bytes;
use tracing::warn;

use super::content::DocumentContent;
use super::envelope::{Envelope, Meta};
use super::reading::Reading;
use super::rendition::{BodyCoding, Coders, Rendition};
use super::standing::Standing;
use super::turn::LifecycleTurn;
use crate::domain::DocumentKey;
use crate::domain::check::{DocumentSource, Malformed};
use crate::policies::KeptVerdict;

/// Memory that a document takes beside its content, in bytes.
const AROUND: usize = 1024;

#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// When and where it came from.
    pub(crate) meta: Meta,
    /// Shared with the next document when the registry confirms this one.
    pub(crate) content: Arc<DocumentContent>,
    pub(crate) standing: Standing,
    pub(crate) reading: Reading,
    /// The verdict of the operator's policy on what it says.
    pub(crate) verdict: KeptVerdict,
    /// Whether the store holds it, so that it outlives this process.
    pub(super) is_stored: bool,
    /// Compresses its renditions, once it is in memory.
    pub(super) coders: Option<Arc<Coders>>,
}

impl Document {
    /// Parses a registry's answer.
    ///
    /// # Errors
    /// [`Malformed`] when a 200 has a body that is no answer to `key`.
    pub(crate) fn new(key: &DocumentKey, envelope: Envelope) -> Result<Self, Malformed> {
        let Envelope { meta, body } = envelope;
        let from = DocumentSource { origin: &meta.origin, at: meta.at.as_deref() };
        let content = DocumentContent::parse(key, meta.status, body, from)?;
        let standing = Standing::of_new(content.is_compared(key));
        let verdict = if content.is_judged() { KeptVerdict::none() } else { KeptVerdict::unneeded() };
        let (reading, content) = (Reading::default(), Arc::new(content));
        Ok(Self { meta, content, standing, reading, verdict, is_stored: false, coders: None })
    }

    /// An answer that this proxy composed of settled ones.
    pub(super) fn made(meta: Meta, content: Arc<DocumentContent>, coders: Arc<Coders>) -> Self {
        let (standing, reading, verdict) = (Standing::Settled, Reading::default(), KeptVerdict::unneeded());
        Self { meta, content, standing, reading, verdict, is_stored: false, coders: Some(coders) }
    }

    /// The same answer, confirmed by its registry later.
    #[must_use]
    pub(super) fn confirmed(&self, meta: Meta) -> Self {
        Self { meta, ..self.with(self.standing.clone().outdated(false)) }
    }

    #[must_use]
    pub(super) fn with(&self, standing: Standing) -> Self {
        Self { standing, ..self.clone() }
    }

    /// The same answer, judged by the policy.
    #[must_use]
    pub(super) fn judged(&self, verdict: KeptVerdict) -> Self {
        Self { verdict, ..self.clone() }
    }

    /// The same answer, shown as `content`.
    #[must_use]
    pub(super) fn showing(&self, content: DocumentContent) -> Self {
        Self { content: Arc::new(content), ..self.clone() }
    }

    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.standing.is_settled()
    }

    /// Whether both are answers of the same registry, so that they may be compared.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.meta.upstream == other.meta.upstream && self.meta.origin == other.meta.origin
    }

    /// The last change of the state of its release once `next` takes its place. A new one is logged.
    pub(crate) fn turn_to(&self, next: &Self) -> Option<Box<LifecycleTurn>> {
        let states = self.content.state().zip(next.content.state());
        let changed = states.filter(|(from, to)| from != to && self.is_beside(next));
        let Some((from, to)) = changed else { return self.meta.turn.clone() };
        let Meta { key, upstream, fetched_at: since, .. } = &next.meta;
        warn!(%key, upstream, %from, %to, "a registry changed the state of a release");
        Some(Box::new(LifecycleTurn { from, until: self.meta.fetched_at, to, since: *since }))
    }

    /// Its stored form.
    #[must_use]
    pub(crate) fn envelope(&self) -> Envelope {
        Envelope { meta: self.meta.clone(), body: self.content.body().clone() }
    }

    /// Whether the store holds it, so that it outlives this process.
    #[must_use]
    pub(crate) fn outlives_process(&self) -> bool {
        self.is_stored
    }

    #[must_use]
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(*self.content, DocumentContent::Refused { .. })
    }

    /// A 404, or a refusal that does not come from the registry itself. It is never served once it is old.
    #[must_use]
    pub(crate) fn is_absence(&self) -> bool {
        self.meta.status == 404 || self.is_from_between()
    }

    /// Whether a gateway between this proxy and the registry refused.
    #[must_use]
    pub(super) fn is_from_between(&self) -> bool {
        matches!(*self.content, DocumentContent::Refused { is_own: false, .. })
    }

    /// The body of `rendition`, one of this document's, in `coding`; `None` while it is not compressed yet, or if
    /// compression does not pay.
    #[must_use]
    pub(crate) fn body_in<'a>(&self, rendition: &'a Arc<Rendition>, coding: BodyCoding) -> Option<&'a Bytes> {
        rendition.body_in(coding, self.coders.as_ref()?)
    }

    /// An upper estimate of its memory in bytes, with all renditions that may be kept.
    #[must_use]
    pub(crate) fn weight(&self) -> u32 {
        u32::try_from(self.content.weight().saturating_add(AROUND)).unwrap_or(u32::MAX)
    }
}
