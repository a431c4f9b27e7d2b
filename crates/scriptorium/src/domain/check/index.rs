//! A version index: its rows, each of which is about one release (specification, "Version index").
//!
//! | a row | what follows |
//! |---|---|
//! | of the right shape | counts, and is shown as it came |
//! | of another shape, with a version that can be read | says nothing; a row that says `unavailable` and why stands in for it |
//! | the same beside another row of its version | contradicts that one |
//! | without a version that can be read | left out; where all are like that it is no index |
//!
//! Owns this table, the facts of a row, and where its status is in the body. Must not know whether the facts are
//! true.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use selection::VersionRange;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::cut::without;
use super::shape::{INDEX, ROW};
use super::{DocumentSource, Edits, Facts, Items, Link, Malformed, nothing, parse, quoted, string};
use crate::domain::LifecycleState;
use crate::domain::lifecycle::Status;
use crate::domain::link::{Replacement, index_path, release_path};
use crate::domain::members::{Members, span};
use crate::domain::{Integrity, Version, VolumeName, percent};

/// What an index says of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: Version,
    /// Its lifecycle state and the reason for it.
    pub(crate) status: Status,
    /// Its integrity, which a row may leave out.
    pub(crate) integrity: Option<Integrity>,
    /// The row's link, shortened, if it does not lead to the release's exact route.
    pub(crate) elsewhere: Option<String>,
    status_at: (usize, usize),
}

impl Row {
    /// Where the value of `status` is in the body.
    pub(crate) fn status_at(&self) -> Range<usize> {
        self.status_at.0..self.status_at.1
    }

    fn weight(&self) -> usize {
        let texts = [&self.status.reason, &self.elsewhere].map(|text| text.as_ref().map_or(0, String::len));
        size_of::<Self>() + texts.iter().sum::<usize>()
    }

    /// Whether both rows say the same, wherever in the body they are.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.status == other.status && self.integrity == other.integrity && self.elsewhere == other.elsewhere
    }
}

/// The rows of an index, sorted by version; those of one version keep their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    /// The stand-ins for rows that cannot be read, where they are the only row of their version.
    unreadable: Vec<Row>,
    weight: usize,
}

impl Rows {
    fn new(mut rows: Vec<Row>, unreadable: Vec<Row>) -> Self {
        let by_version = |one: &Row, other: &Row| one.version.cmp(&other.version);
        rows.sort_by(by_version);
        let mut alone: Vec<Row> = Vec::new();
        for row in unreadable {
            // Beside another row of its version, a stand-in contradicts that row.
            if of(&rows, &row.version).is_empty() { alone.push(row) } else { rows.push(row) }
        }
        alone.sort_by(by_version);
        let doubled = alone.chunk_by(|one, other| one.version == other.version).filter(|rows| rows.len() > 1);
        let doubled: HashSet<_> = doubled.map(|rows| rows[0].version.clone()).collect();
        rows.extend(alone.extract_if(.., |row| doubled.contains(&row.version)));
        rows.sort_by(by_version);
        rows.shrink_to_fit();
        let weight = rows.iter().chain(&alone).map(Row::weight).sum();
        Self { rows, unreadable: alone, weight }
    }

    /// The rows of `version` that can be read; more than one contradict each other.
    pub(crate) fn of(&self, version: &Version) -> &[Row] {
        of(&self.rows, version)
    }

    /// The rows of `version` that are shown, including a stand-in.
    pub(crate) fn shown(&self, version: &Version) -> impl Iterator<Item = &Row> {
        self.of(version).iter().chain(of(&self.unreadable, version))
    }

    /// Every version's rows.
    pub(crate) fn by_version(&self) -> impl Iterator<Item = (&Version, &[Row])> {
        self.rows.chunk_by(|one, other| one.version == other.version).map(|rows| (&rows[0].version, rows))
    }

    /// About how many bytes of memory they take.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }
}

/// The rows of `version` among sorted ones.
fn of<'a>(rows: &'a [Row], version: &Version) -> &'a [Row] {
    let rows = &rows[rows.partition_point(|row| row.version < *version)..];
    &rows[..rows.partition_point(|row| row.version == *version)]
}

#[derive(Deserialize)]
struct WrittenRow<'a> {
    version: Version,
    #[serde(borrow)]
    status: &'a RawValue,
    #[serde(borrow)]
    release: Link<'a>,
    #[serde(default)]
    integrity: Option<Integrity>,
    #[serde(default)]
    dependencies: Option<BTreeMap<VolumeName, String>>,
}

