//! Parameters that this proxy does not know and a registry may: passed on, and part of the question.
//!
//! A registry reads names in an order of its own choice, but may care for the order of equal ones. So they are
//! sorted by name and nothing else, and equal questions have one spelling. Owns that order and how many there
//! may be. Must not know what any of them means.

use std::borrow::Cow;
use std::fmt;

use url::form_urlencoded;

/// Most parameters besides those that are known.
const MOST: usize = 16;
/// Longest name, in bytes.
const MAX_NAME: usize = 64;
/// Longest value, in bytes.
const MAX_VALUE: usize = 256;

/// Why such a parameter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFurther {
    /// More than are passed on.
    #[error("at most 16 parameters besides those of the specification are passed on")]
    TooMany,
    /// One that is too long, or no text.
    #[error("a parameter's name must be at most 64 bytes of UTF-8, its value at most 256")]
    Text,
    /// One that some registries would read as a parameter that is checked here.
    #[error("write `{0}` in lower case")]
    Case(&'static str),
}

/// What a query has besides the parameters that are known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Further(Box<[(Box<str>, Box<str>)]>);

impl Further {
    /// Takes what is left of a query once its `known` parameters were taken out.
    ///
    /// # Errors
    /// [`InvalidFurther`] for the first that is not passed on.
    pub fn of(
        mut rest: Vec<(Cow<'_, str>, Cow<'_, str>)>,
        known: &[&'static str],
    ) -> Result<Self, InvalidFurther> {
        if rest.len() > MOST {
            return Err(InvalidFurther::TooMany);
        }
        for (name, value) in &rest {
            if let Some(meant) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                return Err(InvalidFurther::Case(meant));
            }
            let is_text = |text: &str| !text.contains('\u{fffd}');
            if name.len() > MAX_NAME || value.len() > MAX_VALUE || !is_text(name) || !is_text(value) {
                return Err(InvalidFurther::Text);
            }
        }
        rest.sort_by(|(one, _), (other, _)| one.cmp(other));
        let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into(), value.into());
        Ok(Self(rest.into_iter().map(owned).collect()))
    }

    /// Appends them to a query.
    pub(super) fn append_to(&self, query: &mut form_urlencoded::Serializer<'_, String>) {
        query.extend_pairs(self.0.iter().map(|(name, value)| (&**name, &**value)));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As a query without its `?`.
impl fmt::Display for Further {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = form_urlencoded::Serializer::new(String::new());
        self.append_to(&mut query);
        f.write_str(&query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Further, InvalidFurther> {
        Further::of(form_urlencoded::parse(query.as_bytes()).collect(), &["limit", "q"])
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
        assert_eq!(of(&many(MOST + 1)), Err(InvalidFurther::TooMany));
        for (name, value, bad) in [(64, 256, false), (65, 1, true), (1, 257, true)] {
            let query = format!("{}={}", "n".repeat(name), "v".repeat(value));
            assert_eq!(of(&query).is_err(), bad, "{query}");
        }
        for query in ["a=%ff", "%ff=a"] {
            assert_eq!(of(query), Err(InvalidFurther::Text), "{query}");
        }
    }

    #[test]
    fn a_known_name_in_other_letters_is_no_further_one() {
        assert_eq!(of("Limit=1000"), Err(InvalidFurther::Case("limit")));
        assert_eq!(of("Q=a"), Err(InvalidFurther::Case("q")));
    }
}
