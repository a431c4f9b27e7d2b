//! The registry's permission: whether an answer may be stored, and how long it may be fresh.
//!
//! ```text
//!  no-store, private            given to the clients that wait, and not kept; the document held before is dropped
//!  no-cache                     kept, and asked for again before each use
//!  s-maxage, else max-age       fresh for at most so long, counted from when the registry made it (`Age`)
//!  capabilities' maxAgeSeconds  the same; the smaller of both counts
//! ```
//! A cap shortens this proxy's own TTL and never lengthens it. The table applies to a 200 and to the 304 that renews it;
//! `Expires`, `Pragma` and `must-revalidate` are ignored. Owns that table. Must not know how a field is parsed
//! (`directives`), nor what else makes an answer stale (`freshness`).

use serde::{Deserialize, Serialize};

use super::directives::{Directives, LONGEST};
use crate::domain::{DocumentKey, Resource};

/// The default restricts nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keeping {
    /// The answer is not kept, so this is never stored.
    #[serde(skip)]
    pub(crate) withheld: bool,
    /// It is asked for again before each use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) no_cache: bool,
    /// How long it may be fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cap: Option<Cap>,
}

/// The longest time for which an answer is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cap {
    /// Seconds from when the registry made it.
    pub(crate) seconds: u64,
    pub(crate) by: CappedBy,
}

/// The directive that caps a TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CappedBy {
    /// `Cache-Control: max-age`
    #[serde(rename = "max-age")]
    MaxAge,
    /// `Cache-Control: s-maxage`
    #[serde(rename = "s-maxage")]
    SharedMaxAge,
    /// `cache.maxAgeSeconds` of a capability document.
    #[serde(rename = "maxAgeSeconds")]
    Capabilities,
}

impl CappedBy {
    /// The name that registries give it.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::MaxAge => "max-age",
            Self::SharedMaxAge => "s-maxage",
            Self::Capabilities => "cache.maxAgeSeconds",
        }
    }
}

#[derive(Deserialize)]
struct Capabilities {
    #[serde(default)]
    cache: Caching,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Caching {
    #[serde(default)]
    max_age_seconds: serde_json::Value,
}

impl Keeping {
    /// What the registry allows for `body`, the answer to `key`; `field` is its `Cache-Control`.
    #[must_use]
    pub(crate) fn of(key: &DocumentKey, field: Option<&str>, body: &[u8]) -> Self {
        let said = field.map(Directives::read).unwrap_or_default();
        let shared = said.s_maxage.map(|seconds| Cap { seconds, by: CappedBy::SharedMaxAge });
        let own = said.max_age.map(|seconds| Cap { seconds, by: CappedBy::MaxAge });
        let document = match key.resource() {
            Resource::Capabilities => stated(body),
            _ => None,
        };
        let cap = [shared.or(own), document].into_iter().flatten().min_by_key(|cap| cap.seconds);
        Self { withheld: said.no_store || said.private, no_cache: said.no_cache, cap }
    }

    #[must_use]
    pub(crate) fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// `cache.maxAgeSeconds` of a capability document, if it is a number of seconds.
fn stated(body: &[u8]) -> Option<Cap> {
    let document: Capabilities = serde_json::from_slice(body).ok()?;
    let seconds = document.cache.max_age_seconds.as_u64()?.min(LONGEST);
    Some(Cap { seconds, by: CappedBy::Capabilities })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(field: &str) -> Keeping {
        Keeping::of(&DocumentKey::Index("x".parse().unwrap()), Some(field), b"{}")
    }

    fn cap(keeping: Keeping) -> Option<(u64, &'static str)> {
        keeping.cap.map(|cap| (cap.seconds, cap.by.as_str()))
    }

    #[test]
    fn every_row_of_the_table() {
        for field in ["no-store", "private", "private=\"x\", max-age=9"] {
            assert!(of(field).withheld, "{field}");
        }
        assert!(of("public, max-age=60").cap.is_some() && !of("public, max-age=60").withheld);
        assert!(of("no-cache").no_cache && !of("no-cache").withheld);
        assert_eq!(cap(of("max-age=60")), Some((60, "max-age")));
        assert_eq!(
            cap(of("max-age=60, s-maxage=600")),
            Some((600, "s-maxage")),
            "it is for caches like this one"
        );
        assert_eq!(cap(of("max-age=600, s-maxage=x")), Some((0, "s-maxage")));
        assert!(of("public, must-revalidate, immutable").is_free());
        assert!(Keeping::of(&DocumentKey::Capabilities, None, b"{}").is_free());
    }

    #[test]
    fn capabilities_cap_themselves_and_the_smaller_one_counts() {
        let of = |field, text: &str| {
            let body = format!(r#"{{"cache":{{"maxAgeSeconds":{text},"revalidate":true}}}}"#);
            cap(Keeping::of(&DocumentKey::Capabilities, field, body.as_bytes()))
        };
        assert_eq!(of(None, "30"), Some((30, "cache.maxAgeSeconds")));
        assert_eq!(of(Some("max-age=20"), "30"), Some((20, "max-age")));
        assert_eq!(of(Some("max-age=40"), "30"), Some((30, "cache.maxAgeSeconds")));
        assert_eq!(of(None, "18446744073709551615"), Some((LONGEST, "cache.maxAgeSeconds")));
        for text in ["-1", "1.5", "\"30\"", "null", "{}"] {
            assert_eq!(of(None, text), None, "{text} is no number of seconds");
        }
        let other = br#"{"cache":{"maxAgeSeconds":5}}"#;
        assert_eq!(
            Keeping::of(&DocumentKey::Index("x".parse().unwrap()), None, other).cap,
            None,
            "of no other document"
        );
    }

    #[test]
    fn what_is_stored_is_read_again_and_an_older_form_restricts_nothing() {
        let keeping = of("no-cache, max-age=5");
        let text = serde_json::to_string(&keeping).unwrap();
        assert_eq!(text, r#"{"no_cache":true,"cap":{"seconds":5,"by":"max-age"}}"#);
        assert_eq!(serde_json::from_str::<Keeping>(&text).unwrap(), keeping);
        assert!(serde_json::from_str::<Keeping>("{}").unwrap().is_free());
    }
}
