//! Settling a version index: every changed row is compared with the held documents of its release.
//!
//! An index is settled before it is served, so only rows that changed since then can differ from anything. If a row is
//! newer than the held exact metadata and tells more, the release is asked for again, even if both may be true. A divergence
//! ends when the index and the held release agree. Divergences that are due are asked about again; an index alone ends only
//! those about the index alone. Owns which releases are compared. Must not know what counts as a difference, nor how a row
//! shows one (`shown`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use tracing::error;

use super::sides::{Sides, compare};
use super::{Judge, ROUNDS, Settled};
use crate::consistency::{ClaimSource, Difference, Divergence, ExactAnswer, Pin, is_late};
use crate::domain::link::release_path;
use crate::domain::{DocumentKey, Purl, Registry, Row, Sha256, Version, VolumeName};
use crate::read::document::Document;
use crate::read::envelope::Envelope;
use crate::read::failure::ReadFailure;
use crate::read::place::{place, releases};
use crate::read::standing::Standing;
use crate::store::{KeyPrefix, StorageKey};
use crate::upstream::FetchContext;

/// Releases that are asked for again because of one index, all at once, so that they share its second reading. The others
/// are asked for again when a client asks for them.
const MOST: usize = 64;

/// Rows that are compared before other tasks run on this thread.
const SOME: usize = 256;

/// A release that has to be compared again.
struct Suspect {
    version: Version,
    release: Option<Arc<Document>>,
    pin: Option<Pin>,
    doubt: Suspicion,
}

/// Why a release has to be compared again.
enum Suspicion {
    /// The index contradicts what is known of the release.
    Differs(Difference),
    /// Its divergence is due, and may be over.
    Due(Arc<Divergence>),
    /// Its divergence is over: the held documents agree.
    Over,
    /// The index is newer and tells more.
    Late,
}

impl Suspect {
    /// Whether asking for the release cannot help: the index contradicts itself or its own routes, or did, or the held
    /// documents agree.
    fn is_of_index_alone(&self) -> bool {
        let alone = |source| matches!(source, ClaimSource::Index | ClaimSource::Route);
        match &self.doubt {
            Suspicion::Differs(difference) => {
                self.release.is_none() && difference.claims.iter().all(|claim| alone(claim.source))
            }
            // Exact metadata may have been evicted since; that takes nothing back.
            Suspicion::Due(open) => {
                self.release.is_none() && open.claims.iter().all(|claim| alone(claim.source))
            }
            Suspicion::Over => true,
            Suspicion::Late => false,
        }
    }
}

impl Judge {
    pub(super) async fn settle_index(
        self: &Arc<Self>,
        name: &VolumeName,
        document: Arc<Document>,
        context: FetchContext<'_>,
    ) -> Result<Settled, ReadFailure> {
        let key = DocumentKey::Index(name.clone());
        let (mut index, registry) = (Arc::clone(&document), document.meta.registry());
        let mut looked_at = HashSet::new();
        let mut before = HashMap::new();
        for round in 1..=ROUNDS {
            if !self.env.counts(&key, &index) {
                return Err(ReadFailure::Lost);
            }
            let mut suspects = self.suspects(name, &index, &looked_at, context).await;
            for suspect in suspects.iter().filter(|suspect| !matches!(suspect.doubt, Suspicion::Late)) {
                self.shelf.doubt(&DocumentKey::Release(name.clone(), suspect.version.clone()));
            }
            let alone: Vec<_> = suspects.extract_if(.., |suspect| suspect.is_of_index_alone()).collect();
            looked_at.extend(suspects.iter().map(|suspect| suspect.version.clone()));
            let questions = suspects.into_iter().take(MOST);
            join_all(questions.map(|suspect| self.question_release(name, suspect, context))).await;
            let mut unsure = HashMap::new();
            for Suspect { version, pin, doubt, .. } in alone {
                let Suspicion::Differs(difference) = doubt else {
                    self.close(&registry, &DocumentKey::Release(name.clone(), version)).await;
                    continue;
                };
                if round == ROUNDS || before.get(&version) == Some(&difference) {
                    let release = DocumentKey::Release(name.clone(), version.clone());
                    let sides = Sides { index: Some(&index), pin: pin.as_ref(), ..Sides::default() };
                    let purl = Purl::new(name, &version);
                    self.diverge(&registry, &release, &purl, difference, sides).await;
                    looked_at.insert(version);
                } else {
                    unsure.insert(version, difference);
                }
            }
            if unsure.is_empty() {
                let settled = self.shelf.remember(&key, index.with(Standing::Settled));
                let shown = self.shelf.show(name).unwrap_or(settled);
                if let Some(open) = self.contested(&key) {
                    return Err(ReadFailure::Divergent(open));
                }
                if shown.is_settled() {
                    return Ok(Settled::Agreed(shown));
                }
                // A newer index came meanwhile.
                index = self.shelf.newest(&key, index);
            } else {
                let again = self.again(&key, index.reading.landed, context).await;
                let Ok(again) = again else {
                    return Ok(Settled::Unconfirmed(self.shelf.show(name).unwrap_or(index)));
                };
                index = again;
            }
            before = unsure;
        }
        Ok(Settled::Unconfirmed(self.shelf.show(name).unwrap_or(index)))
    }

