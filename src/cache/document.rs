//! A document as it is held in memory: parsed once, rendered once for each base URL.
//!
//! Owns how many renditions are kept, and that statuses of rows can be shown as others. Must not know how old it may
//! be served, nor what speaks against a row (`shown`).

use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::envelope::{Envelope, Meta};
use super::rendition::{Coders, Coding, Rendition, is_coded};
use crate::consistency::Exact;
use crate::domain::check::{Checked, From, Malformed, check, relaying};
use crate::domain::{DocumentKey, Facts, Problem, Release, Rows, Template, Trust};

/// Base URLs for which a rendition is kept; a Host header cannot make a document grow without bound.
const RENDITIONS: usize = 4;

/// An answer, definite either way, with what is known about it.
#[derive(Debug, Clone)]
pub struct Document {
    /// When and where it came from.
    pub meta: Meta,
    /// What it says; shared with its successor when upstream confirms it.
    pub content: Arc<Content>,
    /// Whether it was held against what else is known, and nothing speaks against it.
    pub(super) settled: bool,
    /// Whether an operator declared it out of date.
    pub(super) outdated: bool,
    /// When it was asked for, in the order of this process's questions; 0 when an earlier process asked.
    pub(super) asked: u64,
    /// When it was last read whole and not merely confirmed, in that order.
    pub(super) read: u64,
    /// When its answer was there, in that order.
    pub(super) landed: u64,
    /// Whether the store holds it, so that it outlives this process.
    pub(super) stored: bool,
    /// How often something new spoke against it: a settlement that began before does not count.
    pub(super) doubts: u32,
    /// What an index said when it was last settled: rows that did not change since need not be compared again.
    pub(super) before: Option<Arc<Content>>,
    /// Who compresses its renditions; nobody before it is held in memory.
    pub(super) coders: Option<Arc<Coders>>,
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
        /// Whether the registry itself says so, and not somebody in between.
        is_own: bool,
    },
}

/// A document that was found.
#[derive(Debug)]
pub struct Found {
    template: Template,
    /// What is shown in place of the template: an index with statuses of ours, or capabilities with uploads.
    shown: Option<Template>,
    /// What it says that other documents are held against.
    pub facts: Facts,
    renditions: ArcSwap<Vec<Arc<Rendition>>>,
}

impl Document {
    /// Takes a registry's answer for what it says.
    ///
    /// # Errors
    /// [`Malformed`] when a found document is no answer.
    pub fn new(key: &DocumentKey, envelope: Envelope) -> Result<Self, Malformed> {
        let Envelope { meta, body } = envelope;
        let content = if meta.status == 200 {
            let Checked { template, facts } =
                check(key, &body, From { origin: &meta.origin, at: meta.at.as_deref() })?;
            Content::Found(Found { template, shown: None, facts, renditions: ArcSwap::default() })
        } else {
            let said = Problem::parse(meta.status, &body);
            let is_own = said.is_some();
            Content::Refused { problem: said.unwrap_or_else(|| refusal(meta.status)), body, is_own }
        };
        let settled = !content.is_compared(key);
        Ok(Self::of(meta, Arc::new(content), settled))
    }

    fn of(meta: Meta, content: Arc<Content>, settled: bool) -> Self {
        Self {
            meta,
            content,
            settled,
            outdated: false,
            asked: 0,
            read: 0,
            landed: 0,
            stored: false,
            doubts: 0,
            before: None,
            coders: None,
        }
    }

    /// An answer that was made here, of settled ones.
    pub(super) fn made(meta: Meta, content: Arc<Content>, coders: Arc<Coders>) -> Self {
        Self { coders: Some(coders), ..Self::of(meta, content, true) }
    }

    /// The same answer, confirmed by upstream later.
    #[must_use]
    pub(super) fn confirmed(&self, meta: Meta) -> Self {
        Self { meta, outdated: false, ..self.clone() }
    }

