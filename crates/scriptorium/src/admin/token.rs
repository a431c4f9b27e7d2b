//! The admin token, without which a caller sees only the probes.
//!
//! Owns the digest in force and the comparison with the token of a request. Never holds the token itself.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::audit_record::Actor;
use crate::domain::Sha256;

/// A longer token is not hashed: no operator issues one, and an attacker should not choose the cost.
const LONGEST: usize = 512;

/// The sender of an admitted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdminCaller {
    /// Anyone: no token is configured.
    Anybody,
    /// A caller with the token.
    Bearer,
}

impl AdminCaller {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Anybody => "no token",
            Self::Bearer => "the admin token",
        }
    }

    /// Who that is, for the audit record.
    pub(super) fn actor(self) -> Actor {
        match self {
            Self::Anybody => Actor::AdminPort,
            Self::Bearer => Actor::AdminToken,
        }
    }
}

/// The digest of the required token; none where no token is required.
#[derive(Debug, Default)]
pub(crate) struct AdminToken(ArcSwapOption<Sha256>);

impl AdminToken {
    /// Requires the bearer token with this digest.
    pub(crate) fn new(digest: Option<Sha256>) -> Self {
        let token = Self::default();
        token.reload(digest);
        token
    }

    /// Requires another token from the next request on.
    pub(crate) fn reload(&self, digest: Option<Sha256>) {
        self.0.store(digest.map(Arc::new));
    }

    /// The sender of a request with these headers; `None` without the required token.
    pub(super) fn admits(&self, headers: &HeaderMap) -> Option<AdminCaller> {
        let Some(expected) = &*self.0.load() else { return Some(AdminCaller::Anybody) };
        let (scheme, given) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
        // The name of a scheme is compared without case (RFC 9110, section 11.1).
        let given = scheme.eq_ignore_ascii_case(b"Bearer ").then_some(given)?;
        let is_it = given.len() <= LONGEST && Sha256::of(given).as_bytes().ct_eq(expected.as_bytes()).into();
        is_it.then_some(AdminCaller::Bearer)
    }
}
