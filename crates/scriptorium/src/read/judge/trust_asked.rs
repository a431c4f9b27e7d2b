//! Asking for the statements about a release by which the operator's policy judges it.
//!
//! A statement counts while its trust detail is fresh, or while this proxy asks no registry at all. An older one is confirmed first. If
//! that fails, trust cannot be asked: for a rule everything is missing, in exact metadata and for a minute in the row as well. Owns
//! that. Must not know rules, nor how trust details are compared.

use std::sync::Arc;
use std::time::Duration;

use super::Judge;
use super::witness::active;
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, Registry, Version, VolumeName};
use crate::policies::PolicyInForce;
use crate::read::document::Document;
use crate::read::outcome::{Outcome, Stale};
use crate::upstream::FetchContext;

/// What was found when trust was asked for.
#[derive(Debug)]
pub(super) struct AskedTrust {
    /// The categories with an active attachment; none if the registry could not be asked.
    pub(super) active: Option<Vec<String>>,
    /// When it has to be asked for again.
    pub(super) until: Timestamp,
}

impl Judge {
    /// Asks for the trust of the release that `document` is about, if a rule looks at it.
    pub(super) async fn trust_of(
        self: &Arc<Self>,
        policy: &PolicyInForce,
        (name, version): (&VolumeName, &Version),
        document: &Document,
        context: FetchContext<'_>,
    ) -> Option<AskedTrust> {
        if !policy.needs(name).trust {
            return None;
        }
        let active = self.active_trust(name, version, context).await;
        self.note_outage(&document.meta.registry(), (name, version), active.is_none());
        // A verdict that rests on trust holds no longer than a trust view is fresh.
        let ttl = if active.is_some() { self.env.live().policy.trust_ttl } else { Duration::ZERO };
        Some(AskedTrust { active, until: self.env.now().after(ttl) })
    }

    async fn active_trust(
        self: &Arc<Self>,
        name: &VolumeName,
        version: &Version,
        context: FetchContext<'_>,
    ) -> Option<Vec<String>> {
        let key = DocumentKey::TrustDetail(name.clone(), version.clone());
        let answer = self.stated(&key, context).await.ok()?;
        let answer = match answer.outcome {
            Outcome::Hit { stale: Some(Stale::WhileRevalidate), .. } if !context.held_only => {
                let held = &answer.document;
                self.renewed(&key, held.reading.asked, Some(held), context).await.ok()?
            }
            _ => answer,
        };
        let is_old = matches!(
            answer.outcome,
            Outcome::Hit { stale: Some(Stale::WhileRevalidate | Stale::IfError), .. }
        );
        (!is_old).then(|| answer.document.content.trust().map(active).unwrap_or_default())
    }

    /// Rows agree with exact metadata while trust cannot be asked, and once it can be again.
    fn note_outage(&self, registry: &Registry, release: (&VolumeName, &Version), is_unknown: bool) {
        let is_news = match is_unknown {
            true => self.outages.begin(registry, release, self.env.now()),
            false => self.outages.end(registry, release),
        };
        if is_news {
            self.env.policy.judge_anew();
        }
    }
}
