//! How the store is, for operators and their tools.
//!
//! Owns the words and numbers of that. Must not know how any of it is found out.

use serde_json::{Map, Value, json};

use crate::store::ledger::Tally;
use crate::store::{Ailment, Store, Usage};
use crate::telemetry::StoreMetrics;

const WELL: &str = "ok";

/// What is wrong with `store`, and how full it is.
pub(super) fn standing(store: &dyn Store) -> Value {
    let mut standing = Map::new();
    let mut say = |key: &str, value: Value| drop(standing.insert(key.to_owned(), value));
    match store.trouble() {
        None => say("state", WELL.into()),
        Some(trouble) => {
            say("state", trouble.ailment.as_str().into());
            say("detail", trouble.detail.into());
            say("since", trouble.since.to_string().into());
        }
    }
    if let Some(usage) = store.usage() {
        say("max_bytes", usage.max.into());
        say("bytes", usage.used.into());
        say("staged_bytes", usage.staged.into());
        say("quarantined_bytes", usage.quarantined.into());
        for (kind, Tally { values, bytes }) in kinds(&usage) {
            say(kind, json!({ "values": values, "bytes": bytes }));
        }
        say("evicted", json!({ "values": usage.evicted.values, "bytes": usage.evicted.bytes }));
        say("counted", usage.counted.into());
    }
    Value::Object(standing)
}

/// The same as metrics.
pub(super) fn tell(store: &dyn Store, metrics: &StoreMetrics) {
    let [full, denied, failing] = Ailment::ALL.map(Ailment::as_str);
    let state = store.trouble().map_or(WELL, |trouble| trouble.ailment.as_str());
    metrics.state(&[WELL, full, denied, failing], state);
    let Some(usage) = store.usage() else { return };
    metrics.used(usage.used, usage.max);
    metrics.evicted(usage.evicted.values, usage.evicted.bytes);
    for (kind, Tally { values, bytes }) in kinds(&usage) {
        metrics.values(kind, values, bytes);
    }
}

fn kinds(usage: &Usage) -> [(&'static str, Tally); 3] {
    [("archives", usage.archives), ("documents", usage.documents), ("records", usage.records)]
}
