//! A search query, validated and in one canonical spelling.
//!
//! Owns the grammar and order of its parameters, so that equal queries share one cache entry. Must not know results:
//! search is for discovery and never an input to resolution.

use std::fmt;

use url::form_urlencoded;

use super::further::{InvalidParameter, UnknownParameters};

/// Longest value of a text parameter, in bytes.
const MAX_TEXT: usize = 256;
/// Every parameter of the specification.
const KNOWN: [&str; 8] = ["q", "runtime", "provider", "keyword", "publisher", "type", "limit", "offset"];
const TEXTS: [&str; 5] = ["q", "runtime", "provider", "keyword", "publisher"];
const TYPES: [&str; 7] = ["agent", "skill", "command", "tool", "hook", "mcp-server", "lsp-server"];

/// Why a query is refused; the text says what to send instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSearch {
    #[error("`{name}` must be a whole number from {least} to {most}")]
    Number { name: &'static str, least: u32, most: u32 },
    #[error("`type` must be one of agent, skill, command, tool, hook, mcp-server, lsp-server")]
    Type,
    #[error("`{0}` must be at most 256 bytes of UTF-8")]
    Text(&'static str),
    #[error("`{0}` must be given once")]
    Repeated(&'static str),
    #[error(transparent)]
    Further(#[from] InvalidParameter),
}

/// A valid query with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SearchQuery {
    texts: [Option<Box<str>>; 5],
    component: Option<&'static str>,
    limit: u32,
    offset: u32,
    further: UnknownParameters,
}

impl SearchQuery {
    /// How many results a page has, from 1 to 100.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// How many results come before the page.
    pub(crate) fn offset(&self) -> u32 {
        self.offset
    }

    /// The same query for the page that begins at `offset`.
    pub(crate) fn at(&self, offset: u32) -> Self {
        Self { offset, ..self.clone() }
    }

    /// The same query for the page of `limit` results that begins at `offset`.
    pub(crate) fn page(&self, limit: u32, offset: u32) -> Self {
        Self { limit, offset, ..self.clone() }
    }

    /// Reads the query part of a URL, without its `?`.
    pub(crate) fn parse(query: &str) -> Result<Self, InvalidSearch> {
        let mut texts: [Option<Box<str>>; 5] = Default::default();
        let (mut component, mut limit, mut offset) = (None, None, None);
        let mut rest = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if let Some(index) = TEXTS.iter().position(|text| *text == name) {
                if value.len() > MAX_TEXT || value.contains('\u{fffd}') {
                    return Err(InvalidSearch::Text(TEXTS[index]));
                }
                once(&mut texts[index], TEXTS[index], value.into())?;
                continue;
            }
            match &*name {
                "type" => {
                    let known = TYPES.into_iter().find(|known| *known == value);
                    once(&mut component, "type", known.ok_or(InvalidSearch::Type)?)?;
                }
                "limit" => once(&mut limit, "limit", number("limit", &value, 1, 100)?)?,
                "offset" => once(&mut offset, "offset", number("offset", &value, 0, u32::MAX)?)?,
                _ => rest.push((name, value)),
            }
        }
        let further = UnknownParameters::of(rest, &KNOWN)?;
        Ok(Self { texts, component, limit: limit.unwrap_or(20), offset: offset.unwrap_or(0), further })
    }
}

fn once<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), InvalidSearch> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(InvalidSearch::Repeated(name)),
    }
}

fn number(name: &'static str, value: &str, least: u32, most: u32) -> Result<u32, InvalidSearch> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { value.parse().ok() } else { None };
    number.filter(|number| (least..=most).contains(number)).ok_or(InvalidSearch::Number { name, least, most })
}

impl fmt::Display for SearchQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in TEXTS.iter().zip(&self.texts) {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if let Some(component) = self.component {
            query.append_pair("type", component);
        }
        query.append_pair("limit", &self.limit.to_string());
        query.append_pair("offset", &self.offset.to_string());
        self.further.append_to(&mut query);
        f.write_str(&query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_questions_are_equal() {
        let one = SearchQuery::parse("q=a%20b&type=skill").unwrap();
        let other = SearchQuery::parse("type=skill&offset=0&limit=20&q=a+b").unwrap();
        assert_eq!(one, other);
        assert_eq!(one.to_string(), "q=a+b&type=skill&limit=20&offset=0");
        let further = SearchQuery::parse("tag=b&license=MIT&tag=a&q=x").unwrap();
        assert_eq!(further.to_string(), "q=x&limit=20&offset=0&license=MIT&tag=b&tag=a");
        assert_eq!(further.at(40).to_string(), "q=x&limit=20&offset=40&license=MIT&tag=b&tag=a");
    }

    #[test]
    fn bad_parameters_are_named() {
        for (query, part) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=+5", "limit"),
            ("limit=ten", "limit"),
            ("limit=", "limit"),
            ("offset=-1", "offset"),
            ("offset=99999999999", "offset"),
            ("type=wizard", "type"),
            ("q=a&q=b", "q"),
            ("q=%ff", "q"),
            ("Limit=1000", "limit"),
            ("x=%ff", "UTF-8"),
        ] {
            let error = SearchQuery::parse(query).unwrap_err().to_string();
            assert!(error.contains(part), "{query}: {error}");
        }
        assert!(SearchQuery::parse(&format!("q={}", "x".repeat(257))).is_err());
    }

    proptest! {
        #[test]
        fn canonical_form_parses_to_itself(query in "\\PC*") {
            if let Ok(parsed) = SearchQuery::parse(&query) {
                prop_assert_eq!(SearchQuery::parse(&parsed.to_string()), Ok(parsed));
            }
        }
    }
}
