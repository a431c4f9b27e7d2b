//! A registry that contradicts itself about one release, and what an answer must say of it. Owns the lies
//! and the shape of a divergence; when either is told is the test's affair.

use serde_json::{Value, json};

use super::{Answer, Release, Reply, Upstream};

/// The name that `Setup::before` gives the upstream.
const UPSTREAM: &str = "public";
const SOURCES: [&str; 6] = ["index", "exact", "pin", "route", "trust", "history"];

/// One way in which the index and the exact metadata of a release cannot both be true.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lie {
    /// The row names another tree.
    RowIntegrity,
    /// The row is in this state, the exact metadata available.
    RowState(&'static str),
    /// The exact metadata is in this state, the row available.
    ExactState(&'static str),
    /// The row leads to another release.
    RowLink,
    /// A member of the exact metadata names another release.
    ExactMember(&'static str, &'static str),
    /// There are two rows, and they do not agree.
    TwoRows,
    /// The row is in this state, and the exact route refuses with this status.
    Refused(&'static str, u16),
}

impl Lie {
    /// Every lie, for a release `@acme/lamp` 1.0.0.
    pub(crate) const ALL: [Self; 15] = [
        Self::RowIntegrity,
        Self::RowState("yanked"),
        Self::RowState("blocked"),
        Self::RowState("tombstoned"),
        Self::RowState("unavailable"),
        Self::ExactState("yanked"),
        Self::ExactState("blocked"),
        Self::RowLink,
        Self::ExactMember("name", "@acme/lantern"),
        Self::ExactMember("version", "1.0.1"),
        Self::ExactMember("purl", "pkg:volume/lamp@1.0.0"),
        Self::TwoRows,
        Self::Refused("available", 404),
        Self::Refused("yanked", 404),
        Self::Refused("yanked", 410),
    ];

    /// The kind of divergence it is.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::RowIntegrity => "integrity",
            Self::RowState(_) | Self::ExactState(_) => "state",
            Self::RowLink => "route",
            Self::ExactMember(..) => "identity",
            Self::TwoRows | Self::Refused(..) => "presence",
        }
    }

    /// Makes `upstream` tell it, in the index and on the exact route at one moment.
    pub(crate) fn tell(self, upstream: &Upstream, release: &Release) {
        let base = upstream.url();
        let (mut row, mut exact) = (release.row(&base), release.metadata(&base));
        let mut rows = Vec::new();
        match self {
            Self::RowIntegrity => row["integrity"] = replaced(release).integrity().into(),
            Self::RowState(state) => row["status"] = json!({ "state": state, "reason": "a reason" }),
            Self::ExactState(state) => exact["status"] = json!({ "state": state, "reason": "a reason" }),
            Self::RowLink => row["release"]["url"] = (base + &elsewhere(release)).into(),
            Self::ExactMember(member, value) => exact[member] = value.into(),
            Self::TwoRows => {
                let mut second = row.clone();
                second["status"]["state"] = "yanked".into();
                rows.push(second);
            }
            Self::Refused(state, status) => {
                row["status"]["state"] = state.into();
                rows.push(row);
                return upstream.say(release, rows, refusal(status));
            }
        }
        rows.push(row);
        upstream.say(release, rows, Reply::json(&exact));
    }

    /// The values that whoever is refused must be told.
    pub(crate) fn values(self, release: &Release) -> Vec<String> {
        match self {
            Self::RowIntegrity => vec![release.integrity(), replaced(release).integrity()],
            Self::RowState(state) | Self::ExactState(state) => {
                vec![state.to_owned(), "available".to_owned()]
            }
            Self::RowLink => vec![elsewhere(release)],
            Self::ExactMember(member, value) => {
                let expected = match member {
                    "name" => release.name.clone(),
                    "version" => release.version.clone(),
                    _ => release.purl(),
                };
                vec![expected, value.to_owned()]
            }
            Self::Refused(state, _) => vec![state.to_owned()],
            Self::TwoRows => Vec::new(),
        }
    }
}

/// The release with other content under the same name and version.
pub(crate) fn replaced(release: &Release) -> Release {
    release.clone().adding(super::tarball::Entry::file("docs/more.md", "Quietly replaced.\n"))
}

/// A registry's refusal of a release.
pub(crate) fn refusal(status: u16) -> Reply {
    match status {
        403 => Reply::problem(403, "authorization-failed", "Refused", "Words of the registry's own."),
        404 | 410 => Reply::problem(status, "not-found", "Refused", "Words of the registry's own."),
        _ => Reply::problem(409, "inconsistent-registry-state", "Refused", "Words of the registry's own."),
    }
}

fn elsewhere(release: &Release) -> String {
    format!("/api/v1/volumes/{}/9.9.9", release.name)
}

/// Asserts that `answer` refuses because of a divergence of this kind, and yields the problem.
#[track_caller]
pub(crate) fn assert_divergent(answer: &Answer, release: &Release, about: &str, kind: &str) -> Value {
    let problem = answer.problem(409, "inconsistent-registry-state");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{problem}");
    assert_shape(&problem["divergence"], release, about, kind);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(UPSTREAM), "the upstream is not named in: {detail}");
    problem
}

/// Asserts that `divergence` is one, complete and of this kind.
#[track_caller]
pub(crate) fn assert_shape(divergence: &Value, release: &Release, about: &str, kind: &str) {
    let expected =
        [("volume", &*release.name), ("version", &release.version), ("about", about), ("kind", kind)];
    for (member, value) in expected {
        assert_eq!(divergence[member], value, "{member} in {divergence}");
    }
    for member in ["since", "checked_at"] {
        assert_time(&divergence[member]);
    }
    let claims = divergence["claims"].as_array().unwrap_or_else(|| panic!("no claims in {divergence}"));
    assert_eq!(claims.len(), 2, "{divergence}");
    for claim in claims {
        assert!(SOURCES.iter().any(|source| claim["source"] == *source), "{claim}");
        assert!(claim["says"].as_str().is_some_and(|says| !says.is_empty()), "{claim}");
        if let Some(fetched_at) = claim.get("fetched_at") {
            assert_time(fetched_at);
        }
        if let Some(upstream) = claim.get("upstream") {
            assert_eq!(upstream, UPSTREAM, "{claim}");
        }
    }
}

/// Asserts that both sides of a divergence are heard: these sources, in any order.
#[track_caller]
pub(crate) fn assert_sources(divergence: &Value, mut expected: [&str; 2]) {
    let claims = divergence["claims"].as_array().unwrap();
    let mut sources: Vec<_> = claims.iter().map(|claim| claim["source"].as_str().unwrap()).collect();
    sources.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sources, expected, "{divergence}");
}

#[track_caller]
fn assert_time(value: &Value) {
    let time = value.as_str().and_then(|text| humantime::parse_rfc3339(text).ok());
    assert!(time.is_some(), "{value} is no RFC 3339 time in UTC");
}
