//! What the store holds of a selection.
//!
//! Owns which documents and files belong to a release and its volume, and what of them is missing. Must not know which of it
//! the receiver has.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use bundle::{BundleGap, BundledDocument, BundledFile, BundledFileKind, BundledPin, GapSubject, UtcSecond};

use super::ExportFailure;
use super::objections::Objections;
use crate::bundles::selection::{
    BundledExtent, BundledNotices, BundledRelease, BundledSelection, gap_of, subject_of,
};
use crate::consistency::{PinError, Pins};
use crate::domain::check::{Attachment, Locator};
use crate::domain::{
    AdvisoryPages, AdvisoryQuery, Dist, DocumentKey, Integrity, Purl, Registry, Sha256, Version, VolumeName,
};
use crate::read::Document;
use crate::read::decision::archive::{ArchiveOffer, offer};
use crate::read::envelope::Envelope;
use crate::read::place::place;
use crate::store::{StorageKey, Store, StoreError, sealed};

/// An item, and where its bytes are stored.
pub(super) struct GatheredItem<T> {
    pub(super) item: T,
    pub(super) registry: Registry,
    /// The release that lacks something without it, or the first of many.
    release: Purl,
    pub(super) place: StorageKey,
}

/// Everything that a bundle may carry, in the order of its lists.
pub(super) struct Gathered {
    pub(super) documents: Vec<GatheredItem<BundledDocument>>,
    pub(super) files: Vec<GatheredItem<BundledFile>>,
    pub(super) pins: Vec<BundledPin>,
    pub(super) missing: BTreeSet<BundleGap>,
}

impl Gathered {
    /// Drops the items whose blobs could not be written. Each of them is missing.
    pub(super) fn drop_lost(&mut self, lost: &HashSet<Sha256>) {
        let Self { documents, files, missing, .. } = self;
        documents.retain(|one| {
            let is_lost = lost.contains(&one.item.sha256);
            missing.extend(is_lost.then(|| gap_of(&one.release, &gone(&one.item.route))));
            !is_lost
        });
        files.retain(|one| {
            let is_lost = lost.contains(&one.item.sha256);
            let what = match one.item.kind {
                BundledFileKind::Archive => "its archive",
                BundledFileKind::TrustArtifact => "a trust artifact of it",
            };
            missing.extend(is_lost.then(|| gap_of(&one.release, &gone(what))));
            !is_lost
        });
    }
}

fn gone(what: &str) -> String {
    format!("{what} was removed or replaced while the bundle was written")
}

struct Gathering<'a> {
    store: &'a dyn Store,
    pins: &'a Pins,
    objections: &'a Objections,
    /// What the last sync said why it is missing.
    explained: BTreeSet<GapSubject>,
    gathered: Gathered,
}

/// What `store` holds of `selection`; with `lifecycle_only` no trust documents and no files.
pub(super) async fn gather(
    store: Arc<dyn Store>,
    selection: BundledSelection,
    lifecycle_only: bool,
) -> Result<Gathered, ExportFailure> {
    let pins = Pins::new(Arc::clone(&store));
    let objections = Objections::load(&store).await?;
    let BundledSelection { mut releases, notices, missing } = selection;
    // Of what is named twice, the one of which more goes along is first.
    releases.sort_by(|one, other| place_of(one).cmp(&place_of(other)).then(one.extent.cmp(&other.extent)));
    releases.dedup_by(|one, other| place_of(one) == place_of(other));
    let explained = missing.iter().map(|gap| gap.subject.clone()).collect();
    let gathered = Gathered {
        documents: Vec::new(),
        files: Vec::new(),
        pins: Vec::new(),
        missing: missing.into_iter().collect(),
    };
    let mut gathering =
        Gathering { store: &*store, pins: &pins, objections: &objections, explained, gathered };
    let firsts: BTreeMap<_, _> = releases.iter().rev().map(|of| (&of.registry, &of.release)).collect();
    for (registry, first) in firsts {
        let expected = notices.iter().find(|notices| notices.registry == *registry);
        gathering.notices(registry, first, expected).await?;
    }
    let of_volume =
        |of: &'_ BundledRelease| ((of.registry.clone(), of.release.name.clone()), of.release.clone());
    let volumes: BTreeMap<_, _> = releases.iter().rev().map(of_volume).collect();
    for ((registry, _), first) in &volumes {
        gathering.volume(registry, first).await?;
    }
    for bundled in releases.iter().filter(|bundled| bundled.extent != BundledExtent::Index) {
        gathering.release(bundled, lifecycle_only).await?;
    }
    let mut gathered = gathering.gathered;
    let place = |one: &GatheredItem<BundledDocument>| (one.item.route.clone(), one.item.upstream.clone());
    gathered.documents.sort_by_cached_key(place);
    // Two lists may name one advisory.
    gathered.documents.dedup_by(|one, other| place(one) == place(other));
    gathered.files.sort_by(|one, other| order(&one.item).cmp(&order(&other.item)));
    // Several attachments may have the same bytes.
    gathered.files.dedup_by(|one, other| one.item == other.item);
    gathered.pins.sort_by(|one, other| (&one.volume, &one.version).cmp(&(&other.volume, &other.version)));
    Ok(gathered)
}