    /// Whether it is an answer of the registry that gave `other`, so that the two may be held against each other.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.meta.upstream == other.meta.upstream && self.meta.origin == other.meta.origin
    }

    /// The form in which it is stored.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope { meta: self.meta.clone(), body: self.content.body().clone() }
    }

    /// Whether this is a refusal.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(*self.content, Content::Refused { .. })
    }

    /// A remembered 404, or a refusal that is not the registry's own: true when it was said, and no substitute for
    /// asking.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        self.meta.status == 404 || self.is_from_between()
    }

    /// Whether somebody between us and the registry refuses, so that the registry says nothing by it.
    #[must_use]
    pub(super) fn is_from_between(&self) -> bool {
        matches!(*self.content, Content::Refused { is_own: false, .. })
    }

    /// The body of `rendition`, one of this document's, in `coding`; `None` while that is not made, and where
    /// it does not pay.
    #[must_use]
    pub fn body_in<'a>(&self, rendition: &'a Arc<Rendition>, coding: Coding) -> Option<&'a Bytes> {
        rendition.body_in(coding, self.coders.as_ref()?)
    }

    /// About how many bytes of memory it holds: the answer, a rendition, and codings of half of one each.
    #[must_use]
    pub fn weight(&self) -> u32 {
        let length = self.content.body().len();
        let times = if is_coded(length) { 3 } else { 2 };
        u32::try_from(length).unwrap_or(u32::MAX).saturating_mul(times).saturating_add(1024)
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

    /// What a document of a release answers, as a side of a comparison.
    #[must_use]
    pub fn exact(&self) -> Option<Exact<'_>> {
        match self {
            Self::Found(_) => self.release().map(Exact::Found),
            Self::Refused { is_own: false, .. } => None,
            Self::Refused { problem, .. } => Some(Exact::Refused(problem.status)),
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

    /// What a trust view says.
    #[must_use]
    pub fn trust(&self) -> Option<&Trust> {
        match self {
            Self::Found(Found { facts: Facts::Trust(trust), .. }) => Some(trust),
            Self::Found(_) | Self::Refused { .. } => None,
        }
    }

    /// The body as it came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        match self {
            Self::Found(found) => found.template.original(),
            Self::Refused { body, .. } => body,
        }
    }

    /// Whether it says something that other documents are held against; a release's absence is, too.
    fn is_compared(&self, key: &DocumentKey) -> bool {
        match self {
            Self::Found(found) => found.facts != Facts::None,
            Self::Refused { is_own, .. } => *is_own && matches!(key, DocumentKey::Release(..)),
        }
    }

    /// The same index with the statuses at `rows` replaced; `None` when it shows just that already.
    pub(super) fn showing(&self, rows: &[(Range<usize>, String)]) -> Option<Self> {
        let Self::Found(found) = self else { return None };
        let shown = (!rows.is_empty()).then(|| found.template.replacing(rows.iter().cloned()));
        (shown != found.shown).then(|| {
            let (template, facts) = (found.template.clone(), found.facts.clone());
            Self::Found(Found { template, shown, facts, renditions: ArcSwap::default() })
        })
    }
}

impl Content {
    /// A document that was made here.
    pub(super) fn made(template: Template) -> Self {
        Self::Found(Found { template, shown: None, facts: Facts::None, renditions: ArcSwap::default() })
    }

    /// The same capabilities, with the uploads advertised that are carried where they are relayed, or none; `None` when
    /// it shows just that already, or is something else.
    pub(super) fn advertising(&self, uploads: bool) -> Option<Self> {
        let Self::Found(found) = self else { return None };
        let shown = if uploads { relaying(found.template.original()) } else { None };
        (shown != found.shown).then(|| {
            let (template, facts) = (found.template.clone(), found.facts.clone());
            Self::Found(Found { template, shown, facts, renditions: ArcSwap::default() })
        })
    }
}

impl Found {
    /// The document as it is shown, with the places of its links.
    pub(super) fn shown(&self) -> &Template {
        self.shown.as_ref().unwrap_or(&self.template)
    }

    /// The document for clients who reach this proxy at `base`, which is given in two parts.
    #[must_use]
    pub fn rendition(&self, base: [&str; 2]) -> Arc<Rendition> {
        let kept = self.renditions.load();
        let [start, end] = base;
        if let Some(rendition) = kept.iter().find(|it| it.base.strip_prefix(start) == Some(end)) {
            return Arc::clone(rendition);
        }
        let base = &base.concat();
        let rendition = Arc::new(Rendition::new(self.shown().render(base), base));
        self.renditions.rcu(|kept| {
            let newest = std::iter::once(Arc::clone(&rendition));
            newest.chain(kept.iter().take(RENDITIONS - 1).cloned()).collect::<Vec<_>>()
        });
        rendition
    }
}

