//! The query for a list of advisories, validated and in one canonical spelling.
//!
//! Owns the grammar and order of its parameters, so that equal queries share one cache entry. Must not know
//! advisories.

use std::fmt;

use url::form_urlencoded;

use super::VolumeName;
use super::further::{InvalidParameter, UnknownParameters};

const VOLUME: &str = "volume";

/// Why a query is refused; the text says what to send instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAdvisoryQuery {
    /// No volume name, or more than one.
    #[error("`volume` must be a volume name such as `@acme/x`, given at most once")]
    Volume,
    #[error(transparent)]
    Further(#[from] InvalidParameter),
}

/// A valid query: about one volume, or about all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct AdvisoryQuery {
    pub(crate) volume: Option<VolumeName>,
    further: UnknownParameters,
}

impl AdvisoryQuery {
    pub(crate) fn about(volume: VolumeName) -> Self {
        Self { volume: Some(volume), further: UnknownParameters::default() }
    }

    /// The number of advisories before those that are asked for, if the query asks for nothing else than a page of all.
    pub(crate) fn page(&self) -> Option<u64> {
        let query = self.to_string();
        if query.is_empty() {
            return Some(0);
        }
        let offset = query.strip_prefix("?offset=")?;
        offset.parse().ok().filter(|number: &u64| number.to_string() == *offset)
    }

    /// Reads the query part of a URL, without its `?`.
    pub(crate) fn parse(query: &str) -> Result<Self, InvalidAdvisoryQuery> {
        let (mut volume, mut rest) = (None, Vec::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name != VOLUME {
                rest.push((name, value));
                continue;
            }
            let named = value.parse().map_err(|_| InvalidAdvisoryQuery::Volume)?;
            if volume.replace(named).is_some() {
                return Err(InvalidAdvisoryQuery::Volume);
            }
        }
        Ok(Self { volume, further: UnknownParameters::of(rest, &[VOLUME])? })
    }
}

/// With its `?`; nothing where the query is empty.
impl fmt::Display for AdvisoryQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(volume) = &self.volume {
            query.append_pair(VOLUME, volume.as_str());
        }
        self.further.append_to(&mut query);
        match query.finish() {
            query if query.is_empty() => Ok(()),
            query => write!(f, "?{query}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_spellings() {
        for (query, canonical) in [
            ("", ""),
            ("&", ""),
            ("volume=@acme/x", "?volume=%40acme%2Fx"),
            ("severity=high&volume=x", "?volume=x&severity=high"),
            ("severity=high", "?severity=high"),
        ] {
            assert_eq!(AdvisoryQuery::parse(query).unwrap().to_string(), canonical, "{query}");
        }
    }

    #[test]
    fn a_page_of_all_is_told_from_other_questions() {
        let page = |query: &str| AdvisoryQuery::parse(query).unwrap().page();
        assert_eq!((page(""), page("offset=0"), page("offset=200")), (Some(0), Some(0), Some(200)));
        for other in ["offset=02", "offset=x", "offset=2&severity=high", "volume=x&offset=2", "limit=2"] {
            assert_eq!(page(other), None, "{other}");
        }
    }

    #[test]
    fn one_volume_or_none() {
        for query in ["volume=", "volume=X", "volume=x&volume=x", "volume=x@1.0.0"] {
            assert_eq!(AdvisoryQuery::parse(query), Err(InvalidAdvisoryQuery::Volume), "{query}");
        }
        assert_eq!(AdvisoryQuery::parse("Volume=x").unwrap_err().to_string(), "write `volume` in lower case");
    }

    proptest! {
        #[test]
        fn canonical_form_parses_to_itself(query in "(volume=|x=|&|a|@|\\PC){0,12}") {
            if let Ok(parsed) = AdvisoryQuery::parse(&query) {
                let canonical = parsed.to_string();
                let again = AdvisoryQuery::parse(canonical.strip_prefix('?').unwrap_or_default());
                prop_assert_eq!(again, Ok(parsed));
            }
        }
    }
}
