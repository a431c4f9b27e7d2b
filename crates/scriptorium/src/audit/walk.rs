//! Walks through a store: every document, archive, pin and history, one after the other.
//!
//! Owns the order, what is compared with what, and what may be moved. Must not know how one value is checked; each
//! kind has a file of its own.

use std::sync::Arc;

use futures_util::StreamExt;

use super::finding::{AuditCount, AuditCounts, AuditReport, Finding, FindingKind, quoted};
use super::framing::StoredArchive;
use super::{ReadRate, archive, document};
use crate::consistency::history::Seen;
use crate::consistency::{Pin, PinError, Pins, reconcile};
use crate::domain::{DocumentKey, Integrity, Purl, Registry, VolumeName};
use crate::read::Document;
use crate::read::content::DocumentContent;
use crate::read::place::{earlier_place, place};
use crate::store::{Damage, KeyPrefix, StorageKey, Store, StoreError};

const SHELVES: [KeyPrefix; 5] = [
    KeyPrefix::Documents,
    KeyPrefix::Archives,
    KeyPrefix::TrustArtifacts,
    KeyPrefix::Pins,
    KeyPrefix::Histories,
];

/// The options of an audit.
pub(crate) struct AuditOptions<'a> {
    /// Move damaged documents, archives and histories to quarantine, and pack archives anew that some readers unpack
    /// differently.
    pub(crate) repair: bool,
    /// Compare what is stored of each release, and unpack archives; else only each value is checked against itself.
    pub(crate) compare: bool,
    pub(crate) pace: ReadRate,
    /// Is told the size of every value that was checked.
    pub(crate) progress: &'a (dyn Fn(u64) + Send + Sync),
}

pub(crate) async fn walk(store: &Arc<dyn Store>, how: AuditOptions<'_>) -> AuditReport {
    let pins = Pins::new(Arc::clone(store));
    let mut walker = Walker { store, pins, how, index: None, report: AuditReport::default() };
    for shelf in SHELVES {
        let mut listed = store.list(shelf);
        while let Some(listed) = listed.next().await {
            match listed {
                Ok((key, bytes)) => walker.look(&key, bytes).await,
                Err(error) => walker.report.add(Finding::unreadable(shelf.path(), &error)),
            }
        }
    }
    walker.report
}

/// The bytes of everything that [`walk`] will check.
pub(crate) async fn size(store: &dyn Store) -> Result<u64, StoreError> {
    let mut size = 0;
    for shelf in SHELVES {
        let mut listed = store.list(shelf);
        while let Some(listed) = listed.next().await {
            size += listed?.1;
        }
    }
    Ok(size)
}

struct Walker<'a> {
    store: &'a Arc<dyn Store>,
    pins: Pins,
    how: AuditOptions<'a>,
    /// The index of the last volume: the releases of a volume are listed together.
    index: Option<(Registry, VolumeName, Option<Document>)>,
    report: AuditReport,
}

