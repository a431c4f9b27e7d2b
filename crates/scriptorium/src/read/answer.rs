//! A document with what a response says about it: outcome, age and remaining freshness.
//!
//! Owns how the age of an answer is computed. Must not decide what is answered.

use std::sync::Arc;

use super::directives::LONGEST;
use super::document::Document;
use super::freshness::{AgeLimits, seconds_left};
use super::outcome::{Outcome, Stale};
use crate::clock::Timestamp;

#[derive(Debug, Clone)]
pub(crate) struct CachedAnswer {
    pub(crate) document: Arc<Document>,
    /// How it came about.
    pub(crate) outcome: Outcome,
    /// How old it is, in seconds.
    pub(crate) age: u64,
    /// Seconds it is still fresh; negative when stale.
    pub(crate) ttl: i64,
}

impl CachedAnswer {
    /// An answer with `document` from the shelf.
    pub(super) fn held(
        document: Arc<Document>,
        now: Timestamp,
        limits: &AgeLimits,
        stale: Option<Stale>,
    ) -> Self {
        let fetched_at = document.meta.fetched_at;
        let ttl = seconds_left(fetched_at, now, limits.ttl);
        let here = now.since(fetched_at).unwrap_or_default().as_secs();
        let age = here.saturating_add(document.meta.upstream_age).min(LONGEST);
        let outcome = match stale {
            None if document.is_refusal() => Outcome::Negative,
            stale => Outcome::Hit { ttl, stale },
        };
        Self { document, outcome, age, ttl }
    }
}
