//! What becomes of a release whose archive was refused for what it is.
//!
//! The verdict is remembered, and nothing more is downloaded of it: exact metadata and archive answer the refusal, its row
//! is shown as unavailable or blocked, and an integrity under which no archive was ever verified binds nobody any more. A
//! release whose archive is refused never enters the hit path. Owns that, and which failures are verdicts. Must not know
//! what makes an archive bad (`archive`), nor how a refusal is kept (`consistency::refusals`).

use std::sync::Arc;

use tracing::error;

use super::document::Document;
use super::documents::Documents;
use super::ingest::IngestError;
use super::sealed_file::Fetch;
use super::wanted::Wanted;
use crate::archive::ArchiveError;
use crate::consistency::refusals::{Refusal, Verdict};
use crate::domain::{DocumentKey, Integrity, Purl, Registry};

impl Documents {
    /// Remembers that what was fetched was refused for `error`, where that is a verdict on an archive.
    pub(super) async fn refuse(&self, fetch: &Fetch, error: &IngestError) {
        let Fetch { registry, wanted: Wanted::Archive { release, integrity } } = fetch else { return };
        let Some(verdict) = verdict(error) else { return };
        let Purl { name, version } = release;
        let refusal = Refusal {
            registry: registry.clone(),
            volume: name.clone(),
            version: version.clone(),
            integrity: *integrity,
            verdict,
            why: error.to_string(),
            since: self.now(),
        };
        if let Err(error) = self.refusals.add(refusal).await {
            error!(%error, %release, "cannot keep that an archive was refused; a restart fetches it again");
        }
        if let Err(error) = self.pins.disown(registry, release, integrity).await {
            error!(%error, %release, "cannot take back the pin of an archive that was refused");
        }
        self.unsettle(&DocumentKey::Release(name.clone(), version.clone()));
        self.show(name);
    }

    /// The refusal that answers in place of `document`, exact metadata.
    pub(super) fn refusal_of(&self, key: &DocumentKey, document: &Document) -> Option<Arc<Refusal>> {
        let DocumentKey::Release(name, version) = key else { return None };
        let release = document.content.release().filter(|release| release.serves_bytes())?;
        let refusal = self.refusals.of(&document.meta.registry(), &Purl::new(name, version))?;
        (release.integrity == Some(refusal.integrity)).then_some(refusal)
    }

    /// A registry says that `release` is `integrity`: what was refused under another one is over.
    pub(super) async fn outgrow(&self, registry: &Registry, release: &Purl, integrity: Option<Integrity>) {
        let Some(integrity) = integrity else { return };
        let is_over = |refusal: &Refusal| {
            refusal.registry == *registry
                && refusal.volume == release.name
                && refusal.version == release.version
                && refusal.integrity != integrity
        };
        self.forgive(is_over).await;
    }

    /// Forgets the refusals that `ends` picks: what was refused is fetched again.
    pub(super) async fn forgive(&self, ends: impl Fn(&Refusal) -> bool) {
        match self.refusals.forget(ends).await {
            Ok(ended) => ended.iter().for_each(|refusal| drop(self.show(&refusal.volume))),
            Err(error) => {
                error!(%error, "cannot forget what was refused; a restart remembers it");
                self.show_all();
            }
        }
    }
}

/// What an archive is refused for that is so again whenever it is fetched; `None` for what happened on its way or here.
fn verdict(error: &IngestError) -> Option<Verdict> {
    match error {
        // A size is held against limits of this proxy's, which may be others tomorrow.
        IngestError::Download(_)
        | IngestError::TooLarge { .. }
        | IngestError::Mismatch(_)
        | IngestError::Store(_)
        | IngestError::Lost => None,
        IngestError::Archive(error) => match error {
            ArchiveError::Source(_)
            | ArchiveError::Gzip(_)
            | ArchiveError::Scratch(_)
            | ArchiveError::TooLarge(_) => None,
            ArchiveError::Profile(_) | ArchiveError::Framing(_) => Some(Verdict::Profile),
            ArchiveError::Digest { .. } => Some(Verdict::Digest),
            ArchiveError::Manifest(_) => Some(Verdict::Manifest),
            ArchiveError::Identity { .. } => Some(Verdict::Identity),
            ArchiveError::Escalation { .. } => Some(Verdict::Escalation),
        },
    }
}
