//! Who may ask now: how often, by the class of the client, and how many at once.
//!
//! ```text
//!  bearer token that is configured ──> its class, its own bucket          (class)
//!  none, or an unknown one ──────────> anonymous, the address's bucket    (client)
//!  bucket ──> GCRA: the quota in a burst, then quota ÷ window             (buckets)
//!  place  ──> one of all, one of the client's, one of the downloads       (places)
//! ```
//! An unknown token gains nothing: it is counted with its address. Everything here is decided before a request
//! is looked at, in well under a microsecond, and nothing grows with the number of clients that ever asked. Owns
//! these rules. Must not know what a request asks for, nor how a refusal is worded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use ipnet::IpNet;

use crate::clock::Clock;
use crate::config;

mod buckets;
mod class;
mod client;
mod places;

pub use class::Class;
pub use client::Client;
pub use places::{Crowded, DownloadPlace, Place, Places, Sizes};

use buckets::Tier;
use class::Tokens;

/// What a reload replaces.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The quota of each class.
    pub rates: config::RateLimits,
    /// The clients that are known by a token.
    pub tokens: Vec<config::Token>,
    /// Peers whose word on a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// What is said of one request's rate.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The client's class.
    pub class: Class,
    /// Whose bucket it is.
    pub client: Client,
    /// Whether it had room.
    pub verdict: Result<Quota, Refused>,
}

/// A quota and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests in a window.
    pub limit: u32,
    /// The window, in seconds.
    pub window: u64,
    /// Requests that would be let in now.
    pub remaining: u32,
    /// Seconds until all of them would be, rounded up; for who is refused, until one is.
    pub reset: u64,
}

/// Too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// What there was to spend.
    pub quota: Quota,
    /// After how long one request is let in.
    pub retry_after: Duration,
}

/// How often each client may ask.
#[derive(Debug)]
pub struct Limiter {
    rules: ArcSwap<Rules>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Rules {
    tokens: Tokens,
    trusted: Vec<IpNet>,
    tiers: [Arc<Tier>; Class::ALL.len()],
}

impl Limiter {
    /// A limiter with full buckets.
    #[must_use]
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Self {
        let tiers = Class::ALL.map(|class| Arc::new(Tier::new(class.rate(&settings.rates), &clock)));
        Self { rules: ArcSwap::from_pointee(Rules::new(settings, tiers)), clock }
    }

    /// Puts other settings in force. The buckets of a class whose rate did not change stay as they are.
    pub fn reload(&self, settings: &Settings) {
        let running = self.rules.load();
        let tiers = Class::ALL.map(|class| {
            let (rate, tier) = (class.rate(&settings.rates), &running.tiers[class as usize]);
            if tier.is_of(rate) { Arc::clone(tier) } else { Arc::new(Tier::new(rate, &self.clock)) }
        });
        self.rules.store(Arc::new(Rules::new(settings, tiers)));
    }

    /// Counts one request of the client behind `peer`, and says whether its bucket had room for it.
    #[must_use]
    pub fn admit(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Admission {
        let rules = self.rules.load();
        let (class, client) = match rules.tokens.of(headers) {
            Some((class, name)) => (class, Client::Token(name)),
            None => (Class::Anonymous, Client::behind(peer, headers, &rules.trusted)),
        };
        let verdict = rules.tiers[class as usize].admit(&client);
        Admission { class, client, verdict }
    }
}

impl Rules {
    fn new(settings: &Settings, tiers: [Arc<Tier>; Class::ALL.len()]) -> Self {
        Self { tokens: Tokens::new(&settings.tokens), trusted: settings.trusted_proxies.clone(), tiers }
    }
}

#[cfg(test)]
mod tests;
