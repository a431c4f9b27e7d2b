//! Settling exact metadata: it is compared with its index row and with the pin.
//!
//! Owns which sides are looked up, and when a release is pinned. Must not know how a row shows a difference.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout_at;

use super::sides::{Sides, compare, without_asking};
use super::{Judge, ROUNDS, Settled};
use crate::consistency::{Bound, Difference, Pin, is_late};
use crate::domain::{DocumentKey, Purl, Version, VolumeName};
use crate::read::asker::{How, WantedAnswer};
use crate::read::document::Document;
use crate::read::failure::ReadFailure;
use crate::read::freshness::Freshness;
use crate::upstream::FetchContext;

const WRITE_PINS_EVERY: Duration = Duration::from_secs(2);

impl Judge {
    /// Writes pins that the store did not take at first, once it does. Never returns.
    pub(crate) async fn write_pins(&self) {
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
        context: FetchContext<'_>,
    ) -> Result<Settled, ReadFailure> {
        let (key, index_key) =
            (DocumentKey::Release(name.clone(), version.clone()), DocumentKey::Index(name.clone()));
        let mut release = document;
        let mut index = self.index_beside(&index_key, version, &release, context).await;
        let registry = release.meta.registry();
        let mut pin = self.pinned(&registry, &Purl::new(name, version)).await?;
        let mut before: Option<Option<Difference>> = None;
        for round in 1.. {
            // The key was routed elsewhere meanwhile: the other side cannot be asked any more.
            if !self.env.counts(&key, &release) {
                return Err(ReadFailure::Lost);
            }
            let began = self.env.question();
            index = self.shelf.remembered(&index_key).or(index);
            release = self.shelf.newest(&key, release);
            let difference = compare((name, version), index.as_deref(), Some(&release), pin.as_ref());
            // An open divergence stands until there is news.
            let open = self.shelf.divergences.of(&registry, &key);
            // A gateway's page says nothing about the release.
            if release.content.exact().is_none() {
                return open
                    .map_or(Ok(Settled::Unconfirmed(release)), |open| Err(ReadFailure::Divergent(open)));
            }
            let sides = Sides { index: index.as_deref(), exact: Some(&*release), ..Sides::default() };
            let is_over = before.is_some() || open.as_ref().is_none_or(|open| sides.end(open));
            match &difference {
                None if is_over => match self.conclude(&key, &release, pin.as_ref(), began).await? {
                    Concluded::Settled(settled) => return Ok(settled),
                    Concluded::Earlier(first) => {
                        pin = Some(first);
                        continue;
                    }
                    Concluded::Overtaken => continue,
                },
                Some(found) if before.as_ref() == Some(&difference) || round >= ROUNDS => {
                    let (index, exact) = (index.as_deref(), Some(&*release));
                    let sides = Sides { index, exact, pin: pin.as_ref(), trust: None };
                    return Err(self
                        .diverge(&registry, &key, &Purl::new(name, version), found.clone(), sides)
                        .await);
                }
                None | Some(_) => {}
            }
            let since = release.reading.landed.max(index.as_ref().map_or(0, |index| index.reading.landed));
            let both = tokio::join!(self.again(&index_key, since, context), self.again(&key, since, context));
            (index, release) = match (both, &difference) {
                ((Ok(index), Ok(release)), _) => (Some(index), release),
                ((Err(failure), _) | (_, Err(failure)), Some(difference)) if open.is_none() => {
                    return without_asking(difference, index.as_deref(), version, &release, failure);
                }
                ((Err(failure), _) | (_, Err(failure)), _) => {
                    return Err(open.map_or(failure, ReadFailure::Divergent));
                }
            };
            before = Some(difference);
        }
        Err(ReadFailure::Lost)
    }