    /// The releases with changed rows, and those with an open divergence, that have to be compared again.
    async fn suspects(
        &self,
        name: &VolumeName,
        index: &Document,
        looked_at: &HashSet<Version>,
        context: FetchContext<'_>,
    ) -> Vec<Suspect> {
        let (registry, compared) = (index.meta.registry(), index.clone());
        let length = index.content.body().len();
        let changed = self.env.long_work.patiently(length, move || changed_rows(&compared)).await;
        let mut changed = changed.unwrap_or_default();
        changed.extend(
            self.shelf.divergences.of_volume(&registry, name).iter().map(|open| open.version.clone()),
        );
        if changed.is_empty() && index.standing.before().is_some() {
            return Vec::new();
        }
        let held = self.held_of(&registry, name).await;
        if index.standing.before().is_none() {
            let unlisted = self.unlisted(&registry, name, &changed, &held).await;
            changed.extend(unlisted);
        }
        let mut suspects = Vec::new();
        for (at, version) in changed.into_iter().enumerate() {
            take_turns(at).await;
            let key = DocumentKey::Release(name.clone(), version.clone());
            if looked_at.contains(&version) {
                continue;
            }
            // Compared in any case: the held documents may contradict the row.
            let release = match self.shelf.remembered(&key) {
                Some(release) => Some(release),
                None if held.has(&registry, &key) => {
                    let release = self.shelf.held(&key).await;
                    // Background work on many volumes must not push out what clients ask for.
                    if context.is_background() {
                        self.shelf.leave_to_store(&key);
                    }
                    release
                }
                None => None,
            };
            let pin = match held.pins {
                true => self.pinned(&registry, &Purl::new(name, &version)).await.ok().flatten(),
                false => None,
            };
            let difference = compare((name, &version), Some(index), release.as_ref(), pin.as_ref());
            let sides = Sides { index: Some(index), exact: release.as_deref(), ..Sides::default() };
            let doubt = match (self.shelf.divergences.of(&registry, &key), difference) {
                (Some(open), None) if sides.end(&open) => Some(Suspicion::Over),
                (Some(open), _) if !self.is_due(&open) => None,
                (_, Some(difference)) => Some(Suspicion::Differs(difference)),
                (Some(open), None) => Some(Suspicion::Due(open)),
                (None, None) => knows_more(index, &version, release.as_deref()).then_some(Suspicion::Late),
            };
            suspects.extend(doubt.map(|doubt| Suspect { version, release, pin, doubt }));
        }
        suspects
    }

    /// The versions of stored releases that are not `listed`.
    async fn unlisted(
        &self,
        registry: &Registry,
        name: &VolumeName,
        listed: &HashSet<Version>,
        held: &StoredReleases,
    ) -> Vec<Version> {
        let (mut left, mut unlisted) = (held.releases.clone(), Vec::new());
        for (at, version) in listed.iter().enumerate().take_while(|_| !held.releases.is_empty()) {
            take_turns(at).await;
            left.remove(&place(registry, &DocumentKey::Release(name.clone(), version.clone())));
        }
        for release in &left {
            unlisted.extend(self.version_at(name, release).await);
        }
        unlisted
    }

    /// Asks for one suspect and settles it, which records a divergence. A failure shows when a client asks for the release.
    async fn question_release(
        self: &Arc<Self>,
        name: &VolumeName,
        suspect: Suspect,
        context: FetchContext<'_>,
    ) {
        let key = DocumentKey::Release(name.clone(), suspect.version);
        let release = match suspect.release {
            Some(release) if matches!(suspect.doubt, Suspicion::Late) => {
                self.again(&key, release.reading.landed, context).await
            }
            Some(release) => Ok(release),
            None => self.again(&key, 0, context).await,
        };
        if let Ok(release) = release {
            let _ = self.settle(&key, &release, context).await;
        }
    }

