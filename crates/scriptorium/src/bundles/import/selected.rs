//! What the sender's mirror selected, as a record like that of a mirror here: it is kept from eviction.
//!
//! Every bundle has the pins of all that was selected, also one that leaves out what the receiver holds. Of trust a delta
//! lists only what is new, so what an earlier record of the key has stays. Owns how the record is made, and its bound. Must
//! not know what is evicted when (`store`).

use std::collections::BTreeMap;
use std::pin::pin;

use bundle::{BundledFileKind, KeyId, ManifestItem};
use futures_util::StreamExt;

use super::documents::key;
use super::items::items;
use super::taking::Taking;
use crate::bundles::keeping::record_name;
use crate::domain::LifecycleState;
use crate::domain::{DocumentKey, Integrity, Purl, Sha256, Version, VolumeName};
use crate::mirror::notices::Notice;
use crate::mirror::record::{MirrorRecord, MirroredRelease, load, save};
use crate::store::StoreError;

/// Releases that are kept; a bound on memory. Others are evicted like anything else.
const MOST_KEPT: usize = 100_000;

/// What one item of a manifest says of a selection.
struct Mention {
    release: Purl,
    integrity: Option<Integrity>,
    artifact: Option<(Sha256, u64)>,
    trust: bool,
}

impl Mention {
    fn of(item: &ManifestItem<'_>) -> Option<Self> {
        let plain = |release| Self { release, integrity: None, artifact: None, trust: false };
        match item {
            ManifestItem::Pin(pin) => {
                Some(Self { integrity: Some(pin.integrity), ..plain(Purl::new(&pin.volume, &pin.version)) })
            }
            ManifestItem::File(file) if file.kind == BundledFileKind::TrustArtifact => Some(Self {
                artifact: Some((file.sha256, file.size)),
                ..plain(Purl::new(&file.volume, &file.version))
            }),
            ManifestItem::Document(document) => match key(&document.route)? {
                DocumentKey::Release(name, version) => Some(plain(Purl { name, version })),
                DocumentKey::TrustSummary(name, version) | DocumentKey::TrustDetail(name, version) => {
                    Some(Self { trust: true, ..plain(Purl { name, version }) })
                }
                _ => None,
            },
            ManifestItem::File(_) | ManifestItem::Part(_) | ManifestItem::Gap(_) => None,
        }
    }

    fn note(self, release: &mut MirroredRelease) {
        release.wants_files |= self.integrity.is_some();
        release.integrity = release.integrity.or(self.integrity);
        release.trust |= self.trust;
        if let Some(artifact) = self.artifact.filter(|artifact| !release.artifacts.contains(artifact)) {
            release.artifacts.push(artifact);
        }
    }
}

/// What one item of a manifest says about no volume: the name of its registry, and the query of a page of advisories, or none for
/// the capabilities.
type NoticeMention = (String, Option<String>);

fn notice(item: &ManifestItem<'_>) -> Option<NoticeMention> {
    let ManifestItem::Document(document) = item else { return None };
    let query = match key(&document.route)? {
        DocumentKey::Capabilities => None,
        DocumentKey::Advisories(query) if query.volume.is_none() => {
            Some(query.to_string().trim_start_matches('?').to_owned())
        }
        _ => return None,
    };
    (document.status == 200).then(|| (document.upstream.clone(), query))
}

type Selected = BTreeMap<(VolumeName, Version), MirroredRelease>;

/// The releases that were mentioned so far.
#[derive(Debug, Default)]
struct Mentioned {
    releases: Selected,
    /// Whether there were more than are kept.
    is_more: bool,
}

impl Mentioned {
    /// Notes a mention of a release of the registry at this place of the record.
    fn note(&mut self, mention: Mention, registry: usize) {
        let Purl { name, version } = mention.release.clone();
        let place = (name, version);
        if self.releases.len() >= MOST_KEPT && !self.releases.contains_key(&place) {
            self.is_more = true;
            return;
        }
        let release = self.releases.entry(place).or_insert_with_key(|(volume, version)| MirroredRelease {
            volume: volume.clone(),
            version: version.clone(),
            integrity: None,
            state: LifecycleState::Available,
            wants_files: false,
            is_passed_over: false,
            registry,
            archive: None,
            trust: false,
            artifacts: Vec::new(),
            untrusted: None,
        });
        mention.note(release);
    }
}

