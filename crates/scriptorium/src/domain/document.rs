//! The documents of a bibliotheca: its small, mutable answers, which are cached whole.
//!
//! Owns their identity and their path at a registry. Must not know their content; that is `domain::check`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use compact_str::CompactString;

use super::{AdvisoryQuery, SearchQuery, Version, VolumeName};

/// The kinds of documents; a closed set, fit for metric labels and for a TTL each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Resource {
    Index,
    Release,
    Trust,
    Search,
    Advisories,
    Capabilities,
}

impl Resource {
    pub(crate) const ALL: [Self; 6] =
        [Self::Index, Self::Release, Self::Trust, Self::Search, Self::Advisories, Self::Capabilities];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name in metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Release => "release",
            Self::Trust => "trust",
            Self::Search => "search",
            Self::Advisories => "advisories",
            Self::Capabilities => "capabilities",
        }
    }
}

/// One document. Equal keys are the same question, however a client spelled it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum DocumentKey {
    /// `GET /api/v1/index/volumes/{name}`
    Index(VolumeName),
    /// `GET /api/v1/volumes/{name}/{version}`
    Release(VolumeName, Version),
    /// `GET /api/v1/volumes/{name}/{version}/trust/summary`
    TrustSummary(VolumeName, Version),
    /// `GET /api/v1/volumes/{name}/{version}/trust/detail`
    TrustDetail(VolumeName, Version),
    /// `GET /api/v1/search`
    Search(SearchQuery),
    /// `GET /api/v1/advisories`, of one volume or of all
    Advisories(AdvisoryQuery),
    /// `GET /api/v1/advisories/{advisoryId}`
    Advisory(AdvisoryId),
    /// `GET /api/v1/capabilities`
    Capabilities,
    /// A question about no volume, to one of several registries
    AtRegistry(Arc<RegistryQuestion>),
}

/// A question to one registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RegistryQuestion {
    registry: Box<str>,
    question: DocumentKey,
}

impl RegistryQuestion {
    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    /// The question, as a client asks it.
    pub(crate) fn question(&self) -> &DocumentKey {
        &self.question
    }
}

/// A question about no volume. Several registries may have an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GlobalQuestion<'a> {
    Search(&'a SearchQuery),
    Advisories,
    Advisory(&'a AdvisoryId),
    Capabilities,
}

impl DocumentKey {
    pub(crate) fn resource(&self) -> Resource {
        match self {
            Self::Index(_) => Resource::Index,
            Self::Release(..) => Resource::Release,
            Self::TrustSummary(..) | Self::TrustDetail(..) => Resource::Trust,
            Self::Search(_) => Resource::Search,
            Self::Advisories(_) | Self::Advisory(_) => Resource::Advisories,
            Self::Capabilities => Resource::Capabilities,
            Self::AtRegistry(at_registry) => at_registry.question.resource(),
        }
    }

    /// The same question to one registry.
    pub(crate) fn at_registry(&self, registry: &str) -> Self {
        Self::AtRegistry(Arc::new(RegistryQuestion { registry: registry.into(), question: self.clone() }))
    }

    /// The question about no volume, unless it is to one registry.
    pub(crate) fn global(&self) -> Option<GlobalQuestion<'_>> {
        match self {
            Self::Search(query) => Some(GlobalQuestion::Search(query)),
            Self::Advisories(query) => query.volume.is_none().then_some(GlobalQuestion::Advisories),
            Self::Advisory(id) => Some(GlobalQuestion::Advisory(id)),
            Self::Capabilities => Some(GlobalQuestion::Capabilities),
            Self::Index(_)
            | Self::Release(..)
            | Self::TrustSummary(..)
            | Self::TrustDetail(..)
            | Self::AtRegistry(_) => None,
        }
    }

    /// The volume that it is about, which decides the registry that is asked.
    pub(crate) fn volume(&self) -> Option<&VolumeName> {
        match self {
            Self::Index(name)
            | Self::Release(name, _)
            | Self::TrustSummary(name, _)
            | Self::TrustDetail(name, _) => Some(name),
            Self::Advisories(query) => query.volume.as_ref(),
            Self::Search(_) | Self::Advisory(_) | Self::Capabilities | Self::AtRegistry(_) => None,
        }
    }
}

