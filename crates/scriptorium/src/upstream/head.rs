//! The head of an answer, as far as it is about caching.
//!
//! An `Age` is a number of seconds: the first where there are several (RFC 9111, section 5.1), capped at 2^31, and
//! ignored where it is no number. Owns that reading. Must not know what is cached, nor for how long.

use ::http::HeaderMap;
use ::http::header::{AGE, CACHE_CONTROL, ETAG};

/// Longer ages are capped at this.
const OLDEST: u64 = 1 << 31;

/// The caching directives of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CachingHead {
    /// The registry's own entity tag.
    pub(crate) etag: Option<String>,
    /// Seconds that it had already spent in caches.
    pub(crate) age: u64,
    /// Its `Cache-Control`, as one list.
    pub(crate) cache_control: Option<String>,
    /// The URL without a query that it was found at, if redirects led elsewhere.
    pub(crate) at: Option<String>,
}

impl CachingHead {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let fields: Vec<_> = headers
            .get_all(CACHE_CONTROL)
            .iter()
            .map(|field| String::from_utf8_lossy(field.as_bytes()))
            .collect();
        let cache_control = (!fields.is_empty()).then(|| fields.join(","));
        Self { etag, age: age(headers), cache_control, at: None }
    }
}

fn age(headers: &HeaderMap) -> u64 {
    let field = headers.get(AGE).and_then(|age| age.to_str().ok()).unwrap_or_default();
    let first = field.split(',').next().unwrap_or_default().trim();
    if first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    first.parse().unwrap_or(OLDEST).min(OLDEST)
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderName, HeaderValue};

    use super::*;

    fn head(fields: &[(HeaderName, &str)]) -> CachingHead {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        CachingHead::of(&headers)
    }

    #[test]
    fn an_age_is_a_number_of_seconds_and_anything_else_is_none() {
        for (field, age) in [
            ("0", 0),
            ("7", 7),
            (" 7 ", 7),
            ("007", 7),
            ("7, 9", 7),
            ("2147483648", OLDEST),
            ("2147483649", OLDEST),
            ("18446744073709551615", OLDEST),
            ("18446744073709551616", OLDEST),
            ("", 0),
            ("+7", 0),
            ("-7", 0),
            ("7.5", 0),
            ("soon", 0),
            ("x, 7", 0),
        ] {
            assert_eq!(head(&[(AGE, field)]).age, age, "{field:?}");
        }
        assert_eq!(head(&[(AGE, "3"), (AGE, "9")]).age, 3);
    }

    #[test]
    fn several_fields_are_one_list_and_none_is_lost() {
        assert_eq!(head(&[]), CachingHead::default());
        let said = head(&[(CACHE_CONTROL, "max-age=1"), (CACHE_CONTROL, "no-störe"), (ETAG, "\"a\"")]);
        assert_eq!(said.etag.as_deref(), Some("\"a\""));
        assert_eq!(said.cache_control.as_deref(), Some("max-age=1,no-störe"));
    }
}
