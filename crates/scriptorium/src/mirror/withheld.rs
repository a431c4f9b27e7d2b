//! What of a mirror the operator's policy withholds: it is here, and no client gets it.
//!
//! A sync under the same rules does not take it, so what is said of a mirror must not count it as served. Owns that. Must not know
//! rules.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::Mutex;
use tracing::warn;

use super::record::{self, LackSubject, MirrorLack, MirrorRecord, MirroredRelease};
use super::report::MirrorStatus;
use crate::clock::Timestamp;
use crate::domain::Purl;
use crate::read::Documents;
use crate::store::Store;

/// The selected releases that the policy in force refuses, with its reason. What is missing anyway is left out, and what the
/// mirror does not take any more.
pub(crate) async fn withheld(documents: &Documents, record: &MirrorRecord) -> Vec<MirrorLack> {
    let missing: BTreeSet<&LackSubject> = record.missing.iter().map(|lack| &lack.subject).collect();
    let mut withheld = Vec::new();
    if documents.policy().revision == 0 {
        return withheld;
    }
    for release in record.selected.iter().filter(|release| !release.is_passed_over) {
        let subject = LackSubject::Release(release.id());
        if !missing.contains(&subject)
            && let Some(reason) = reason(documents, release).await
        {
            withheld.push(MirrorLack { subject, reason });
        }
    }
    withheld
}

/// For so long a mirror is not judged again while neither the policy nor the mirror changed: holds end, as time passes.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What the policy withholds of each mirror, remembered for those who look often: judging every release of a large mirror
/// takes a second. One judges at a time, and the others take what it found.
#[derive(Debug, Default)]
pub(super) struct WithheldMemory(Mutex<HashMap<String, Judged>>);

#[derive(Debug)]
struct Judged {
    revision: u64,
    last_sync: Option<Timestamp>,
    at: Timestamp,
    lacks: Vec<MirrorLack>,
}

impl WithheldMemory {
    /// Forgets mirrors that are not among `these`.
    pub(super) async fn keep_only(&self, these: impl Fn(&str) -> bool) {
        self.0.lock().await.retain(|mirror, _| these(mirror));
    }

    /// Adds what the policy in force withholds of a mirror, which was synced last at `last_sync`, to what is missing of it.
    pub(super) async fn note(
        &self,
        store: &dyn Store,
        documents: &Documents,
        status: &mut MirrorStatus,
        last_sync: Option<Timestamp>,
    ) {
        let mut known = self.0.lock().await;
        let (revision, now) = (documents.policy().revision, documents.now());
        if revision == 0 {
            return known.clear();
        }
        let is_young = |judged: &Judged| {
            let age = now.since(judged.at).unwrap_or(Duration::MAX);
            (judged.revision, judged.last_sync) == (revision, last_sync) && age < REMEMBERED
        };
        if let Some(judged) = known.get(&status.mirror).filter(|judged| is_young(judged)) {
            return status.missing.extend(judged.lacks.iter().cloned());
        }
        match record::load(store, &status.mirror).await {
            Ok(Some(record)) => {
                let lacks = withheld(documents, &record).await;
                status.missing.extend(lacks.iter().cloned());
                known.insert(status.mirror.clone(), Judged { revision, last_sync, at: now, lacks });
            }
            Ok(None) => {}
            Err(error) => {
                warn!(%error, mirror = status.mirror, "the policy cannot judge what a mirror holds");
                status.untold += 1;
            }
        }
    }
}

/// Why the policy in force refuses a release.
pub(super) async fn reason(documents: &Documents, release: &MirroredRelease) -> Option<String> {
    if !release.state.serves_bytes() {
        return None;
    }
    let purl = Purl::new(&release.volume, &release.version);
    match documents.policy_refuses(&purl, release.integrity).await {
        Ok(finding) => finding.map(|finding| {
            let remedy = finding.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            format!("the policy does not allow it: {}{remedy}", finding.reason)
        }),
        Err(error) => Some(format!("the policy cannot judge it: {error}")),
    }
}
