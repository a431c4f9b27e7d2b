//! The policy in force: the rules, the advisories, and a revision that changes with either.
//!
//! A verdict that is kept with a document holds for one revision only. Without rules the revision is 0, and nothing is judged,
//! asked or written. Owns that revision. Must not know documents.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use policy::{Policy, PolicyFacts, PolicyMode, PolicyNeeds, PolicyVerdict, RuleReport, TrustFacts};
use tokio::sync::watch;

use super::book::{AdvisoryBook, seconds};
use super::evidence::ReleaseEvidence;
use crate::clock::Timestamp;
use crate::domain::{Integrity, Registry, Version, VolumeName};

/// What rules look at, at one moment.
#[derive(Debug, Default)]
pub(crate) struct PolicyInForce {
    pub(crate) rules: Policy,
    book: Arc<AdvisoryBook>,
    pub(crate) revision: u64,
    /// The revision at which these rules began to count.
    pub(crate) rules_since: u64,
}

/// A release that is judged, and everything that is known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JudgedRelease<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) name: &'a VolumeName,
    pub(crate) version: &'a Version,
    pub(crate) integrity: Option<&'a Integrity>,
    pub(crate) evidence: Option<&'a ReleaseEvidence>,
    /// Whether its trust detail was asked for in vain just now.
    pub(crate) is_trust_unknown: bool,
}

impl PolicyInForce {
    /// Whether the rules only count and log.
    pub(crate) fn is_audit(&self) -> bool {
        self.rules.mode() == PolicyMode::Audit
    }

    /// What of the advisories cannot be read, in sentences for operators.
    pub(crate) fn advisory_faults(&self) -> &[String] {
        self.book.faults()
    }

    /// What has to be known of the releases of a volume.
    pub(crate) fn needs(&self, name: &VolumeName) -> PolicyNeeds {
        self.rules.needs(name)
    }

    /// The verdict on a release.
    pub(crate) fn verdict(&self, release: JudgedRelease<'_>, now: Timestamp) -> PolicyVerdict {
        self.with_facts(release, |facts| self.rules.verdict(facts, seconds(now)))
    }

    /// Each rule's verdict on a release, with its reasons.
    pub(crate) fn explain(&self, release: JudgedRelease<'_>, now: Timestamp) -> Vec<RuleReport> {
        self.with_facts(release, |facts| self.rules.explain(facts, seconds(now)))
    }

    fn with_facts<T>(&self, release: JudgedRelease<'_>, judge: impl FnOnce(&PolicyFacts<'_>) -> T) -> T {
        let JudgedRelease { registry, name, version, integrity, evidence, is_trust_unknown } = release;
        let active = evidence.and_then(|evidence| evidence.trust.as_ref());
        let active: Option<Vec<&str>> = active.map(|active| active.iter().map(String::as_str).collect());
        let trust = match &active {
            _ if is_trust_unknown => TrustFacts::CouldNotAsk,
            Some(active) => TrustFacts::Known(active),
            None => TrustFacts::NotAsked,
        };
        judge(&PolicyFacts {
            integrity,
            first_seen: evidence.map(|evidence| seconds(evidence.first_seen)),
            delivery: evidence.and_then(|evidence| evidence.delivery),
            manifest: evidence.and_then(|evidence| evidence.manifest.as_deref()),
            trust,
            advisories: self.book.about(registry, name),
            ..PolicyFacts::of(name, version)
        })
    }
}

/// The place of the policy in force, which reloads and new advisories replace.
#[derive(Debug, Default)]
pub(crate) struct PolicyDesk {
    current: ArcSwap<PolicyInForce>,
    /// That of `current`, for the hit path.
    revision: AtomicU64,
    /// The highest revision so far. Locked while the policy is replaced.
    last: Mutex<u64>,
    /// The latest rules for which advisories were looked at, by the revision at which they began to count.
    looked: watch::Sender<u64>,
}

impl PolicyDesk {
    /// The policy in force.
    pub(crate) fn current(&self) -> Arc<PolicyInForce> {
        self.current.load_full()
    }

    /// Its revision; 0 while there are no rules.
    #[inline]
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Puts `rules` in force. Rules that say the same change nothing.
    pub(crate) fn replace_rules(&self, rules: Policy) {
        self.replace(|current| {
            let is_same = current.rules.revision() == rules.revision();
            (!is_same).then(|| (rules, Arc::clone(&current.book)))
        });
    }

    /// Puts advisories in force.
    pub(crate) fn replace_book(&self, book: AdvisoryBook) {
        self.replace(|current| Some((current.rules.clone(), Arc::new(book))));
    }

    /// Advisories were looked at for the rules that count since `rules_since`, whatever came of it.
    pub(crate) fn looked_at_advisories(&self, rules_since: u64) {
        self.looked.send_if_modified(|looked| {
            let is_later = rules_since > *looked;
            *looked = rules_since.max(*looked);
            is_later
        });
    }

    /// Returns once advisories were looked at for the rules in force, or at once if these need none.
    pub(crate) async fn knows_advisories(&self) {
        let is_known = |looked: &u64| {
            let current = self.current.load();
            !current.rules.needs_of_all().advisories || *looked >= current.rules_since
        };
        // The sender is ours, so this ends only as it should.
        let _ = self.looked.subscribe().wait_for(is_known).await;
    }

    /// A fact is known that verdicts were made without. Those that are being made now do not count either.
    pub(crate) fn judge_anew(&self) {
        self.replace(|current| Some((current.rules.clone(), Arc::clone(&current.book))));
    }

    fn replace(&self, change: impl FnOnce(&PolicyInForce) -> Option<(Policy, Arc<AdvisoryBook>)>) {
        let mut last = self.last.lock();
        let current = self.current.load_full();
        let Some((rules, book)) = change(&current) else { return };
        // Counted on without rules too, so that a verdict of before is never taken for one of after.
        *last += 1;
        let revision = if rules.is_empty() { 0 } else { *last };
        let is_same = current.rules.revision() == rules.revision();
        let rules_since = if is_same { current.rules_since } else { *last };
        self.current.store(Arc::new(PolicyInForce { rules, book, revision, rules_since }));
        self.revision.store(revision, Ordering::Release);
    }
}