    /// What the store holds of a volume's releases at `registry`. If the store cannot be listed, nothing is compared now;
    /// a release is compared when a client asks for it.
    pub(super) async fn held_of(&self, registry: &Registry, name: &VolumeName) -> StoredReleases {
        let (volume, store) = (Sha256::of(name.as_str().as_bytes()), &self.shelf.store);
        let [of_volume, pins, seen] =
            [releases(registry, name), KeyPrefix::PinsOf(volume), KeyPrefix::SightingsOf(volume)];
        // Of most volumes nothing is stored when their index comes first.
        if let Ok(false) = store.may_hold(&[of_volume, pins, seen]).await {
            return StoredReleases::default();
        }
        let releases = store.list(of_volume).map_ok(|(key, _)| key).try_collect().await;
        let pins = store.list(pins).chain(store.list(seen)).next().await;
        if let (Err(error), _) | (_, Some(Err(error))) = (&releases, &pins) {
            error!(%error, volume = %name, "cannot list the stored documents of a volume");
        }
        StoredReleases { releases: releases.unwrap_or_default(), pins: pins.is_some() }
    }

    /// The version of the release that is stored at this key.
    async fn version_at(&self, name: &VolumeName, release: &StorageKey) -> Option<Version> {
        let stored = self.shelf.store.read(release).await.ok()??;
        let key = Envelope::decode(&stored).ok()?.meta.key;
        let version = key.rsplit('/').next()?.parse().ok()?;
        (key == release_path(name, &version)).then_some(version)
    }

    /// Takes releases in memory that a new index contradicts out of the hit path.
    pub(in crate::read) async fn doubt_releases(self: &Arc<Self>, name: &VolumeName, index: &Arc<Document>) {
        let length = index.content.body().len();
        let (shelf, name, index) = (Arc::clone(&self.shelf), name.clone(), Arc::clone(index));
        let doubt = move || {
            for version in changed_rows(&index) {
                let key = DocumentKey::Release(name.clone(), version.clone());
                let release = shelf.remembered(&key).filter(|release| release.is_settled());
                let differs =
                    |release| compare((&name, &version), Some(&index), Some(release), None).is_some();
                if release.as_ref().is_some_and(differs) {
                    shelf.doubt(&key);
                }
            }
        };
        self.env.long_work.patiently(length, doubt).await;
    }
}

/// The versions whose rows changed since the index was last settled.
fn changed_rows(index: &Document) -> HashSet<Version> {
    let Some(rows) = index.content.rows() else { return HashSet::new() };
    let Some(before) = index.standing.before().and_then(|before| before.rows()) else {
        return rows.by_version().map(|(version, _)| version.clone()).collect();
    };
    let same = |version: &Version, rows: &[Row]| {
        let before = before.of(version);
        rows.len() == before.len() && rows.iter().zip(before).all(|(row, before)| row.agrees_with(before))
    };
    let changed = rows.by_version().filter(|(version, rows)| !same(version, rows));
    let gone = before.by_version().filter(|(version, _)| rows.of(version).is_empty());
    changed.chain(gone).map(|(version, _)| version.clone()).collect()
}

/// Whether the index is newer than the held `release` and tells more: the release may have changed, or the reason for its
/// state.
fn knows_more(index: &Document, version: &Version, release: Option<&Document>) -> bool {
    let Some(release) = release.filter(|release| release.meta.fetched_at < index.meta.fetched_at) else {
        return false;
    };
    let Some((rows, exact)) = index.content.rows().zip(release.content.exact()) else { return false };
    let rows = rows.of(version);
    let is_reworded = match (rows, exact) {
        ([row], ExactAnswer::Found(release)) => row.status.reason != release.status.reason,
        _ => false,
    };
    is_reworded || is_late(rows, exact)
}

/// What the store holds of a volume.
#[derive(Default)]
pub(super) struct StoredReleases {
    pub(super) releases: HashSet<StorageKey>,
    pins: bool,
}

impl StoredReleases {
    /// Whether the answer of `registry` to `key`, exact metadata, is among it.
    pub(super) fn has(&self, registry: &Registry, key: &DocumentKey) -> bool {
        !self.releases.is_empty() && self.releases.contains(&place(registry, key))
    }
}

/// Lets other tasks run on this thread, once every [`SOME`] rows.
pub(super) async fn take_turns(row: usize) {
    if row % SOME == SOME - 1 {
        tokio::task::yield_now().await;
    }
}
