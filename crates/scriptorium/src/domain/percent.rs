//! Percent-encoding of one path segment (RFC 3986, section 2.1).
//!
//! Owns the strictness of decoding. Must not know what a segment means.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Decodes a segment; borrows it when nothing is encoded. `None` for a broken escape, which the library would keep as it
/// is, or for bytes that are not UTF-8.
pub(crate) fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let is_escape =
        |rest: &str| matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    let are_whole = segment.split('%').skip(1).all(is_escape);
    are_whole.then(|| percent_decode_str(segment).decode_utf8().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_or_refuses() {
        assert_eq!(decode("a-b").as_deref(), Some("a-b"));
        assert_eq!(decode("%40acme").as_deref(), Some("@acme"));
        assert_eq!(decode("1.0.0%2bx").as_deref(), Some("1.0.0+x"));
        assert_eq!(decode("%EC%95%88").as_deref(), Some("안"));
        for bad in ["%", "%4", "%zz", "%ff", "a%"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
