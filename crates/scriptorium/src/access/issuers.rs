//! The issuers of signed tokens, their keys in force, and the tokens that were verified.
//!
//! A token that held is remembered by its digest until it ends or the keys of its issuer change, so that its further requests
//! verify no signature. What is remembered is bounded, and the least recently used is forgotten. A token that names a key that
//! nobody has asks for new keys; they come in the background. Owns this memory and the order of issuers. Must not know how keys
//! are fetched.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ahash::RandomState;
use arc_swap::ArcSwap;
use jsonwebtoken::decode_header;
use moka::policy::EvictionPolicy;
use tokio::sync::Notify;
use url::Url;

use super::failures::FailedTokens;
use super::holder::TokenHolder;
use super::keys::KeySet;
use super::proven::ProvenTokens;
use super::{jwt, signature};
use crate::clock::Timestamp;
use crate::config::{Issuer, JwksFile};
use crate::domain::Sha256;

/// Tokens that are remembered, some hundred bytes each.
const MOST_VERIFIED: u64 = 10_000;

/// One issuer and its keys.
#[derive(Debug)]
pub(crate) struct KeyedIssuer {
    pub(crate) config: Issuer,
    /// A reload keeps them where the issuer asks at the same place.
    keys: Arc<IssuerKeys>,
}

#[derive(Debug, Default)]
struct IssuerKeys {
    set: ArcSwap<KeySet>,
    /// Whether a token named a key that is not here.
    are_wanted: AtomicBool,
}

/// A token that held when its signature was verified.
struct VerifiedToken {
    holder: TokenHolder,
    until: u64,
    issuer: usize,
    keys: Arc<KeySet>,
}

/// All issuers, in the order of the configuration.
pub(crate) struct IssuerTable {
    issuers: Vec<KeyedIssuer>,
    verified: moka::sync::Cache<Sha256, Arc<VerifiedToken>, RandomState>,
    /// Both outlive a reload.
    failed: Arc<FailedTokens>,
    proven: Arc<ProvenTokens>,
    /// Told when keys are wanted, or when the table was replaced.
    pub(crate) wanted: Arc<Notify>,
}

impl IssuerTable {
    /// These issuers. Keys that were fetched for `before` stay in force.
    pub(crate) fn new(issuers: &[Issuer], before: Option<&Self>) -> Self {
        signature::install();
        let keyed = issuers.iter().map(|config| {
            let kept = before.and_then(|before| before.keys_of(config));
            let keys = kept.unwrap_or_default();
            // What was fetched is newer than the file. The check of the configuration refused a file that cannot be read.
            let read = config.jwks_file.as_ref().map(JwksFile::contents);
            if let Some(read) = read.filter(|_| keys.set.load().len() == 0) {
                keys.set.store(Arc::new(KeySet::read(read).unwrap_or_default()));
            }
            KeyedIssuer { config: config.clone(), keys }
        });
        let verified =
            moka::sync::Cache::builder().max_capacity(MOST_VERIFIED).eviction_policy(EvictionPolicy::lru());
        Self {
            issuers: keyed.collect(),
            // Claims may be other ones now.
            verified: verified.build_with_hasher(RandomState::new()),
            failed: before.map_or_else(|| Arc::new(FailedTokens::new()), |before| Arc::clone(&before.failed)),
            proven: before.map_or_else(|| Arc::new(ProvenTokens::new()), |before| Arc::clone(&before.proven)),
            wanted: before.map_or_else(Arc::default, |before| Arc::clone(&before.wanted)),
        }
    }

    fn keys_of(&self, config: &Issuer) -> Option<Arc<IssuerKeys>> {
        let same = |issuer: &&KeyedIssuer| {
            issuer.config.name == config.name
                && issuer.config.issuer == config.issuer
                && issuer.config.jwks_url.is_some()
                && issuer.config.jwks_url == config.jwks_url
        };
        self.issuers.iter().find(same).map(|issuer| Arc::clone(&issuer.keys))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &KeyedIssuer> {
        self.issuers.iter()
    }

    /// The holder of a signed token that holds at `now`. `from` is the address that sent it.
    pub(crate) fn presented(
        &self,
        token: &[u8],
        from: impl FnOnce() -> Option<IpAddr>,
        now: Timestamp,
    ) -> Option<TokenHolder> {
        let token = std::str::from_utf8(token).ok().filter(|token| is_signed(token))?;
        if self.issuers.is_empty() {
            return None;
        }
        let digest = Sha256::of(token.as_bytes());
        if let Some(verified) = self.verified.get(&digest).filter(|verified| self.still_holds(verified, now))
        {
            return Some(verified.holder.clone());
        }
        let from = from();
        if self.failed.are_too_many(from) && !self.proven.includes(&digest, now) {
            return None;
        }
        match self.verify(token, now) {
            Some(verified) => {
                let holder = verified.holder.clone();
                self.proven.add(digest, verified.until);
                self.verified.insert(digest, Arc::new(verified));
                Some(holder)
            }
            None => {
                self.proven.remove(&digest);
                self.failed.count(from);
                None
            }
        }
    }

    fn still_holds(&self, verified: &VerifiedToken, now: Timestamp) -> bool {
        let issuer = self.issuers.get(verified.issuer);
        // A token that held is past its `nbf`, unless the clock was turned back by more than its whole life.
        now.0 < verified.until
            && issuer.is_some_and(|issuer| Arc::ptr_eq(&issuer.keys.set.load(), &verified.keys))
    }

    fn verify(&self, token: &str, now: Timestamp) -> Option<VerifiedToken> {
        let header = decode_header(token).ok()?;
        let mut is_known = false;
        for (at, issuer) in self.issuers.iter().enumerate() {
            let keys = issuer.keys.set.load_full();
            is_known |= !keys.candidates(&header).is_empty();
            if let Some(held) = jwt::held(token, &header, &issuer.config, &keys, now) {
                let holder = TokenHolder::of_subject(&issuer.config, &held.subject);
                return Some(VerifiedToken { holder, until: held.until, issuer: at, keys });
            }
        }
        if !is_known {
            self.issuers.iter().for_each(|issuer| issuer.keys.are_wanted.store(true, Ordering::Relaxed));
            self.wanted.notify_one();
        }
        None
    }
}

impl KeyedIssuer {
    /// Where its keys are published, if they are fetched.
    pub(crate) fn place(&self) -> Option<&Url> {
        self.config.jwks_url.as_ref()
    }

    /// How many keys are in force.
    pub(crate) fn keys_in_force(&self) -> usize {
        self.keys.set.load().len()
    }

    /// Whether a token named a key that is not here.
    pub(crate) fn wants_keys(&self) -> bool {
        self.keys.are_wanted.load(Ordering::Relaxed)
    }

    /// The wish for new keys is being met.
    pub(crate) fn meet_wish(&self) {
        self.keys.are_wanted.store(false, Ordering::Relaxed);
    }

    /// Puts these keys in force. Tokens that were verified by others are verified again.
    pub(crate) fn renew(&self, keys: KeySet) {
        if !self.keys.set.load().is_same(&keys) {
            self.keys.set.store(Arc::new(keys));
        }
    }
}

/// Whether `token` has the form of a signed token: three parts, of which the first begins as the Base64 of `{`.
fn is_signed(token: &str) -> bool {
    token.starts_with('e') && token.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl std::fmt::Debug for IssuerTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerTable").field("issuers", &self.issuers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
