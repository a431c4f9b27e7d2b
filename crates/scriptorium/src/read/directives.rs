//! What `Cache-Control` says (RFC 9111, section 5.2): of a registry's answers, and of clients' requests.
//!
//! If a directive is repeated, the smaller number counts. A number that cannot be read makes the answer stale: it is better
//! to ask again than to believe an answer for longer than was meant. `private` and `no-cache` with field names count for
//! the whole answer. Owns this parser. Must not know what is kept, nor for how long.

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// The longest time that is told apart from longer ones (RFC 9111, section 1.2.2).
pub(crate) const LONGEST: u64 = 1 << 31;

/// What of an answer's `Cache-Control` concerns a shared cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    /// No cache may keep the answer.
    pub(crate) no_store: bool,
    /// No shared cache may keep the answer.
    pub(crate) private: bool,
    /// The answer is asked for again before each use.
    pub(crate) no_cache: bool,
    /// Seconds for which it is fresh.
    pub(crate) max_age: Option<u64>,
    /// The same for shared caches; it overrides `max_age`.
    pub(crate) s_maxage: Option<u64>,
}

impl Directives {
    /// Parses field values joined with commas. Unknown directives are ignored.
    #[must_use]
    pub(crate) fn read(field: &str) -> Self {
        let mut said = Self::default();
        for member in members(field) {
            let (name, argument) = match member.split_once('=') {
                Some((name, argument)) => (name.trim_end(), Some(argument.trim_start())),
                None => (member, None),
            };
            let is = |directive: &str| name.eq_ignore_ascii_case(directive);
            let lowest = |held: Option<u64>| Some(seconds(argument).min(held.unwrap_or(LONGEST)));
            match () {
                () if is("no-store") => said.no_store = true,
                () if is("private") => said.private = true,
                () if is("no-cache") => said.no_cache = true,
                () if is("max-age") => said.max_age = lowest(said.max_age),
                () if is("s-maxage") => said.s_maxage = lowest(said.s_maxage),
                () => {}
            }
        }
        said
    }
}

/// Whether a client accepts only a cached answer.
#[must_use]
pub(crate) fn only_if_cached(request: &HeaderMap) -> bool {
    let mut fields = request.get_all(CACHE_CONTROL).iter().filter_map(|field| field.to_str().ok());
    fields.any(|field| members(field).any(|member| member.eq_ignore_ascii_case("only-if-cached")))
}

/// The members of a list, trimmed. A comma in a quoted string does not end a member. A quote that is never closed does not
/// begin a string, so it cannot hide what follows.
fn members(field: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(field);
    std::iter::from_fn(move || {
        let (member, after) = split(rest?);
        rest = after;
        Some(member.trim_matches([' ', '\t']))
    })
}

/// The first member, and what comes after its comma.
fn split(field: &str) -> (&str, Option<&str>) {
    let mut at = 0;
    let bytes = field.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b',' => return (&field[..at], Some(&field[at + 1..])),
            b'"' => at = closing(bytes, at).unwrap_or(at) + 1,
            _ => at += 1,
        }
    }
    (field, None)
}

/// The position of the quote that closes the string opened at `open`.
fn closing(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A number of seconds, as a token or quoted; 0 if it is not a number.
fn seconds(argument: Option<&str>) -> u64 {
    let argument = argument.unwrap_or_default();
    let quoted = argument.strip_prefix('"').and_then(|argument| argument.strip_suffix('"'));
    let digits = quoted.unwrap_or(argument);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    digits.parse().unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const NOTHING: Directives =
        Directives { no_store: false, private: false, no_cache: false, max_age: None, s_maxage: None };

    fn max_age(field: &str) -> Option<u64> {
        Directives::read(field).max_age
    }

    #[test]
    fn what_is_said_and_what_is_not() {
        for (field, said) in [
            ("", NOTHING),
            ("public, must-revalidate, immutable, stale-if-error=60", NOTHING),
            ("no-store", Directives { no_store: true, ..NOTHING }),
            ("No-Store , NO-CACHE", Directives { no_store: true, no_cache: true, ..NOTHING }),
            ("private=\"set-cookie, x\"", Directives { private: true, ..NOTHING }),
            ("no-cache=\"a\"", Directives { no_cache: true, ..NOTHING }),
            ("max-age=60,s-maxage=5", Directives { max_age: Some(60), s_maxage: Some(5), ..NOTHING }),
            ("no-storex, x-no-store, no store, nostore", NOTHING),
            ("x=\"no-store, max-age=1\", max-age=2", Directives { max_age: Some(2), ..NOTHING }),
            ("x=\"a\\\", no-store\", private", Directives { private: true, ..NOTHING }),
            ("x=\"open, no-store", Directives { no_store: true, ..NOTHING }),
            (",, ,max-age=1,", Directives { max_age: Some(1), ..NOTHING }),
        ] {
            assert_eq!(Directives::read(field), said, "{field}");
        }
    }

    #[test]
    fn the_smallest_counts_and_what_cannot_be_read_is_stale() {
        for (field, seconds) in [
            ("max-age=60", 60),
            ("max-age=\"60\"", 60),
            ("max-age = 60", 60),
            ("max-age=060", 60),
            ("max-age=60, max-age=30", 30),
            ("max-age=30, max-age=60", 30),
            ("max-age=0", 0),
            ("max-age", 0),
            ("max-age=", 0),
            ("max-age=-1", 0),
            ("max-age=+1", 0),
            ("max-age=1.5", 0),
            ("max-age=1s", 0),
            ("max-age=\"1", 0),
            ("max-age=x, max-age=60", 0),
            ("max-age=2147483647", LONGEST - 1),
            ("max-age=2147483649", LONGEST),
            ("max-age=99999999999999999999999999", LONGEST),
        ] {
            assert_eq!(max_age(field), Some(seconds), "{field}");
        }
    }

    #[test]
    fn a_client_may_want_what_is_held_and_nothing_else() {
        for (fields, wanted) in [
            (&["only-if-cached"][..], true),
            (&["max-stale=5, Only-If-Cached"], true),
            (&["no-cache", "only-if-cached"], true),
            (&["no-cache, max-age=0, no-store"], false),
            (&["x=\"only-if-cached, \""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(field));
            }
            assert_eq!(only_if_cached(&headers), wanted, "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn no_field_is_too_odd(field in "\\PC{0,80}") {
            let said = Directives::read(&field);
            prop_assert!(said.max_age.is_none_or(|seconds| seconds <= LONGEST));
        }

        /// Whatever stands around it, and in whatever order.
        #[test]
        fn a_directive_is_found_among_others(
            others in proptest::collection::vec("[a-z]{3,8}(=([0-9]{1,5}|\"[a-z, \\\\]{0,6}[a-z]\"))?", 0..5),
            ages in proptest::collection::vec(0..10_000_u64, 1..4),
            turn in 0..9_usize,
        ) {
            let mut members = others;
            members.extend(ages.iter().map(|age| format!("max-age={age}")));
            let places = members.len();
            members.rotate_left(turn % places);
            prop_assert_eq!(max_age(&members.join(" ,")), ages.iter().min().copied());
        }

        /// More said never makes an answer fresh for longer.
        #[test]
        fn nothing_that_is_added_lengthens(field in "[ -~]{0,40}", added in "[ -!#-\\[\\]-~]{0,40}") {
            let (less, more) = (Directives::read(&field), Directives::read(&format!("{added},{field}")));
            prop_assert!(more.max_age.unwrap_or(LONGEST) <= less.max_age.unwrap_or(LONGEST));
            prop_assert!(more.no_store || !less.no_store);
        }
    }
}
