//! Whether a document may be served, as far as other documents are concerned.
//!
//! ```text
//!  new answer ──> Unsettled ── compared, nothing differs ──> Settled ── declared out of date ──> Outdated
//!                   │    ^                                     │                                    │
//!                   │    └──────────── something new speaks against it ────────────────────────────┘
//!                   └── declared out of date ──> Unsettled, and out of date
//! ```
//! An answer that nothing is compared with begins as `Settled`. A renewal takes away that it is out of date and nothing
//! else. Owns these transitions. Must not know what is compared with what (`judge`), nor how old an answer may be.

use std::sync::Arc;

use super::content::DocumentContent;

#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// Nothing that is known speaks against it.
    Settled,
    /// The same, but it was declared out of date: it is asked for again before it is served.
    Outdated,
    /// It is compared with what else is known before it is served.
    Unsettled(Doubt),
}

/// Why and since when a document has to be compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doubt {
    is_outdated: bool,
    /// When something new last spoke against it, in the order of this process's questions.
    raised_at: u64,
    /// What the document said when it was last settled: an index's rows that did not change since need no comparison.
    before: Option<Arc<DocumentContent>>,
}

impl Standing {
    /// That of a new answer.
    pub(super) fn of_new(is_compared: bool) -> Self {
        if is_compared { Self::Unsettled(Doubt::default()) } else { Self::Settled }
    }

    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self, Self::Settled | Self::Outdated)
    }

    pub(crate) fn is_outdated(&self) -> bool {
        match self {
            Self::Settled => false,
            Self::Outdated => true,
            Self::Unsettled(doubt) => doubt.is_outdated,
        }
    }

    /// Whether something new spoke against the document after the question `since`.
    pub(super) fn is_doubted_after(&self, since: u64) -> bool {
        matches!(self, Self::Unsettled(doubt) if doubt.raised_at > since)
    }

    /// What the document said when it was last settled.
    pub(super) fn before(&self) -> Option<&Arc<DocumentContent>> {
        match self {
            Self::Settled | Self::Outdated => None,
            Self::Unsettled(doubt) => doubt.before.as_ref(),
        }
    }

    /// Something new speaks against the document, as of the question `at`.
    pub(super) fn doubted(&self, at: u64) -> Self {
        Self::Unsettled(Doubt { raised_at: at, ..self.doubt() })
    }

    /// The same, whether or not it was declared out of date.
    pub(super) fn outdated(self, is_outdated: bool) -> Self {
        match (self, is_outdated) {
            (Self::Settled | Self::Outdated, true) => Self::Outdated,
            (Self::Settled | Self::Outdated, false) => Self::Settled,
            (Self::Unsettled(doubt), is_outdated) => Self::Unsettled(Doubt { is_outdated, ..doubt }),
        }
    }

    /// It has to be compared with what else is known, whatever was found before.
    pub(super) fn unsettled(&self) -> Self {
        Self::Unsettled(self.doubt())
    }

    /// The same after an earlier answer with `standing` that said `content`; a settled one needs no comparison.
    pub(super) fn following(self, standing: &Self, content: &Arc<DocumentContent>) -> Self {
        let Self::Unsettled(doubt) = self else { return self };
        let before = if standing.is_settled() { Some(content) } else { standing.before() };
        Self::Unsettled(Doubt { before: before.cloned(), ..doubt })
    }

    fn doubt(&self) -> Doubt {
        match self {
            Self::Unsettled(doubt) => doubt.clone(),
            Self::Settled | Self::Outdated => Doubt { is_outdated: self.is_outdated(), ..Doubt::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Template;

    fn content() -> Arc<DocumentContent> {
        Arc::new(DocumentContent::made(Template::with("{}".into(), Vec::new())))
    }

    fn all() -> Vec<Standing> {
        let (new, old) = (Standing::of_new(true), Standing::of_new(false));
        let doubted = new.doubted(7).following(&old, &content());
        vec![new.clone(), new.outdated(true), old.clone(), old.outdated(true), doubted]
    }

    #[test]
    fn a_new_answer_is_settled_only_where_nothing_is_compared_with_it() {
        assert!(!Standing::of_new(true).is_settled());
        assert!(matches!(Standing::of_new(false), Standing::Settled));
    }

    #[test]
    fn a_doubt_unsettles_and_is_newer_than_what_began_before_it() {
        for standing in all() {
            let doubted = standing.doubted(9);
            assert!(!doubted.is_settled() && doubted.is_doubted_after(8) && !doubted.is_doubted_after(9));
            assert_eq!(doubted.is_outdated(), standing.is_outdated());
            assert_eq!(doubted.before().is_some(), standing.before().is_some());
        }
    }

    #[test]
    fn being_out_of_date_changes_nothing_else_and_ends_with_a_renewal() {
        for standing in all() {
            for is_outdated in [true, false] {
                let declared = standing.clone().outdated(is_outdated);
                assert_eq!(declared.is_outdated(), is_outdated);
                assert_eq!(declared.is_settled(), standing.is_settled());
                assert_eq!(declared.is_doubted_after(6), standing.is_doubted_after(6));
                assert_eq!(declared.before().is_some(), standing.before().is_some());
            }
        }
    }

    #[test]
    fn what_is_to_be_compared_anew_keeps_what_is_known() {
        for standing in all() {
            let unsettled = standing.unsettled();
            assert!(!unsettled.is_settled());
            assert_eq!(unsettled.is_outdated(), standing.is_outdated());
            assert_eq!(unsettled.is_doubted_after(6), standing.is_doubted_after(6));
        }
    }

    #[test]
    fn an_answer_that_follows_knows_what_was_settled_last() {
        let (said, earlier) = (content(), content());
        let new = || Standing::of_new(true);
        for settled in [Standing::Settled, Standing::Outdated] {
            assert!(Arc::ptr_eq(new().following(&settled, &said).before().unwrap(), &said));
            assert!(settled.clone().following(&settled, &said).before().is_none(), "nothing is compared");
        }
        let unsettled = new().following(&Standing::Settled, &earlier);
        assert!(Arc::ptr_eq(new().following(&unsettled, &said).before().unwrap(), &earlier));
        assert!(new().following(&new(), &said).before().is_none());
    }
}
