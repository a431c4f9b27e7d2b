//! A release under the policy in force, without a request and without an answer: for commands that try rules out.
//!
//! Owns which of the held facts count for a release. Must not know rules, nor where a command's rules come from.

use policy::{PolicyVerdict, RuleReport};

use super::documents::Documents;
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, Integrity, Purl};
use crate::policies::JudgedRelease;
use crate::store::StoreError;

/// What the policy in force says of a release, from what is held.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) verdict: PolicyVerdict,
    /// What each rule says, if that was asked for.
    pub(crate) reports: Vec<RuleReport>,
    /// The integrity that it is judged with, if one is known.
    pub(crate) integrity: Option<Integrity>,
    /// When that was first seen.
    pub(crate) first_seen: Option<Timestamp>,
    /// Whether the registry itself withholds the bytes, so that the policy has nothing to add.
    pub(crate) is_withheld: bool,
}

impl Documents {
    /// Tries a release. `pinned` is its integrity if no document names one. `explained` asks what each rule says, which costs
    /// more. `None` if its name is routed to no registry.
    ///
    /// # Errors
    /// When what is known of the release cannot be read.
    pub(crate) async fn try_out(
        &self,
        release: &Purl,
        pinned: Option<Integrity>,
        explained: bool,
    ) -> Result<Option<Trial>, StoreError> {
        let Purl { name, version } = release;
        let (index, exact) =
            (DocumentKey::Index(name.clone()), DocumentKey::Release(name.clone(), version.clone()));
        let Some(registry) = self.env.registry_of(&index) else { return Ok(None) };
        let (index, exact) = (self.shelf.held(&index).await, self.shelf.held(&exact).await);
        let exact = exact.as_ref().and_then(|exact| exact.content.release());
        let row = || index.as_ref()?.content.rows()?.of(version).iter().find_map(|row| row.integrity);
        let integrity = exact.and_then(|exact| exact.integrity).or_else(row).or(pinned);
        let evidence = self.judge.known_evidence(&registry, (name, version), integrity.as_ref()).await?;
        let evidence = evidence.as_ref();
        let judged = JudgedRelease {
            registry: &registry,
            name,
            version,
            integrity: integrity.as_ref(),
            evidence,
            is_trust_unknown: false,
        };
        let (policy, now) = (self.policy(), self.env.now());
        Ok(Some(Trial {
            verdict: policy.verdict(judged, now),
            reports: if explained { policy.explain(judged, now) } else { Vec::new() },
            integrity,
            first_seen: evidence.map(|evidence| evidence.first_seen),
            is_withheld: exact.is_some_and(|exact| !exact.serves_bytes()),
        }))
    }
}
