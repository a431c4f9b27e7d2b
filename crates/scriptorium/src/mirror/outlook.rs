//! What a sync is about to do: which releases are wanted, which of their archives are here, and how long the others are
//! known to be.
//!
//! Owns how a selection and the record of earlier syncs become the record of the next one. Must not ask a registry.

use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt};

use super::desk::MirrorDesk;
use super::notices::RegistryNotices;
use super::record::{MirrorRecord, MirroredRelease};
use super::survey::Survey;
use crate::config::Mirror;
use crate::domain::{DocumentKey, Integrity, Purl, Registry, Version, VolumeName};
use crate::store::{StorageKey, sealed};

/// Stored files that are looked up at once.
const LOOKS_AT_ONCE: usize = 16;

/// What is wanted, before anything is brought in.
pub(super) struct Outlook {
    /// The record as it would be written now.
    pub(super) record: MirrorRecord,
    /// The lengths of archives that are not here, where they are known.
    pub(super) lengths: HashMap<Integrity, u64>,
}

impl Outlook {
    /// Looks at what is stored of a selection.
    pub(super) async fn of(
        desk: &MirrorDesk,
        mirror: &Mirror,
        before: Option<&MirrorRecord>,
        survey: &Survey,
    ) -> Self {
        let mut record = wanted(desk, mirror, before, survey);
        // A file that was removed since the last sync is missed only then.
        desk.store.counted().await;
        let files = record.selected.iter_mut().filter(|release| release.wants_files);
        stream::iter(files).for_each_concurrent(LOOKS_AT_ONCE, |release| look_for(desk, release)).await;
        let mut outlook = Self { record, lengths: HashMap::new() };
        let open: HashSet<Integrity> =
            outlook.to_fetch().filter_map(|(_, release)| release.integrity).collect();
        let seen = before.into_iter().flat_map(MirrorRecord::lengths);
        outlook.lengths = seen.filter(|(integrity, _)| open.contains(integrity)).collect();
        outlook
    }

    /// The selected releases whose archive is not here, with their places.
    pub(super) fn to_fetch(&self) -> impl Iterator<Item = (usize, &MirroredRelease)> {
        let selected = self.record.selected.iter().enumerate();
        selected.filter(|(_, release)| release.wants_files && release.archive.is_none())
    }

    /// The known lengths of archives that are not here, in their order.
    pub(super) fn open_lengths(&self) -> Vec<(Integrity, u64)> {
        let here = self.record.selected.iter().filter(|release| release.archive.is_some());
        let here: HashSet<Integrity> = here.filter_map(|release| release.integrity).collect();
        let open = self.lengths.iter().filter(|(integrity, _)| !here.contains(integrity));
        let mut open: Vec<_> = open.map(|(integrity, length)| (*integrity, *length)).collect();
        open.sort_unstable();
        open
    }

    /// The known length of an archive that is not here.
    pub(super) fn length(&self, release: &MirroredRelease) -> Option<u64> {
        self.lengths.get(&release.integrity?).copied()
    }
}

/// The record of what is selected, with what is known from the last sync. What that had beyond it is kept.
fn wanted(
    desk: &MirrorDesk,
    mirror: &Mirror,
    before: Option<&MirrorRecord>,
    survey: &Survey,
) -> MirrorRecord {
    let releases = &survey.selection.releases;
    let mut record = MirrorRecord::empty(&mirror.name, desk.documents.now());
    record.last_success = before.and_then(|before| before.last_success);
    let mut earlier: HashMap<(&VolumeName, &Version), (&MirroredRelease, Option<&Registry>)> = HashMap::new();
    for release in before.into_iter().flat_map(MirrorRecord::releases) {
        let registry = before.and_then(|before| before.registry_of(release));
        earlier.insert((&release.volume, &release.version), (release, registry));
    }
    record.selected.reserve_exact(releases.len());
    for selected in releases {
        let name = &selected.name;
        // Without a registry its index could not have been read; a reload may have taken it away since.
        let Ok(upstream) = desk.documents.upstream_of(&DocumentKey::Index(name.volume.clone())) else {
            continue;
        };
        let known = earlier.remove(&(&name.volume, &name.version));
        let is_same =
            |(_, registry): &(&MirroredRelease, Option<&Registry>)| *registry == Some(&**upstream.registry());
        let known = known.filter(is_same).map(|(known, _)| known);
        let integrity = selected.integrity.or(known.and_then(|known| known.integrity));
        let known = known.filter(|known| known.integrity == integrity);
        let registry = record.index_of(upstream.registry());
        record.selected.push(MirroredRelease {
            volume: name.volume.clone(),
            version: name.version.clone(),
            integrity,
            state: selected.state,
            wants_files: selected.wants_files(),
            is_passed_over: false,
            registry,
            archive: known.and_then(|known| known.archive),
            trust: known.is_some_and(|known| known.trust),
            untrusted: known.and_then(|known| known.untrusted),
            artifacts: known.map(|known| known.artifacts.clone()).unwrap_or_default(),
        });
    }
    keep_earlier(&mut record, survey, earlier.into_values());
    // Those of earlier syncs come in any order; the record of one state is one text.
    record.selected.sort_by(|one, other| (&one.volume, &one.version).cmp(&(&other.volume, &other.version)));
    if let Some(before) = before {
        keep_notices(&mut record, before);
    }
    record
}

/// Keeps what earlier syncs selected and this one does not: documents of what is passed over, and everything until a sync is
/// complete.
fn keep_earlier<'a>(
    record: &mut MirrorRecord,
    survey: &Survey,
    earlier: impl ExactSizeIterator<Item = (&'a MirroredRelease, Option<&'a Registry>)>,
) {
    // Of a set that did not change nothing is left, and its names are not gathered.
    let taken: HashSet<VolumeName> = match earlier.len() {
        0 => HashSet::new(),
        _ => {
            let taken = record.selected.iter().filter(|release| release.wants_files);
            taken.map(|release| release.volume.clone()).collect()
        }
    };
    for (release, registry) in earlier {
        let Some(registry) = registry else { continue };
        let release = MirroredRelease { registry: record.index_of(registry), ..release.clone() };
        if survey.passes_over(&release.volume) && !taken.contains(&release.volume) {
            record.selected.push(MirroredRelease {
                wants_files: false,
                is_passed_over: true,
                artifacts: Vec::new(),
                ..release.clone()
            });
        }
        // With its files, until a sync is complete.
        if !release.is_passed_over {
            record.kept.push(release);
        }
    }
}

/// What is here of the notices of registries that a release still belongs to.
fn keep_notices(record: &mut MirrorRecord, before: &MirrorRecord) {
    for known in &before.notices {
        let registry = before.registries.get(known.registry);
        let at = registry.and_then(|registry| record.registries.iter().position(|now| now == registry));
        record.notices.extend(at.map(|registry| RegistryNotices { registry, ..known.clone() }));
    }
}

/// Finds whether an archive is here, by this mirror's last sync or by anybody else. What that sync had and nobody removed is here;
/// whether it is whole shows when it is brought in.
async fn look_for(desk: &MirrorDesk, release: &mut MirroredRelease) {
    let Some(integrity) = release.integrity else { return };
    let key = StorageKey::Archive(integrity);
    if desk.store.is_vacant(&key) {
        release.archive = None;
        return;
    }
    if release.archive.is_some() {
        return;
    }
    let seal = sealed::open(&*desk.store, &key).await.ok().flatten();
    let purl = Purl::new(&release.volume, &release.version).to_string();
    release.archive = seal.filter(|seal| seal.identity == purl).map(|seal| seal.length);
}
