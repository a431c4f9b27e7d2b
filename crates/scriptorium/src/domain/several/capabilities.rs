//! The capabilities that hold for all of several registries.
//!
//! | member | merged value |
//! |---|---|
//! | `specVersion` | the first version that all registries are compatible with, of the first registry's own and its list; if there is none, the first registry's own |
//! | `compatibleSpecVersions` | the versions that every registry's `specVersion` or list names; the `specVersion` above only if all lists name it |
//! | `deliveryModes` | the intersection |
//! | `apis` | each flag: true if it is true everywhere; a registry that leaves it out counts as false |
//! | `uploadProfiles` | for each kind, the intersection |
//! | `scopePolicy` | supported: true if true everywhere; required: true if true anywhere |
//! | `cache` | the smallest `maxAgeSeconds`; `revalidate`: true if true anywhere |
//! | `extensions`, other members, and other members of those above | the value that is equal everywhere, with the first registry's bytes; others are left out |
//!
//! Members are in the first registry's order. Owns that table. Must not know whether uploads are relayed: the documents
//! already say so.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::check::Malformed;
use crate::domain::members::Members;

const VERSION: &str = "specVersion";
const VERSIONS: &str = "compatibleSpecVersions";
const FLAGS: &str = "apis";
const PROFILES: &str = "uploadProfiles";

/// A member's value at one registry, if the registry has the member.
type StatedValue<'a> = Option<&'a RawValue>;

/// A merged object: names, and values as JSON.
type JsonObject = Vec<(String, String)>;

/// How the values of all registries become one.
#[derive(Clone, Copy)]
enum MergeRule {
    /// The value that is the same everywhere.
    Equal,
    /// True if it is true everywhere.
    Every,
    /// True if it is true anywhere.
    Any,
    /// The values in every list.
    Common,
    /// The smallest number.
    Least,
    /// An object, member by member.
    Object(fn(&str) -> MergeRule),
}

/// The capabilities that hold for all registries. The first of `documents` is the first registry's.
pub(crate) fn merge_capabilities(documents: &[&str]) -> Result<String, Malformed> {
    let read = documents.iter().map(|text| Members::of(text));
    let all: Option<Vec<Members<'_>>> = read.collect();
    let all = all.ok_or_else(|| Malformed("no object".to_owned()))?;
    let mut merged = merge_objects(&all, document_rule);
    merge_versions(&mut merged, &all);
    Ok(to_json(&merged))
}

fn document_rule(member: &str) -> MergeRule {
    match member {
        "deliveryModes" => MergeRule::Common,
        FLAGS => MergeRule::Object(|_| MergeRule::Every),
        PROFILES => MergeRule::Object(|_| MergeRule::Common),
        "scopePolicy" => MergeRule::Object(|member| match member {
            "scopesSupported" | "scopelessSupported" => MergeRule::Every,
            "scopesRequired" => MergeRule::Any,
            _ => MergeRule::Equal,
        }),
        "cache" => MergeRule::Object(|member| match member {
            "maxAgeSeconds" => MergeRule::Least,
            "revalidate" => MergeRule::Any,
            _ => MergeRule::Equal,
        }),
        "extensions" => MergeRule::Object(|_| MergeRule::Equal),
        _ => MergeRule::Equal,
    }
}

