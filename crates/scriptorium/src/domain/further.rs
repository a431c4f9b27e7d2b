//! Query parameters that this proxy does not know: they are passed on, and are part of the question.
//!
//! A registry may care for the order of parameters with one name, but not for the order of names. So they are sorted
//! by name alone, and equal questions have one spelling. Owns that order and how many there may be. Must not know
//! what they mean.

use std::borrow::Cow;
use std::fmt;

use url::form_urlencoded;

/// Most unknown parameters.
const MOST: usize = 16;
/// Longest name, in bytes.
const MAX_NAME: usize = 64;
/// Longest value, in bytes.
const MAX_VALUE: usize = 256;

/// Why a parameter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidParameter {
    #[error("at most 16 parameters besides those of the specification are passed on")]
    TooMany,
    /// Too long, or not UTF-8.
    #[error("a parameter's name must be at most 64 bytes of UTF-8, its value at most 256")]
    Text,
    /// A known parameter in other letters, which some registries would accept.
    #[error("write `{0}` in lower case")]
    Case(&'static str),
}

/// The parameters of a query that this proxy does not know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct UnknownParameters(Box<[(Box<str>, Box<str>)]>);

impl UnknownParameters {
    /// Takes what is left of a query without its `known` parameters.
    pub(crate) fn of(
        mut rest: Vec<(Cow<'_, str>, Cow<'_, str>)>,
        known: &[&'static str],
    ) -> Result<Self, InvalidParameter> {
        if rest.len() > MOST {
            return Err(InvalidParameter::TooMany);
        }
        for (name, value) in &rest {
            if let Some(meant) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                return Err(InvalidParameter::Case(meant));
            }
            let is_text = |text: &str| !text.contains('\u{fffd}');
            if name.len() > MAX_NAME || value.len() > MAX_VALUE || !is_text(name) || !is_text(value) {
                return Err(InvalidParameter::Text);
            }
        }
        rest.sort_by(|(one, _), (other, _)| one.cmp(other));
        let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into(), value.into());
        Ok(Self(rest.into_iter().map(owned).collect()))
    }

    pub(super) fn append_to(&self, query: &mut form_urlencoded::Serializer<'_, String>) {
        query.extend_pairs(self.0.iter().map(|(name, value)| (&**name, &**value)));
    }
}

/// As a query without its `?`.
impl fmt::Display for UnknownParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = form_urlencoded::Serializer::new(String::new());
        self.append_to(&mut query);
        f.write_str(&query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<UnknownParameters, InvalidParameter> {
        UnknownParameters::of(form_urlencoded::parse(query.as_bytes()).collect(), &["limit", "q"])
    }

    #[test]
    fn equal_names_keep_their_order_and_others_have_none() {
        assert_eq!(of("tag=b&sort=new&tag=a").unwrap().to_string(), "sort=new&tag=b&tag=a");
        assert_eq!(of("sort=new&tag=b&tag=a"), of("tag=b&tag=%61&sort=new"));
        assert_ne!(of("tag=a&tag=b"), of("tag=b&tag=a"));
        assert_ne!(of("tag="), of(""));
        assert_eq!(of("x=a%20b%26c").unwrap().to_string(), "x=a+b%26c");
    }

    #[test]
    fn what_is_passed_on_is_bounded() {
        let many = |count: usize| vec!["a=b"; count].join("&");
        assert!(of(&many(MOST)).is_ok());
        assert_eq!(of(&many(MOST + 1)), Err(InvalidParameter::TooMany));
        for (name, value, bad) in [(64, 256, false), (65, 1, true), (1, 257, true)] {
            let query = format!("{}={}", "n".repeat(name), "v".repeat(value));
            assert_eq!(of(&query).is_err(), bad, "{query}");
        }
        for query in ["a=%ff", "%ff=a"] {
            assert_eq!(of(query), Err(InvalidParameter::Text), "{query}");
        }
    }

    #[test]
    fn a_known_name_in_other_letters_is_no_further_one() {
        assert_eq!(of("Limit=1000"), Err(InvalidParameter::Case("limit")));
        assert_eq!(of("Q=a"), Err(InvalidParameter::Case("q")));
    }
}
