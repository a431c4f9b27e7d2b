//! The description of a key, for the sample file, the reference page and reloads.
//!
//! Owns this description. Must not know any key, nor how values are read.

use std::collections::BTreeSet;

use toml::Value;

/// The description of a key.
#[derive(Debug)]
pub(super) struct KeyAbout {
    pub(super) name: &'static str,
    /// The lines of its documentation, each with the space before its first word.
    pub(super) why: &'static [&'static str],
    /// Completes "expected …".
    pub(super) expected: String,
    /// A value in TOML that is shown instead of the default.
    pub(super) example: Option<&'static str>,
    pub(super) required: bool,
    /// Unset for a required key, and for one that has no value by default.
    pub(super) default: Option<Value>,
    /// Unset if the table around the key says it for all of its keys.
    pub(super) applied_by: Option<AppliedBy>,
    pub(super) nested: Nested,
}

/// The tables that a key holds.
#[derive(Debug)]
pub(super) enum Nested {
    /// None: it is a plain value, or a list of them.
    Nothing,
    /// One table with these keys.
    Table(Vec<KeyAbout>),
    /// A list of tables with these keys.
    Tables(Vec<KeyAbout>),
}

/// The part of the proxy that applies a changed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AppliedBy {
    /// None: the value is read when the process starts.
    Restart,
    /// Documents and their registries.
    Documents,
    /// Checks of archives and trust artifacts that are fetched.
    Files,
    /// Checks of request bodies.
    Uploads,
    /// Rules on releases, and advisories.
    Policy,
    /// Rates of clients, tokens, and trusted proxies.
    ClientRates,
    /// The bounds of requests and downloads in flight.
    Concurrency,
    /// The ceiling of the storage.
    StorageCeiling,
    /// Links in documents, and the hosts that requests may name.
    Links,
    /// The hosts that requests to the admin port may name.
    AdminHosts,
    /// The certificate of the public port.
    Certificate,
    /// The token of the admin port.
    AdminToken,
    /// What mirrors take, and when they are synced.
    Mirrors,
    /// The audit record.
    AuditRecord,
}

/// The part that applies the key at `path`, such as `cache.index_ttl`; `None` if there is no such key.
pub(super) fn applied_by(keys: &[KeyAbout], path: &str) -> Option<AppliedBy> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let key = keys.iter().find(|key| key.name == name)?;
    match (rest, &key.nested) {
        (None, _) => key.applied_by,
        (Some(rest), Nested::Table(keys)) => match key.applied_by {
            Some(_) => keys.iter().find(|key| key.name == rest).and(key.applied_by),
            None => applied_by(keys, rest),
        },
        (Some(_), Nested::Nothing | Nested::Tables(_)) => None,
    }
}

/// Every part that applies one of `keys`.
pub(super) fn appliers(keys: &[KeyAbout]) -> BTreeSet<AppliedBy> {
    let nested = |key: &KeyAbout| match &key.nested {
        Nested::Table(keys) | Nested::Tables(keys) => appliers(keys),
        Nested::Nothing => BTreeSet::new(),
    };
    keys.iter().flat_map(|key| nested(key).into_iter().chain(key.applied_by)).collect()
}