impl Taking<'_> {
    /// Records what the bundle of `by` selected, before anything of it is here. What earlier ones selected is kept as well until
    /// this one [is in](Self::keep_only_this).
    pub(super) async fn keep_selected(&self, by: KeyId) -> Result<(), StoreError> {
        let name = record_name(by);
        let mut record = match load(&*self.to.store, &name).await {
            Ok(Some(record)) => record,
            // A damaged one is made anew.
            Ok(None) | Err(_) => MirrorRecord::empty(&name, self.to.now),
        };
        let mut selected = self.selected(&mut record).await?;
        for earlier in
            std::mem::take(&mut record.selected).into_iter().chain(std::mem::take(&mut record.kept))
        {
            match selected.get_mut(&(earlier.volume.clone(), earlier.version.clone())) {
                Some(release) if release.registry == earlier.registry => {
                    release.trust |= earlier.trust;
                    let more = earlier.artifacts.into_iter().filter(|one| !release.artifacts.contains(one));
                    let more: Vec<_> = more.collect();
                    release.artifacts.extend(more);
                }
                Some(_) | None if record.kept.len() < MOST_KEPT => record.kept.push(earlier),
                Some(_) | None => {}
            }
        }
        self.keep_notices(&mut record).await?;
        record.last_sync = self.to.now;
        record.selected = selected.into_values().collect();
        save(&*self.to.store, &record).await
    }

    /// Adds what the bundle has of what registries say about no volume.
    async fn keep_notices(&self, record: &mut MirrorRecord) -> Result<(), StoreError> {
        let mut mentions = pin!(items(&self.bundle, |item| notice(&item)));
        while let Some(mention) = mentions.next().await {
            let (name, query) = mention.map_err(std::io::Error::other)?;
            let ours = self.to.upstreams.named(&name).map(|upstream| &**upstream.registry());
            let Some(registry) = ours.filter(|ours| self.registries.named(&name) == Some(*ours)) else {
                continue;
            };
            let at = record.index_of(registry);
            let notices = record.notices_of(at);
            match query {
                Some(query) => notices.add_page(query),
                None => notices.capabilities = Notice::Here,
            }
        }
        Ok(())
    }

    /// All of the bundle that can go in is in: what it did not select is kept no longer.
    pub(super) async fn keep_only_this(&self, by: KeyId) -> Result<(), StoreError> {
        // A damaged record keeps nothing.
        let Ok(Some(record)) = load(&*self.to.store, &record_name(by)).await else { return Ok(()) };
        let record = MirrorRecord { kept: Vec::new(), last_success: Some(self.to.now), ..record };
        save(&*self.to.store, &record).await
    }

    /// The releases that the manifest mentions and that belong to a registry here, which is added to `record`.
    async fn selected(&self, record: &mut MirrorRecord) -> Result<Selected, StoreError> {
        let mut mentioned = Mentioned::default();
        let mut mentions = pin!(items(&self.bundle, |item| Mention::of(&item)));
        while let Some(mention) = mentions.next().await {
            let mention = mention.map_err(std::io::Error::other)?;
            if let Some(registry) = self.registry_of(&mention.release.name) {
                mentioned.note(mention, record.index_of(registry));
            }
        }
        if mentioned.is_more {
            self.warn(format!("it has more than {MOST_KEPT} releases, and those beyond may be evicted"));
        }
        Ok(mentioned.releases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_releases_are_kept_as_the_documentation_says_and_more_is_told() {
        let mention = |number: usize| Mention {
            release: Purl::new(&"lamp".parse().unwrap(), &format!("1.0.{number}").parse().unwrap()),
            integrity: Some(Integrity::new(Sha256::of(b"lamp"))),
            artifact: None,
            trust: false,
        };
        let mut mentioned = Mentioned::default();
        (0..100_000).for_each(|number| mentioned.note(mention(number), 0));
        assert_eq!((mentioned.releases.len(), mentioned.is_more), (100_000, false));
        mentioned.note(Mention { trust: true, ..mention(7) }, 0);
        assert!(!mentioned.is_more, "it is kept already");
        mentioned.note(mention(100_000), 0);
        assert_eq!((mentioned.releases.len(), mentioned.is_more), (100_000, true));
        assert_eq!(mentioned.releases.values().filter(|release| release.trust).count(), 1);
    }
}
