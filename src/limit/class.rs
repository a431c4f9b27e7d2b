//! The class of a request: its bearer token's, or anonymous.
//!
//! Owns the look-up. A presented token is hashed and forgotten; it is neither kept nor shown. Must not know what
//! a class may do.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::config::{self, RateLimits, TokenClass};
use crate::domain::Sha256;

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 512;

/// A rate class, as the protocol recommends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// No token, or none that is known here.
    Anonymous,
    /// A person's token.
    Authenticated,
    /// A build machine's token.
    Ci,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Anonymous, Self::Authenticated, Self::Ci];

    /// Its name in headers, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Authenticated => "authenticated",
            Self::Ci => "ci",
        }
    }

    pub(super) fn rate(self, rates: &RateLimits) -> config::Rate {
        match self {
            Self::Anonymous => rates.anonymous,
            Self::Authenticated => rates.authenticated,
            Self::Ci => rates.ci,
        }
    }
}

/// The tokens that are known, by their digests.
#[derive(Debug)]
pub(super) struct Tokens(HashMap<Sha256, (Class, Arc<str>)>);

impl Tokens {
    pub(super) fn new(tokens: &[config::Token]) -> Self {
        let known = tokens.iter().map(|token| {
            let class = match token.class {
                TokenClass::Authenticated => Class::Authenticated,
                TokenClass::Ci => Class::Ci,
            };
            (token.sha256, (class, Arc::from(token.name.as_str())))
        });
        Self(known.collect())
    }

    /// The class and configured name of the token that a request presents, if it presents one that is known.
    ///
    /// What is looked up is a digest, of which a guess tells nothing; it is compared in constant time all the same.
    pub(super) fn of(&self, headers: &HeaderMap) -> Option<(Class, Arc<str>)> {
        if self.0.is_empty() {
            return None;
        }
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else { return None };
        let (scheme, token) = given.as_bytes().split_at_checked(b"Bearer ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Bearer ") || token.is_empty() || token.len() > LONGEST {
            return None;
        }
        let digest = Sha256::of(token);
        let (known, (class, name)) = self.0.get_key_value(&digest)?;
        let same: bool = known.as_bytes().ct_eq(digest.as_bytes()).into();
        same.then(|| (*class, Arc::clone(name)))
    }
}
