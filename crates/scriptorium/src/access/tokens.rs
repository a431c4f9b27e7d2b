//! The configured tokens by their digest.
//!
//! Owns the look-up and the last day of a token. A token itself is neither kept nor printed. Must not know what is kept beside
//! a token (`of`).

use std::collections::HashMap;

use subtle::ConstantTimeEq;

use super::holder::TokenHolder;
use crate::clock::Timestamp;
use crate::config::Token;
use crate::domain::Sha256;

/// Longer tokens are not hashed.
const LONGEST: usize = 512;

/// A configured token with what the owner of the table keeps for it.
pub(crate) struct HeldToken<T> {
    pub(crate) holder: TokenHolder,
    pub(crate) of: T,
    sha256: Sha256,
    /// The first millisecond in which it is no token any more.
    ends: Option<u64>,
}

/// The configured tokens.
pub(crate) struct HeldTokens<T>(HashMap<Sha256, HeldToken<T>>);

impl<T> HeldTokens<T> {
    /// These tokens, each with what `of` keeps for it.
    pub(crate) fn new(tokens: &[Token], of: impl Fn(&TokenHolder) -> T) -> Self {
        let held = tokens.iter().map(|token| {
            let holder = TokenHolder::of_token(token);
            let of = of(&holder);
            let ends = token.expires.map(|last| last.end());
            (token.sha256, HeldToken { holder, of, sha256: token.sha256, ends })
        });
        Self(held.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every token.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &HeldToken<T>> {
        self.0.values()
    }

    /// The entry of `token`, if it is configured and holds at `now`.
    pub(crate) fn presented(&self, token: &[u8], now: impl FnOnce() -> Timestamp) -> Option<&HeldToken<T>> {
        if token.len() > LONGEST || self.0.is_empty() {
            return None;
        }
        let digest = Sha256::of(token);
        // The map finds a candidate by a keyed hash. The comparison takes constant time.
        let held = self.0.get(&digest)?;
        let is_it = bool::from(held.sha256.as_bytes().ct_eq(digest.as_bytes()));
        (is_it && held.ends.is_none_or(|ends| now().0 < ends)).then_some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenClass;

    #[test]
    fn a_token_holds_through_its_last_day() {
        let configured = |name: &str, expires: Option<&str>| Token {
            expires: expires.map(|day| day.parse().unwrap()),
            ..Token::with(name.to_owned(), TokenClass::Ci, Sha256::of(name.as_bytes()))
        };
        let held = HeldTokens::new(&[configured("old", Some("1970-01-02")), configured("new", None)], |_| ());
        let name = |token: &str, now: u64| {
            held.presented(token.as_bytes(), || Timestamp(now)).map(|held| held.holder.name().to_owned())
        };
        assert_eq!(name("old", 2 * 86_400_000 - 1).as_deref(), Some("old"));
        assert_eq!(name("old", 2 * 86_400_000), None);
        assert_eq!(name("new", u64::MAX).as_deref(), Some("new"));
        assert_eq!(name("other", 0), None);
        assert_eq!(name(&"x".repeat(LONGEST + 1), 0), None);
    }
}
