//! Settling a version index: every row that changed, with what is held of its release.
//!
//! An index was settled before it was served, so only rows that changed since can differ from anything. A changed row
//! that tells what exact metadata has not heard of yet is worth a question about the release, even where both may be
//! true. A divergence of which the index and what is held of the release agree by now is over; those that are due are
//! asked about again: an index alone ends only what is about the index alone. Owns which releases are looked at. Must
//! not know what counts as a difference, nor what is shown of one (`cache::shown`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use tracing::error;

use super::release::compare;
use super::{ROUNDS, Settled, Sides};
use crate::cache::document::Document;
use crate::cache::documents::Documents;
use crate::cache::envelope::Envelope;
use crate::cache::failure::Failure;
use crate::cache::place::{place, releases};
use crate::consistency::{Difference, Divergence, Exact, Pin, Source, is_late};
use crate::domain::link::release_path;
use crate::domain::{DocumentKey, Purl, Registry, Row, Sha256, Version, VolumeName};
use crate::store::{Shelf, StorageKey};
use crate::upstream::Errand;

/// Releases that one index sends back to the registry, all at once so that they share its second reading. More
/// are asked for when somebody asks for them.
const MOST: usize = 64;

/// Rows that are compared before others have a turn on this thread.
const SOME: usize = 256;

/// A release whose row differs from what is held of it.
struct Suspect {
    version: Version,
    release: Option<Arc<Document>>,
    pin: Option<Pin>,
    doubt: Doubt,
}

/// Why a release is looked at.
enum Doubt {
    /// The index contradicts what is known of it.
    Differs(Difference),
    /// Its divergence is due, and may be over.
    Due(Arc<Divergence>),
    /// Its divergence is over by what is held.
    Over,
    /// The index knows something later.
    Late,
}

impl Suspect {
    /// Whether asking for the release cannot help: the index differs from itself or its own routes, or did, or
    /// what is held agrees.
    fn is_of_index_alone(&self) -> bool {
        let alone = |source| matches!(source, Source::Index | Source::Route);
        match &self.doubt {
            Doubt::Differs(difference) => {
                self.release.is_none() && difference.claims.iter().all(|claim| alone(claim.source))
            }
            // What exact metadata said may be held no longer; that it is not held takes nothing back.
            Doubt::Due(open) => self.release.is_none() && open.claims.iter().all(|claim| alone(claim.source)),
            Doubt::Over => true,
            Doubt::Late => false,
        }
    }
}

impl Documents {
    pub(super) async fn settle_index(
        self: &Arc<Self>,
        name: &VolumeName,
        document: Arc<Document>,
        errand: Errand<'_>,
    ) -> Result<Settled, Failure> {
        let key = DocumentKey::Index(name.clone());
        let (mut index, registry) = (Arc::clone(&document), document.meta.registry());
        let mut looked_at = HashSet::new();
        let mut before = HashMap::new();
        for round in 1..=ROUNDS {
            if !self.counts(&key, &index) {
                return Err(Failure::Lost);
            }
            let mut suspects = self.suspects(name, &index, &looked_at).await;
            for suspect in suspects.iter().filter(|suspect| !matches!(suspect.doubt, Doubt::Late)) {
                self.unsettle(&DocumentKey::Release(name.clone(), suspect.version.clone()));
            }
            let alone: Vec<_> = suspects.extract_if(.., |suspect| suspect.is_of_index_alone()).collect();
            looked_at.extend(suspects.iter().map(|suspect| suspect.version.clone()));
            let questions = suspects.into_iter().take(MOST);
            join_all(questions.map(|suspect| self.question_release(name, suspect, errand))).await;
            let mut unsure = HashMap::new();
            for Suspect { version, pin, doubt, .. } in alone {
                let Doubt::Differs(difference) = doubt else {
                    self.close(&registry, &DocumentKey::Release(name.clone(), version)).await;
                    continue;
                };
                if round == ROUNDS || before.get(&version) == Some(&difference) {
                    let release = DocumentKey::Release(name.clone(), version.clone());
                    let sides = Sides { index: Some(&index), pin: pin.as_ref(), ..Sides::default() };
                    self.diverge(&registry, &release, (name, &version), difference, sides).await;
                    looked_at.insert(version);
                } else {
                    unsure.insert(version, difference);
                }
            }
            if unsure.is_empty() {
                let settled = Document { settled: true, before: None, ..Document::clone(&index) };
                let settled = self.remember(&key, settled);
                let shown = self.show(name).unwrap_or(settled);
                if let Some(open) = self.contested(&key) {
                    return Err(Failure::Divergent(open));
                }
                if shown.settled {
                    return Ok(Settled::Agreed(shown));
                }
                // A newer one came meanwhile.
                index = self.newest(&key, index);
            } else {
                let again = self.again(&key, index.landed, errand).await;
                let Ok(again) = again else {
                    return Ok(Settled::Unconfirmed(self.show(name).unwrap_or(index)));
                };
                index = again;
            }
            before = unsure;
        }
        Ok(Settled::Unconfirmed(self.show(name).unwrap_or(index)))
    }

