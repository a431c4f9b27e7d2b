//! From the holder of a token to its rate class and bucket.
//!
//! Owns the classes and the buckets of holders. A token itself is neither kept nor printed. Must not know addresses' buckets,
//! nor when a token holds (`access`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use http::HeaderMap;
use moka::policy::EvictionPolicy;

use super::LimitSettings;
use super::buckets::{BucketSource, RateBucket, RateExceeded, RateQuota};
use super::client::Client;
use crate::access::{HeldTokens, IssuerTable, TokenHolder, bearer};
use crate::clock::Clock;
use crate::config::{Rate, RateLimits, TokenClass};

/// Subjects of signed tokens whose buckets are remembered at once.
const MOST_SUBJECTS: u64 = 10_000;

/// The rate class of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RateClass {
    /// Without a token that holds.
    Anonymous,
    /// A person's token.
    Authenticated,
    /// A build machine's token.
    Ci,
}

impl RateClass {
    /// Its name in headers, metrics and the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Authenticated => "authenticated",
            Self::Ci => "ci",
        }
    }

    fn of(holder: &TokenHolder) -> Self {
        match holder.class() {
            TokenClass::Authenticated => Self::Authenticated,
            TokenClass::Ci => Self::Ci,
        }
    }
}

/// A request that was counted against the holder of its token.
pub(super) struct CountedHolder {
    pub(super) class: RateClass,
    pub(super) client: Client,
    pub(super) verdict: Result<RateQuota, RateExceeded>,
}

/// Whose token a request may carry, each with its own bucket, which no address can displace.
pub(super) struct Tokens {
    held: HeldTokens<Arc<RateBucket>>,
    pub(super) issuers: Arc<IssuerTable>,
    subjects: moka::sync::Cache<TokenHolder, Arc<RateBucket>, RandomState>,
    rates: RateLimits,
    source: BucketSource,
}

impl Tokens {
    /// The tokens of `config`. A token keeps the bucket of `before` if name, class and rate are the same, also where
    /// the token itself changed.
    pub(super) fn new(config: &LimitSettings, before: Option<&Self>, source: BucketSource) -> Self {
        let known: HashMap<(&str, RateClass), &Arc<RateBucket>> = before
            .into_iter()
            .flat_map(|tokens| tokens.held.iter())
            .map(|held| ((held.holder.name(), RateClass::of(&held.holder)), &held.of))
            .collect();
        let held = HeldTokens::new(&config.tokens, |holder| {
            let rate = rate_of(&config.rates, holder);
            let kept =
                known.get(&(holder.name(), RateClass::of(holder))).filter(|bucket| bucket.rate() == rate);
            let make = || Arc::new(source.bucket(rate, || whose(holder)));
            kept.map_or_else(make, |bucket| Arc::clone(bucket))
        });
        let issuers = IssuerTable::new(&config.issuers, before.map(|before| &*before.issuers));
        let kept = before.filter(|before| before.rates == config.rates).map(|before| before.subjects.clone());
        let subjects = kept.unwrap_or_else(|| {
            let longest = config.rates.authenticated.per().max(config.rates.ci.per());
            let subjects = moka::sync::Cache::builder()
                .max_capacity(MOST_SUBJECTS)
                // A bucket is full again after one window, so it can be forgotten.
                .time_to_idle(longest * 2)
                .eviction_policy(EvictionPolicy::lru());
            subjects.build_with_hasher(RandomState::new())
        });
        Self { held, issuers: Arc::new(issuers), subjects, rates: config.rates.clone(), source }
    }

    /// Counts a request at `at` against the holder of the token that it carries, if the token holds. `from` is its address.
    pub(super) fn take(
        &self,
        headers: &HeaderMap,
        from: impl FnOnce() -> Option<IpAddr>,
        clock: &dyn Clock,
        at: Duration,
    ) -> Option<CountedHolder> {
        if self.held.is_empty() && self.issuers.is_empty() {
            return None;
        }
        let token = bearer(headers)?;
        let (holder, verdict) = match self.held.presented(token, || clock.now()) {
            Some(held) => (held.holder.clone(), held.of.take(at)),
            None => {
                let holder = self.issuers.presented(token, from, clock.now())?;
                let verdict = self.bucket_of(&holder).take(at);
                (holder, verdict)
            }
        };
        Some(CountedHolder { class: RateClass::of(&holder), client: Client::Token(holder), verdict })
    }

    /// The bucket of a subject.
    fn bucket_of(&self, holder: &TokenHolder) -> Arc<RateBucket> {
        let known = self.subjects.get(holder);
        let make = || Arc::new(self.source.bucket(rate_of(&self.rates, holder), || whose(holder)));
        known.unwrap_or_else(|| self.subjects.get_with(holder.clone(), make))
    }
}

/// What all proxies call the bucket of a holder.
fn whose(holder: &TokenHolder) -> String {
    format!("{} {}", RateClass::of(holder).as_str(), holder.name())
}

fn rate_of(rates: &RateLimits, holder: &TokenHolder) -> Rate {
    match holder.class() {
        TokenClass::Authenticated => rates.authenticated,
        TokenClass::Ci => rates.ci,
    }
}
