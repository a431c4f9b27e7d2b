//! From a bearer token to its rate class and bucket.
//!
//! Owns the grammar of `Authorization` as far as it matters here, and the look-up by digest: a token itself is
//! neither kept nor printed. Must not know addresses.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use super::Settings;
use super::buckets::Bucket;
use crate::config::TokenClass;
use crate::domain::Sha256;

/// No longer token is hashed: what nobody issues should cost nothing.
const LONGEST: usize = 512;

/// Which rate a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Known by its address only.
    Anonymous,
    /// A person's token.
    Authenticated,
    /// A build machine's token.
    Ci,
}

impl Class {
    /// As headers, metrics and the configuration call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Authenticated => "authenticated",
            Self::Ci => "ci",
        }
    }
}

/// A configured token.
pub(super) struct Known {
    pub(super) name: Arc<str>,
    pub(super) class: Class,
    pub(super) bucket: Arc<Bucket>,
    sha256: Sha256,
}

/// The configured tokens by their digest. Their buckets are as many as they are, so no address can displace one.
pub(super) struct Tokens(HashMap<Sha256, Known>);

impl Tokens {
    /// Those of `config`. One that `before` has under the same name, class and rate keeps its bucket, also when
    /// the token behind the name is a new one.
    pub(super) fn new(config: &Settings, before: Option<&Self>) -> Self {
        let before: HashMap<&str, &Known> = before
            .into_iter()
            .flat_map(|tokens| tokens.0.values())
            .map(|known| (&*known.name, known))
            .collect();
        let known = config.tokens.iter().map(|token| {
            let (class, rate) = match token.class {
                TokenClass::Authenticated => (Class::Authenticated, config.rates.authenticated),
                TokenClass::Ci => (Class::Ci, config.rates.ci),
            };
            let same = before.get(&*token.name).filter(|it| it.class == class && it.bucket.rate() == rate);
            let bucket = same.map_or_else(|| Arc::new(Bucket::new(rate)), |known| Arc::clone(&known.bucket));
            let name = Arc::from(&*token.name);
            (token.sha256, Known { name, class, bucket, sha256: token.sha256 })
        });
        Self(known.collect())
    }

    /// Whose token a request carries, if it is a configured one.
    pub(super) fn presented(&self, headers: &HeaderMap) -> Option<&Known> {
        if self.0.is_empty() {
            return None;
        }
        let digest = Sha256::of(bearer(headers)?);
        // The map finds a candidate by a keyed hash; whether it is the one is decided in constant time.
        let known = self.0.get(&digest)?;
        bool::from(known.sha256.as_bytes().ct_eq(digest.as_bytes())).then_some(known)
    }
}

/// The token of a request's only `Authorization`, where it is a well-formed bearer token (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
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
