//! Divergences: when one is recorded, when it is over, and which questions it keeps from being answered.
//!
//! Owns that. Must not know how a difference is found (`release`, `index`, `trust`), nor how a divergence is kept
//! (`consistency::divergences`).

use std::sync::Arc;

use tracing::{error, info};

use super::Judge;
use super::sides::Sides;
use crate::cluster::NewsKind;
use crate::config::OnDivergence;
use crate::consistency::{About, Difference, DifferenceKind, Divergence};
use crate::domain::{DocumentKey, Purl, Registry, VolumePattern};
use crate::read::failure::ReadFailure;

impl Judge {
    /// The divergence that keeps `key` from being answered.
    pub(in crate::read) fn contested(&self, key: &DocumentKey) -> Option<Arc<Divergence>> {
        match key {
            DocumentKey::Index(name) if self.env.live().on_divergence == OnDivergence::Fail => {
                self.shelf.divergences_of(name).into_iter().next()
            }
            key => self.shelf.divergence_of(key),
        }
    }

    /// Whether a divergence is to be looked at again: it is believed as long as a refusal.
    pub(in crate::read) fn is_due(&self, open: &Divergence) -> bool {
        !self.env.live().policy.offline && !self.env.still_refused(open.checked_at)
    }

    /// Both sides of `registry` agree.
    pub(super) async fn close(&self, registry: &Registry, key: &DocumentKey) {
        match self.shelf.divergences.close(registry, key).await {
            Ok(false) => return,
            Ok(true) => info!(key = %key, "a divergence is over: both sides agree again"),
            Err(error) => error!(%error, key = %key, "cannot remove the record of a divergence that is over"),
        }
        self.tell_divergence(key);
        self.shelf.count_divergences();
        if let DocumentKey::Release(name, _) = key {
            self.shelf.show(name);
        }
    }

    fn tell_divergence(&self, key: &DocumentKey) {
        if let Some(name) = key.volume() {
            self.env.tell(NewsKind::Divergence, || VolumePattern::Exact(name.clone()));
        }
    }

    /// The difference outlived a refresh of both sides of `registry`: it is recorded, and neither side is served.
    pub(super) async fn diverge(
        &self,
        registry: &Registry,
        key: &DocumentKey,
        release: &Purl,
        difference: Difference,
        sides: Sides<'_>,
    ) -> ReadFailure {
        let about = match key {
            DocumentKey::TrustSummary(..) => About::TrustSummary,
            DocumentKey::TrustDetail(..) => About::TrustDetail,
            _ => About::Release,
        };
        let Difference { kind, claims } = difference;
        let now = self.env.now();
        let found = Divergence {
            volume: release.name.clone(),
            version: release.version.clone(),
            about,
            kind,
            claims: claims.map(|claim| sides.testimony(claim.source, claim.says)),
            since: now,
            checked_at: now,
        };
        let (divergence, news) = self.shelf.divergences.open(registry, found).await;
        self.shelf.doubt(key);
        match news {
            Ok(false) => {}
            Ok(true) => {
                self.tell_divergence(key);
                self.env.metrics.integrity_failure(match kind {
                    DifferenceKind::IntegrityChanged => "pin",
                    _ => "divergence",
                });
                error!(key = %key, kind = kind.as_str(), %divergence, "a registry contradicts itself");
            }
            Err(error) => {
                error!(%error, key = %key, "cannot store a divergence; it is forgotten after a restart")
            }
        }
        self.shelf.count_divergences();
        if about == About::Release {
            self.shelf.show(&release.name);
        }
        ReadFailure::Divergent(divergence)
    }
}