impl DocumentKey {
    /// The version of the volume that it is about.
    pub(crate) fn version(&self) -> Option<&Version> {
        match self {
            Self::Release(_, version) | Self::TrustSummary(_, version) | Self::TrustDetail(_, version) => {
                Some(version)
            }
            Self::Index(_)
            | Self::Search(_)
            | Self::Advisories(_)
            | Self::Advisory(_)
            | Self::Capabilities
            | Self::AtRegistry(_) => None,
        }
    }
}

/// Path and query below a bibliotheca's base URL, in one canonical spelling.
impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(name) => write!(f, "/api/v1/index/volumes/{name}"),
            Self::Release(name, version) => write!(f, "/api/v1/volumes/{name}/{version}"),
            Self::TrustSummary(name, version) => write!(f, "/api/v1/volumes/{name}/{version}/trust/summary"),
            Self::TrustDetail(name, version) => write!(f, "/api/v1/volumes/{name}/{version}/trust/detail"),
            Self::Search(query) => write!(f, "/api/v1/search?{query}"),
            Self::Advisories(query) => write!(f, "/api/v1/advisories{query}"),
            Self::Advisory(id) => write!(f, "/api/v1/advisories/{id}"),
            Self::Capabilities => write!(f, "/api/v1/capabilities"),
            Self::AtRegistry(at_registry) => fmt::Display::fmt(&at_registry.question, f),
        }
    }
}

/// A bibliotheca's identifier of an advisory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AdvisoryId(CompactString);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 128 letters, digits, dots, hyphens, underscores or colons, not beginning with a dot")]
pub(crate) struct InvalidAdvisoryId;

impl FromStr for AdvisoryId {
    type Err = InvalidAdvisoryId;

    fn from_str(text: &str) -> Result<Self, InvalidAdvisoryId> {
        let valid = (1..=128).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
        if valid { Ok(Self(text.into())) } else { Err(InvalidAdvisoryId) }
    }
}

impl fmt::Display for AdvisoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_places() {
        let name: VolumeName = "@acme/x".parse().unwrap();
        let version: Version = "1.2.3".parse().unwrap();
        for (key, path) in [
            (DocumentKey::Index(name.clone()), "/api/v1/index/volumes/@acme/x"),
            (DocumentKey::Release(name.clone(), version.clone()), "/api/v1/volumes/@acme/x/1.2.3"),
            (DocumentKey::Advisories(AdvisoryQuery::about(name)), "/api/v1/advisories?volume=%40acme%2Fx"),
            (DocumentKey::Capabilities, "/api/v1/capabilities"),
        ] {
            assert_eq!(key.to_string(), path);
        }
    }

    #[test]
    fn a_question_is_another_one_for_each_registry_and_has_one_place_there() {
        let search = DocumentKey::Search(SearchQuery::parse("q=a").unwrap());
        for question in
            [&search, &DocumentKey::Advisories(AdvisoryQuery::default()), &DocumentKey::Capabilities]
        {
            let (one, other) = (question.at_registry("one"), question.at_registry("other"));
            assert!(question.global().is_some());
            assert_eq!((one.global(), one.volume(), one.version()), (None, None, None));
            assert_eq!((one.to_string(), one.resource()), (question.to_string(), question.resource()));
            assert!(one != other && one != *question && one == question.at_registry("one"));
        }
        let name: VolumeName = "x".parse().unwrap();
        for about in [DocumentKey::Index(name.clone()), DocumentKey::Advisories(AdvisoryQuery::about(name))] {
            assert_eq!(about.global(), None, "{about}");
        }
    }

    #[test]
    fn advisory_ids_stay_inside_one_segment() {
        assert!("GHSA-1234:x_y.z".parse::<AdvisoryId>().is_ok());
        for bad in ["", ".", "..", ".x", "a/b", "a?b", "a b", "a%2f", &"x".repeat(129)] {
            assert!(bad.parse::<AdvisoryId>().is_err(), "{bad}");
        }
    }
}