    /// The changed rows, and those with an open divergence, which differ from what is held, or no longer do.
    async fn suspects(
        &self,
        name: &VolumeName,
        index: &Document,
        looked_at: &HashSet<Version>,
    ) -> Vec<Suspect> {
        let (registry, compared) = (index.meta.registry(), index.clone());
        let length = index.content.body().len();
        let changed = self.parsing.patiently(length, move || changed_rows(&compared)).await;
        let mut changed = changed.unwrap_or_default();
        changed.extend(self.divergences.of_volume(&registry, name).iter().map(|open| open.version.clone()));
        if changed.is_empty() && index.before.is_some() {
            return Vec::new();
        }
        let held = self.held_of(&registry, name).await;
        if index.before.is_none() {
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
            // Looked at in any case: what is held may speak against its row.
            let release = match self.remembered(&key) {
                Some(release) => Some(release),
                None if held.has(&registry, &key) => self.held(&key).await,
                None => None,
            };
            let pin = match held.pins {
                true => self.pinned(&registry, &Purl::new(name, &version)).await.ok().flatten(),
                false => None,
            };
            let difference = compare((name, &version), Some(index), release.as_ref(), pin.as_ref());
            let sides = Sides { index: Some(index), exact: release.as_deref(), ..Sides::default() };
            let doubt = match (self.divergences.of(&registry, &key), difference) {
                (Some(open), None) if sides.end(&open) => Some(Doubt::Over),
                (Some(open), _) if !self.is_due(&open) => None,
                (_, Some(difference)) => Some(Doubt::Differs(difference)),
                (Some(open), None) => Some(Doubt::Due(open)),
                (None, None) => knows_more(index, &version, release.as_deref()).then_some(Doubt::Late),
            };
            suspects.extend(doubt.map(|doubt| Suspect { version, release, pin, doubt }));
        }
        suspects
    }

