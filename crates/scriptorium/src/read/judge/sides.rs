//! The sides of a comparison, and what may be given while they differ.
//!
//! Owns which documents are compared, and what is safe to give while the registry is unreachable: pure functions of
//! documents. Must not know what counts as a difference (`consistency::reconcile`).

use std::sync::Arc;

use super::Settled;
use crate::consistency::{ClaimSource, Difference, DifferenceKind, Divergence, Pin, Testimony, reconcile};
use crate::domain::{Version, VolumeName};
use crate::read::content::DocumentContent;
use crate::read::document::Document;
use crate::read::failure::ReadFailure;

/// The documents and the pin that are compared.
#[derive(Default, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) index: Option<&'a Document>,
    pub(super) exact: Option<&'a Document>,
    pub(super) trust: Option<&'a Document>,
    pub(super) pin: Option<&'a Pin>,
}

impl Sides<'_> {
    /// Whether these sides, which agree, end `open`: they include all that it was about, and one of them is younger.
    pub(super) fn end(&self, open: &Divergence) -> bool {
        let documents = || [self.index, self.exact].into_iter().flatten();
        let heard =
            self.exact.is_some() || open.claims.iter().all(|claim| claim.source != ClaimSource::Exact);
        let is_news = documents().any(|document| document.meta.fetched_at > open.checked_at);
        heard && is_news && !documents().any(|document| document.standing.is_outdated())
    }

    pub(super) fn testimony(&self, source: ClaimSource, says: String) -> Testimony {
        let document = match source {
            ClaimSource::Index => self.index,
            ClaimSource::Exact => self.exact,
            ClaimSource::Trust => self.trust,
            ClaimSource::Pin | ClaimSource::Route | ClaimSource::History | ClaimSource::Repository => None,
        };
        let said = document.map(|document| (document.meta.fetched_at, document.meta.upstream.clone()));
        let pinned = || self.pin.map(|pin| (pin.since, pin.upstream.clone()));
        let said = if source == ClaimSource::Pin { pinned() } else { said };
        let (fetched_at, upstream) = said.unzip();
        Testimony { source, says, fetched_at, upstream }
    }
}

/// What may be given of a release while its sides differ and cannot be asked again. Metadata that offers no bytes may always
/// be given; a block in the newer row stands; a yank does not stop a build.
pub(super) fn without_asking(
    difference: &Difference,
    index: Option<&Document>,
    version: &Version,
    release: &Arc<Document>,
    failure: ReadFailure,
) -> Result<Settled, ReadFailure> {
    let row = index.and_then(|index| Some((index, index.content.rows()?.of(version).first()?)));
    let exact = match &*release.content {
        DocumentContent::Refused { .. } if release.is_absence() => return Err(failure),
        DocumentContent::Refused { .. } => return Ok(Settled::Unconfirmed(Arc::clone(release))),
        content @ DocumentContent::Found(_) => content.release().ok_or(ReadFailure::Malformed)?,
    };
    match (difference.kind, row) {
        (DifferenceKind::State, _) if !exact.serves_bytes() => Ok(Settled::Unconfirmed(Arc::clone(release))),
        (DifferenceKind::State, Some((_, row))) if row.status.state.serves_bytes() => {
            Ok(Settled::Unconfirmed(Arc::clone(release)))
        }
        (DifferenceKind::State, Some((index, row))) if index.meta.fetched_at >= release.meta.fetched_at => {
            Err(ReadFailure::Withdrawn(row.status.clone()))
        }
        _ => Err(failure),
    }
}

/// Compares the sides of a release.
pub(super) fn compare(
    (name, version): (&VolumeName, &Version),
    index: Option<&Document>,
    release: Option<&Arc<Document>>,
    pin: Option<&Pin>,
) -> Option<Difference> {
    // Read in the moment of a reload, they may be of two registries.
    let index = index.filter(|index| release.is_none_or(|release| index.is_beside(release)));
    let rows = index.and_then(|index| index.content.rows()).map(|rows| rows.of(version));
    let exact = release.and_then(|release| release.content.exact());
    reconcile((name, version), rows, exact, pin.map(|pin| pin.integrity))
}
