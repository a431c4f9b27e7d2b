//! The content of an answer, parsed once, and the forms of it that were prepared for clients.
//!
//! Owns how many renditions are kept and for which clients, what all of it weighs, and that statuses of rows can be shown
//! as others. Must not know the registry or the time of an answer, nor why a row is lowered (`shown`).

use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;

use super::listing::Listing;
use super::rendition::{LONGEST, Rendition, room};
use crate::consistency::ExactAnswer;
use crate::domain::check::{Checked, DocumentSource, Malformed, OfferedService, advertising, check};
use crate::domain::several::RegistryList;
use crate::domain::{
    DocumentKey, Facts, LifecycleState, Problem, Release, Rows, Template, Trust, VolumeName,
};

/// Base URLs for which a rendition is kept, of a document with links. All of them count in its weight.
const RENDITIONS: usize = 2;

#[derive(Debug)]
pub(crate) enum DocumentContent {
    Found(Found),
    /// The registry's refusal.
    Refused {
        /// The problem, the registry's own where it gave one.
        problem: Problem,
        /// The body as it came, for storage.
        body: Bytes,
        /// Whether the registry itself refused, and not a gateway in front of it.
        is_own: bool,
    },
}

/// A document that was found.
#[derive(Debug)]
pub(crate) struct Found {
    template: Template,
    /// Sent in place of the template: an index with lowered rows, or capabilities with other offers.
    shown: Option<Template>,
    /// The facts that are compared with other documents.
    pub(crate) facts: Arc<Facts>,
    /// The parts that answers of several registries are composed of.
    listing: Arc<Listing>,
    renditions: ArcSwap<Vec<Arc<Rendition>>>,
    /// The last base URL that was asked for and has no kept rendition.
    passing: AtomicU64,
}

/// A rendition of a document, without a count that all readers of the document would share.
pub(crate) struct HeldRendition {
    among: Guard<Arc<Vec<Arc<Rendition>>>>,
    at: usize,
}

impl DocumentContent {
    /// Parses `body`, the answer to `key` with this status.
    ///
    /// # Errors
    /// [`Malformed`] when a 200 has a body that is no answer to `key`.
    pub(super) fn parse(
        key: &DocumentKey,
        status: u16,
        body: Bytes,
        from: DocumentSource<'_>,
    ) -> Result<Self, Malformed> {
        if status != 200 {
            let said = Problem::parse(status, &body);
            let is_own = said.is_some();
            return Ok(Self::Refused { problem: said.unwrap_or_else(|| refusal(status)), body, is_own });
        }
        let Checked { template, facts } = check(key, &body, from)?;
        if body.len() > LONGEST {
            // Hashed here, so that no client waits for it when the document is sent.
            let _ = template.digest();
        }
        let listing = Listing::of(key, &body).into();
        Ok(Self::Found(Found { listing, ..Found::new(template, None, facts.into()) }))
    }
}

impl DocumentContent {
    #[must_use]
    pub(crate) fn release(&self) -> Option<&Release> {
        match self {
            Self::Found(found) => match &*found.facts {
                Facts::Release(release) => Some(release),
                Facts::Index(_) | Facts::Trust(_) | Facts::None => None,
            },
            Self::Refused { .. } => None,
        }
    }

    /// The answer about a release, as one side of a comparison.
    #[must_use]
    pub(crate) fn exact(&self) -> Option<ExactAnswer<'_>> {
        match self {
            Self::Found(_) => self.release().map(ExactAnswer::Found),
            Self::Refused { is_own: false, .. } => None,
            Self::Refused { problem, .. } => Some(ExactAnswer::Refused(problem.status)),
        }
    }

    /// The lifecycle state that an answer about a release says. A 404 says none: it does not tell a deletion from a mistake.
    pub(super) fn state(&self) -> Option<LifecycleState> {
        match self.exact()? {
            ExactAnswer::Found(release) => Some(release.status.state),
            ExactAnswer::Refused(403) => Some(LifecycleState::Blocked),
            ExactAnswer::Refused(_) => None,
        }
    }

    #[must_use]
    pub(crate) fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Found(found) => match &*found.facts {
                Facts::Index(rows) => Some(rows),
                Facts::Release(_) | Facts::Trust(_) | Facts::None => None,
            },
            Self::Refused { .. } => None,
        }
    }

    #[must_use]
    pub(crate) fn trust(&self) -> Option<&Trust> {
        match self {
            Self::Found(found) => match &*found.facts {
                Facts::Trust(trust) => Some(trust),
                Facts::Index(_) | Facts::Release(_) | Facts::None => None,
            },
            Self::Refused { .. } => None,
        }
    }

    /// The items of a list, such as a page of search results.
    pub(crate) fn listed(&self) -> Option<&RegistryList> {
        match self {
            Self::Found(found) => match &*found.listing {
                Listing::Items(listed) => listed.as_ref(),
                Listing::Subject(_) | Listing::None => None,
            },
            Self::Refused { .. } => None,
        }
    }

    /// The volume that an advisory is about; `Some(None)` if it is about no particular volume.
    pub(super) fn subject(&self) -> Option<&Option<VolumeName>> {
        match self {
            Self::Found(found) => match &*found.listing {
                Listing::Subject(subject) => subject.as_ref(),
                Listing::Items(_) | Listing::None => None,
            },
            Self::Refused { .. } => None,
        }
    }

    /// The body as it came.
    #[must_use]
    pub(crate) fn body(&self) -> &Bytes {
        match self {
            Self::Found(found) => found.template.original(),
            Self::Refused { body, .. } => body,
        }
    }

    /// The body as clients see it, but for the base of its links; none for a refusal.
    #[must_use]
    pub(crate) fn shown_body(&self) -> Option<Bytes> {
        match self {
            Self::Found(found) => Some(found.shown().render("")),
            Self::Refused { .. } => None,
        }
    }

    /// The registry's refusal.
    #[must_use]
    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Found(_) => None,
            Self::Refused { problem, .. } => Some(problem),
        }
    }

    /// An upper estimate of its memory in bytes, with all renditions that may be kept.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Found(found) => found.weight(),
            Self::Refused { body, .. } => 2 * body.len(),
        }
    }

    /// Whether it is compared with other documents; so is the absence of a release.
    pub(super) fn is_compared(&self, key: &DocumentKey) -> bool {
        match self {
            Self::Found(found) => *found.facts != Facts::None,
            Self::Refused { is_own, .. } => *is_own && matches!(key, DocumentKey::Release(..)),
        }
    }

    /// Whether the operator's policy says something about it.
    pub(super) fn is_judged(&self) -> bool {
        match self {
            Self::Found(found) => *found.facts != Facts::None,
            Self::Refused { .. } => false,
        }
    }

    /// The same document with the statuses at `rows` replaced; `None` if it shows exactly that already.
    pub(super) fn showing(&self, rows: &[(Range<usize>, String)]) -> Option<Self> {
        let Self::Found(found) = self else { return None };
        let shown = (!rows.is_empty()).then(|| found.template.replacing(rows.iter().cloned()));
        (shown != found.shown).then(|| Self::Found(found.showing(shown)))
    }
}

