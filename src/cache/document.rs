//! A document as it is held in memory: parsed once, rendered once for each base URL.
//!
//! Owns the prepared renditions and their number. Must not know how old it may be served.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;

use super::envelope::{Envelope, Meta};
use crate::domain::check::{Checked, Malformed, check};
use crate::domain::{DocumentKey, Facts, Integrity, Problem, Release, Rows, Sha256, Template};

/// Base URLs for which a rendition is kept; a Host header cannot make a document grow without bound.
const RENDITIONS: usize = 4;

/// An answer, definite either way, with what is known about it.
#[derive(Debug)]
pub struct Document {
    /// When and where it came from.
    pub meta: Meta,
    /// What it says; shared with its successor when upstream confirms it.
    pub content: Arc<Content>,
}

/// What an answer says.
#[derive(Debug)]
pub enum Content {
    /// The document.
    Found(Found),
    /// The registry's refusal.
    Refused {
        /// The problem, the registry's own where it gave one.
        problem: Problem,
        /// The body as it came, for storage.
        body: Bytes,
    },
}

/// A document that was found.
#[derive(Debug)]
pub struct Found {
    template: Template,
    /// What it says that other documents are held against.
    pub facts: Facts,
    renditions: ArcSwap<Vec<Arc<Rendition>>>,
}

/// A document ready to be sent to clients who use one base URL.
#[derive(Debug)]
pub struct Rendition {
    base: Box<str>,
    /// The body with its links.
    pub body: Bytes,
    /// A strong validator of the body.
    pub etag: HeaderValue,
}

impl Document {
    /// Takes a registry's answer for what it says.
    ///
    /// # Errors
    /// [`Malformed`] when a found document is no answer.
    pub fn new(key: &DocumentKey, envelope: Envelope) -> Result<Self, Malformed> {
        let Envelope { meta, body } = envelope;
        let content = if meta.status == 200 {
            let Checked { template, facts } = check(key, &body, &meta.origin)?;
            Content::Found(Found { template, facts, renditions: ArcSwap::default() })
        } else {
            Content::Refused { problem: refusal(meta.status, &body), body }
        };
        Ok(Self { meta, content: Arc::new(content) })
    }

    /// The same answer, confirmed by upstream later.
    #[must_use]
    pub fn confirmed(&self, meta: Meta) -> Self {
        Self { meta, content: Arc::clone(&self.content) }
    }

    /// The form in which it is stored.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope { meta: self.meta.clone(), body: self.content.body().clone() }
    }

    /// The integrity that exact metadata or a trust subject names.
    #[must_use]
    pub fn integrity(&self) -> Option<Integrity> {
        match &*self.content {
            Content::Found(Found { facts: Facts::Release(release), .. }) => release.integrity,
            Content::Found(Found { facts: Facts::Trust(trust), .. }) => Some(trust.integrity),
            Content::Found(_) | Content::Refused { .. } => None,
        }
    }

    /// Whether this is a refusal.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(*self.content, Content::Refused { .. })
    }

    /// About how many bytes of memory it holds.
    #[must_use]
    pub fn weight(&self) -> u32 {
        u32::try_from(self.content.body().len()).unwrap_or(u32::MAX).saturating_mul(2).saturating_add(1024)
    }
}

impl Content {
    /// What exact metadata says.
    #[must_use]
    pub fn release(&self) -> Option<&Release> {
        match self {
            Self::Found(Found { facts: Facts::Release(release), .. }) => Some(release),
            Self::Found(_) | Self::Refused { .. } => None,
        }
    }

    /// What an index says.
    #[must_use]
    pub fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Found(Found { facts: Facts::Index(rows), .. }) => Some(rows),
            Self::Found(_) | Self::Refused { .. } => None,
        }
    }

    fn body(&self) -> &Bytes {
        match self {
            Self::Found(found) => found.template.original(),
            Self::Refused { body, .. } => body,
        }
    }
}

impl Found {
    /// The document for clients who reach this proxy at `base`.
    #[must_use]
    pub fn rendition(&self, base: &str) -> Arc<Rendition> {
        let kept = self.renditions.load();
        if let Some(rendition) = kept.iter().find(|rendition| &*rendition.base == base) {
            return Arc::clone(rendition);
        }
        let rendition = Arc::new(Rendition::new(&self.template, base));
        self.renditions.rcu(|kept| {
            let newest = std::iter::once(Arc::clone(&rendition));
            newest.chain(kept.iter().take(RENDITIONS - 1).cloned()).collect::<Vec<_>>()
        });
        rendition
    }
}

impl Rendition {
    fn new(template: &Template, base: &str) -> Self {
        let body = template.render(base);
        let etag = format!("\"{}\"", &Sha256::of(&body).hex()[..32]);
        let etag = HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { base: base.into(), body, etag }
    }
}

/// The registry's problem, or the one its status stands for where it gave none.
pub(super) fn refusal(status: u16, body: &[u8]) -> Problem {
    use crate::domain::problem::Kind;
    Problem::parse(status, body).unwrap_or_else(|| match status {
        403 => Problem::new(Kind::AuthorizationFailed, "the upstream registry does not allow this"),
        409 => Problem::new(
            Kind::InconsistentRegistryState,
            "the upstream registry contradicts itself about this",
        ),
        400 | 422 => Problem::new(Kind::ValidationFailed, "the upstream registry refuses this question"),
        _ => Problem::new(Kind::NotFound, "the upstream registry does not have this"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn index() -> Document {
        let meta = Meta {
            key: String::new(),
            status: 200,
            fetched_at: Timestamp(0),
            upstream_age: 0,
            upstream: String::new(),
            origin: String::new(),
            etag: None,
        };
        let body = r#"{"items":[{"version":"1.0.0","status":{"state":"available"},"release":{"url":"x"}}]}"#;
        Document::new(&DocumentKey::Index("x".parse().unwrap()), Envelope { meta, body: body.into() })
            .unwrap()
    }

    #[test]
    fn a_rendition_is_made_once_and_few_are_kept() {
        let document = index();
        let Content::Found(found) = &*document.content else { panic!("found") };
        let first = found.rendition("http://a");
        assert!(Arc::ptr_eq(&first, &found.rendition("http://a")));
        assert_ne!(first.etag, found.rendition("http://b").etag);
        for host in 0..100 {
            let _ = found.rendition(&format!("http://{host}"));
        }
        assert_eq!(found.renditions.load().len(), RENDITIONS);
    }

    #[test]
    fn a_refusal_without_a_problem_gets_one() {
        for (status, slug) in
            [(404, "not-found"), (403, "authorization-failed"), (409, "inconsistent-registry-state")]
        {
            assert_eq!(refusal(status, b"<html>").kind.unwrap().slug(), slug);
        }
    }
}
