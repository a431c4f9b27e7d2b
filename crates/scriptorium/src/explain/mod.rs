//! Everything known about one release, and which rule would answer a request for it now.
//!
//! Owns what is looked up; `verdict` has the rule, `text` the form for people. Asks no registry and changes nothing. Must not
//! decide how a request is answered: it prints what `read::decision` decides.

use std::sync::Arc;

use policy::{Delivery, RuleReport};
use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, rfc3339};
use crate::consistency::{ArchiveRefusal, Divergence, Pin};
use crate::domain::lifecycle::Status;
use crate::domain::{DocumentKey, Integrity, Purl, Release, Sha256, Version, VolumeName};
use crate::policies::delivery_of;
use crate::read::inspect::Inspected;
use crate::read::keeping::Keeping;
use crate::read::trial::Trial;
use crate::read::{Documents, LifecycleTurn};
use crate::store::{StorageKey, Store, StoreError, sealed};

mod awaited;
mod rules;
mod text;
mod verdict;

pub(crate) use rules::ExplainedRule;
use verdict::ReleaseFacts;
pub(crate) use verdict::{ReleaseVerdict, VerdictRule};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Explanation {
    pub(crate) volume: VolumeName,
    pub(crate) version: Version,
    #[serde(with = "rfc3339")]
    pub(crate) at: Timestamp,
    pub(crate) verdict: ReleaseVerdict,
    /// The registry to which the volume is routed.
    pub(crate) upstream: Option<ExplainedRegistry>,
    /// The index.
    pub(crate) index: Option<HeldDocument>,
    /// The exact metadata.
    pub(crate) exact: Option<HeldDocument>,
    pub(crate) trust_summary: Option<HeldDocument>,
    pub(crate) trust_detail: Option<HeldDocument>,
    pub(crate) pin: Option<Pin>,
    /// Why the pin is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pin_trouble: Option<String>,
    /// Pins of the release that bind other registries only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) other_pins: Vec<Pin>,
    pub(crate) divergence: Option<Divergence>,
    /// The refused archive, if the release still names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<ArchiveRefusal>,
    pub(crate) archive: Option<HeldArchive>,
    /// What each rule of the operator's policy says of the release, as far as it is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) policy: Vec<ExplainedRule>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExplainedRegistry {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// Its base URL.
    #[serde(default)]
    pub(crate) origin: String,
    /// Whether it is asked at the moment, or paused.
    pub(crate) up: bool,
    /// If this proxy can send it no request now, in how many seconds it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) over_budget_seconds: Option<u64>,
    /// Its last failure in this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_failure: Option<RegistryFailure>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RegistryFailure {
    #[serde(with = "rfc3339")]
    pub(crate) at: Timestamp,
    /// The metric's label.
    pub(crate) cause: String,
    /// The text for clients.
    pub(crate) why: String,
    /// The messages of system and libraries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) causes: Option<String>,
}

/// A held answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeldDocument {
    pub(crate) status: u16,
    pub(crate) says: DocumentSays,
    /// When it was fetched or last confirmed.
    #[serde(with = "rfc3339")]
    pub(crate) fetched_at: Timestamp,
    pub(crate) age_seconds: u64,
    /// Seconds for which it is still fresh; negative once it is stale.
    pub(crate) ttl_seconds: i64,
    /// Whether the registry allows it to be stored, and how long it may be fresh.
    #[serde(default, skip_serializing_if = "Keeping::is_free")]
    pub(crate) keeping: Keeping,
    /// The last change of the state that it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) turn: Option<LifecycleTurn>,
    pub(crate) upstream: String,
    /// Whether it was compared with what else is known.
    pub(crate) settled: bool,
    /// Whether it was declared out of date.
    pub(crate) outdated: bool,
}

/// A held answer about the release.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DocumentSays {
    /// The lifecycle state and its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) integrity: Option<Integrity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
    /// Rows of this version in the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeldArchive {
    pub(crate) length: u64,
    /// The digest of those bytes.
    pub(crate) sha256: Sha256,
    /// The release it was sealed as.
    pub(crate) identity: String,
}

/// Looks up everything about a release, and decides how it is answered.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub(crate) async fn explain(
    documents: &Documents,
    store: &Arc<dyn Store>,
    name: &VolumeName,
    version: &Version,
) -> Result<Explanation, StoreError> {
    let release = Purl::new(name, version);
    let index = documents.inspect(&DocumentKey::Index(name.clone())).await;
    let summary = documents.inspect(&DocumentKey::TrustSummary(name.clone(), version.clone())).await;
    let detail = documents.inspect(&DocumentKey::TrustDetail(name.clone(), version.clone())).await;
    let other_pins = documents.other_pins(&release).await?;
    let (known, policy) = known(documents, store, &release, detail.as_ref()).await?;
    let verdict = known.verdict();
    let says = |exact: &Inspected| exact.document.content.release().map(said).unwrap_or_default();
    let (pin, trouble) = known.pin.map_or_else(|trouble| (None, Some(trouble)), |pin| (pin, None));
    Ok(Explanation {
        volume: release.name,
        version: release.version,
        at: documents.now(),
        verdict,
        upstream: known.upstream,
        index: index.map(|index| held(&index, row(&index, version))),
        exact: known.exact.map(|exact| held(&exact, says(&exact))),
        trust_summary: summary.map(|view| held(&view, subject(&view))),
        trust_detail: detail.map(|view| held(&view, subject(&view))),
        pin,
        pin_trouble: trouble.map(|trouble| trouble.to_string()),
        other_pins,
        divergence: match known.divergence {
            Some((open, _)) => Some(Divergence::clone(&open)),
            None => known.refusal.as_ref().and_then(|refusal| refusal.divergence()),
        },
        refusal: known.refusal.as_deref().cloned(),
        archive: known.archive,
        policy: policy.into_iter().map(ExplainedRule::from).collect(),
    })
}

