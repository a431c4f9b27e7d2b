//! Everything known about one release, and which rule would answer a request for it now.
//!
//! Owns the joining and the verdict; `text` has the form for people. Asks no upstream and changes nothing. Must
//! not decide how a request is answered: it tells what the rooms that decide would do.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cache::Documents;
use crate::cache::inspect::Inspected;
use crate::cache::keeping::Keeping;
use crate::clock::{Timestamp, rfc3339};
use crate::consistency::{Divergence, Pin, Refusal};
use crate::domain::lifecycle::Status;
use crate::domain::{Dist, DocumentKey, Integrity, Purl, Release, Sha256, Version, VolumeName};
use crate::store::{StorageKey, Store, StoreError, sealed};

mod text;
mod verdict;

pub use verdict::{Rule, Verdict};

/// What is known about one release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The volume.
    pub volume: VolumeName,
    /// The release of it.
    pub version: Version,
    /// When this was true.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// What a request would be answered with, and why.
    pub verdict: Verdict,
    /// The upstream that the routing table names for the volume.
    pub upstream: Option<Registry>,
    /// What the index says of the release.
    pub index: Option<Held>,
    /// What exact metadata says.
    pub exact: Option<Held>,
    /// The trust summary.
    pub trust_summary: Option<Held>,
    /// The trust detail.
    pub trust_detail: Option<Held>,
    /// The first integrity believed, which no other may follow.
    pub pin: Option<Pin>,
    /// Why there is no saying what is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_trouble: Option<String>,
    /// Pins of the release that count for other registries only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_pins: Vec<Pin>,
    /// What the registry contradicts itself about.
    pub divergence: Option<Divergence>,
    /// The archive that was refused, if that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// The archive that is held.
    pub archive: Option<Archive>,
}

/// The upstream of a volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    /// Its name in the configuration.
    pub name: String,
    /// Its base URL. Only what it answered counts.
    #[serde(default)]
    pub origin: String,
    /// Whether it is being asked.
    pub up: bool,
    /// What last went wrong with it, in the process that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
}

/// What went wrong with an upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// The word that metrics have for it.
    pub cause: String,
    /// What clients read of it.
    pub why: String,
    /// What system and libraries said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causes: Option<String>,
}

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The status that the upstream answered with.
    pub status: u16,
    /// What it says of the release.
    pub says: Said,
    /// When it was asked for or last confirmed.
    #[serde(with = "rfc3339")]
    pub fetched_at: Timestamp,
    /// Since then.
    pub age_seconds: u64,
    /// Seconds for which it is still fresh; negative once it is stale.
    pub ttl_seconds: i64,
    /// What the upstream lets be done with it.
    #[serde(default, skip_serializing_if = "Keeping::is_free")]
    pub keeping: Keeping,
    /// Who said it.
    pub upstream: String,
    /// Whether it was held against what else is known.
    pub settled: bool,
    /// Whether an operator declared it out of date.
    pub outdated: bool,
}

/// What a stored answer says of the release.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The lifecycle state and its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The content identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Integrity>,
    /// How the release is delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// Rows of this version in the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
}

/// How a release is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// As an archive.
    Cdn,
    /// By Git.
    Git,
}

/// An archive in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// Bytes.
    pub length: u64,
    /// The digest of those bytes.
    pub sha256: Sha256,
    /// The release it was sealed as.
    pub identity: String,
}

