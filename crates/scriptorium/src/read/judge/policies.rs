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
use std::time::Duration;

use policy::PolicyNeeds;

use super::Judge;
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
                let asked = policy.needs(name).trust && document.content.release().is_some();
                let trust = if asked { self.active_trust(name, version, context).await } else { None };
                let is_unknown = asked && trust.is_none();
                self.witness_release(&policy, name, version, document, trust).await?;
                let judged = self.release_verdict(&policy, (name, version), document, is_unknown).await?;
                let until = asked.then(|| self.trust_ends(is_unknown));
                Ok(self.keep_verdict(key, document, judged.ending(until)))
            }
            DocumentKey::TrustSummary(name, version) | DocumentKey::TrustDetail(name, version) => {
                let asked = policy.needs(name).trust;
                let is_unknown = asked && self.active_trust(name, version, context).await.is_none();
                let judged = self.release_verdict(&policy, (name, version), document, is_unknown).await?;
                let until = asked.then(|| self.trust_ends(is_unknown));
                Ok(self.keep_verdict(key, document, judged.ending(until)))
            }
            DocumentKey::Search(_)
            | DocumentKey::Advisories(_)
            | DocumentKey::Advisory(_)
            | DocumentKey::Capabilities
            | DocumentKey::AtRegistry(_) => Ok(Arc::clone(document)),
        }
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
        self.env.parsing.patiently(length, work).await.ok_or(ReadFailure::Lost)
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
        let integrity = integrity.as_ref();
        let evidence = match needs_evidence(policy.needs(name)) {
            true => self.known_evidence(&registry, (name, version), integrity).await?,
            false => None,
        };
        let evidence = evidence.as_ref();
        let release =
            JudgedRelease { registry: &registry, name, version, integrity, evidence, is_trust_unknown };
        let verdict = policy.verdict(release, self.env.now());
        let finding = PolicyFinding::of(&verdict, !policy.is_audit()).map(Arc::new);
        let waived = verdict.waived.first().cloned();
        let kept = KeptVerdict::on_release(policy.revision, finding, waived);
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
            let release =
                JudgedRelease { registry, name, version, integrity, evidence, is_trust_unknown: false };
            let verdict = policy.verdict(release, now);
            ends = ends.into_iter().chain(verdict.until.map(moment)).min();
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

    /// How long a verdict that rests on trust holds: no longer than a trust view is fresh.
    fn trust_ends(&self, is_unknown: bool) -> Timestamp {
        let ttl = if is_unknown { Duration::ZERO } else { self.env.live().policy.trust_ttl };
        self.env.now().after(ttl)
    }
}

/// `answer` with the judged `document`, unless that is refused.
fn given(document: Arc<Document>, answer: CachedAnswer) -> Result<CachedAnswer, ReadFailure> {
    match document.verdict.of_release() {
        Some(finding) if finding.refuses() => Err(PolicyRefusal(Arc::clone(finding)).into()),
        Some(_) | None => Ok(CachedAnswer { document, ..answer }),
    }
}

/// Whether anything must be known that is not in the document itself, nor in advisories.
pub(super) fn needs_evidence(needs: PolicyNeeds) -> bool {
    needs.age || needs.delivery || needs.manifest || needs.trust
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
