//! A document as it is held in memory: parsed once, and what was prepared of it for clients.
//!
//! Owns how many renditions are kept and for whom, what all of it weighs, and that statuses of rows can be shown as
//! others. Must not know how old it may be served, nor what speaks against a row (`shown`).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::envelope::{Envelope, Meta};
use super::rendition::{Coders, Coding, LONGEST, Rendition, room};
use crate::consistency::Exact;
use crate::domain::check::{Checked, From, Malformed, check, relaying};
use crate::domain::several::Listed;
use crate::domain::{DocumentKey, Facts, Problem, Release, Rows, Template, Trust, VolumeName};

mod listing;

use listing::Listing;

/// Base URLs for which a rendition is kept, of a document with links. All of them count in its weight.
const RENDITIONS: usize = 2;

/// What a document weighs beside what it says.
const AROUND: usize = 1024;

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
    pub facts: Arc<Facts>,
    /// What it says that an answer of several registries is made of.
    listing: Arc<Listing>,
    renditions: ArcSwap<Vec<Arc<Rendition>>>,
    /// The base URL that was asked for last of those for which none is kept.
    passing: AtomicU64,
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
            if body.len() > LONGEST {
                // Hashed here, where nobody waits for it who only sends it.
                let _ = template.digest();
            }
            let listing = Listing::of(key, &body).into();
            Content::Found(Found { listing, ..Found::new(template, None, facts.into()) })
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

    /// About how many bytes of memory it may come to hold: the answer, what it says, and all that is kept of it for
    /// clients, whether or not that was prepared yet.
    #[must_use]
    pub fn weight(&self) -> u32 {
        u32::try_from(self.content.weight().saturating_add(AROUND)).unwrap_or(u32::MAX)
    }
}

impl Content {
    /// What exact metadata says.
    #[must_use]
    pub fn release(&self) -> Option<&Release> {
        match self {
            Self::Found(found) => match &*found.facts {
                Facts::Release(release) => Some(release),
                Facts::Index(_) | Facts::Trust(_) | Facts::None => None,
            },
            Self::Refused { .. } => None,
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
            Self::Found(found) => match &*found.facts {
                Facts::Index(rows) => Some(rows),
                Facts::Release(_) | Facts::Trust(_) | Facts::None => None,
            },
            Self::Refused { .. } => None,
        }
    }

    /// What a trust view says.
    #[must_use]
    pub fn trust(&self) -> Option<&Trust> {
        match self {
            Self::Found(found) => match &*found.facts {
                Facts::Trust(trust) => Some(trust),
                Facts::Index(_) | Facts::Release(_) | Facts::None => None,
            },
            Self::Refused { .. } => None,
        }
    }

    /// What stands on a list.
    pub(super) fn listed(&self) -> Option<&Listed> {
        match self {
            Self::Found(found) => match &*found.listing {
                Listing::Items(listed) => listed.as_ref(),
                Listing::About(_) | Listing::None => None,
            },
            Self::Refused { .. } => None,
        }
    }

    /// Which volume an advisory is about: none in particular where that is `Some(None)`.
    pub(super) fn about(&self) -> Option<&Option<VolumeName>> {
        match self {
            Self::Found(found) => match &*found.listing {
                Listing::About(about) => about.as_ref(),
                Listing::Items(_) | Listing::None => None,
            },
            Self::Refused { .. } => None,
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

    /// About how many bytes of memory it may come to hold.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Found(found) => found.weight(),
            Self::Refused { body, .. } => 2 * body.len(),
        }
    }

    /// Whether it says something that other documents are held against; a release's absence is, too.
    fn is_compared(&self, key: &DocumentKey) -> bool {
        match self {
            Self::Found(found) => *found.facts != Facts::None,
            Self::Refused { is_own, .. } => *is_own && matches!(key, DocumentKey::Release(..)),
        }
    }

    /// The same index with the statuses at `rows` replaced; `None` when it shows just that already.
    pub(super) fn showing(&self, rows: &[(Range<usize>, String)]) -> Option<Self> {
        let Self::Found(found) = self else { return None };
        let shown = (!rows.is_empty()).then(|| found.template.replacing(rows.iter().cloned()));
        (shown != found.shown).then(|| Self::Found(found.showing(shown)))
    }
}

impl Content {
    /// A document that was made here.
    pub(super) fn made(template: Template) -> Self {
        Self::Found(Found::new(template, None, Arc::new(Facts::None)))
    }

    /// The same capabilities, with the uploads advertised that are carried where they are relayed, or none; `None` when
    /// it shows just that already, or is something else.
    pub(super) fn advertising(&self, uploads: bool) -> Option<Self> {
        let Self::Found(found) = self else { return None };
        let shown = if uploads { relaying(found.template.original()) } else { None };
        (shown != found.shown).then(|| Self::Found(found.showing(shown)))
    }
}

impl Found {
    fn new(template: Template, shown: Option<Template>, facts: Arc<Facts>) -> Self {
        let (listing, renditions, passing) = (Arc::new(Listing::None), ArcSwap::default(), AtomicU64::new(0));
        Self { template, shown, facts, listing, renditions, passing }
    }

    /// The same, shown as something else.
    fn showing(&self, shown: Option<Template>) -> Self {
        let listing = Arc::clone(&self.listing);
        Self { listing, ..Self::new(self.template.clone(), shown, Arc::clone(&self.facts)) }
    }

    fn weight(&self) -> usize {
        let shown = self.shown();
        let bases = if shown.links() == 0 { 1 } else { RENDITIONS };
        let beside = self.shown.as_ref().map_or(0, Template::overhead) + self.template.overhead();
        shown.original().len() + beside + self.facts.weight() + self.listing.weight() + bases * room(shown)
    }

    /// The document as it is shown, with the places of its links.
    pub(super) fn shown(&self) -> &Template {
        self.shown.as_ref().unwrap_or(&self.template)
    }

    /// The document for clients who reach this proxy at `base`, which is given in two parts. It is kept for those who ask
    /// twice before another stranger does: nothing is prepared for names that somebody makes up.
    #[must_use]
    pub fn rendition(&self, base: [&str; 2]) -> Arc<Rendition> {
        let kept = self.renditions.load();
        if let Some(rendition) = kept.iter().find(|it| it.is_for(base)) {
            return Arc::clone(rendition);
        }
        let made = Rendition::new(self.shown(), &base.concat());
        if !made.is_for_all() && self.passing.swap(made.mark(), Ordering::Relaxed) != made.mark() {
            return Arc::new(made);
        }
        let made = Arc::new(made.kept());
        self.renditions.rcu(|kept| {
            let newest = std::iter::once(Arc::clone(&made));
            newest.chain(kept.iter().take(RENDITIONS - 1).cloned()).collect::<Vec<_>>()
        });
        made
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
mod tests;
