//! What may be claimed of several registries together: what holds for all of them.
//!
//! | member | together |
//! |---|---|
//! | `specVersion` | the first registry's where all of them are compatible with it, else the first that all are, else the first registry's |
//! | `compatibleSpecVersions` | what every registry's `specVersion` or list names, but for the `specVersion` above unless all list it |
//! | `deliveryModes` | the intersection |
//! | `apis` | each flag true where it is true everywhere; one that a registry leaves out is false there |
//! | `uploadProfiles` | for each kind, the intersection |
//! | `scopePolicy` | supported: true where true everywhere; required: true where true anywhere |
//! | `cache` | the smallest `maxAgeSeconds`; `revalidate` true where true anywhere |
//! | `extensions` and other members, and what else stands in those above | what is equal everywhere, with the first registry's bytes; the rest is left out |
//!
//! Members stand in the first registry's order. Owns that table. Must not know whether uploads are relayed: the documents
//! that come in say so already.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::members::Members;
use crate::domain::check::Malformed;

const VERSION: &str = "specVersion";
const VERSIONS: &str = "compatibleSpecVersions";
const FLAGS: &str = "apis";
const PROFILES: &str = "uploadProfiles";

/// What one registry says of a member.
type Said<'a> = Option<&'a RawValue>;

/// An object in the making: names, and values as JSON.
type Written = Vec<(String, String)>;

/// How what each registry says of a member becomes one value.
#[derive(Clone, Copy)]
enum Rule {
    /// The same everywhere, or left out.
    Equal,
    /// True where it is true everywhere.
    Every,
    /// True where it is true anywhere.
    Any,
    /// Values that stand in every list.
    Common,
    /// The smallest number.
    Least,
    /// An object, member by member.
    Object(fn(&str) -> Rule),
}

/// The capability document that holds for all of `documents`, the first registry's first.
///
/// # Errors
/// [`Malformed`] when one of them is none.
pub fn for_all(documents: &[&str]) -> Result<String, Malformed> {
    let read = documents.iter().map(|text| Members::of(text));
    let all: Option<Vec<Members<'_>>> = read.collect();
    let all = all.ok_or_else(|| Malformed("no object".to_owned()))?;
    let mut together = object(&all, of_document);
    speak_one_version(&mut together, &all);
    Ok(written(&together))
}

fn of_document(member: &str) -> Rule {
    match member {
        "deliveryModes" => Rule::Common,
        FLAGS => Rule::Object(|_| Rule::Every),
        PROFILES => Rule::Object(|_| Rule::Common),
        "scopePolicy" => Rule::Object(|member| match member {
            "scopesSupported" | "scopelessSupported" => Rule::Every,
            "scopesRequired" => Rule::Any,
            _ => Rule::Equal,
        }),
        "cache" => Rule::Object(|member| match member {
            "maxAgeSeconds" => Rule::Least,
            "revalidate" => Rule::Any,
            _ => Rule::Equal,
        }),
        "extensions" => Rule::Object(|_| Rule::Equal),
        _ => Rule::Equal,
    }
}

/// Every member of `objects` of which something can be said, in the order in which they come up.
fn object(objects: &[Members<'_>], rule: fn(&str) -> Rule) -> Written {
    let mut together = Written::new();
    let mut names: Vec<&str> = Vec::new();
    for name in objects.iter().flat_map(Members::names) {
        if names.contains(&name) {
            continue;
        }
        names.push(name);
        // Of what can be read in two ways nothing is said.
        let said: Result<Vec<Said<'_>>, _> = objects.iter().map(|object| object.get(name)).collect();
        let value = said.ok().and_then(|said| value(&said, rule(name)));
        together.extend(value.map(|value| (name.to_owned(), value)));
    }
    together
}

/// What holds of a member, given what each registry says; `None` leaves it out.
fn value(said: &[Said<'_>], rule: Rule) -> Option<String> {
    let is_true = |said: &Said<'_>| said.is_some_and(|value| value.get() == "true");
    let are_flags = said.iter().flatten().all(|value| matches!(value.get(), "true" | "false"));
    match rule {
        Rule::Every if are_flags => Some(said.iter().all(is_true).to_string()),
        Rule::Any if are_flags => Some(said.iter().any(is_true).to_string()),
        Rule::Equal | Rule::Every | Rule::Any => {
            let first = (*said.first()?)?;
            let equal = said.iter().all(|value| value.is_some_and(|value| same(value, first)));
            equal.then(|| first.get().to_owned())
        }
        Rule::Least => {
            let stated = said.iter().flatten().filter_map(|value| read::<u64>(value));
            stated.min().map(|least| least.to_string())
        }
        Rule::Common => {
            let lists: Vec<Vec<&RawValue>> =
                said.iter().map(|value| value.and_then(read).unwrap_or_default()).collect();
            let (first, others) = lists.split_first()?;
            let everywhere =
                |value: &&&RawValue| others.iter().all(|list| list.iter().any(|other| same(other, value)));
            let common: Vec<&str> = first.iter().filter(everywhere).map(|value| value.get()).collect();
            Some(format!("[{}]", common.join(",")))
        }
        Rule::Object(rule) => {
            let members = said.iter().map(|said| said.and_then(|value| Members::of(value.get())));
            let objects: Vec<Members<'_>> = members.map(Option::unwrap_or_default).collect();
            Some(written(&object(&objects, rule)))
        }
    }
}

/// Puts a version in `specVersion` that every registry speaks, where there is one.
fn speak_one_version(together: &mut Written, all: &[Members<'_>]) {
    let own = |document: &Members<'_>| document.text(VERSION);
    let listed = |document: &Members<'_>| -> Vec<String> {
        document.get(VERSIONS).ok().flatten().and_then(read).unwrap_or_default()
    };
    let spoken: Vec<Vec<String>> =
        all.iter().map(|document| own(document).into_iter().chain(listed(document)).collect()).collect();
    let Some((first, others)) = spoken.split_first() else { return };
    let mut common: Vec<&String> =
        first.iter().filter(|version| others.iter().all(|spoken| spoken.contains(version))).collect();
    let version = common.first().copied().or(first.first());
    let in_every_list = |version: &String| all.iter().all(|document| listed(document).contains(version));
    common.retain(|one| Some(*one) != version || in_every_list(one));
    let mut told = Vec::new();
    for one in common {
        if !told.contains(&one) {
            told.push(one);
        }
    }
    if let Some(version) = version {
        put(together, VERSION, serde_json::json!(version));
    }
    if all.iter().any(|document| document.names().any(|name| name == VERSIONS)) {
        put(together, VERSIONS, serde_json::json!(told));
    }
}

fn put(object: &mut Written, name: &str, value: Value) {
    let value = value.to_string();
    match object.iter_mut().find(|(held, _)| held == name) {
        Some((_, held)) => *held = value,
        None => object.push((name.to_owned(), value)),
    }
}

fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// Whether two values are one: spelt alike, or read alike.
fn same(one: &RawValue, other: &RawValue) -> bool {
    one.get() == other.get() || read::<Value>(one).is_some_and(|one| Some(one) == read(other))
}

fn written(object: &Written) -> String {
    let member = |(name, value): &(String, String)| format!("{}:{value}", Value::from(name.as_str()));
    format!("{{{}}}", object.iter().map(member).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests;
