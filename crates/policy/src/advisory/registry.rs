//! Advisories as a registry answers them (specification, "Advisories").
//!
//! Owns the shape of one advisory. Must not know lists, nor how they are fetched.

use archive::VolumeName;
use serde::Deserialize;

use super::affected::{Affected, AffectedRange, RangeEvent};
use super::naming::volume_of_purl;
use super::severity::AdvisorySeverity;
use super::{Advisory, AdvisoryFault, is_time};

/// Reads one advisory: the answer of `GET /api/v1/advisories/{id}`, or an item of a list.
///
/// # Errors
/// [`AdvisoryFault`] if it is no advisory, or if it does not say what it is about.
pub fn read_registry_advisory(body: &[u8]) -> Result<Advisory, AdvisoryFault> {
    let document: Document = serde_json::from_slice(body)
        .map_err(|error| AdvisoryFault::Json { expected: "an advisory", why: error.to_string() })?;
    let Document { id, severity, withdrawn, affected } = document;
    let said = severity.as_ref().and_then(serde_json::Value::as_str).and_then(AdvisorySeverity::of_word);
    let severity = said.unwrap_or(AdvisorySeverity::UNKNOWN);
    let ids = [id.local].into_iter().chain(id.preferred_external).chain(id.aliases.unwrap_or_default());
    let affected =
        affected.into_list().into_iter().map(|entry| entry.read(severity)).collect::<Result<_, _>>()?;
    let withdrawn = withdrawn.as_ref().and_then(|withdrawn| withdrawn.get("at"));
    Advisory::new(ids.collect(), affected, withdrawn.is_some_and(is_time))
}

#[derive(Deserialize)]
struct Document {
    id: Ids,
    severity: Option<serde_json::Value>,
    withdrawn: Option<serde_json::Value>,
    affected: OneOrMore,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ids {
    local: String,
    preferred_external: Option<String>,
    aliases: Option<Vec<String>>,
}

/// The specification has one object; a list of them says the same of each.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Entry),
    More(Vec<Entry>),
}

impl OneOrMore {
    fn into_list(self) -> Vec<Entry> {
        match self {
            Self::One(entry) => vec![entry],
            Self::More(entries) => entries,
        }
    }
}

#[derive(Deserialize)]
struct Entry {
    volume: Option<String>,
    purl: Option<String>,
    ranges: Option<Vec<Range>>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    events: Vec<RangeEvent>,
}

impl Entry {
    fn read(self, severity: AdvisorySeverity) -> Result<Affected, AdvisoryFault> {
        let named = self.volume.as_deref().and_then(|name| name.parse().ok());
        let volume: VolumeName =
            named.or_else(|| self.purl.as_deref().and_then(volume_of_purl)).ok_or(AdvisoryFault::Volume)?;
        let ranges = self.ranges.unwrap_or_default();
        let ranges = ranges.iter().map(|range| AffectedRange::new(&range.events)).collect();
        Ok(Affected::new(volume, severity, ranges, &[]))
    }
}
