//! An answer to a client, and what is honest to say about it.
//!
//! Owns how old it is said to be. Must not decide what is answered.

use std::sync::Arc;

use super::directives::LONGEST;
use super::document::Document;
use super::freshness::{Policy, seconds_left};
use super::outcome::{Outcome, Stale};
use crate::clock::Timestamp;

/// An answer and what is honest to say about it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The answer.
    pub document: Arc<Document>,
    /// How it came about.
    pub outcome: Outcome,
    /// How old it is, in seconds.
    pub age: u64,
    /// Seconds it is still fresh; negative when stale.
    pub ttl: i64,
}

impl Answer {
    /// What is to be said about `document`, given from what is held.
    pub(super) fn held(
        document: Arc<Document>,
        now: Timestamp,
        policy: &Policy,
        stale: Option<Stale>,
    ) -> Self {
        let fetched_at = document.meta.fetched_at;
        let ttl = seconds_left(fetched_at, now, policy.ttl);
        let here = now.since(fetched_at).unwrap_or_default().as_secs();
        let age = here.saturating_add(document.meta.upstream_age).min(LONGEST);
        let outcome = match stale {
            None if document.is_refusal() => Outcome::Negative,
            stale => Outcome::Hit { ttl, stale },
        };
        Self { document, outcome, age, ttl }
    }
}