pub(super) fn read(
    name: &VolumeName,
    text: &str,
    from: DocumentSource<'_>,
) -> Result<(Facts, Edits), Malformed> {
    let items = parse::<Items<'_>>(text, &INDEX)?.items;
    let parts: Vec<_> = items.iter().map(|item| span(text, item)).collect();
    let (mut rows, mut unreadable, mut edits) = (Vec::with_capacity(items.len()), Vec::new(), Edits::new());
    let mut gone = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match row(name, text, item.get(), from) {
            Ok((row, link)) => {
                edits.push((link, Replacement::Link(release_path(name, &row.version))));
                rows.push(row);
            }
            Err(Malformed(why)) => match version_of(item.get()) {
                Some(version) => {
                    let (row, stand_in) = stand_in(name, version, &why, parts[at].clone());
                    edits.extend(stand_in);
                    unreadable.push(row);
                }
                None => gone.push(at),
            },
        }
    }
    if !items.is_empty() && gone.len() == items.len() {
        return Err(Malformed("none of its rows can be read".to_owned()));
    }
    let cuts = without(&parts, |at| gone.binary_search(&at).is_ok());
    edits.extend(cuts.into_iter().map(|cut| (cut, nothing())));
    Ok((Facts::Index(Rows::new(rows, unreadable)), edits))
}

/// The facts of a row, and where its link is.
fn row(
    name: &VolumeName,
    text: &str,
    item: &str,
    from: DocumentSource<'_>,
) -> Result<(Row, Range<usize>), Malformed> {
    let WrittenRow { version, status, release, integrity, dependencies } = parse(item, &ROW)?;
    for text in dependencies.unwrap_or_default().values() {
        VersionRange::of_dependency(text).map_err(|invalid| Malformed(format!("a dependency: {invalid}")))?;
    }
    let (link, route) = (string(release.url)?, release_path(name, &version));
    let Range { start, end } = span(text, status);
    let row = Row {
        version,
        status: serde_json::from_str(status.get())?,
        integrity,
        elsewhere: (!leads_to(&link, &route, name, from)).then(|| quoted(&link)),
        status_at: (start, end),
    };
    Ok((row, span(text, release.url)))
}

/// The version of a row that cannot be read otherwise, if all readers read that version.
fn version_of(item: &str) -> Option<Version> {
    serde_json::from_str(Members::of(item)?.get("version").ok()??.get()).ok()
}

/// A row that only says that it cannot be read, in the place of a row that cannot. The braces and the bytes between
/// them are four pieces, so that its status can be replaced like that of any row.
fn stand_in(name: &VolumeName, version: Version, why: &str, at: Range<usize>) -> (Row, Edits) {
    let reason = format!("malformed: {}", quoted(why.split(" at line ").next().unwrap_or_default()));
    let status = Status { state: LifecycleState::Unavailable, reason: Some(reason) };
    let literal = |text: String| Replacement::Literal(text.into());
    let [opening, link, middle] = [0, 1, 2].map(|offset| at.start + offset..at.start + offset + 1);
    let status_at = (middle.end, at.end - 1);
    let edits = vec![
        (opening, literal(format!(r#"{{"version":"{version}","release":{{"url":"#))),
        (link, Replacement::Link(release_path(name, &version))),
        (middle, literal(r#"},"status":"#.to_owned())),
        (status_at.0..status_at.1, literal(serde_json::json!(status).to_string())),
    ];
    (Row { version, status, integrity: None, elsewhere: None, status_at }, edits)
}

/// Whether a row's link is the exact `route`. Its host is not compared: clients may know the registry by another name
/// than this proxy does.
fn leads_to(link: &str, route: &str, name: &VolumeName, from: DocumentSource<'_>) -> bool {
    if link.ends_with(route) {
        return true;
    }
    let index = match from.at {
        Some(at) => Url::parse(at),
        None => Url::parse(&format!("{}{}", from.origin, index_path(name))),
    };
    let absolute = index.and_then(|index| index.join(link));
    absolute.is_ok_and(|url| percent::decode(url.path()).is_some_and(|path| path.ends_with(route)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_exact_route_in_every_spelling_and_no_other() {
        let name: VolumeName = "@acme/x".parse().unwrap();
        let route = release_path(&name, &"1.0.0+b".parse().unwrap());
        for (link, own) in [
            ("/api/v1/volumes/@acme/x/1.0.0+b", true),
            ("https://other.example/base/api/v1/volumes/%40acme/x/1.0.0%2Bb", true),
            ("https://up/api/v1/volumes/%40acme/x/1.0.0+b?v=1#a", true),
            ("../../../volumes/@acme/x/1.0.0+b", true),
            ("https://up/api/v1/volumes/@acme/x/1.0.0", false),
            ("https://up/api/v1/volumes/@acme/y/1.0.0+b", false),
            ("https://up/releases/7", false),
            ("x", false),
            ("", false),
            ("http://[", false),
        ] {
            assert_eq!(leads_to(link, &route, &name, "https://up/base".into()), own, "{link}");
        }
    }
}
