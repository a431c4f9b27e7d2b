//! The section `[cache]`.
//!
//! Owns its keys. Must not know where a value came from.

use std::time::Duration;

use super::super::declare::{choice, section};
use super::super::formats::{choice, flag, period, size};
use super::MIB;

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

section! {
    pub(crate) struct Cache {
        /// How long a version index is served without asking. A shorter time shows a yank or a block sooner.
        index_ttl: Duration = minutes(1), period(), Documents;
        /// How long the metadata of an exact release is served without asking. It also decides whether its
        /// archive is served.
        release_ttl: Duration = minutes(5), period(), Documents;
        /// How long trust summaries and details are served without asking.
        trust_ttl: Duration = minutes(5), period(), Documents;
        /// How long advisories are served without asking.
        advisories_ttl: Duration = minutes(5), period(), Documents;
        /// How long the answer to a search is served without asking.
        search_ttl: Duration = minutes(1), period(), Documents;
        /// How long the capability document is served without asking.
        capabilities_ttl: Duration = minutes(5), period(), Documents;
        /// How long "not found" and refusals are served without asking. A longer time spares the registry, a
        /// shorter one shows a new publish sooner.
        negative_ttl: Duration = Duration::from_secs(30), period(), Documents;
        /// How long after its TTL a document is still served at once, while it is refreshed in the
        /// background.
        stale_while_revalidate: Duration = Duration::from_secs(30), period(), Documents;
        /// How long after its TTL a document is still served if the registry cannot be asked.
        stale_if_error: Duration = minutes(7 * 24 * 60), period(), Documents;
        /// Most bytes of documents in memory.
        memory: u64 = 256 * MIB, size(MIB, "MiB"), Restart;
        /// Never ask a registry; serve from the store only.
        offline: bool = false, flag(), Documents;
        /// What an index shows while `offline` is true: "held" shows releases that are not in the store as
        /// unavailable, so that resolvers choose what can be installed; "all" shows every row as the registry
        /// last gave it.
        offline_rows: OfflineRows = OfflineRows::Held, choice(), Documents;
    }
}

choice! { pub(crate) enum OfflineRows { Held = "held", All = "all" } }