    /// The versions of stored releases that are none of the `listed`.
    async fn unlisted(
        &self,
        registry: &Registry,
        name: &VolumeName,
        listed: &HashSet<Version>,
        held: &Held,
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

    /// Asks both sides about one suspect; the verdict is recorded on the way, and its failure is that of
    /// whoever asks for the release next.
    async fn question_release(self: &Arc<Self>, name: &VolumeName, suspect: Suspect, errand: Errand<'_>) {
        let key = DocumentKey::Release(name.clone(), suspect.version);
        let release = match suspect.release {
            Some(release) if matches!(suspect.doubt, Doubt::Late) => {
                self.again(&key, release.landed, errand).await
            }
            Some(release) => Ok(release),
            None => self.again(&key, 0, errand).await,
        };
        if let Ok(release) = release {
            let _ = self.settle(&key, &release, errand).await;
        }
    }

    /// What the store holds of a volume's releases, as `registry` gave them. A store that cannot be listed holds nothing
    /// to compare; a release is compared again when it is asked for.
    pub(super) async fn held_of(&self, registry: &Registry, name: &VolumeName) -> Held {
        let volume = Sha256::of(name.as_str().as_bytes());
        let releases = self.store.list(releases(registry, name));
        let releases = releases.map_ok(|(key, _)| key).try_collect().await;
        let mut pins =
            self.store.list(Shelf::PinsOf(volume)).chain(self.store.list(Shelf::SightingsOf(volume)));
        let pins = pins.next().await;
        if let (Err(error), _) | (_, Some(Err(error))) = (&releases, &pins) {
            error!(%error, volume = %name, "cannot list what is held of a volume");
        }
        Held { releases: releases.unwrap_or_default(), pins: pins.is_some() }
    }

    /// The version of a stored release that no row names.
    async fn version_at(&self, name: &VolumeName, release: &StorageKey) -> Option<Version> {
        let stored = self.store.read(release).await.ok()??;
        let key = Envelope::decode(&stored).ok()?.meta.key;
        let version = key.rsplit('/').next()?.parse().ok()?;
        (key == release_path(name, &version)).then_some(version)
    }

    /// Takes the releases in memory that a new index contradicts out of the hit path, at once.
    pub(in crate::cache) async fn doubt_releases(self: &Arc<Self>, name: &VolumeName, index: &Arc<Document>) {
        let length = index.content.body().len();
        let (documents, name, index) = (Arc::clone(self), name.clone(), Arc::clone(index));
        let doubt = move || {
            for version in changed_rows(&index) {
                let key = DocumentKey::Release(name.clone(), version.clone());
                let release = documents.remembered(&key).filter(|release| release.settled);
                let differs =
                    |release| compare((&name, &version), Some(&index), Some(release), None).is_some();
                if release.as_ref().is_some_and(differs) {
                    documents.unsettle(&key);
                }
            }
        };
        self.parsing.patiently(length, doubt).await;
    }

    /// Takes an answer out of the hit path until it was compared again.
    pub(in crate::cache) fn unsettle(&self, key: &DocumentKey) {
        self.replace(key, |held| {
            let held = held?;
            let doubts = held.doubts + 1;
            Some(Arc::new(Document { settled: false, doubts, ..Document::clone(held) }))
        });
    }
}

/// The versions whose rows are not those that the index had when it was settled last.
fn changed_rows(index: &Document) -> HashSet<Version> {
    let Some(rows) = index.content.rows() else { return HashSet::new() };
    let Some(before) = index.before.as_ref().and_then(|before| before.rows()) else {
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

/// Whether a changed row tells what the held `release`, which was asked for earlier, has not heard of: that may be
/// something else by now, or have another reason for being what it is.
fn knows_more(index: &Document, version: &Version, release: Option<&Document>) -> bool {
    let Some(release) = release.filter(|release| release.meta.fetched_at < index.meta.fetched_at) else {
        return false;
    };
    let Some((rows, exact)) = index.content.rows().zip(release.content.exact()) else { return false };
    let rows = rows.of(version);
    let is_reworded = match (rows, exact) {
        ([row], Exact::Found(release)) => row.status.reason != release.status.reason,
        _ => false,
    };
    is_reworded || is_late(rows, exact)
}

/// What the store holds of a volume.
pub(super) struct Held {
    pub(super) releases: HashSet<StorageKey>,
    pins: bool,
}

impl Held {
    /// Whether the answer of `registry` to `key`, exact metadata, is among it.
    pub(super) fn has(&self, registry: &Registry, key: &DocumentKey) -> bool {
        !self.releases.is_empty() && self.releases.contains(&place(registry, key))
    }
}

/// Lets others have their turn on this thread, once in so many rows of an index.
pub(super) async fn take_turns(row: usize) {
    if row % SOME == SOME - 1 {
        tokio::task::yield_now().await;
    }
}
