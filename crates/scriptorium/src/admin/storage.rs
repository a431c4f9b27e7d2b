//! The state of the store, for operators and their tools.
//!
//! Owns the words and numbers for it. Must not know how they are found out.

use serde_json::{Map, Value, json};

use crate::store::{ProxyStore, Tally, TroubleKind, Usage};
use crate::telemetry::StoreMetrics;

const WELL: &str = "ok";

/// The troubles of `store`, and how full it is.
pub(super) fn standing(store: &ProxyStore) -> Value {
    let mut standing = Map::new();
    let mut say = |key: &str, value: Value| drop(standing.insert(key.to_owned(), value));
    match store.trouble() {
        None => say("state", WELL.into()),
        Some(trouble) => {
            say("state", trouble.kind.as_str().into());
            say("detail", trouble.detail.into());
            say("since", trouble.since.to_string().into());
        }
    }
    let usage = store.usage();
    say("max_bytes", usage.max.into());
    say("bytes", usage.used.into());
    say("staged_bytes", usage.staged.into());
    say("quarantined_bytes", usage.quarantined.into());
    for (kind, Tally { values, bytes }) in kinds(&usage) {
        say(kind, json!({ "values": values, "bytes": bytes }));
    }
    say("evicted", json!({ "values": usage.evicted.values, "bytes": usage.evicted.bytes }));
    say("counted", usage.counted.into());
    Value::Object(standing)
}

/// The same as metrics.
pub(super) fn tell(store: &ProxyStore, metrics: &StoreMetrics) {
    let [full, denied, failing] = TroubleKind::ALL.map(TroubleKind::as_str);
    let state = store.trouble().map_or(WELL, |trouble| trouble.kind.as_str());
    metrics.state(&[WELL, full, denied, failing], state);
    let usage = store.usage();
    metrics.used(usage.used, usage.max);
    metrics.evicted(usage.evicted.values, usage.evicted.bytes);
    for (kind, Tally { values, bytes }) in kinds(&usage) {
        metrics.values(kind, values, bytes);
    }
}

pub(super) fn kinds(usage: &Usage) -> [(&'static str, Tally); 3] {
    [("archives", usage.archives), ("documents", usage.documents), ("records", usage.records)]
}
