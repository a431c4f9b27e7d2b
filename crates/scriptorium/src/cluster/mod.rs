//! This proxy as one of several that share a bucket.
//!
//! ```text
//! membership   together with the others, or alone, by beats
//! entering     taking a place at the start, and leaving it to the next process
//! following    what the others changed: from the engine's stream, and from the bucket
//! telling      what this proxy changed, for the others
//! lending      requests to a registry: in any 60 s, and at once
//! pausing      what a registry asked for, and breakers
//! settling     requests of a client
//! flights      one fetch for all proxies
//! └─ node      this proxy: its engine, its threads, and what others may ask of it
//!    ├─ standing, place, outbox, landings, notes, permits, pauses, quotas   what it holds for the tasks above
//!    ├─ hearing, news   what happened, its record in the bucket, and who does as it says
//!    └─ counted         the engine, with every call counted
//! ```
//! The pure machines of `crates/cluster` decide; this room carries out what they decide. Truth stays in the bucket: the engine
//! only makes proxies quicker and fairer, and its absence fails nothing. Must not know documents, files, limits or registries.

mod counted;
mod entering;
mod flights;
mod following;
mod hearing;
mod landings;
mod lending;
mod membership;
mod news;
mod node;
mod notes;
mod outbox;
mod pauses;
mod pausing;
mod permits;
mod place;
mod quotas;
mod settling;
mod standing;
mod telling;

pub(crate) use flights::SharedFetch;
pub(crate) use hearing::Hearing;
pub(crate) use news::{News, NewsKind};
pub(crate) use node::{ClusterError, ClusterNode};
pub(crate) use notes::{FlightTrace, SeenNote};
pub(crate) use pauses::SharedPause;
pub(crate) use permits::{PermitHold, PermitPatience, SharedPermits};
pub(crate) use quotas::SharedQuota;
