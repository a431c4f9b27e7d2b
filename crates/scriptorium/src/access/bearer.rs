//! The bearer token of a request (RFC 6750, section 2.1).
//!
//! Owns its grammar and bound. Must not know which tokens exist.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Longer tokens are not read. A signed token of a CI system has one or two thousand bytes.
pub(super) const LONGEST: usize = 8 << 10;

/// The well-formed bearer token of a request with one `Authorization` field.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = only.as_bytes().split_at_checked(b"Bearer".len())?;
    let token = token.strip_prefix(b" ")?.trim_ascii();
    let well_formed = (1..=LONGEST).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
    (scheme.eq_ignore_ascii_case(b"Bearer") && well_formed).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        bearer(&headers).map(<[u8]>::to_vec)
    }

    #[test]
    fn one_well_formed_bearer_token_is_read() {
        let longest = [b"Bearer ".as_slice(), &[b'x'; LONGEST]].concat();
        for (value, token) in [
            (b"Bearer t".as_slice(), b"t".as_slice()),
            (b"bEARER  a.b~+/==", b"a.b~+/=="),
            (&longest, &longest[7..]),
        ] {
            assert_eq!(of(&[value]).as_deref(), Some(token));
        }
    }

    #[test]
    fn everything_else_is_no_token() {
        let too_long = [b"Bearer ".as_slice(), &[b'x'; LONGEST + 1]].concat();
        for bad in [
            b"".as_slice(),
            b"Bearer",
            b"Bearer ",
            b"Bearer\tt",
            b"Bearert",
            b"Bearer a b",
            b"Bearer a\tb",
            b"Bearer \xfft",
            b"Bear\xc3\xa9r t",
            b"Basic t",
            b"t",
            &too_long,
        ] {
            assert_eq!(of(&[bad]), None, "{}", bad.escape_ascii());
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[b"Bearer t", b"Bearer t"]), None);
    }
}
