//! Bringing one release in: its exact metadata, its archive, its trust views and their artifacts.
//!
//! Everything comes the way it comes for a client, so that it is settled, verified and pinned. Owns which parts belong to a
//! release, and when a release is whole. Must not know which releases are selected.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::desk::{BorrowedMemory, MirrorRun};
use super::patience::{Attempt, Setback, refused};
use super::record::{MirrorRecord, MirroredRelease};
use super::sizing::{taken_by, too_large};
use crate::domain::check::Locator;
use crate::domain::{DocumentKey, FileKey, Sha256, VolumeName};
use crate::files::PermittedFile;
use crate::read::decision::archive::{ArchiveOffer, offer};
use crate::read::failure::ReadFailure;
use crate::read::{CachedAnswer, Outcome};
use crate::store::pages;

/// Releases that are brought in at once. Clients have the other slots.
pub(super) const AT_ONCE: usize = 6;

/// How releases are brought in.
pub(super) struct Bringing<'a> {
    run: &'a MirrorRun<'a>,
    /// Whether trust belongs to the mirror.
    trust: bool,
    /// Whether other values may be evicted for what comes.
    pub(super) evicts: bool,
    /// What this mirror takes so far, in bytes of whole pages.
    taken: AtomicU64,
    /// What it may take, while records take no more than at first.
    most: u64,
    records: u64,
    is_too_large: AtomicBool,
    /// The index of the volume whose releases are brought in, in memory for all of them.
    index: Mutex<Option<(VolumeName, BorrowedMemory<'a>)>>,
}

/// What came of a release.
pub(super) struct Brought {
    pub(super) release: MirroredRelease,
    /// Whether nothing was tried, because something might be evicted for it.
    pub(super) is_put_off: bool,
}

impl<'a> Bringing<'a> {
    /// Brings in what is selected in `record`.
    pub(super) fn new(run: &'a MirrorRun<'a>, trust: bool, record: &MirrorRecord) -> Self {
        let (store, keys) = (&run.desk.store, record.selected_keys());
        let most = store.vacancy(&keys).map_or(u64::MAX, |vacancy| vacancy.most);
        let records = store.usage().records.bytes;
        let (taken, is_too_large, index) =
            (AtomicU64::new(taken_by(record)), AtomicBool::new(false), Mutex::default());
        Self { run, trust, evicts: true, taken, most, records, is_too_large, index }
    }

    /// Brings in what is not here of `release`.
    pub(super) async fn bring(&self, mut release: MirroredRelease) -> Attempt<Brought> {
        let comes = release.wants_files && release.archive.is_none();
        if comes && !self.evicts && self.is_close() {
            return Attempt::whole(Brought { release, is_put_off: true });
        }
        self.keep_index_of(&release.volume);
        let setback = match self.overflow() {
            Ok(()) => self.bring_parts(&mut release).await.err(),
            Err(why) => Some(Setback::Final(why)),
        };
        Attempt { got: Brought { release, is_put_off: false }, setback }
    }

    /// Lets the index of `volume` stay in memory until a release of another volume is brought in.
    fn keep_index_of(&self, volume: &VolumeName) {
        let mut index = self.index.lock();
        if index.as_ref().is_none_or(|(held, _)| held != volume) {
            let borrowed = self.run.borrow(DocumentKey::Index(volume.clone()));
            *index = Some((volume.clone(), borrowed));
        }
    }

    /// Whether what is free may not hold what comes at once.
    fn is_close(&self) -> bool {
        let longest = self.run.desk.files.bounds().max_archive;
        self.run.desk.store.usage().free() < longest.saturating_mul(self.run.at_once(AT_ONCE) as u64)
    }

    /// An error once the mirror takes more than it may, whatever registries said before.
    pub(super) fn overflow(&self) -> Result<(), String> {
        match self.is_too_large.load(Ordering::Relaxed) {
            true => Err(too_large(self.taken.load(Ordering::Relaxed), self.may_take())),
            false => Ok(()),
        }
    }

    fn may_take(&self) -> u64 {
        let more = self.run.desk.store.usage().records.bytes.saturating_sub(self.records);
        self.most.saturating_sub(more)
    }

    /// Counts a file that came. One that the store did not take found what comes beside it.
    fn count(&self, length: u64, is_stored: bool) {
        let taken = self.taken.fetch_add(pages(length), Ordering::Relaxed).saturating_add(pages(length));
        let beside = if is_stored { 0 } else { pages(length).saturating_mul(AT_ONCE as u64) };
        if taken.saturating_add(beside) > self.may_take() {
            self.is_too_large.store(true, Ordering::Relaxed);
        }
    }