fn place_of(of: &BundledRelease) -> (&Registry, &VolumeName, &Version) {
    (&of.registry, &of.release.name, &of.release.version)
}

fn order(file: &BundledFile) -> impl Ord + '_ {
    (&file.volume, &file.version, file.kind, &file.integrity, &file.sha256)
}

impl Gathering<'_> {
    /// What is about all releases of a volume, of which `first` is one.
    async fn volume(&mut self, registry: &Registry, first: &Purl) -> Result<(), StoreError> {
        self.document(registry, &DocumentKey::Index(first.name.clone()), first).await?;
        let about = DocumentKey::Advisories(AdvisoryQuery::about(first.name.clone()));
        let list = self.document(registry, &about, first).await?;
        self.advisories_of(registry, first, list.as_ref()).await
    }

    /// What a registry says about no volume. If something of it is not here that the mirror had, that is missing, in the name of
    /// the `first` release.
    async fn notices(
        &mut self,
        registry: &Registry,
        first: &Purl,
        expected: Option<&BundledNotices>,
    ) -> Result<(), StoreError> {
        let capabilities = self.document(registry, &DocumentKey::Capabilities, first).await?;
        if capabilities.is_none() && expected.is_some_and(|expected| expected.capabilities) {
            self.lack(first, &format!("the capabilities of its registry {} are not here", registry.name()));
        }
        let is_whole = self.advisories(registry, first).await?;
        if !is_whole && expected.is_some_and(|expected| expected.advisories) {
            let name = registry.name();
            self.lack(
                first,
                &format!("the list of advisories of its registry {name} is not here as a whole"),
            );
        }
        Ok(())
    }

    /// Every page of the list of advisories. Whether all of them are here.
    async fn advisories(&mut self, registry: &Registry, first: &Purl) -> Result<bool, StoreError> {
        let mut paging = AdvisoryPages::default();
        while let Some(query) = paging.question() {
            let key = DocumentKey::Advisories(query).at_registry(registry.name());
            let Some(page) = self.document(registry, &key, first).await? else { return Ok(false) };
            self.advisories_of(registry, first, Some(&page)).await?;
            if !paging.is_followed(page.content.listed()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Each advisory on a list that is held by itself.
    async fn advisories_of(
        &mut self,
        registry: &Registry,
        first: &Purl,
        list: Option<&Document>,
    ) -> Result<(), StoreError> {
        let items = list.and_then(|list| list.content.listed()).map(|list| &*list.items);
        for id in items.unwrap_or_default().iter().filter_map(|item| item.id.clone()) {
            self.document(registry, &DocumentKey::Advisory(id), first).await?;
        }
        Ok(())
    }

    async fn release(&mut self, bundled: &BundledRelease, lifecycle_only: bool) -> Result<(), ExportFailure> {
        let BundledRelease { registry, release, extent, wants_files } = bundled;
        let mut is_whole = *extent == BundledExtent::Whole;
        if is_whole && let Some(reason) = self.objections.contradiction(registry, release) {
            self.object(release, &reason);
            is_whole = false;
        }
        let (name, version) = (release.name.clone(), release.version.clone());
        let exact = DocumentKey::Release(name.clone(), version.clone());
        let exact = self.document(registry, &exact, release).await?;
        match &exact {
            Some(exact) if !lifecycle_only && is_whole => {
                self.archive(registry, (release, *wants_files), exact).await?;
            }
            None if is_whole => self.absent(release, "its exact metadata is not here"),
            Some(_) | None => {}
        }
        if !lifecycle_only && is_whole {
            let summary = DocumentKey::TrustSummary(name.clone(), version.clone());
            self.document(registry, &summary, release).await?;
            let detail = DocumentKey::TrustDetail(name, version);
            if let Some(detail) = self.document(registry, &detail, release).await? {
                self.artifacts(registry, release, &detail).await?;
            }
        }
        match self.pins.of(registry, release).await {
            Ok(Some(pin)) => self.gathered.pins.push(BundledPin {
                volume: pin.volume,
                version: pin.version,
                integrity: pin.integrity,
                first_seen: UtcSecond::saturating(pin.since.0 / 1000),
            }),
            Ok(None) => {}
            Err(PinError::Store(error)) => return Err(error.into()),
            Err(error @ (PinError::Damaged(_) | PinError::Lost(_))) => self.lack(release, &error.to_string()),
        }
        Ok(())
    }

    /// The stored answer of `registry` to `key`, which is added.
    async fn document(
        &mut self,
        registry: &Registry,
        key: &DocumentKey,
        release: &Purl,
    ) -> Result<Option<Document>, StoreError> {
        let place = place(registry, key);
        let Some(stored) = self.store.read(&place).await? else { return Ok(None) };
        let route = key.to_string();
        // A document that is damaged, or an answer to another question, is a miss.
        let envelope = Envelope::decode(&stored).ok();
        let envelope = envelope.filter(|held| held.meta.key == route && held.meta.is_of(registry));
        let Some(envelope) = envelope else { return Ok(None) };
        let Envelope { meta, body } = &envelope;
        let confirmed = (meta.fetched_at.0 / 1000).saturating_sub(meta.upstream_age);
        let item = BundledDocument {
            route,
            upstream: registry.name().to_owned(),
            status: meta.status,
            sha256: Sha256::of(body),
            size: body.len() as u64,
            etag: meta.etag.clone(),
            confirmed: UtcSecond::saturating(confirmed),
        };
        let Ok(document) = Document::new(key, envelope) else { return Ok(None) };
        let (registry, release) = (registry.clone(), release.clone());
        self.gathered.documents.push(GatheredItem { item, registry, release, place });
        Ok(Some(document))
    }

    async fn archive(
        &mut self,
        registry: &Registry,
        (release, is_wanted): (&Purl, bool),
        exact: &Document,
    ) -> Result<(), StoreError> {
        let Some(found) = exact.content.release() else { return Ok(()) };
        let ArchiveOffer::Archive { integrity, dist } = offer(found) else { return Ok(()) };
        let key = StorageKey::Archive(integrity);
        let seal = sealed_at(self.store, &key).await?;
        match seal.filter(|seal| seal.identity == release.to_string()) {
            Some(seal) => {
                self.file(
                    registry,
                    release,
                    BundledFileKind::Archive,
                    integrity,
                    (seal.raw, seal.length),
                    key,
                );
            }
            // Where the mirror does not want it, Git delivers it to clients.
            None if matches!(dist, Dist::Git { .. }) && !is_wanted => {}
            None => match self.objections.refusal(registry, release) {
                Some(reason) => self.object(release, &reason),
                None => self.absent(release, "its archive is not here"),
            },
        }
        Ok(())
    }

    async fn artifacts(
        &mut self,
        registry: &Registry,
        release: &Purl,
        detail: &Document,
    ) -> Result<(), StoreError> {
        let Some(trust) = detail.content.trust() else { return Ok(()) };
        for Attachment { digest, locator, is_active, .. } in &trust.attachments {
            if matches!(locator, Locator::Embedded) {
                continue;
            }
            let key = StorageKey::TrustArtifact(*digest);
            match sealed_at(self.store, &key).await?.filter(|seal| seal.raw == *digest) {
                Some(seal) => self.file(
                    registry,
                    release,
                    BundledFileKind::TrustArtifact,
                    Integrity::new(*digest),
                    (seal.raw, seal.length),
                    key,
                ),
                None if *is_active => self.absent(release, "a trust artifact of it is not here"),
                None => {}
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        registry: &Registry,
        release: &Purl,
        kind: BundledFileKind,
        integrity: Integrity,
        (sha256, size): (Sha256, u64),
        place: StorageKey,
    ) {
        let (volume, version) = (release.name.clone(), release.version.clone());
        let item = BundledFile { kind, volume, version, integrity, sha256, size };
        let (registry, release) = (registry.clone(), release.clone());
        self.gathered.files.push(GatheredItem { item, registry, release, place });
    }

    /// A release is refused to clients of this proxy. Whatever the last sync said, that is why.
    fn object(&mut self, release: &Purl, reason: &str) {
        self.gathered.missing.retain(|gap| gap.subject != subject_of(release));
        self.lack(release, reason);
    }

    /// Something is not here. The last sync may have said why.
    fn absent(&mut self, release: &Purl, reason: &str) {
        if !self.explained.contains(&subject_of(release)) {
            self.lack(release, reason);
        }
    }

    fn lack(&mut self, release: &Purl, reason: &str) {
        self.gathered.missing.insert(gap_of(release, reason));
    }
}

/// The seal of a file; a damaged one is not here.
async fn sealed_at(store: &dyn Store, key: &StorageKey) -> Result<Option<sealed::Seal>, StoreError> {
    match sealed::open(store, key).await {
        Err(StoreError::Corrupt(_)) => Ok(None),
        opened => opened,
    }
}
