//! The operator's policy on documents, for the rest of the proxy: putting rules in force, and noting what archives tell.
//!
//! Owns these entrances. Must not know rules, nor how a verdict changes an answer (`judge::policies`).

use std::sync::Arc;

use archive::ManifestFacts;
use policy::Policy;
use tracing::info;

use super::answer::CachedAnswer;
use super::documents::Documents;
use super::failure::ReadFailure;
use crate::domain::{DocumentKey, Integrity, Purl, Registry};
use crate::policies::{AdvisoryBook, PolicyInForce};
use crate::store::StoreError;
use crate::upstream::FetchContext;

impl Documents {
    /// Puts rules in force.
    pub(crate) fn replace_rules(&self, rules: Policy) {
        if rules.needs_of_all().age && rules.revision() != self.policy().rules.revision() {
            info!(
                "rules on age count from when this proxy first saw a release, or from the date of an imported pin; there is no \
                 older evidence: `scriptorium policy baseline` prints waivers for what is in use"
            );
        }
        self.env.policy.replace_rules(rules);
    }

    /// Puts advisories in force.
    pub(crate) fn replace_advisories(&self, book: AdvisoryBook) {
        let (of_registries, of_files) = book.unread();
        self.env.metrics.policy.advisories_unread(of_registries, of_files);
        self.env.policy.replace_book(book);
    }

    /// Advisories were looked at for the rules that count since `rules_since`, whatever came of it.
    pub(crate) fn looked_at_advisories(&self, rules_since: u64) {
        self.env.policy.looked_at_advisories(rules_since);
    }

    /// Returns once advisories were looked at for the rules in force. Until then rules on advisories may hold what they need not.
    pub(crate) async fn knows_advisories(&self) {
        self.env.policy.knows_advisories().await;
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> Arc<PolicyInForce> {
        self.env.policy.current()
    }

    /// `answer`, exact metadata, judged by what is known now.
    ///
    /// # Errors
    /// [`ReadFailure::Policy`] when the policy refuses it.
    pub(crate) async fn judged_anew(
        &self,
        key: &DocumentKey,
        answer: CachedAnswer,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        self.judge.under_policy_anew(key, answer, context).await
    }

    /// How often what is known of releases was read anew, because another process stored some of it.
    pub(crate) fn readings_of_evidence(&self) -> u64 {
        self.judge.evidence.readings()
    }

    /// Whether the verdict on `answer`, exact metadata, is in force and was made with everything that rules look at.
    pub(crate) fn is_judged_for_bytes(&self, answer: &CachedAnswer) -> bool {
        answer.document.verdict.holds_for_bytes(self.env.policy.revision(), self.env.now())
    }

    /// Whether a rule judges `release` by its manifest.
    pub(crate) fn needs_manifest(&self, release: &Purl) -> bool {
        self.env.policy.revision() != 0 && self.policy().needs(&release.name).manifest
    }

    /// The registry of `release`, if a rule waits for what the manifest in the archive with this `integrity` says.
    ///
    /// # Errors
    /// When what is known of the release cannot be read.
    pub(crate) async fn waits_for_manifest(
        &self,
        release: &Purl,
        integrity: Integrity,
    ) -> Result<Option<Registry>, StoreError> {
        if !self.needs_manifest(release) {
            return Ok(None);
        }
        let registry = self.env.registry_of(&DocumentKey::Index(release.name.clone()));
        let Some(registry) = registry else { return Ok(None) };
        let evidence = self.judge.evidence.of(&registry, &release.name).await?;
        let known = evidence.of(&release.version, &integrity);
        let is_missing = known.is_none_or(|known| known.manifest.is_none());
        Ok(is_missing.then(|| Registry::clone(&registry)))
    }

    /// Notes the manifest of a verified archive of `release`.
    ///
    /// # Errors
    /// When what is known of the release cannot be read.
    pub(crate) async fn note_manifest(
        &self,
        registry: &Registry,
        release: &Purl,
        integrity: Integrity,
        manifest: ManifestFacts,
    ) -> Result<(), StoreError> {
        self.judge.witness_manifest(registry, (&release.name, &release.version), integrity, manifest).await
    }
}
