//! What of a mirror the operator's policy withholds: it is here, and no client gets it.
//!
//! A sync under the same rules does not take it, so what is said of a mirror must not count it as served. Owns that. Must not know
//! rules.

use std::collections::BTreeSet;

use tracing::warn;

use super::record::{self, LackSubject, MirrorLack, MirrorRecord, MirroredRelease};
use super::report::MirrorStatus;
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

/// Adds what the policy in force withholds of a mirror to what is missing of it.
pub(super) async fn note_withheld(store: &dyn Store, documents: &Documents, status: &mut MirrorStatus) {
    if documents.policy().revision == 0 {
        return;
    }
    match record::load(store, &status.mirror).await {
        Ok(Some(record)) => status.missing.extend(withheld(documents, &record).await),
        Ok(None) => {}
        Err(error) => {
            warn!(%error, mirror = status.mirror, "the policy cannot judge what a mirror holds");
            status.untold += 1;
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