    /// Nothing differs: the release is pinned and settled.
    async fn conclude(
        &self,
        key: &DocumentKey,
        release: &Document,
        pin: Option<&Pin>,
        began: u64,
    ) -> Result<Concluded, ReadFailure> {
        let DocumentKey::Release(name, version) = key else { return Err(ReadFailure::Lost) };
        if let Some(status) = self.overruled(name, version, release).await {
            return Err(ReadFailure::Withdrawn(status));
        }
        let is_pinned = match self.admit(name, version, release, pin).await? {
            Admitted::Earlier(first) => return Ok(Concluded::Earlier(first)),
            Admitted::Kept => true,
            Admitted::Unkept => false,
        };
        let Some(settled) = self.agree(key, release, began, is_pinned).await else {
            return Ok(Concluded::Overtaken);
        };
        let integrity = release.content.release().and_then(|release| release.integrity);
        self.outgrow(&release.meta.registry(), &Purl::new(name, version), integrity).await;
        Ok(Concluded::Settled(settled))
    }

    /// The index to compare a release with. For a release that was just asked for, the index is asked for too if none is
    /// held, if it is old, or if it seems to lag behind. A slow index is not waited for.
    async fn index_beside(
        self: &Arc<Self>,
        index: &DocumentKey,
        version: &Version,
        release: &Document,
        context: FetchContext<'_>,
    ) -> Option<Arc<Document>> {
        let held = self.shelf.held(index).await;
        let is_new = release.reading.landed > held.as_ref().map_or(0, |held| held.reading.landed);
        let is_old = held.as_ref().is_none_or(|held| self.env.freshness(index, held) >= Freshness::IfError);
        let knows = |held: &Document| {
            let rows = held.content.rows().map(|rows| rows.of(version));
            rows.zip(release.content.exact()).is_none_or(|(rows, exact)| !is_late(rows, exact))
        };
        let is_in_doubt = held.as_ref().is_some_and(|held| !knows(held));
        let is_due = is_in_doubt || (is_old && !release.is_refusal());
        if !is_due || !is_new || self.env.is_offline() {
            return held;
        }
        let since = held.as_ref().map_or(0, |held| held.reading.asked);
        let asked = async {
            match is_in_doubt {
                true => self.again(index, since, context).await,
                // An index that is merely old may be confirmed, and may share the flight of a refresh.
                false => {
                    let wanted = WantedAnswer { key: index, since, how: How::beside(held.as_ref()) };
                    self.fetch(wanted, context).await.map(|fetched| fetched.document)
                }
            }
        };
        let asked = timeout_at(context.until(self.env.patience), asked).await;
        asked.ok().and_then(Result::ok).or(held)
    }

    /// Pins the integrity of a release that agrees with its index.
    async fn admit(
        &self,
        name: &VolumeName,
        version: &Version,
        release: &Document,
        known: Option<&Pin>,
    ) -> Result<Admitted, ReadFailure> {
        let integrity = release.content.release().and_then(|release| release.integrity);
        let Some(integrity) = integrity else { return Ok(Admitted::Kept) };
        // The integrity of a refused archive is not pinned, and the release stays out of the hit path.
        if self.refusal_of(&DocumentKey::Release(name.clone(), version.clone()), release).is_some() {
            return Ok(Admitted::Unkept);
        }
        let (purl, registry) = (Purl::new(name, version), release.meta.registry());
        if known.is_some() && !self.pins.is_waiting(&registry, &purl) {
            return Ok(Admitted::Kept);
        }
        let seen = self.evidence.first_seen(&registry, name, version, &integrity).await;
        let since = seen.map_or(release.meta.fetched_at, |seen| seen.min(release.meta.fetched_at));
        let pin = Pin::of(&registry, &purl, integrity, since);
        match self.bind(pin, &registry).await? {
            Bound::Stored(first) if first.integrity == integrity => Ok(Admitted::Kept),
            Bound::InMemory(first) if first.integrity == integrity => Ok(Admitted::Unkept),
            Bound::Stored(first) | Bound::InMemory(first) => Ok(Admitted::Earlier(first)),
        }
    }
}

/// What becomes of a release whose sides agree.
enum Concluded {
    Settled(Settled),
    /// There is an earlier pin with another integrity.
    Earlier(Pin),
    /// Something new spoke against the release meanwhile, or a newer answer came.
    Overtaken,
}

/// What became of the pin of a release.
enum Admitted {
    /// It is kept, or there is nothing to pin.
    Kept,
    /// There is an earlier one with another integrity.
    Earlier(Pin),
    /// The store could not keep it, so it binds from memory; or the archive was refused.
    Unkept,
}