/// The problem that a status stands for where the registry gave none.
pub(super) fn refusal(status: u16) -> Problem {
    use crate::domain::problem::Kind;
    match status {
        403 => Problem::new(Kind::AuthorizationFailed, "the upstream registry does not allow this"),
        409 => Problem::new(
            Kind::InconsistentRegistryState,
            "the upstream registry contradicts itself about this",
        ),
        410 => Problem::blank(410, "Gone", "the upstream registry does not have this any more"),
        400 | 422 => Problem::new(Kind::ValidationFailed, "the upstream registry refuses this question"),
        _ => Problem::new(Kind::NotFound, "the upstream registry does not have this"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::keeping::Keeping;
    use crate::clock::Timestamp;

    fn index() -> Document {
        document(r#"{"items":[{"version":"1.0.0","status":{"state":"available"},"release":{"url":"x"}}]}"#)
    }

    fn document(body: &'static str) -> Document {
        let meta = Meta {
            key: String::new(),
            status: 200,
            fetched_at: Timestamp(0),
            upstream_age: 0,
            upstream: String::new(),
            origin: String::new(),
            etag: None,
            at: None,
            keeping: Keeping::default(),
        };
        Document::new(&DocumentKey::Index("x".parse().unwrap()), Envelope { meta, body: body.into() })
            .unwrap()
    }

    #[test]
    fn a_rendition_is_made_once_and_few_are_kept() {
        let document = index();
        let Content::Found(found) = &*document.content else { panic!("found") };
        let first = found.rendition(["http://", "a"]);
        assert!(Arc::ptr_eq(&first, &found.rendition(["http://", "a"])));
        assert_ne!(first.etag, found.rendition(["http://b", ""]).etag);
        for host in 0..100 {
            let _ = found.rendition(["http://", &host.to_string()]);
        }
        assert_eq!(found.renditions.load().len(), RENDITIONS);
    }

    #[tokio::test]
    async fn its_weight_covers_its_codings() {
        let body = format!(r#"{{"items":[],"filler":"{}"}}"#, "words and ".repeat(10_000));
        let coders = Some(Arc::default());
        let document = Document { coders, ..document(body.leak()) };
        let Content::Found(found) = &*document.content else { panic!("found") };
        let rendition = found.rendition(["http://", "a"]);
        let mut held = document.content.body().len() + rendition.body.len();
        for coding in Coding::ALL {
            while document.body_in(&rendition, coding).is_none() {
                tokio::task::yield_now().await;
            }
            held += rendition.body.len() / 2;
        }
        assert!(document.weight() as usize >= held);
    }

    #[test]
    fn another_status_changes_what_is_shown_and_nothing_else() {
        let document = index();
        let version = "1.0.0".parse().unwrap();
        let at = document.content.rows().unwrap().of(&version)[0].status_at();
        let shown = |content: &Content| match content {
            Content::Found(found) => found.rendition(["http://", "a"]).body.clone(),
            Content::Refused { .. } => panic!("found"),
        };
        let rows = [(at, r#"{"state":"unavailable"}"#.to_owned())];
        let quarantined = document.content.showing(&rows).unwrap();
        assert!(quarantined.showing(&rows).is_none(), "nothing new");
        let text = String::from_utf8(shown(&quarantined).to_vec()).unwrap();
        assert_eq!(
            text,
            r#"{"items":[{"version":"1.0.0","status":{"state":"unavailable"},"release":{"url":"http://a/api/v1/volumes/x/1.0.0"}}]}"#
        );
        assert_eq!(quarantined.body(), document.content.body(), "what is stored stays the registry's");
        assert_eq!(shown(&quarantined.showing(&[]).unwrap()), shown(&document.content));
    }

    #[test]
    fn uploads_are_advertised_where_they_are_relayed() {
        const SAID: &str = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{ "releaseUploads":true },"uploadProfiles":{"releaseUploads":["http-put"]},"later":1.0}"#;
        let envelope = Envelope { meta: index().meta, body: SAID.into() };
        let document = Document::new(&DocumentKey::Capabilities, envelope).unwrap();
        let shown = |content: &Content| match content {
            Content::Found(found) => found.rendition(["http://", "a"]).body.clone(),
            Content::Refused { .. } => panic!("found"),
        };
        let hidden = SAID.replace("true", "false").replace(r#"["http-put"]"#, "[]");
        assert_eq!(shown(&document.content), hidden);
        assert!(document.content.advertising(false).is_none());
        let advertised = document.content.advertising(true).unwrap();
        assert_eq!(shown(&advertised), SAID);
        assert!(advertised.advertising(true).is_none());
        assert_eq!(shown(&advertised.advertising(false).unwrap()), hidden);
    }

    #[test]
    fn a_refusal_without_a_problem_gets_one() {
        for (status, slug) in
            [(404, "not-found"), (403, "authorization-failed"), (409, "inconsistent-registry-state")]
        {
            assert_eq!(refusal(status).kind.unwrap().slug(), slug);
        }
        assert_eq!((refusal(410).kind, refusal(410).status), (None, 410));
    }
}
