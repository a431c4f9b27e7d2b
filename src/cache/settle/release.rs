//! Settling exact metadata: with the index's row, and with the pin.
//!
//! Owns which sides are looked at, when a release is pinned, and what may be said while nobody can be asked.
//! Must not know how a difference is shown.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout_at;

use super::{ROUNDS, Settled, Sides};
use crate::cache::document::{Content, Document};
use crate::cache::documents::Documents;
use crate::cache::failure::Failure;
use crate::cache::freshness::Freshness;
use crate::consistency::{Bound, Difference, Kind, Pin, is_late, reconcile};
use crate::domain::{DocumentKey, Purl, Version, VolumeName};
use crate::upstream::Errand;

/// Between two tries to write pins that the store did not take.
const WRITE_PINS_EVERY: Duration = Duration::from_secs(2);

impl Documents {
    /// Writes down the pins that the store did not take when they were first believed, once it does. Never ends.
    pub async fn write_pins(&self) {
        loop {
            tokio::time::sleep(WRITE_PINS_EVERY).await;
            self.pins.write_down().await;
        }
    }

    pub(super) async fn settle_release(
        self: &Arc<Self>,
        name: &VolumeName,
        version: &Version,
        document: Arc<Document>,
        errand: Errand<'_>,
    ) -> Result<Settled, Failure> {
        let (key, index_key) =
            (DocumentKey::Release(name.clone(), version.clone()), DocumentKey::Index(name.clone()));
        let mut release = document;
        let mut index = self.index_beside(&index_key, version, &release, errand).await;
        let registry = release.meta.registry();
        let mut pin = self.pinned(&registry, &Purl::new(name, version)).await?;
        let mut before: Option<Option<Difference>> = None;
        for round in 1.. {
            // Routed elsewhere meanwhile, its other side cannot be asked any more.
            if !self.counts(&key, &release) {
                return Err(Failure::Lost);
            }
            let doubts = self.remembered(&key).map_or(0, |held| held.doubts);
            index = self.remembered(&index_key).or(index);
            release = self.newest(&key, release);
            let difference = compare((name, version), index.as_deref(), Some(&release), pin.as_ref());
            // What was believed last stands until something new was heard of it.
            let open = self.divergences.of(&registry, &key);
            // Somebody between us and the registry says nothing of the release.
            if release.content.exact().is_none() {
                return open.map_or(Ok(Settled::Unconfirmed(release)), |open| Err(Failure::Divergent(open)));
            }
            let sides = Sides { index: index.as_deref(), exact: Some(&*release), ..Sides::default() };
            let is_over = before.is_some() || open.as_ref().is_none_or(|open| sides.end(open));
            match &difference {
                None if is_over => {
                    if let Some(status) = self.overruled(name, version, &release).await {
                        return Err(Failure::Withdrawn(status));
                    }
                    let kept = match self.admit(name, version, &release, pin.as_ref()).await? {
                        Admitted::Earlier(first) => {
                            pin = Some(first);
                            continue;
                        }
                        Admitted::Kept => true,
                        Admitted::Unkept => false,
                    };
                    if let Some(settled) = self.agree(&key, &release, doubts, kept).await {
                        let integrity = release.content.release().and_then(|release| release.integrity);
                        self.outgrow(&registry, &Purl::new(name, version), integrity).await;
                        return Ok(settled);
                    }
                    continue;
                }
                Some(found) if before.as_ref() == Some(&difference) || round >= ROUNDS => {
                    let (index, exact) = (index.as_deref(), Some(&*release));
                    let sides = Sides { index, exact, pin: pin.as_ref(), trust: None };
                    return Err(self.diverge(&registry, &key, (name, version), found.clone(), sides).await);
                }
                None | Some(_) => {}
            }
            let since = release.landed.max(index.as_ref().map_or(0, |index| index.landed));
            let both = tokio::join!(self.again(&index_key, since, errand), self.again(&key, since, errand));
            (index, release) = match (both, &difference) {
                ((Ok(index), Ok(release)), _) => (Some(index), release),
                ((Err(failure), _) | (_, Err(failure)), Some(difference)) if open.is_none() => {
                    return without_asking(difference, index.as_deref(), version, &release, failure);
                }
                ((Err(failure), _) | (_, Err(failure)), _) => {
                    return Err(open.map_or(failure, Failure::Divergent));
                }
            };
            before = Some(difference);
        }
        Err(Failure::Lost)
    }

