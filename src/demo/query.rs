//! The two routes that take parameters: search and the list of advisories.
//!
//! Owns what they select. Must not know how an answer is sent; the grammar of a search is the domain's.

use std::collections::HashMap;

use serde_json::{Value, json};
use url::form_urlencoded;

use super::catalogue::Volume;
use crate::domain::name::InvalidName;
use crate::domain::search::InvalidSearch;
use crate::domain::{SearchQuery, VolumeName};

/// Why a query string is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidQuery {
    #[error(transparent)]
    Search(#[from] InvalidSearch),
    #[error("`volume`: {0}")]
    Volume(#[from] InvalidName),
    #[error("`volume` must be given once")]
    RepeatedVolume,
}

/// The page of `volumes` that `query` asks for.
pub(super) fn search(volumes: &[Volume], query: &str) -> Result<Value, InvalidQuery> {
    let canonical = SearchQuery::parse(query)?.to_string();
    let filters: HashMap<_, _> = form_urlencoded::parse(canonical.as_bytes()).into_owned().collect();
    let number = |name| filters.get(name).and_then(|text| text.parse().ok()).unwrap_or_default();
    let (limit, offset): (usize, usize) = (number("limit"), number("offset"));
    let found: Vec<Value> =
        volumes.iter().filter(|volume| matches(volume, &filters)).filter_map(item).collect();
    let page: Vec<&Value> = found.iter().skip(offset).take(limit).collect();
    Ok(json!({"items": page, "total": found.len(), "limit": limit, "offset": offset}))
}

fn matches(volume: &Volume, filters: &HashMap<String, String>) -> bool {
    let spec = &volume.spec;
    let text = format!("{} {} {}", spec.name, spec.description, spec.keywords.join(" ")).to_lowercase();
    filters.get("q").is_none_or(|q| text.contains(&q.to_lowercase()))
        && allows(filters.get("type"), spec.components.iter().map(|component| &component.component_type))
        && allows(filters.get("runtime"), spec.runtimes.iter().map(|runtime| &runtime.name))
        && allows(filters.get("provider"), &spec.providers)
        && allows(filters.get("keyword"), &spec.keywords)
        && allows(filters.get("publisher"), [&spec.publisher])
}

/// No filter allows everything, a filter what is among the volume's values.
fn allows<'a>(filter: Option<&String>, values: impl IntoIterator<Item = &'a String>) -> bool {
    filter.is_none_or(|wanted| values.into_iter().any(|value| value == wanted))
}

/// A volume without an available release is not shown.
fn item(volume: &Volume) -> Option<Value> {
    let spec = &volume.spec;
    let components = spec.components.iter();
    let components =
        components.map(|component| json!({"type": component.component_type, "name": component.name}));
    Some(json!({
        "name": spec.name,
        "latestVersion": volume.latest()?,
        "description": spec.description,
        "role": spec.role,
        "providers": spec.providers,
        "components": components.collect::<Vec<_>>(),
    }))
}

/// The advisories, those of one volume where `query` names it.
pub(super) fn advisories(all: &[Value], query: &str) -> Result<Value, InvalidQuery> {
    let mut given = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "volume");
    let volume = given.next().map(|(_, name)| name.parse::<VolumeName>()).transpose()?;
    if given.next().is_some() {
        return Err(InvalidQuery::RepeatedVolume);
    }
    let about = |advisory: &&Value| {
        volume.as_ref().is_none_or(|name| advisory["affected"]["volume"] == name.as_str())
    };
    Ok(json!({"items": all.iter().filter(about).collect::<Vec<_>>()}))
}
