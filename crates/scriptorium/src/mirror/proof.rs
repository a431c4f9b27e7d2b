//! The proof of a mirror from the store alone: every file is whole, and every root resolves with what is held.
//!
//! Owns what counts as held: exact metadata, an archive that is as it was sealed, unless only clients fetch it, and no rule of the operator's
//! policy that refuses it. Must not ask a registry.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use selection::{CatalogueRow, verify};

use super::record::{self, LackSubject, MirrorLack, MirrorRecord, MirroredRelease};
use super::report::ProofReport;
use super::rows::rows;
use super::survey::rules;
use super::sync::{everything, lack};
use super::withheld::{reason, withheld};
use crate::config::Mirror;
use crate::domain::{DocumentKey, Purl, Version, VolumeName};
use crate::read::Documents;
use crate::read::decision::archive::{ArchiveOffer, offer};
use crate::store::sealed;
use crate::store::{StorageKey, Store};

/// Proves one mirror.
pub(crate) async fn prove(store: &Arc<dyn Store>, documents: &Documents, mirror: &Mirror) -> ProofReport {
    let roots = mirror.all_roots();
    let mut report =
        ProofReport { mirror: mirror.name.clone(), roots: roots.len(), ..ProofReport::default() };
    let record = match record::load(&**store, &mirror.name).await {
        Ok(Some(record)) => record,
        Ok(None) => {
            report.problems = everything(mirror, "the mirror was never synced");
            return report;
        }
        Err(error) => {
            report.problems = everything(mirror, &error.to_string());
            return report;
        }
    };
    let Held { rows, refused } = held(store, documents, &record, &mut report.problems).await;
    match verify(roots, rules(mirror), rows, |name| refused.get(name).cloned()) {
        Ok(verified) => {
            report.releases = verified.releases;
            report.problems.extend(verified.problems.into_iter().map(lack));
        }
        Err(bound) => report.problems.extend(everything(mirror, &bound.to_string())),
    }
    report.ok = report.problems.is_empty();
    report
}

/// What there is to resolve with.
struct Held {
    rows: Vec<(VolumeName, Vec<CatalogueRow>)>,
    /// Why the policy refuses releases of a volume that are held: the highest of them.
    refused: HashMap<VolumeName, String>,
}

/// The rows of the releases that are held. What is damaged, gone or contradicted is a problem.
async fn held(
    store: &Arc<dyn Store>,
    documents: &Documents,
    record: &MirrorRecord,
    problems: &mut Vec<MirrorLack>,
) -> Held {
    let mut refused: HashMap<VolumeName, (Version, String)> = HashMap::new();
    let mut volumes: BTreeMap<&VolumeName, HashSet<&Version>> = BTreeMap::new();
    problems.extend(withheld(documents, record).await);
    for release in record.releases() {
        // Said already of what is selected. What is only kept may be refused.
        if let Some(why) = reason(documents, release).await {
            let said = (release.version.clone(), why);
            let highest = refused.entry(release.volume.clone()).or_insert_with(|| said.clone());
            if highest.0 < said.0 {
                *highest = said;
            }
            continue;
        }
        match look(store, documents, release).await {
            Ok(()) => drop(volumes.entry(&release.volume).or_default().insert(&release.version)),
            Err(reason) => {
                problems.push(MirrorLack { subject: LackSubject::Release(release.id()), reason });
            }
        }
    }
    let mut held = Vec::new();
    let said = |(name, (version, why))| {
        let why = format!("`{name}` {version}: {why}");
        (name, why)
    };
    let refused = refused.into_iter().map(said).collect();
    for (volume, versions) in volumes {
        let listed = match documents.held_index(volume).await {
            Some(index) => rows(index).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let listed = listed.into_iter().filter(|row| versions.contains(&row.version));
        held.push((volume.clone(), listed.collect()));
    }
    Held { rows: held, refused }
}

/// Reads everything of one release.
async fn look(
    store: &Arc<dyn Store>,
    documents: &Documents,
    release: &MirroredRelease,
) -> Result<(), String> {
    if !release.wants_files {
        return Ok(());
    }
    let (name, version) = (release.volume.clone(), release.version.clone());
    let key = DocumentKey::Release(name, version);
    if let Some((divergence, _)) = documents.divergence(&key).await {
        return Err(format!("its registry contradicts itself: {divergence}"));
    }
    let exact = documents.held(&key).await.ok_or("its exact metadata is not held")?;
    if let Some(refusal) = documents.refusal(&key, &exact) {
        return Err(format!("its archive was refused: {}", refusal.why));
    }
    let metadata = exact.content.release().ok_or("its registry refuses it")?;
    match offer(metadata) {
        ArchiveOffer::Withdrawn => return Err(format!("it is {}", metadata.status.state)),
        ArchiveOffer::Malformed => return Err("its exact metadata names no archive".to_owned()),
        ArchiveOffer::Archive { integrity, .. } => {
            let purl = Purl::new(&release.volume, &release.version).to_string();
            whole(store, &StorageKey::Archive(integrity), "its archive", Some(&purl)).await?;
        }
    }
    for (digest, _) in &release.artifacts {
        whole(store, &StorageKey::TrustArtifact(*digest), "a trust artifact", None).await?;
    }
    Ok(())
}

/// Whether the file at `key` is as it was sealed.
async fn whole(
    store: &Arc<dyn Store>,
    key: &StorageKey,
    what: &str,
    identity: Option<&str>,
) -> Result<(), String> {
    let opened =
        sealed::open(&**store, key).await.map_err(|error| format!("{what} cannot be read: {error}"))?;
    let seal = opened.ok_or_else(|| format!("{what} is not held"))?;
    if identity.is_some_and(|identity| identity != seal.identity) {
        return Err(format!("{what} was sealed for {}", seal.identity));
    }
    seal.read_through(&**store, key).await.map_err(|error| format!("{what} is damaged: {error}"))
}
