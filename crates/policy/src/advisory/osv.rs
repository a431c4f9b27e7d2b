//! Advisories in OSV format (<https://ossf.github.io/osv-schema/>), as files hold them.
//!
//! Owns which members count: the volumes of `affected`, named by a purl `pkg:volume/…` or by the ecosystem Agent Volumes;
//! their ranges of SemVer versions (those of Git commits say nothing about a version) and listed versions; and the most severe
//! of the severities that can be read. What is about other ecosystems is left out without an error. Must not know folders.

use archive::VolumeName;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::affected::{Affected, AffectedRange, RangeEvent};
use super::naming::{is_ours, volume_of_purl};
use super::severity::AdvisorySeverity;
use super::unread::UnreadAdvisory;
use super::{Advisory, AdvisoryFault, is_time};

/// Reads a file: one advisory, or a list of them. One that cannot be read costs the others nothing.
///
/// # Errors
/// [`AdvisoryFault`] if the file is no JSON, or neither an object nor a list.
pub fn read_osv(body: &[u8]) -> Result<(Vec<Advisory>, Vec<UnreadAdvisory>), AdvisoryFault> {
    let fault = |error: serde_json::Error| AdvisoryFault::Json {
        expected: "an advisory in OSV format, or a list of them",
        why: error.to_string(),
    };
    let list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let items: Vec<&RawValue> = if list {
        serde_json::from_slice(body).map_err(fault)?
    } else {
        vec![serde_json::from_slice(body).map_err(fault)?]
    };
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        match read(item.get()) {
            Ok(advisory) => found.extend(advisory),
            Err(fault) => unread.push(UnreadAdvisory::new(item.get(), format!("[{index}]"), fault)),
        }
    }
    Ok((found, unread))
}

/// One advisory; `None` if it is about no volume.
fn read(text: &str) -> Result<Option<Advisory>, AdvisoryFault> {
    let document: Document = serde_json::from_str(text).map_err(|error| AdvisoryFault::Json {
        expected: "an advisory in OSV format",
        why: error.to_string(),
    })?;
    let Document { id, aliases, withdrawn, affected, severity, database_specific } = document;
    let of_all =
        [severities(severity.as_ref()), word(database_specific.as_ref())].into_iter().flatten().max();
    let entries = affected.unwrap_or_default().into_iter().filter_map(|entry| entry.read(of_all));
    let affected = entries.collect::<Result<Vec<_>, _>>()?;
    if affected.is_empty() {
        return Ok(None);
    }
    let ids = [id].into_iter().chain(aliases.unwrap_or_default()).collect();
    Advisory::new(ids, affected, withdrawn.as_ref().is_some_and(is_time)).map(Some)
}

#[derive(Deserialize)]
struct Document {
    id: String,
    aliases: Option<Vec<String>>,
    withdrawn: Option<Value>,
    affected: Option<Vec<Entry>>,
    severity: Option<Value>,
    database_specific: Option<Value>,
}

#[derive(Deserialize)]
struct Entry {
    package: Option<Package>,
    ranges: Option<Vec<Range>>,
    versions: Option<Vec<String>>,
    severity: Option<Value>,
    database_specific: Option<Value>,
    ecosystem_specific: Option<Value>,
}

#[derive(Deserialize)]
struct Package {
    ecosystem: Option<String>,
    name: Option<String>,
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    events: Vec<RangeEvent>,
}

impl Entry {
    /// The entry, if it is about a volume.
    fn read(self, of_all: Option<AdvisorySeverity>) -> Option<Result<Affected, AdvisoryFault>> {
        let volume = match self.package?.volume()? {
            Ok(volume) => volume,
            Err(fault) => return Some(Err(fault)),
        };
        let own = [
            severities(self.severity.as_ref()),
            word(self.database_specific.as_ref()),
            word(self.ecosystem_specific.as_ref()),
        ];
        let severity = own.into_iter().flatten().chain(of_all).max().unwrap_or(AdvisorySeverity::UNKNOWN);
        let is_git = |range: &Range| range.kind.as_ref().is_some_and(|kind| kind.eq_ignore_ascii_case("GIT"));
        let ranges = self.ranges.unwrap_or_default().into_iter().filter(|range| !is_git(range));
        let ranges = ranges.map(|range| AffectedRange::new(&range.events)).collect();
        Some(Ok(Affected::new(volume, severity, ranges, &self.versions.unwrap_or_default())))
    }
}

impl Package {
    /// The volume that is named; `None` for a package of another ecosystem.
    fn volume(&self) -> Option<Result<VolumeName, AdvisoryFault>> {
        let by_purl = self.purl.as_deref().filter(|purl| purl.starts_with("pkg:volume/"));
        if by_purl.is_none() && !self.ecosystem.as_deref().is_some_and(is_ours) {
            return None;
        }
        let named = || self.name.as_deref().and_then(|name| name.parse().ok());
        Some(by_purl.and_then(volume_of_purl).or_else(named).ok_or(AdvisoryFault::Volume))
    }
}

/// The most severe of a list of `{type, score}`.
fn severities(list: Option<&Value>) -> Option<AdvisorySeverity> {
    let scores = list?.as_array()?.iter().filter_map(|severity| severity.get("score")?.as_str());
    scores
        .filter_map(|score| AdvisorySeverity::of_vector(score).or_else(|| AdvisorySeverity::of_word(score)))
        .max()
}

/// The member `severity` of what a database adds.
fn word(specific: Option<&Value>) -> Option<AdvisorySeverity> {
    AdvisorySeverity::of_word(specific?.get("severity")?.as_str()?)
}
