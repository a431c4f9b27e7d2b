//! Who may use the admin port: the tokens with their roles, and the sessions that browsers opened with them.
//!
//! Owns the digests in force and the comparison with what a request brings. Never holds a token itself. Must not know what a
//! role allows.

use std::fmt;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use super::sessions::{NewSession, Sessions};
use crate::audit_record::Actor;
use crate::domain::Sha256;

/// A longer token is not hashed: no operator issues one, and an attacker should not choose the cost.
const LONGEST: usize = 512;

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdminRole {
    /// See everything, change nothing.
    Read,
    Operate,
}

/// A token that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminToken {
    /// `None` for the one token that needs no name.
    pub(crate) name: Option<String>,
    pub(crate) digest: Sha256,
    pub(crate) role: AdminRole,
}

/// The sender of an admitted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AdminCaller {
    /// Anyone: no token is configured.
    Anybody,
    /// A caller with this token, or in a session that was opened with it.
    Holder { name: Option<String>, role: AdminRole },
}

impl AdminCaller {
    pub(super) fn role(&self) -> AdminRole {
        match self {
            Self::Anybody => AdminRole::Operate,
            Self::Holder { role, .. } => *role,
        }
    }

    /// Who that is, for the audit record.
    pub(super) fn actor(&self) -> Actor {
        match self {
            Self::Anybody => Actor::AdminPort,
            Self::Holder { name: None, .. } => Actor::AdminToken,
            Self::Holder { name: Some(name), .. } => Actor::AdminHolder(name.clone()),
        }
    }
}

/// Who that is, for the log.
impl fmt::Display for AdminCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("no token"),
            Self::Holder { name: None, .. } => f.write_str("the admin token"),
            Self::Holder { name: Some(name), .. } => write!(f, "the admin token {name}"),
        }
    }
}

/// The tokens in force; none where no token is required.
#[derive(Debug, Default)]
pub(crate) struct AdminTokens {
    known: ArcSwap<Vec<AdminToken>>,
    sessions: Sessions,
}

impl AdminTokens {
    /// Requires one of these bearer tokens.
    pub(crate) fn new(known: Vec<AdminToken>) -> Self {
        Self { known: ArcSwap::from_pointee(known), sessions: Sessions::default() }
    }

    /// Requires one of other tokens from the next request on. Sessions of a token that is gone end.
    pub(crate) fn reload(&self, known: Vec<AdminToken>) {
        self.sessions.keep_those_of(|token| known.iter().any(|known| known.digest == *token));
        self.known.store(known.into());
    }

    /// The sender of a request with these headers; `None` without a required token. A session counts where it `may`.
    pub(super) fn admits(&self, headers: &HeaderMap, may: Option<Duration>) -> Option<AdminCaller> {
        if self.known.load().is_empty() {
            return Some(AdminCaller::Anybody);
        }
        if let Some(given) = headers.get(AUTHORIZATION) {
            let (scheme, given) = given.as_bytes().split_at_checked("Bearer ".len())?;
            // The name of a scheme is compared without case (RFC 9110, section 11.1).
            let given = scheme.eq_ignore_ascii_case(b"Bearer ").then_some(given)?;
            return self.holder_of(digest(given)?);
        }
        self.holder_of(self.sessions.token_of(headers, may?)?)
    }

    /// Opens a session for the holder of `token`.
    pub(super) fn open(&self, token: &str, now: Duration) -> Option<(AdminCaller, NewSession)> {
        let token = digest(token.as_bytes())?;
        let holder = self.holder_of(token)?;
        Some((holder, self.sessions.open(token, now)?))
    }

    /// Ends the session that the headers name.
    pub(super) fn close(&self, headers: &HeaderMap) {
        self.sessions.close(headers);
    }

    /// All tokens are compared, so that the time says nothing of which is near.
    fn holder_of(&self, digest: Sha256) -> Option<AdminCaller> {
        let known = self.known.load();
        let is_it = |token: &&AdminToken| bool::from(token.digest.as_bytes().ct_eq(digest.as_bytes()));
        let found = known.iter().filter(is_it).fold(None, |found, token| found.or(Some(token)));
        found.map(|token| AdminCaller::Holder { name: token.name.clone(), role: token.role })
    }
}

fn digest(given: &[u8]) -> Option<Sha256> {
    (given.len() <= LONGEST).then(|| Sha256::of(given))
}
