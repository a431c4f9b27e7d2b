//! Conditional requests (RFC 9110, section 13): does the client hold the current representation?
//!
//! Owns the comparison of validators. Every validator made here is strong.

use http::header::{IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderValue};

/// Whether `If-None-Match` names `etag`, compared weakly as the RFC asks.
pub(super) fn holds_current(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    // The common case: one tag, written as it was sent.
    if headers.get(IF_NONE_MATCH) == Some(etag) {
        return true;
    }
    let Ok(etag) = etag.to_str() else { return false };
    let fields = headers.get_all(IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(tags).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Whether a `Range` applies: there is no `If-Range`, or it names `etag`. A date never does; none is sent here.
pub(super) fn range_applies(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers.get(IF_RANGE).is_none_or(|condition| condition == etag)
}

/// The list's members. A tag made here holds no comma, so a tag that does cannot be one of ours.
fn tags(field: &str) -> impl Iterator<Item = &str> {
    field.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_weak_tags_and_stars() {
        let etag = HeaderValue::from_static("\"a\"");
        for (field, current) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(field))]);
            assert_eq!(holds_current(&headers, &etag), current, "{field}");
        }
        assert!(!holds_current(&HeaderMap::new(), &etag));
    }

    #[test]
    fn a_range_needs_the_current_strong_tag() {
        let etag = HeaderValue::from_static("\"a\"");
        for (field, applies) in
            [("\"a\"", true), ("W/\"a\"", false), ("\"b\"", false), ("Wed, 21 Oct 2015 07:28:00 GMT", false)]
        {
            let headers = HeaderMap::from_iter([(IF_RANGE, HeaderValue::from_static(field))]);
            assert_eq!(range_applies(&headers, &etag), applies, "{field}");
        }
        assert!(range_applies(&HeaderMap::new(), &etag));
    }
}
