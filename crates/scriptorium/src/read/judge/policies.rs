//! The operator's policy on an answer, before it is given.
//!
//! | document | what the policy does |
//! |---|---|
//! | index | the rows of denied, held and discouraged releases are lowered (`shown`) |
//! | exact metadata | a denied or held release is refused, a discouraged one is shown as yanked |
//! | trust views | refused with their release |
//! | anything else | nothing |
//!
//! A verdict is kept with the document, and the hit path takes only documents whose verdict holds. Owns that. Must not know rules
//! (the crate `policy`), nor where evidence comes from (`witness`).

use std::ops::Range;
use std::sync::Arc;

use super::Judge;
use super::trust_asked::AskedTrust;
use super::witness::needs_evidence;
use crate::clock::Timestamp;
use crate::domain::lifecycle::Status;
use crate::domain::{DocumentKey, Integrity, LifecycleState, Release, Version, VolumeName};
use crate::policies::{
    JudgedRelease, KeptVerdict, PolicyFinding, PolicyInForce, PolicyRefusal, ReleaseFinding, VolumeEvidence,
    moment,
};
use crate::read::answer::CachedAnswer;
use crate::read::document::Document;
use crate::read::failure::ReadFailure;
use crate::upstream::FetchContext;

impl Judge {
    /// `answer` as the policy lets it be given.
    pub(in crate::read) async fn under_policy(
        self: &Arc<Self>,
        key: &DocumentKey,
        answer: CachedAnswer,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        match answer.document.verdict.holds(self.env.policy.revision(), self.env.now()) {
            true => given(Arc::clone(&answer.document), answer),
            false => self.under_policy_anew(key, answer, context).await,
        }
    }

    /// The same, judged by what is known now, whatever verdict is kept.
    pub(in crate::read) async fn under_policy_anew(
        self: &Arc<Self>,
        key: &DocumentKey,
        answer: CachedAnswer,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        given(self.judged(key, &answer.document, context).await?, answer)
    }

    /// `document` with the verdict of the policy in force.
    async fn judged(
        self: &Arc<Self>,
        key: &DocumentKey,
        document: &Arc<Document>,
        context: FetchContext<'_>,
    ) -> Result<Arc<Document>, ReadFailure> {
        let policy = self.env.policy.current();
        match key {
            DocumentKey::Index(name) => self.judged_index(policy, name, document).await,
            DocumentKey::Release(name, version) => {
                let asked = match document.content.release() {
                    Some(_) => self.trust_of(&policy, (name, version), document, context).await,
                    None => None,
                };
                let active = asked.as_ref().and_then(|asked| asked.active.clone());
                self.witness_release(&policy, name, version, document, active).await?;
                self.judged_release(&policy, key, (name, version), document, asked).await
            }
            DocumentKey::TrustSummary(name, version) | DocumentKey::TrustDetail(name, version) => {
                let asked = self.trust_of(&policy, (name, version), document, context).await;
                self.judged_release(&policy, key, (name, version), document, asked).await
            }
            DocumentKey::Search(_)
            | DocumentKey::Advisories(_)
            | DocumentKey::Advisory(_)
            | DocumentKey::Capabilities
            | DocumentKey::AtRegistry(_) => Ok(Arc::clone(document)),
        }
    }

    /// A held index with its rows as the policy in force lowers them.
    pub(in crate::read) async fn lowered_index(
        self: &Arc<Self>,
        name: &VolumeName,
        held: &Arc<Document>,
    ) -> Result<Arc<Document>, ReadFailure> {
        match held.verdict.holds(self.env.policy.revision(), self.env.now()) {
            true => Ok(Arc::clone(held)),
            false => self.judged_index(self.env.policy.current(), name, held).await,
        }
    }

    async fn judged_release(
        &self,
        policy: &PolicyInForce,
        key: &DocumentKey,
        release: (&VolumeName, &Version),
        document: &Arc<Document>,
        asked: Option<AskedTrust>,
    ) -> Result<Arc<Document>, ReadFailure> {
        let is_unknown = asked.as_ref().is_some_and(|asked| asked.active.is_none());
        let verdict = self.release_verdict(policy, release, document, is_unknown).await?;
        Ok(self.keep_verdict(key, document, verdict.ending(asked.map(|asked| asked.until))))
    }

    async fn judged_index(
        self: &Arc<Self>,
        policy: Arc<PolicyInForce>,
        name: &VolumeName,
        document: &Arc<Document>,
    ) -> Result<Arc<Document>, ReadFailure> {
        let evidence = match needs_evidence(policy.needs(name)) {
            true => {
                self.witness_rows(name, document).await?;
                self.witness_held(&policy, name, document).await?;
                Some(self.evidence.of(&document.meta.registry(), name).await?)
            }
            false => None,
        };
        let length = work_length(document);
        let (judge, name, document) = (Arc::clone(self), name.clone(), Arc::clone(document));
        let work = move || {
            let verdict = judge.rows_verdict(&policy, &name, &document, evidence.as_deref());
            judge.keep_verdict(&DocumentKey::Index(name), &document, verdict)
        };
        self.env.long_work.patiently(length, work).await.ok_or(ReadFailure::Lost)
    }

