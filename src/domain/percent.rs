//! Percent-encoding of one path segment (RFC 3986, section 2.1).
//!
//! Owns decoding and the one encoding links need. Must not know which segments mean what.

use std::borrow::Cow;

/// Decodes a segment; borrows it when nothing is encoded. `None` for a broken escape or bytes that are not UTF-8.
#[must_use]
pub fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
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
