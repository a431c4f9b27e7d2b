//! The admin token: who may see more than the probes.
//!
//! Owns the digest in force and the comparison with what a client presents. Never holds the token itself.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::domain::Sha256;

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

    /// Whether a request with these headers may go on.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &*self.0.load() else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|token| Sha256::of(token).as_bytes().ct_eq(expected.as_bytes()).into())
    }
}
