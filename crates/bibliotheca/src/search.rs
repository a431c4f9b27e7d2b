//! The two routes with parameters: search, and the list of advisories.
//!
//! Owns what they select and which parameters they refuse. Must not know replies.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::catalogue::{SampleRelease, SampleVolume};

const PARAMETERS: [&str; 8] = ["q", "type", "runtime", "provider", "keyword", "publisher", "limit", "offset"];
const COMPONENT_TYPES: [&str; 7] = ["agent", "skill", "command", "tool", "hook", "mcp-server", "lsp-server"];

type Filters = HashMap<String, String>;

/// The known parameters of a query.
fn filters(query: &str, known: &[&str]) -> Result<Filters, String> {
    let mut filters = Filters::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
        if known.contains(&name.as_str()) && filters.insert(name.clone(), value).is_some() {
            return Err(format!("`{name}` must be given once"));
        }
    }
    Ok(filters)
}

/// The page of the volumes that `query` asks for, or the reason why the query is invalid.
pub(crate) fn search(volumes: &[SampleVolume], query: &str) -> Result<Value, String> {
    let filters = filters(query, &PARAMETERS)?;
    let limit = number(&filters, "limit", 20, 1..=100)?;
    let offset = number(&filters, "offset", 0, 0..=usize::MAX)?;
    if filters.get("type").is_some_and(|wanted| !COMPONENT_TYPES.contains(&wanted.as_str())) {
        return Err(format!("`type` must be one of {}", COMPONENT_TYPES.join(", ")));
    }
    let found = volumes.iter().filter(|volume| matches(volume, &filters)).filter_map(item);
    let found: Vec<Value> = found.collect();
    let page: Vec<&Value> = found.iter().skip(offset).take(limit).collect();
    Ok(json!({ "items": page, "total": found.len(), "limit": limit, "offset": offset }))
}

fn number(
    filters: &Filters,
    name: &str,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, String> {
    let Some(text) = filters.get(name) else { return Ok(default) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && range.contains(number));
    number.ok_or_else(|| format!("`{name}` must be a whole number from {} to {}", range.start(), range.end()))
}

fn matches(volume: &SampleVolume, filters: &Filters) -> bool {
    let text = format!("{} {} {}", volume.name, volume.description, volume.keywords.join(" ")).to_lowercase();
    let members = |values: &[Value], member: &str| -> Vec<String> {
        values.iter().filter_map(|value| value[member].as_str()).map(str::to_owned).collect()
    };
    let allows =
        |filter: &str, values: &[String]| filters.get(filter).is_none_or(|wanted| values.contains(wanted));
    filters.get("q").is_none_or(|wanted| text.contains(&wanted.to_lowercase()))
        && allows("type", &members(&volume.components, "type"))
        && allows("runtime", &members(&volume.runtimes, "name"))
        && allows("provider", &volume.providers)
        && allows("keyword", &volume.keywords)
        && allows("publisher", std::slice::from_ref(&volume.publisher))
}

/// A volume without an available release is not shown.
fn item(volume: &SampleVolume) -> Option<Value> {
    let components = volume.components.iter();
    let components =
        components.map(|component| json!({ "type": component["type"], "name": component["name"] }));
    Some(json!({
        "name": volume.name,
        "latestVersion": latest(volume)?.version,
        "description": volume.description,
        "role": volume.role,
        "providers": volume.providers,
        "components": components.collect::<Vec<_>>(),
    }))
}

/// The newest available release; a prerelease only where there is no other.
fn latest(volume: &SampleVolume) -> Option<&SampleRelease> {
    let mut available = volume.releases.iter().filter(|release| release.status["state"] == "available");
    // A hyphen opens the prerelease, unless it is part of the build metadata.
    let is_prerelease =
        |release: &SampleRelease| release.version.split('+').next().is_some_and(|core| core.contains('-'));
    available.clone().rfind(|release| !is_prerelease(release)).or_else(|| available.next_back())
}

/// The advisories; those of one volume where `query` names it.
pub(crate) fn advisories_of(all: &[Value], query: &str) -> Result<Value, String> {
    let filters = filters(query, &["volume"])?;
    let volume = filters.get("volume");
    if volume.is_some_and(|volume| !is_volume_name(volume)) {
        return Err("`volume` must be the name of a volume".to_owned());
    }
    let about = |advisory: &&Value| volume.is_none_or(|volume| advisory["affected"]["volume"] == **volume);
    Ok(json!({ "items": all.iter().filter(about).collect::<Vec<_>>() }))
}

fn is_volume_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_segment = |text: &str| text.split('-').all(|word| !word.is_empty() && word.bytes().all(allowed));
    match text.strip_prefix('@') {
        Some(scoped) => {
            scoped.split_once('/').is_some_and(|(scope, name)| is_segment(scope) && is_segment(name))
        }
        None => is_segment(text),
    }
}
