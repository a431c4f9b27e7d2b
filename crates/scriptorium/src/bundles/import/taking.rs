//! An import under way: its steps, and what becomes of an item that does not go in.
//!
//! Owns the order of the steps, pins, divergences from them, and refusals of archives. Must not know how a file or a document
//! is taken in (`files`, `documents`).

use std::io;
use std::pin::pin;
use std::sync::Arc;

use bundle::{BlobIndex, BundledPin, KeyId, ManifestItem, ManifestReadError, OpenBundle};
use futures_util::StreamExt;
use futures_util::future::join_all;
use parking_lot::Mutex;

use super::items::items;
use super::noted::ImportNotes;
use super::{BundleImport, ImportReport, LeftOutSubject};
use crate::bundles::origins::BundledRegistries;
use crate::clock::Timestamp;
use crate::consistency::{
    About, ArchiveRefusal, ArchiveRefusals, ClaimSource, DifferenceKind, Divergence, Divergences, Pin,
    PinError, Pins, Proof, Testimony,
};
use crate::domain::{DocumentKey, Integrity, Purl, Registry, VolumeName};
use crate::store::StoreError;

/// Pins that are taken in at once; they share flushes.
const PINS_AT_ONCE: usize = 64;

/// Why something does not go in.
pub(super) enum NotIn {
    /// It is left out, and the rest goes in.
    LeftOut(LeftOutSubject, String),
    /// Its release contradicts the pin.
    Contradicts { release: Purl, pin: Box<Pin>, said: Integrity },
    /// Its archive was refused for its content.
    Refused(Box<ArchiveRefusal>),
    /// Nothing more can go in.
    Ended(StoreError),
}

impl From<StoreError> for NotIn {
    fn from(error: StoreError) -> Self {
        Self::Ended(error)
    }
}

/// The manifest's copy cannot be read: a file of this process.
impl From<ManifestReadError> for NotIn {
    fn from(error: ManifestReadError) -> Self {
        Self::Ended(io::Error::other(error).into())
    }
}

/// A release is left out where its pin cannot be read.
pub(super) fn unpinned(release: &Purl, error: PinError) -> NotIn {
    match error {
        PinError::Store(error) => NotIn::Ended(error),
        error @ (PinError::Damaged(_) | PinError::Lost(_)) => left_out(release, error.to_string()),
    }
}

pub(super) fn left_out(release: &Purl, reason: impl Into<String>) -> NotIn {
    NotIn::LeftOut(LeftOutSubject::Release(named(release)), reason.into())
}

fn named(release: &Purl) -> String {
    format!("{}@{}", release.name, release.version)
}

pub(super) struct Taking<'a> {
    pub(super) to: &'a BundleImport<'a>,
    pub(super) bundle: Arc<OpenBundle>,
    pub(super) blobs: BlobIndex,
    pub(super) registries: BundledRegistries,
    pub(super) pins: Pins,
    pub(super) refusals: ArchiveRefusals,
    divergences: Divergences,
    /// When the bundle was made.
    created: Timestamp,
    noted: Mutex<ImportNotes>,
}

impl<'a> Taking<'a> {
    pub(super) fn new(
        to: &'a BundleImport<'a>,
        bundle: Arc<OpenBundle>,
        blobs: BlobIndex,
        registries: BundledRegistries,
        created: Timestamp,
        report: ImportReport,
    ) -> Self {
        let store = || Arc::clone(&to.store);
        let (pins, divergences) = (Pins::new(store()), Divergences::new(store()));
        let (refusals, noted) = (ArchiveRefusals::new(store()), Mutex::new(ImportNotes::of(report)));
        Self { to, bundle, blobs, registries, pins, refusals, divergences, created, noted }
    }

    /// Every step, each after the one before it ended. What was selected is kept for the key `by`, if that is trusted.
    pub(super) async fn all(&self, by: Option<KeyId>) -> Result<(), StoreError> {
        self.divergences.load(|_| {}).await?;
        self.refusals.load(|_| {}).await?;
        if let Some(by) = by {
            self.keep_selected(by).await?;
        }
        self.take_pins().await?;
        self.take_files().await?;
        self.take_documents(false).await?;
        self.take_documents(true).await?;
        match by {
            Some(by) => self.keep_only_this(by).await,
            None => Ok(()),
        }
    }

    pub(super) fn end(self, taken: Result<(), StoreError>) -> (ImportReport, Option<Timestamp>) {
        let ImportNotes { report, newest, .. } = self.noted.into_inner();
        let report = match taken {
            Ok(()) => report,
            Err(error) => report.interrupted(&error),
        };
        (report, newest)
    }

    /// The registry that the releases of a volume belong to here, if the bundle speaks of that one.
    pub(super) fn registry_of(&self, name: &VolumeName) -> Option<&Registry> {
        let registry = &**self.to.upstreams.for_volume(name)?.registry();
        self.registries.speaks_of(registry).then_some(registry)
    }

    async fn take_pins(&self) -> Result<(), StoreError> {
        let pins = items(&self.bundle, |item| match item {
            ManifestItem::Pin(pin) => Some(pin.clone()),
            _ => None,
        });
        let mut pins = pin!(pins.chunks(PINS_AT_ONCE));
        while let Some(some) = pins.next().await {
            let taken = some.into_iter().map(async |pin| match pin {
                Ok(pin) => self.take_pin(pin).await,
                Err(error) => Err(error.into()),
            });
            for taken in join_all(taken).await {
                self.note(taken).await?;
            }
        }
        Ok(())
    }