impl DocumentContent {
    /// A document that was made here.
    pub(super) fn made(template: Template) -> Self {
        Self::Found(Found::new(template, None, Arc::new(Facts::None)))
    }

    /// The same exact metadata, showing what Git delivers as an archive of this proxy, or as it came. `None` if it shows exactly that already,
    /// or Git does not deliver the release.
    pub(super) fn delivering(&self, key: &DocumentKey, as_cdn: bool) -> Option<Self> {
        let (Self::Found(found), DocumentKey::Release(name, version)) = (self, key) else { return None };
        let edits = self.release()?.as_cdn(name, version)?;
        let template = Template::with(self.body().clone(), if as_cdn { edits } else { Vec::new() });
        (template != found.template).then(|| Self::Found(Found { template, ..found.showing(None) }))
    }

    /// The same capabilities, advertising what this proxy offers. `None` if it shows exactly that already, or is no capability document.
    pub(super) fn advertising(&self, offered: OfferedService) -> Option<Self> {
        let Self::Found(found) = self else { return None };
        let differs = offered != OfferedService::default();
        let shown = if differs { advertising(found.template.original(), offered) } else { None };
        (shown != found.shown).then(|| Self::Found(found.showing(shown)))
    }
}

impl Found {
    fn new(template: Template, shown: Option<Template>, facts: Arc<Facts>) -> Self {
        let (listing, renditions, passing) = (Arc::new(Listing::None), ArcSwap::default(), AtomicU64::new(0));
        Self { template, shown, facts, listing, renditions, passing }
    }

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

    /// The document as clients see it, with the positions of its links.
    pub(super) fn shown(&self) -> &Template {
        self.shown.as_ref().unwrap_or(&self.template)
    }

    /// The document for clients that use the base URL `base`, given in two parts. A rendition is kept once the same new base
    /// URL is asked for twice in a row, so that invented host names cost nothing.
    #[must_use]
    pub(crate) fn rendition(&self, base: [&str; 2]) -> HeldRendition {
        let kept = self.renditions.load();
        if let Some(at) = kept.iter().position(|it| it.is_for(base)) {
            return HeldRendition { among: kept, at };
        }
        let made = Rendition::new(self.shown(), &base.concat());
        if !made.is_for_all() && self.passing.swap(made.mark(), Ordering::Relaxed) != made.mark() {
            return HeldRendition::alone(Arc::new(made));
        }
        let made = Arc::new(made.kept());
        self.renditions.rcu(|kept| {
            let newest = std::iter::once(Arc::clone(&made));
            newest.chain(kept.iter().take(RENDITIONS - 1).cloned()).collect::<Vec<_>>()
        });
        HeldRendition::alone(made)
    }
}

impl HeldRendition {
    fn alone(rendition: Arc<Rendition>) -> Self {
        Self { among: Guard::from_inner(Arc::new(vec![rendition])), at: 0 }
    }
}

impl Deref for HeldRendition {
    type Target = Arc<Rendition>;

    fn deref(&self) -> &Arc<Rendition> {
        &self.among[self.at]
    }
}

/// A problem for a refusal whose body has none.
pub(super) fn refusal(status: u16) -> Problem {
    use crate::domain::problem::ProblemKind;
    match status {
        403 => Problem::new(ProblemKind::AuthorizationFailed, "the upstream registry does not allow this"),
        409 => Problem::new(
            ProblemKind::InconsistentRegistryState,
            "the upstream registry contradicts itself about this",
        ),
        410 => Problem::blank(410, "Gone", "the upstream registry does not have this any more"),
        400 | 422 => {
            Problem::new(ProblemKind::ValidationFailed, "the upstream registry refuses this question")
        }
        _ => Problem::new(ProblemKind::NotFound, "the upstream registry does not have this"),
    }
}

#[cfg(test)]
mod tests;