/// Looks up everything that decides how the release is answered, and what each rule of the policy says of it.
async fn known(
    documents: &Documents,
    store: &Arc<dyn Store>,
    release: &Purl,
    trust: Option<&Inspected>,
) -> Result<(ReleaseFacts, Vec<RuleReport>), StoreError> {
    let key = DocumentKey::Release(release.name.clone(), release.version.clone());
    let exact = documents.inspect(&key).await;
    let pin = documents.pin(release).await;
    let stated = exact.as_ref().and_then(|exact| exact.document.content.release()?.integrity);
    let pinned = || pin.as_ref().ok()?.as_ref().map(|pin| pin.integrity);
    let archive = match stated.or_else(pinned) {
        Some(integrity) => sealed_archive(store, integrity).await?,
        None => None,
    };
    let trial = documents.try_out(release, None, true).await?;
    let live = documents.live();
    let is_enforced = trial.as_ref().is_some_and(|trial| trial.is_enforced);
    let policy = trial.as_ref().and_then(Trial::finding);
    let reports = trial.map(|trial| trial.reports).unwrap_or_default();
    // Unless a verdict on it still holds, trust is confirmed before exact metadata is given.
    let is_trust_confirmed = live.policy.offline
        || trust.is_some_and(Inspected::is_fresh)
        || exact.as_ref().is_some_and(|exact| exact.is_judged);
    let awaiting = if is_enforced { awaited::awaiting(&reports, is_trust_confirmed) } else { Vec::new() };
    let upstream = live.upstreams.for_volume(&release.name).map(|upstream| ExplainedRegistry {
        name: upstream.name().to_owned(),
        origin: upstream.origin().to_owned(),
        up: upstream.is_up(),
        over_budget_seconds: upstream.budget_left().and_then(|left| left.wait_seconds()),
        last_failure: upstream.last_failure().map(|failure| RegistryFailure {
            at: failure.at,
            cause: failure.cause.to_owned(),
            why: failure.why,
            causes: failure.causes,
        }),
    });
    let dist = exact.as_ref().and_then(|exact| exact.document.content.release()?.dist.as_ref());
    let facts = ReleaseFacts {
        is_elsewhere: dist.is_some_and(|dist| !documents.brings(&key, dist)),
        divergence: documents.divergence(&key).await,
        refusal: exact.as_ref().and_then(|exact| documents.refusal(&key, &exact.document)),
        row: documents.withdrawal(&key).await,
        upstream,
        offline: live.policy.offline,
        policy: policy.filter(|finding| awaiting.is_empty() || !finding.refuses()).map(Arc::new),
        awaiting,
        exact,
        pin,
        archive,
    };
    Ok((facts, reports))
}

/// A damaged archive counts as none: the next request sets it aside and fetches another.
async fn sealed_archive(
    store: &Arc<dyn Store>,
    integrity: Integrity,
) -> Result<Option<HeldArchive>, StoreError> {
    match sealed::open(&**store, &StorageKey::Archive(integrity)).await {
        Ok(seal) => Ok(seal.map(|seal| HeldArchive {
            length: seal.length,
            sha256: seal.raw,
            identity: seal.identity,
        })),
        Err(StoreError::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn held(inspected: &Inspected, says: DocumentSays) -> HeldDocument {
    let meta = &inspected.document.meta;
    HeldDocument {
        status: meta.status,
        says,
        fetched_at: meta.fetched_at,
        age_seconds: inspected.age.as_secs().saturating_add(meta.upstream_age),
        ttl_seconds: inspected.ttl,
        keeping: meta.keeping,
        turn: meta.turn.as_deref().cloned(),
        upstream: meta.upstream.clone(),
        settled: inspected.facts.is_settled,
        outdated: inspected.outdated,
    }
}

fn said(release: &Release) -> DocumentSays {
    let delivery = delivery_of(release);
    DocumentSays { status: Some(release.status.clone()), integrity: release.integrity, delivery, rows: None }
}

fn row(index: &Inspected, version: &Version) -> DocumentSays {
    let Some(rows) = index.document.content.rows() else { return DocumentSays::default() };
    let rows = rows.of(version);
    let first = rows.first();
    DocumentSays {
        status: first.map(|row| row.status.clone()),
        integrity: first.and_then(|row| row.integrity),
        delivery: None,
        rows: Some(rows.len()),
    }
}

fn subject(view: &Inspected) -> DocumentSays {
    DocumentSays {
        integrity: view.document.content.trust().map(|trust| trust.integrity),
        ..DocumentSays::default()
    }
}

#[cfg(test)]
mod tests;