    /// The index to hold a release against. A release that was just found is worth one question about it, where
    /// none is held, an old one, or one that has not heard of it; an index that does not come soon is not waited for.
    async fn index_beside(
        self: &Arc<Self>,
        index: &DocumentKey,
        version: &Version,
        release: &Document,
        errand: Errand<'_>,
    ) -> Option<Arc<Document>> {
        let held = self.held(index).await;
        let is_new = release.landed > held.as_ref().map_or(0, |held| held.landed);
        let is_old =
            held.as_ref().is_none_or(|held| matches!(self.freshness(index, held), Freshness::Ask { .. }));
        let knows = |held: &Document| {
            let rows = held.content.rows().map(|rows| rows.of(version));
            rows.zip(release.content.exact()).is_none_or(|(rows, exact)| !is_late(rows, exact))
        };
        let is_in_doubt = held.as_ref().is_some_and(|held| !knows(held));
        let is_due = is_in_doubt || (is_old && !release.is_refusal());
        if !is_due || !is_new || self.live().policy.offline {
            return held;
        }
        let since = held.as_ref().map_or(0, |held| held.asked);
        let asked = async {
            match is_in_doubt {
                true => self.again(index, since, errand).await,
                // What is merely old may be confirmed, and whoever refreshes it meanwhile asks for this as well.
                false => self.fetch(index, since, errand).await.map(|(filled, _)| filled.document),
            }
        };
        let asked = timeout_at(errand.until(self.patience), asked).await;
        asked.ok().and_then(Result::ok).or(held)
    }

    /// Pins what a release that agrees with its index says.
    async fn admit(
        &self,
        name: &VolumeName,
        version: &Version,
        release: &Document,
        known: Option<&Pin>,
    ) -> Result<Admitted, Failure> {
        let integrity = release.content.release().and_then(|release| release.integrity);
        let Some(integrity) = integrity else { return Ok(Admitted::Kept) };
        // What an archive was refused under is pinned to nobody's harm, and never served from memory.
        if self.refusal_of(&DocumentKey::Release(name.clone(), version.clone()), release).is_some() {
            return Ok(Admitted::Unkept);
        }
        let (purl, registry) = (Purl::new(name, version), release.meta.registry());
        if known.is_some() && !self.pins.is_waiting(&registry, &purl) {
            return Ok(Admitted::Kept);
        }
        let pin = Pin::of(&registry, &purl, integrity, release.meta.fetched_at);
        match self.bind(pin, &registry).await? {
            Bound::Stored(first) if first.integrity == integrity => Ok(Admitted::Kept),
            Bound::InMemory(first) if first.integrity == integrity => Ok(Admitted::Unkept),
            Bound::Stored(first) | Bound::InMemory(first) => Ok(Admitted::Earlier(first)),
        }
    }
}

/// What became of a release's pin.
enum Admitted {
    /// It is kept, or there is nothing to pin.
    Kept,
    /// An earlier one that was not known is in force, and says something else.
    Earlier(Pin),
    /// The store could not keep it, and it binds from memory until it can; or its archive was refused.
    Unkept,
}

/// What may be said of a release while its sides differ and cannot be asked again. What gives no bytes may
/// always be said; a block that is the last thing known stands; a yank is no reason to stop a build.
pub(super) fn without_asking(
    difference: &Difference,
    index: Option<&Document>,
    version: &Version,
    release: &Arc<Document>,
    failure: Failure,
) -> Result<Settled, Failure> {
    let row = index.and_then(|index| Some((index, index.content.rows()?.of(version).first()?)));
    let exact = match &*release.content {
        Content::Refused { .. } if release.is_absence() => return Err(failure),
        Content::Refused { .. } => return Ok(Settled::Unconfirmed(Arc::clone(release))),
        content @ Content::Found(_) => content.release().ok_or(Failure::Malformed)?,
    };
    match (difference.kind, row) {
        (Kind::State, _) if !exact.serves_bytes() => Ok(Settled::Unconfirmed(Arc::clone(release))),
        (Kind::State, Some((_, row))) if row.status.state.serves_bytes() => {
            Ok(Settled::Unconfirmed(Arc::clone(release)))
        }
        (Kind::State, Some((index, row))) if index.meta.fetched_at >= release.meta.fetched_at => {
            Err(Failure::Withdrawn(row.status.clone()))
        }
        _ => Err(failure),
    }
}

/// Holds a release's sides against each other.
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