impl Walker<'_> {
    async fn look(&mut self, key: &StorageKey, bytes: u64) {
        let looked = match key {
            StorageKey::Archive(tree) => {
                let pins = self.how.compare.then_some(&self.pins);
                match archive::judge(&**self.store, pins, *tree, &mut self.how.pace).await {
                    Ok(()) if self.how.compare => self.framing(*tree).await,
                    judged => judged,
                }
            }
            StorageKey::TrustArtifact(digest) => {
                archive::judge_artifact(&**self.store, *digest, &mut self.how.pace).await
            }
            StorageKey::Pin { .. } | StorageKey::Sighting { .. } => self.pin(key).await,
            StorageKey::History(_) => self.history(key).await,
            _ => self.document(key).await,
        };
        if let Some(count) = counted(&mut self.report.walked, key) {
            count.add(bytes);
        }
        if !matches!(key, StorageKey::Archive(_) | StorageKey::TrustArtifact(_)) {
            self.how.pace.after(bytes).await;
        }
        (self.how.progress)(bytes);
        if let Err(finding) = looked {
            let finding = self.repair(key, finding).await;
            self.report.add(finding);
        }
    }

    /// Unpacks an archive whose bytes are as they were sealed.
    async fn framing(&mut self, tree: Integrity) -> Result<(), Finding> {
        let unreadable = |error| Finding::unreadable(StorageKey::Archive(tree).path(), &error);
        let Some(stored) = StoredArchive::open(self.store, tree).await.map_err(unreadable)? else {
            return Ok(());
        };
        let judged = stored.judge(tree).await;
        self.how.pace.after(stored.length()).await;
        judged
    }

    /// Moves what can be fetched again, and packs anew what some readers unpack differently.
    async fn repair(&self, key: &StorageKey, mut finding: Finding) -> Finding {
        if !self.how.repair {
            return finding;
        }
        let (failed, done) = match (finding.kind, key) {
            (FindingKind::Framing, StorageKey::Archive(tree)) => ("packed anew", self.pack_anew(*tree).await),
            (kind, _) if kind.is_replaceable() => {
                let damage = Damage::of(key, finding.expected.clone(), finding.found.clone());
                ("moved", self.store.set_aside(key, &damage).await)
            }
            _ => return finding,
        };
        match done {
            Ok(()) => finding.repaired(),
            Err(error) => {
                finding.found = format!("{}; cannot be {failed}: {error}", finding.found);
                finding
            }
        }
    }

    async fn pack_anew(&self, tree: Integrity) -> Result<(), StoreError> {
        match StoredArchive::open(self.store, tree).await? {
            Some(stored) => stored.pack_anew(tree).await,
            None => Ok(()),
        }
    }

    async fn document(&mut self, key: &StorageKey) -> Result<(), Finding> {
        let read = self.store.read(key).await;
        let Some(stored) = read.map_err(|error| Finding::unreadable(key.path(), &error))? else {
            return Ok(());
        };
        let (question, document) = document::judge_apart(key, stored).await?;
        // A document in the place of an earlier version is no longer read.
        let is_read = earlier_place(&question) != *key;
        let DocumentKey::Release(name, version) = question else { return Ok(()) };
        if !self.how.compare || !is_read {
            return Ok(());
        }
        let (release, registry) = (Purl { name, version }, document.meta.registry());
        // A damaged pin is a finding of its own.
        let pin = self.pins.of(&registry, &release).await.ok().flatten();
        self.compare(key, &registry, &release, Some(&document.content), pin.as_ref()).await
    }

    async fn pin(&mut self, key: &StorageKey) -> Result<(), Finding> {
        let pin = match self.pins.at(key).await {
            Ok(Some(pin)) => pin,
            Ok(None) => return Ok(()),
            Err(PinError::Damaged(_)) => {
                let stored = self.store.read(key).await.ok().flatten().unwrap_or_default();
                let found = format!("`{}`", quoted(&String::from_utf8_lossy(&stored)));
                return Err(Finding::new(FindingKind::Pin, key.path(), "a pin as it was written", found));
            }
            Err(PinError::Lost(lost)) => {
                let found = format!("that of {} was damaged at {} and given up", lost.upstream, lost.lost);
                let finding = Finding::new(FindingKind::Pin, key.path(), "a pin", found);
                return Err(finding.of(lost.release()));
            }
            Err(PinError::Store(error)) => return Err(Finding::unreadable(key.path(), &error)),
        };
        // A pin without a URL is compared where what it binds is stored.
        let (true, Some(registry)) = (self.how.compare, pin.registry()) else { return Ok(()) };
        let release = pin.release();
        let exact = DocumentKey::Release(release.name.clone(), release.version.clone());
        let exact = place(&registry, &exact);
        // A release with exact metadata is compared there.
        match self.store.read_range(&exact, 0..0).await {
            Ok(Some(_)) => Ok(()),
            _ => self.compare(key, &registry, &release, None, Some(&pin)).await,
        }
    }

    async fn history(&self, key: &StorageKey) -> Result<(), Finding> {
        let read = self.store.read(key).await;
        let Some(stored) = read.map_err(|error| Finding::unreadable(key.path(), &error))? else {
            return Ok(());
        };
        Seen::read(&stored).map(drop).map_err(|error| {
            Finding::new(FindingKind::History, key.path(), "a history as it was written", error.to_string())
        })
    }

    async fn compare(
        &mut self,
        key: &StorageKey,
        registry: &Registry,
        release: &Purl,
        exact: Option<&DocumentContent>,
        pin: Option<&Pin>,
    ) -> Result<(), Finding> {
        self.recall(registry, &release.name).await;
        let index = self.index.as_ref().and_then(|(.., index)| index.as_ref());
        let rows = index.and_then(|index| index.content.rows()).map(|rows| rows.of(&release.version));
        let listed = rows.is_some_and(|rows| !rows.is_empty());
        let known = [listed, exact.is_some(), pin.is_some()].iter().filter(|known| **known).count();
        self.report.walked.releases += u64::from(known > 1);
        let exact = exact.and_then(DocumentContent::exact);
        let pin = pin.map(|pin| pin.integrity);
        match reconcile((&release.name, &release.version), rows, exact, pin) {
            Some(difference) => {
                let [one, other] = &difference.claims;
                let (first, second) = (one.source.as_str(), other.source.as_str());
                let found = format!("{first} says {}, {second} says {}", one.says, other.says);
                let expected = "one content and one state in the index, exact metadata and pin";
                Err(Finding::new(FindingKind::Disagreement, key.path(), expected, found).of(release))
            }
            None => Ok(()),
        }
    }

    async fn recall(&mut self, registry: &Registry, name: &VolumeName) {
        if self.index.as_ref().is_none_or(|(whose, held, _)| whose != registry || held != name) {
            let index = document::held(&**self.store, registry, &DocumentKey::Index(name.clone())).await;
            self.index = Some((registry.clone(), name.clone(), index));
        }
    }
}

fn counted<'a>(walked: &'a mut AuditCounts, key: &StorageKey) -> Option<&'a mut AuditCount> {
    match key {
        StorageKey::Document { .. } | StorageKey::OfRelease { .. } | StorageKey::Slot { .. } => {
            Some(&mut walked.documents)
        }
        StorageKey::Archive(_) | StorageKey::TrustArtifact(_) => Some(&mut walked.archives),
        StorageKey::Pin { .. } | StorageKey::Sighting { .. } => Some(&mut walked.pins),
        StorageKey::History(_)
        | StorageKey::Divergence(_)
        | StorageKey::Upload(_)
        | StorageKey::Session(_)
        | StorageKey::Mirror(_)
        | StorageKey::Evidence(_)
        | StorageKey::Invalidations
        | StorageKey::Refusals
        | StorageKey::News
        | StorageKey::Starts
        | StorageKey::Bundles
        | StorageKey::Uses
        | StorageKey::Quarantined(_) => None,
    }
}
