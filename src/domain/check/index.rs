//! A version index: its rows, and what each says of one release (specification, "Version index").
//!
//! Owns which facts of a row matter and where its status stands in the body. Must not know whether they are
//! true.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::{Facts, Items, Link, Links, Malformed, parse, quoted, string};
use crate::domain::lifecycle::Status;
use crate::domain::link::{Replacement, index_path, release_path};
use crate::domain::{Integrity, Version, VolumeName, percent};

/// What an index says of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The release.
    pub version: Version,
    /// Its lifecycle state and the reason for it.
    pub status: Status,
    /// Its content identity, which a row may leave out.
    pub integrity: Option<Integrity>,
    /// The row's link where that does not lead to the release's own exact route, shortened.
    pub elsewhere: Option<String>,
    status_at: (usize, usize),
}

impl Row {
    /// Where the value of `status` stands in the body.
    #[must_use]
    pub fn status_at(&self) -> Range<usize> {
        self.status_at.0..self.status_at.1
    }

    /// Whether both say the same, wherever in the body they stand.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.status == other.status && self.integrity == other.integrity && self.elsewhere == other.elsewhere
    }
}

/// The rows of an index, sorted by version; those of one version keep their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows(Vec<Row>);

impl Rows {
    /// The rows of `version`; more than one contradict each other.
    #[must_use]
    pub fn of(&self, version: &Version) -> &[Row] {
        let start = self.0.partition_point(|row| row.version < *version);
        let rows = &self.0[start..];
        &rows[..rows.partition_point(|row| row.version == *version)]
    }

    /// Every version's rows.
    pub fn by_version(&self) -> impl Iterator<Item = (&Version, &[Row])> {
        self.0.chunk_by(|one, other| one.version == other.version).map(|rows| (&rows[0].version, rows))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Deserialize)]
struct Written<'a> {
    version: Version,
    #[serde(borrow)]
    status: &'a RawValue,
    #[serde(borrow)]
    release: Link<'a>,
    #[serde(default)]
    integrity: Option<Integrity>,
}

pub(super) fn read<'a>(
    name: &VolumeName,
    text: &'a str,
    origin: &str,
) -> Result<(Facts, Links<'a>), Malformed> {
    let items = parse::<Items<Written<'a>>>(text)?.items;
    let mut rows = Vec::with_capacity(items.len());
    let mut links = Vec::with_capacity(items.len());
    for Written { version, status, release, integrity } in items {
        let (link, route) = (string(release.url)?, release_path(name, &version));
        let start = (status.get().as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        rows.push(Row {
            version,
            status: parse(status.get())?,
            integrity,
            elsewhere: (!leads_to(&link, &route, name, origin)).then(|| quoted(&link)),
            status_at: (start, start.wrapping_add(status.get().len())),
        });
        links.push((release.url, Replacement::Link(route)));
    }
    rows.sort_by(|one, other| one.version.cmp(&other.version));
    Ok((Facts::Index(Rows(rows)), links))
}

/// Whether a row's link is the exact `route`. Which host it names is not compared: a registry may be known to
/// its clients by another name than to this proxy, which asks its own upstream in any case.
fn leads_to(link: &str, route: &str, name: &VolumeName, origin: &str) -> bool {
    if link.ends_with(route) {
        return true;
    }
    let absolute = Url::parse(&format!("{origin}{}", index_path(name))).and_then(|index| index.join(link));
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
            assert_eq!(leads_to(link, &route, &name, "https://up/base"), own, "{link}");
        }
    }
}