/// Joins what is known about a release.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub async fn explain(
    documents: &Documents,
    store: &Arc<dyn Store>,
    name: &VolumeName,
    version: &Version,
) -> Result<Explanation, StoreError> {
    let key = DocumentKey::Release(name.clone(), version.clone());
    let exact = documents.inspect(&key).await;
    let index = documents.inspect(&DocumentKey::Index(name.clone())).await;
    let summary = documents.inspect(&DocumentKey::TrustSummary(name.clone(), version.clone())).await;
    let detail = documents.inspect(&DocumentKey::TrustDetail(name.clone(), version.clone())).await;
    let purl = Purl::new(name, version);
    let (pin, trouble) = match documents.pin(&purl).await {
        Ok(pin) => (pin, None),
        Err(trouble) => (None, Some(trouble)),
    };
    let other_pins = documents.other_pins(&purl).await?;
    let divergence = documents.divergence(&key).await;
    let release = exact.as_ref().and_then(|exact| exact.document.content.release());
    let integrity = release.and_then(|release| release.integrity).or(pin.as_ref().map(|pin| pin.integrity));
    let archive = match integrity {
        Some(integrity) => sealed_archive(store, integrity).await?,
        None => None,
    };
    let refusal = exact.as_ref().and_then(|exact| documents.refusal(&key, &exact.document));
    let live = documents.live();
    let registry = live.upstreams.for_volume(name);
    let registry = registry.map(|upstream| Registry {
        name: upstream.name().to_owned(),
        origin: upstream.origin().to_owned(),
        up: upstream.is_up(),
        last_failure: upstream.last_failure().map(|failure| Failure {
            at: failure.at,
            cause: failure.cause.to_owned(),
            why: failure.why,
            causes: failure.causes,
        }),
    });
    let known = verdict::Known {
        exact: exact.as_ref(),
        divergence: divergence.as_ref().map(|(open, due)| (&**open, *due)),
        sealed: archive.is_some(),
        pin: trouble.as_ref(),
        upstream: registry.as_ref(),
        offline: live.policy.offline,
        refusal: refusal.as_deref(),
    };
    Ok(Explanation {
        volume: name.clone(),
        version: version.clone(),
        at: documents.time(),
        verdict: known.verdict(),
        upstream: registry,
        index: index.map(|index| held(&index, row(&index, version))),
        trust_summary: summary.map(|view| held(&view, subject(&view))),
        trust_detail: detail.map(|view| held(&view, subject(&view))),
        exact: exact
            .map(|exact| held(&exact, exact.document.content.release().map(said).unwrap_or_default())),
        pin,
        refusal: refusal.as_deref().cloned(),
        pin_trouble: trouble.map(|trouble| trouble.to_string()),
        other_pins,
        divergence: divergence.map(|(open, _)| Divergence::clone(&open)),
        archive,
    })
}

/// A damaged archive is none: the next request would set it aside and fetch another.
async fn sealed_archive(store: &Arc<dyn Store>, integrity: Integrity) -> Result<Option<Archive>, StoreError> {
    match sealed::open(&**store, &StorageKey::Archive(integrity)).await {
        Ok(seal) => {
            Ok(seal.map(|seal| Archive { length: seal.length, sha256: seal.raw, identity: seal.identity }))
        }
        Err(StoreError::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn held(inspected: &Inspected, says: Said) -> Held {
    let meta = &inspected.document.meta;
    Held {
        status: meta.status,
        says,
        fetched_at: meta.fetched_at,
        age_seconds: inspected.age.as_secs().saturating_add(meta.upstream_age),
        ttl_seconds: inspected.ttl,
        keeping: meta.keeping,
        upstream: meta.upstream.clone(),
        settled: inspected.settled,
        outdated: inspected.outdated,
    }
}

fn said(release: &Release) -> Said {
    let delivery = release.dist.as_ref().map(|dist| match dist {
        Dist::Cdn { .. } => Delivery::Cdn,
        Dist::Git => Delivery::Git,
    });
    Said { status: Some(release.status.clone()), integrity: release.integrity, delivery, rows: None }
}

fn row(index: &Inspected, version: &Version) -> Said {
    let Some(rows) = index.document.content.rows() else { return Said::default() };
    let rows = rows.of(version);
    let first = rows.first();
    Said {
        status: first.map(|row| row.status.clone()),
        integrity: first.and_then(|row| row.integrity),
        delivery: None,
        rows: Some(rows.len()),
    }
}

fn subject(view: &Inspected) -> Said {
    Said { integrity: view.document.content.trust().map(|trust| trust.integrity), ..Said::default() }
}

#[cfg(test)]
mod tests;