    async fn take_pin(&self, pin: BundledPin) -> Result<(), NotIn> {
        let release = Purl::new(&pin.volume, &pin.version);
        let registry = self.registry_of(&pin.volume).ok_or_else(|| elsewhere(&release))?;
        let since = Timestamp(pin.first_seen.seconds().saturating_mul(1000)).min(self.to.now);
        let said = Pin::of(registry, &release, pin.integrity, since);
        let first = self.pins.admit(said, Proof::Seen).await.map_err(|error| unpinned(&release, error))?;
        if first.integrity == pin.integrity {
            return Ok(());
        }
        Err(NotIn::Contradicts { release, pin: Box::new(first), said: pin.integrity })
    }

    /// Whether the pin of `release` allows the integrity that the bundle `said`.
    pub(super) async fn agrees(
        &self,
        registry: &Registry,
        release: &Purl,
        said: Integrity,
    ) -> Result<(), NotIn> {
        match self.pins.of(registry, release).await.map_err(|error| unpinned(release, error))? {
            Some(pin) if pin.integrity != said => {
                Err(NotIn::Contradicts { release: release.clone(), pin: Box::new(pin), said })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Ends the divergence of an earlier import: exact metadata that was `confirmed` later agrees with the pin.
    pub(super) async fn reconcile(
        &self,
        registry: &Registry,
        exact: &DocumentKey,
        confirmed: Timestamp,
    ) -> Result<(), StoreError> {
        let is_over = self
            .divergences
            .of(registry, exact)
            .is_some_and(|open| open.kind == DifferenceKind::IntegrityChanged && confirmed > open.checked_at);
        if is_over {
            self.divergences.close(registry, exact).await?;
        }
        Ok(())
    }

    /// Whether `release` was found to contradict its pin.
    pub(super) fn contradicts(&self, release: &Purl) -> bool {
        self.noted.lock().contradictions.contains(release)
    }

    pub(super) fn count_release(&self) {
        self.noted.lock().report.releases += 1;
    }

    pub(super) fn confirmed(&self, at: Timestamp) {
        let newest = &mut self.noted.lock().newest;
        *newest = (*newest).max(Some(at));
    }

    pub(super) fn warn(&self, warning: String) {
        self.noted.lock().report.warn(warning);
    }

    /// Notes what did not go in.
    ///
    /// # Errors
    /// When nothing more can.
    pub(super) async fn note<T>(&self, taken: Result<T, NotIn>) -> Result<Option<T>, StoreError> {
        let (subject, reason) = match taken {
            Ok(taken) => return Ok(Some(taken)),
            Err(NotIn::Ended(error)) => return Err(error),
            Err(NotIn::LeftOut(subject, reason)) => (subject, reason),
            Err(NotIn::Contradicts { release, pin, said }) => {
                let reason =
                    format!("it contradicts its pin: pinned is {}, and the bundle has {said}", pin.integrity);
                if !self.contradicts(&release) {
                    self.diverge(&release, &pin, said).await?;
                }
                let subject = LeftOutSubject::Release(named(&release));
                self.noted.lock().contradictions.insert(release);
                (subject, reason)
            }
            Err(NotIn::Refused(refusal)) => {
                let release = Purl::new(&refusal.volume, &refusal.version);
                let told = (LeftOutSubject::Release(named(&release)), unfit(&refusal.why));
                self.refuse(&release, *refusal).await?;
                told
            }
        };
        self.noted.lock().leave_out(subject, reason);
        Ok(None)
    }

    /// Remembers a verdict on an archive, as if its registry had sent it: rows, exact metadata and `explain` say so.
    async fn refuse(&self, release: &Purl, refusal: ArchiveRefusal) -> Result<(), StoreError> {
        let (registry, integrity) = (refusal.registry.clone(), refusal.integrity);
        self.refusals.add(refusal).await?;
        match self.pins.disown(&registry, release, &integrity).await {
            // A pin that cannot be read stays, and its release is refused for it.
            Ok(()) | Err(PinError::Damaged(_) | PinError::Lost(_)) => Ok(()),
            Err(PinError::Store(error)) => Err(error),
        }
    }

    async fn diverge(&self, release: &Purl, pin: &Pin, said: Integrity) -> Result<(), StoreError> {
        let Some(registry) = self.registry_of(&release.name) else { return Ok(()) };
        let claim = |source, integrity: Integrity, at, upstream: &str| Testimony {
            source,
            says: integrity.to_string(),
            fetched_at: at,
            upstream: Some(upstream.to_owned()),
        };
        let found = Divergence {
            volume: release.name.clone(),
            version: release.version.clone(),
            about: About::Release,
            kind: DifferenceKind::IntegrityChanged,
            claims: [
                claim(ClaimSource::Exact, said, None, registry.name()),
                claim(ClaimSource::Pin, pin.integrity, Some(pin.since), &pin.upstream),
            ],
            since: self.to.now,
            // A bundle that was made later may have what its registry said later.
            checked_at: self.created,
        };
        let (_, recorded) = self.divergences.open(registry, found).await;
        recorded.map(|_| ())
    }
}

/// Why a release of another registry does not go in.
pub(super) fn elsewhere(release: &Purl) -> NotIn {
    left_out(release, "its volume is not routed to an upstream with the name and the URL that the bundle has")
}

/// Why a file that is not what it should be does not go in.
pub(super) fn unfit(why: &str) -> String {
    format!("its file was refused: {why}")
}