    /// The verdict on a document about one release.
    async fn release_verdict(
        &self,
        policy: &PolicyInForce,
        (name, version): (&VolumeName, &Version),
        document: &Document,
        is_trust_unknown: bool,
    ) -> Result<KeptVerdict, ReadFailure> {
        if document.content.release().is_some_and(|release| !release.serves_bytes()) {
            return Ok(KeptVerdict::on_release(policy.revision, None, None));
        }
        let (registry, integrity) = (document.meta.registry(), integrity_in(document));
        let (integrity, needs) = (integrity.as_ref(), policy.needs(name));
        let evidence = match needs_evidence(needs) {
            true => self.known_evidence(&registry, (name, version), integrity, needs).await?,
            false => None,
        };
        let evidence = evidence.as_ref();
        let waits = needs.manifest && evidence.is_none_or(|evidence| evidence.manifest.is_none());
        let release =
            JudgedRelease { registry: &registry, name, version, integrity, evidence, is_trust_unknown };
        let verdict = policy.verdict(release, self.env.now());
        let finding = PolicyFinding::of(&verdict, !policy.is_audit()).map(Arc::new);
        let waived = verdict.waived.first().cloned();
        let kept = KeptVerdict::on_release(policy.revision, finding, waived).waiting_for_manifest(waits);
        Ok(kept.ending(verdict.until.map(moment)))
    }

    /// The verdict on each release of an index that offers bytes.
    fn rows_verdict(
        &self,
        policy: &PolicyInForce,
        name: &VolumeName,
        document: &Document,
        evidence: Option<&VolumeEvidence>,
    ) -> KeptVerdict {
        let (now, registry) = (self.env.now(), document.meta.registry());
        let needs_trust = policy.needs(name).trust;
        let (mut findings, mut ends): (Vec<_>, Option<Timestamp>) = Default::default();
        let rows = document.content.rows().into_iter().flat_map(|rows| rows.by_version());
        for (version, rows) in rows {
            if !rows.iter().any(|row| row.status.state.serves_bytes()) {
                continue;
            }
            let integrity = rows.iter().find_map(|row| row.integrity);
            let integrity = integrity.as_ref();
            let evidence = evidence.and_then(|evidence| evidence.of_row(version, integrity));
            let registry = &registry;
            let outage = needs_trust.then(|| self.outages.until(registry, (name, version), now)).flatten();
            let is_trust_unknown = outage.is_some();
            let release = JudgedRelease { registry, name, version, integrity, evidence, is_trust_unknown };
            let verdict = policy.verdict(release, now);
            ends = ends.into_iter().chain(verdict.until.map(moment)).chain(outage).min();
            let finding = PolicyFinding::of(&verdict, !policy.is_audit()).map(Arc::new);
            findings.extend(finding.map(|finding| ReleaseFinding { version: version.clone(), finding }));
        }
        KeptVerdict::on_rows(policy.revision, findings).ending(ends)
    }

    /// Keeps `verdict` with the document in memory, if that is the same answer. Answers with the judged document.
    fn keep_verdict(
        &self,
        key: &DocumentKey,
        document: &Arc<Document>,
        verdict: KeptVerdict,
    ) -> Arc<Document> {
        let judged = |held: &Document| {
            let judged = held.judged(verdict.clone());
            let statuses = match key {
                DocumentKey::Index(name) => self.shelf.lowered(name, &judged),
                _ => discouraged(&judged),
            };
            match judged.content.showing(&statuses) {
                Some(content) => Arc::new(judged.showing(content)),
                None => Arc::new(judged),
            }
        };
        let mut kept = None;
        self.shelf.replace(key, |held| {
            let is_same = |held: &&Arc<Document>| {
                held.reading.asked == document.reading.asked && held.is_beside(document)
            };
            kept = held.filter(is_same).map(|held| judged(held));
            kept.clone()
        });
        kept.unwrap_or_else(|| judged(document))
    }
}

/// `answer` with the judged `document`, unless that is refused.
fn given(document: Arc<Document>, answer: CachedAnswer) -> Result<CachedAnswer, ReadFailure> {
    match document.verdict.of_release() {
        Some(finding) if finding.refuses() => Err(PolicyRefusal(Arc::clone(finding)).into()),
        Some(_) | None => Ok(CachedAnswer { document, ..answer }),
    }
}

/// The integrity that a document about one release names.
fn integrity_in(document: &Document) -> Option<Integrity> {
    match document.content.release() {
        Some(release) => release.integrity,
        None => document.content.trust().map(|trust| trust.integrity),
    }
}

/// The status of exact metadata that the policy discourages, with its new text.
fn discouraged(document: &Document) -> Vec<(Range<usize>, String)> {
    let finding = document.verdict.of_release().filter(|finding| finding.discourages());
    let release = document.content.release().filter(|release| release.state() == LifecycleState::Available);
    let yanked = |(finding, release): (&Arc<PolicyFinding>, &Release)| {
        let status = Status { state: LifecycleState::Yanked, reason: Some(finding.reason.clone()) };
        (release.status_at(), serde_json::json!(status).to_string())
    };
    finding.zip(release).map(yanked).into_iter().collect()
}

/// Judging the rows of an index takes longer than parsing it; it is counted like a document of so many bytes.
fn work_length(index: &Document) -> usize {
    index.content.body().len().saturating_mul(4)
}