/// Merges the members of all `objects`, in the order in which they first occur.
fn merge_objects(objects: &[Members<'_>], rule: fn(&str) -> MergeRule) -> JsonObject {
    let mut merged = JsonObject::new();
    let mut names: Vec<&str> = Vec::new();
    for name in objects.iter().flat_map(Members::iter).map(|member| &*member.name) {
        if names.contains(&name) {
            continue;
        }
        names.push(name);
        // A member that readers may read differently is left out.
        let values: Result<Vec<StatedValue<'_>>, _> = objects.iter().map(|object| object.get(name)).collect();
        let value = values.ok().and_then(|values| merge_values(&values, rule(name)));
        merged.extend(value.map(|value| (name.to_owned(), value)));
    }
    merged
}

/// Merges a member's values. `None` leaves the member out.
fn merge_values(values: &[StatedValue<'_>], rule: MergeRule) -> Option<String> {
    let is_true = |value: &StatedValue<'_>| value.is_some_and(|value| value.get() == "true");
    let are_flags = values.iter().flatten().all(|value| matches!(value.get(), "true" | "false"));
    match rule {
        MergeRule::Every if are_flags => Some(values.iter().all(is_true).to_string()),
        MergeRule::Any if are_flags => Some(values.iter().any(is_true).to_string()),
        MergeRule::Equal | MergeRule::Every | MergeRule::Any => {
            let first = (*values.first()?)?;
            let equal = values.iter().all(|value| value.is_some_and(|value| same(value, first)));
            equal.then(|| first.get().to_owned())
        }
        MergeRule::Least => {
            let stated = values.iter().flatten().filter_map(|value| read::<u64>(value));
            stated.min().map(|least| least.to_string())
        }
        MergeRule::Common => {
            let lists: Vec<Vec<&RawValue>> =
                values.iter().map(|value| value.and_then(read).unwrap_or_default()).collect();
            let (first, others) = lists.split_first()?;
            let everywhere =
                |value: &&&RawValue| others.iter().all(|list| list.iter().any(|other| same(other, value)));
            let common: Vec<&str> = first.iter().filter(everywhere).map(|value| value.get()).collect();
            Some(format!("[{}]", common.join(",")))
        }
        MergeRule::Object(rule) => {
            let members = values.iter().map(|value| value.and_then(|value| Members::of(value.get())));
            let objects: Vec<Members<'_>> = members.map(Option::unwrap_or_default).collect();
            Some(to_json(&merge_objects(&objects, rule)))
        }
    }
}

/// Sets `specVersion` to a version that every registry supports, if there is one.
fn merge_versions(merged: &mut JsonObject, all: &[Members<'_>]) {
    let own = |document: &Members<'_>| document.text(VERSION);
    let listed = |document: &Members<'_>| -> Vec<String> {
        document.get(VERSIONS).ok().flatten().and_then(read).unwrap_or_default()
    };
    let supported: Vec<Vec<String>> =
        all.iter().map(|document| own(document).into_iter().chain(listed(document)).collect()).collect();
    let Some((first, others)) = supported.split_first() else { return };
    let mut common: Vec<&String> =
        first.iter().filter(|version| others.iter().all(|versions| versions.contains(version))).collect();
    let version = common.first().copied().or(first.first());
    let in_every_list = |version: &String| all.iter().all(|document| listed(document).contains(version));
    common.retain(|one| Some(*one) != version || in_every_list(one));
    let mut listed_versions = Vec::new();
    for one in common {
        if !listed_versions.contains(&one) {
            listed_versions.push(one);
        }
    }
    if let Some(version) = version {
        put(merged, VERSION, serde_json::json!(version));
    }
    if all.iter().flat_map(Members::iter).any(|member| member.name == VERSIONS) {
        put(merged, VERSIONS, serde_json::json!(listed_versions));
    }
}

fn put(object: &mut JsonObject, name: &str, value: Value) {
    let value = value.to_string();
    match object.iter_mut().find(|(held, _)| held == name) {
        Some((_, held)) => *held = value,
        None => object.push((name.to_owned(), value)),
    }
}

fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// Whether two values are equal as text or as JSON.
fn same(one: &RawValue, other: &RawValue) -> bool {
    one.get() == other.get() || read::<Value>(one).is_some_and(|one| Some(one) == read(other))
}

fn to_json(object: &JsonObject) -> String {
    let member = |(name, value): &(String, String)| format!("{}:{value}", Value::from(name.as_str()));
    format!("{{{}}}", object.iter().map(member).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests;
