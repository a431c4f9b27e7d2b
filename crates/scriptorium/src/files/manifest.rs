//! What the manifest in a sealed archive says, for the operator's policy.
//!
//! A rule on manifests judges a release once its archive was verified. Until then it does not match a row. The facts are taken when an
//! archive is verified, and its seal keeps them (`sealed_facts`). Archives whose seals do not say them are read again up to the end of
//! their manifest, before their first byte is sent and behind requests. Owns when facts are noted, and that reading. Must not know
//! rules, nor what is done with the facts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use archive::{ArchiveLimits, ManifestFacts};
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::expected::{ExpectedFile, FileAddress, FileFetch, FileOrigin};
use super::read::SealedFiles;
use super::sealed_facts::facts_in;
use super::sealed_file::{BroughtFile, SealedFile};
use crate::domain::{DocumentKey, Integrity, Purl};
use crate::read::{CachedAnswer, FetchContext, ReadFailure};
use crate::store::sealed::{self, SealedContent};
use crate::store::{KeyPrefix, StorageKey, StoreError};
use crate::upstream::BackgroundWork;

/// How often it is looked whether a rule began to ask for manifests.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// An archive that was verified passed the limits of that time.
const ANY: ArchiveLimits = ArchiveLimits { max_unpacked: u64::MAX, max_entries: u64::MAX };

impl SealedFiles {
    /// The `gate` of `file`, judged by the manifest in it, if a rule waits for that.
    pub(super) async fn judged_by_manifest(
        self: &Arc<Self>,
        from: &DocumentKey,
        file: &Arc<SealedFile>,
        gate: CachedAnswer,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let FileFetch { registry, expected } = &file.origin.fetch;
        let ExpectedFile::Archive { release, integrity } = expected else { return Ok(gate) };
        if self.documents.is_judged_for_bytes(&gate) {
            return Ok(gate);
        }
        if self.documents.waits_for_manifest(release, *integrity).await?.is_some() {
            let manifest = self.manifest(file, context).await?;
            self.documents.note_manifest(registry, release, *integrity, manifest).await?;
        }
        // The gate may have been judged before the manifest was known, whoever read it.
        self.documents.judged_anew(from, gate, context).await
    }

    /// What the manifest in a file says, by its seal. If that does not say it, the file is read up to the end of its manifest.
    async fn manifest(
        self: &Arc<Self>,
        file: &Arc<SealedFile>,
        context: FetchContext<'_>,
    ) -> Result<ManifestFacts, ReadFailure> {
        if let Some(facts) = facts_in(&file.seal) {
            return Ok(facts);
        }
        let (files, file, context) = (Arc::clone(self), Arc::clone(file), context.owned());
        let runtime = Handle::current();
        let facts = move || {
            let mut failed = None;
            let content = SealedContent::new(file.seal.length, |step| {
                let piece = runtime.block_on(files.read(&file, step, context.borrowed()));
                piece.map_err(|failure| {
                    failed = Some(failure);
                    io::ErrorKind::InvalidData.into()
                })
            });
            let facts = archive::manifest_facts(content, &ANY);
            facts.map_err(|error| failed.unwrap_or_else(|| ReadFailure::Archive(Arc::new(error))))
        };
        tokio::task::spawn_blocking(facts).await.map_err(|_| ReadFailure::Lost)?
    }

    /// Notes what the manifests of archives say that were verified before a rule asked for manifests, or by another process. Never
    /// ends.
    pub(crate) async fn read_manifests(self: &Arc<Self>) {
        let mut read_for = None;
        loop {
            let policy = self.documents.policy();
            let rules = (policy.rules.revision(), self.documents.readings_of_evidence());
            let rules = policy.rules.needs_of_all().manifest.then_some(rules);
            if rules.is_some() && rules != read_for {
                self.read_all_manifests().await;
            }
            read_for = rules;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Reads the manifests of all held archives that were not read.
    pub(crate) async fn read_all_manifests(self: &Arc<Self>) {
        let (mut read, mut failed) = (0, 0);
        let mut listed = self.stored.store.list(KeyPrefix::Archives);
        while let Some(listed) = listed.next().await {
            match listed {
                Ok((StorageKey::Archive(integrity), _)) => match self.read_late(integrity).await {
                    Ok(news) => read += usize::from(news),
                    Err(why) => {
                        failed += 1;
                        warn!(%integrity, %why, "the manifest of a held archive cannot be read; the archive is judged when it is asked for");
                    }
                },
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "the held archives cannot be listed; each is judged when it is asked for")
                }
            }
        }
        info!(read, failed, "the manifests of held archives were read for the policy");
    }

    /// Notes what the manifest of a held archive says, if a rule waits for that. True if one did.
    pub(super) async fn read_late(self: &Arc<Self>, integrity: Integrity) -> Result<bool, ReadFailure> {
        let key = StorageKey::Archive(integrity);
        let seal = match sealed::open(&*self.stored.store, &key).await {
            Ok(Some(seal)) => seal,
            // A damaged archive is mended when it is asked for.
            Ok(None) | Err(StoreError::Corrupt(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let Ok(release) = seal.identity.parse::<Purl>() else { return Ok(false) };
        let from = DocumentKey::Release(release.name.clone(), release.version.clone());
        let Some(registry) = self.documents.waits_for_manifest(&release, integrity).await? else {
            return Ok(false);
        };
        let expected = ExpectedFile::Archive { release: release.clone(), integrity };
        let (hold, fetch) = (self.stored.hold(&expected), FileFetch { registry, expected });
        let origin = FileOrigin { fetch, address: FileAddress::Url(String::new()), from };
        let registry = origin.fetch.registry.clone();
        let file = SealedFile::new(BroughtFile::stored(Arc::new(seal)), Arc::new(origin), hold);
        let id = BackgroundWork::Manifests.request_id();
        let context = FetchContext::background(&id).held_only(true);
        let manifest = self.manifest(&Arc::new(file), context).await?;
        self.documents.note_manifest(&registry, &release, integrity, manifest).await?;
        Ok(true)
    }
}
