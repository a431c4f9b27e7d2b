//! How much a client may ask: whose bucket a request is taken from, and whether it has room.
//!
//! The rules. A bearer token whose SHA-256 is configured has its entry's class and a bucket of its own (`class`).
//! Everybody else is anonymous and shares one bucket an address, whatever tokens they invent (`client`). A bucket
//! lets `q` requests in at once and then `q` a window, evenly (`buckets`). Besides, only so many requests are in
//! flight at once (`places`). Owns all of that. Must not know what is asked for, nor how a refusal is worded.

mod buckets;
mod class;
mod client;
pub mod places;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use ipnet::IpNet;

use crate::clock::Clock;
use crate::config::{self, Config};

use buckets::Addresses;
pub use buckets::{Quota, Refused};
pub use class::Class;
use class::Tokens;
use client::Believed;
pub use client::Client;

/// What the configuration says of rates and clients.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The rate of each class.
    pub rates: config::RateLimits,
    /// Clients known by their token.
    pub tokens: Vec<config::Token>,
    /// Peers whose word on where a request came from is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What of theirs is believed. A header must be replaced, dropped or appended to by such a peer.
    pub client_address: config::ClientAddress,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            rates: config.rate_limits.clone(),
            tokens: config.tokens.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            client_address: config.server.client_address,
        }
    }
}

impl Settings {
    fn believed(&self, source: config::ClientAddress) -> Believed {
        Believed { source, trusted: self.trusted_proxies.clone() }
    }
}

/// Whose bucket a request is taken from, and what the bucket said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// When it came, by the monotonic clock.
    pub at: Duration,
    /// The rate class.
    pub class: Class,
    /// Who asks.
    pub client: Client,
    /// Whether the client's own connection is encrypted, where a trusted proxy says so.
    pub tls: Option<bool>,
    /// What is left, or when to come back.
    pub verdict: Result<Quota, Refused>,
}

/// The rate limits in force and the buckets of all clients.
pub struct Limiter {
    table: ArcSwap<Table>,
    clock: Arc<dyn Clock>,
}

/// What a reload replaces.
struct Table {
    tokens: Tokens,
    addresses: Addresses,
    believed: Believed,
}

impl Limiter {
    /// Limits as configured; every bucket is full.
    #[must_use]
    pub fn new(config: &Settings, clock: Arc<dyn Clock>) -> Self {
        let table = Table {
            tokens: Tokens::new(config, None),
            addresses: Addresses::new(config.rates.anonymous),
            believed: config.believed(config.client_address),
        };
        Self { table: ArcSwap::from_pointee(table), clock }
    }

    /// Replaces rates, tokens and trusted proxies. A class whose rate changed starts anew; all other buckets of
    /// addresses and tokens that stay are kept.
    pub fn reload(&self, config: &Settings) {
        self.table.rcu(|now| Table {
            tokens: Tokens::new(config, Some(&now.tokens)),
            addresses: now.addresses.at_rate(config.rates.anonymous),
            // Another source takes another way into the connection: it needs a restart.
            believed: config.believed(now.believed.source),
        });
    }

    /// Whether this is a proxy that is believed, and that carries many clients.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.table.load().believed.trusts(address)
    }

    /// Takes a request from its client's bucket. `peer` is the other end of the connection.
    #[must_use]
    pub fn admit(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Admission {
        let (at, table) = (self.clock.monotonic(), self.table.load());
        let tls = table.believed.tls(peer, headers);
        if let Some(known) = table.tokens.presented(headers) {
            let client = Client::Token(Arc::clone(&known.name));
            return Admission { at, class: known.class, client, tls, verdict: known.bucket.take(at) };
        }
        let client = table.believed.client(peer, headers);
        let verdict = table.addresses.bucket(client.address()).take(at);
        Admission { at, class: Class::Anonymous, client, tls, verdict }
    }
}

/// Neither addresses nor digests belong into a log.
impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
