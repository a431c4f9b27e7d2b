//! The admin token: who may see more than the probes.
//!
//! Owns the digest in force and the comparison with what a client presents. Never holds the token itself.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::domain::Sha256;

/// No longer token is hashed: what nobody issues should cost nothing.
const LONGEST: usize = 512;

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Whoever reaches the port: no token is wanted.
    Anybody,
    /// Who has the token.
    Bearer,
}

impl Who {
    /// As the log calls it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Anybody => "no token",
            Self::Bearer => "the admin token",
        }
    }
}

/// The digest of the token that the admin port wants; none where it wants no token.
#[derive(Debug, Default)]
pub struct AdminToken(ArcSwapOption<Sha256>);

impl AdminToken {
    /// Wants the bearer token with this digest.
    #[must_use]
    pub fn new(digest: Option<Sha256>) -> Self {
        let token = Self::default();
        token.reload(digest);
        token
    }

    /// Wants another token from the next request on.
    pub fn reload(&self, digest: Option<Sha256>) {
        self.0.store(digest.map(Arc::new));
    }

    /// Who sent a request with these headers; nobody who may go on without the token that is wanted.
    pub(super) fn admits(&self, headers: &HeaderMap) -> Option<Who> {
        let Some(expected) = &*self.0.load() else { return Some(Who::Anybody) };
        let (scheme, given) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
        // The name of a scheme is the same in any case (RFC 9110, section 11.1).
        let given = scheme.eq_ignore_ascii_case(b"Bearer ").then_some(given)?;
        let is_it = given.len() <= LONGEST && Sha256::of(given).as_bytes().ct_eq(expected.as_bytes()).into();
        is_it.then_some(Who::Bearer)
    }
}