    async fn bring_parts(&self, release: &mut MirroredRelease) -> Result<(), Setback> {
        let (name, version) = (release.volume.clone(), release.version.clone());
        let key = DocumentKey::Release(name.clone(), version.clone());
        let _exact = self.run.borrow(key.clone());
        let exact = match self.run.document(&key).await {
            // The index says that it is withheld; documents are for a site with a policy of its own.
            Err(ReadFailure::Policy(_)) if !release.wants_files => return Ok(()),
            asked => asked?,
        };
        let content = &exact.document.content;
        let Some(metadata) = content.release() else {
            // The registry may refuse exact metadata of a release that its row withholds.
            return match content.problem() {
                Some(problem) if release.wants_files => Err(Setback::Final(refused(problem))),
                _ => Ok(()),
            };
        };
        held(&exact)?;
        if metadata.integrity.is_some() && metadata.integrity != release.integrity {
            (release.integrity, release.archive) = (metadata.integrity, None);
        }
        release.state = metadata.status.state;
        match offer(metadata) {
            ArchiveOffer::Withdrawn if release.wants_files => {
                return Err(Setback::Final(format!("it is {}", metadata.status.state)));
            }
            ArchiveOffer::Withdrawn => return Ok(()),
            ArchiveOffer::Archive { .. } if !release.wants_files => return Ok(()),
            ArchiveOffer::Malformed => {
                return Err(Setback::Final("its exact metadata names no archive".to_owned()));
            }
            // Clients fetch it themselves, from a host that this proxy may not ask.
            ArchiveOffer::Archive { dist, .. } if !self.run.desk.documents.brings(&key, dist) => {
                release.wants_files = false;
            }
            ArchiveOffer::Archive { .. } => {
                let key = FileKey::Archive(name, version);
                release.archive = Some(self.file(&key, release.archive).await?);
            }
        }
        if self.trust { self.bring_trust(release).await } else { Ok(()) }
    }

    /// A file, unless the mirror takes more than the storage may. `before` is its length where that was counted before.
    async fn file(&self, key: &FileKey, before: Option<u64>) -> Result<u64, Setback> {
        if before.is_none() {
            self.overflow().map_err(Setback::Final)?;
        }
        let file = self.run.file(key).await?;
        let (length, stored) = (file.file.seal.length, stored(&file));
        if before.is_none() {
            self.count(length, stored.is_ok());
        }
        stored.map(|()| length)
    }

    async fn bring_trust(&self, release: &mut MirroredRelease) -> Result<(), Setback> {
        let (name, version) = (&release.volume, &release.version);
        if release.untrusted.is_some_and(|at| self.run.is_young_absence(at)) {
            return Ok(());
        }
        let summary = DocumentKey::TrustSummary(name.clone(), version.clone());
        let _summary = self.run.borrow(summary.clone());
        // A view that an earlier sync asked for and that is not held did not exist then.
        let was_asked = release.trust || release.untrusted.is_some();
        if self.view(&summary, was_asked, "trust summary").await?.is_none() {
            release.untrusted = Some(self.run.desk.documents.now());
            return Ok(());
        }
        release.untrusted = None;
        let detail = DocumentKey::TrustDetail(name.clone(), version.clone());
        let _detail = self.run.borrow(detail.clone());
        let detail = self.view(&detail, release.trust, "trust detail").await?;
        release.trust = true;
        let Some(trust) = detail.as_ref().and_then(|detail| detail.document.content.trust()) else {
            return Ok(());
        };
        let mut setback = None;
        for attachment in &trust.attachments {
            if !matches!(attachment.locator, Locator::Url(_)) {
                continue;
            }
            let digest: Sha256 = attachment.digest;
            let before =
                release.artifacts.iter().find(|(held, _)| *held == digest).map(|(_, length)| *length);
            let key = FileKey::TrustArtifact(name.clone(), version.clone(), digest);
            match self.file(&key, before).await {
                Ok(length) if before.is_none() => release.artifacts.push((digest, length)),
                Ok(_) => {}
                // What is no longer in force may be gone.
                Err(_) if !attachment.is_active => {}
                Err(failed) => setback = Some(failed.about(&format!("trust artifact `{digest}`"))),
            }
        }
        setback.map_or(Ok(()), Err)
    }

    /// A trust view; none where the registry says that there is none.
    async fn view(
        &self,
        key: &DocumentKey,
        was_asked: bool,
        what: &str,
    ) -> Result<Option<CachedAnswer>, Setback> {
        let answer = self.run.document_if_any(key, was_asked).await;
        let answer = answer.map_err(|failure| Setback::from(failure).about(what))?;
        match answer.document.content.problem() {
            Some(problem) if problem.status == 404 => Ok(None),
            Some(problem) => Err(Setback::Final(refused(problem)).about(what)),
            None => held(&answer).map(|()| Some(answer)).map_err(|setback| setback.about(what)),
        }
    }
}

/// Whether a document is proved and outlives this process.
pub(super) fn held(answer: &CachedAnswer) -> Result<(), Setback> {
    let document = &answer.document;
    if document.meta.keeping.withheld {
        return Err(Setback::Final("its registry forbids storing it (Cache-Control)".to_owned()));
    }
    if !document.is_settled() {
        return Err(Setback::passing("it could not be compared with the other documents of its release"));
    }
    if !document.outlives_process() {
        return Err(Setback::passing("this proxy's storage did not take its document"));
    }
    Ok(())
}

fn stored(file: &PermittedFile) -> Result<(), Setback> {
    match file.outcome {
        Outcome::Forwarded { stored: false, .. } => Err(Setback::passing(
            "this proxy's storage did not take the file; storage.max_size may be too small",
        )),
        _ => Ok(()),
    }
}
