//! The owner of an upload: the digest of the credential that it was begun with.
//!
//! Owns the comparison, which normalises how a credential is spelled. The credential itself is neither kept nor
//! printed. An owner does not identify a client: only the registry knows whether a credential is valid.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::domain::Sha256;

/// The owner of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Owner(Option<String>);

impl Owner {
    /// The sender of these header fields. All senders without a credential are one owner.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get(AUTHORIZATION).map(|credential| Sha256::of(&plainly(credential.as_bytes())).hex()))
    }

    /// The owner without a credential.
    #[cfg(test)]
    pub(super) const fn nobody() -> Self {
        Self(None)
    }

    /// Whether there is no credential.
    pub(super) fn is_nobody(&self) -> bool {
        self.0.is_none()
    }

    /// Whether `other` is the same owner.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => ours.as_bytes().ct_eq(theirs.as_bytes()).into(),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// A credential in one spelling: a scheme that begins with a capital, then one space.
fn plainly(credential: &[u8]) -> Vec<u8> {
    let credential = credential.trim_ascii();
    let end = credential.iter().position(u8::is_ascii_whitespace).unwrap_or(credential.len());
    let (scheme, rest) = credential.split_at(end);
    let rest = rest.trim_ascii();
    let mut plain = scheme.to_ascii_lowercase();
    plain.iter_mut().take(1).for_each(|first| first.make_ascii_uppercase());
    if !rest.is_empty() {
        plain.push(b' ');
        plain.extend_from_slice(rest);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_credential_is_the_same_owner() {
        let owner = |credential: Option<&'static str>| {
            let fields = credential.map(|value| (AUTHORIZATION, value.parse().unwrap()));
            Owner::of(&fields.into_iter().collect())
        };
        for (ours, theirs, same) in [
            (Some("Bearer a"), Some("Bearer a"), true),
            (Some("Bearer a"), Some("Bearer b"), false),
            (Some("Bearer a"), None, false),
            (None, Some("Bearer a"), false),
            (None, None, true),
            (Some("Bearer a"), Some("bEARER   a "), true),
            (Some("Bearer a"), Some("bearer\ta"), true),
            (Some("Bearer a"), Some("Bearer A"), false),
            (Some("Bearer a b"), Some("Bearer ab"), false),
            (Some("Bearer a"), Some("Basic a"), false),
            (Some("token"), Some("TOKEN"), true),
        ] {
            assert_eq!(owner(ours).is(&owner(theirs)), same, "{ours:?} {theirs:?}");
        }
        let known = Owner(Some(Sha256::of(b"Bearer a").hex()));
        assert!(owner(Some("bearer a")).is(&known), "an owner stored by an earlier version is the same");
        let kept = serde_json::to_string(&owner(Some("Bearer secret"))).unwrap();
        assert!(!kept.contains("secret"));
    }
}
