//! How much a client may ask: rate limits, and bounds on the requests in flight.
//!
//! The holder of a token, as `access` knows it, has the class of its entry and its own bucket (`class`). All other
//! requests are anonymous and share one bucket an address, whatever token they carry (`client`). A bucket admits `q`
//! requests at once and then `q` in each window, evenly (`buckets`). The number of requests in flight is bounded too
//! (`in_flight`). Owns these rules. Must not know what is asked for, nor how a refusal is worded.

mod buckets;
mod class;
mod client;
mod in_flight;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use ipnet::IpNet;

use crate::access::IssuerTable;
use crate::clock::Clock;
use crate::cluster::ClusterNode;
use crate::config::{self, Config};

use buckets::{AddressBuckets, BucketSource};
pub(crate) use buckets::{RateExceeded, RateQuota};
pub(crate) use class::RateClass;
use class::{CountedHolder, Tokens};
pub(crate) use client::Client;
use client::TrustedSource;
pub(crate) use in_flight::{Capacity, InFlight, InFlightDownload, InFlightExceeded, InFlightSlot};

/// How long a request waits, beyond the lease of its client, for what the other proxies say.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the configuration says of rates and clients.
#[derive(Debug, Clone)]
pub(crate) struct LimitSettings {
    /// The rate of each class.
    pub rates: config::RateLimits,
    /// Clients known by their token.
    pub tokens: Vec<config::Token>,
    /// Issuers of signed tokens.
    pub issuers: Vec<config::Issuer>,
    /// Peers that are trusted to say where a request came from.
    pub trusted_proxies: Vec<IpNet>,
    /// Which of their headers is trusted. Such a peer must replace, drop or append to that header.
    pub client_address: config::ClientAddress,
}

impl From<&Config> for LimitSettings {
    fn from(config: &Config) -> Self {
        Self {
            rates: config.rate_limits.clone(),
            tokens: config.tokens.clone(),
            issuers: config.issuers.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            client_address: config.server.client_address,
        }
    }
}

impl LimitSettings {
    fn trusted_source(&self, source: config::ClientAddress) -> TrustedSource {
        TrustedSource { source, trusted: self.trusted_proxies.clone() }
    }
}

/// Who sends a request, and whether its rate allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RateDecision {
    /// When the request came, by the monotonic clock.
    pub(crate) at: Duration,
    pub(crate) class: RateClass,
    pub client: Client,
    /// Whether the client's own connection is encrypted, if a trusted proxy says so.
    pub(crate) tls: Option<bool>,
    /// What is left, or when to ask again.
    pub(crate) verdict: Result<RateQuota, RateExceeded>,
}

impl RateDecision {
    /// Whether the answer of the other proxies decides, which is on its way.
    pub(crate) fn is_unsettled(&self) -> bool {
        matches!(&self.verdict, Err(RateExceeded { is_unsettled: true, .. }))
    }
}

/// The rate limits in force and the buckets of all clients.
pub(crate) struct Limiter {
    table: ArcSwap<LimitTable>,
    source: BucketSource,
    clock: Arc<dyn Clock>,
}

/// What a reload replaces.
struct LimitTable {
    tokens: Tokens,
    addresses: AddressBuckets,
    trusted_source: TrustedSource,
}

impl Limiter {
    /// The configured limits, with full buckets. With a `cluster` they are those of all its proxies.
    pub(crate) fn new(
        config: &LimitSettings,
        clock: Arc<dyn Clock>,
        cluster: Option<Arc<ClusterNode>>,
    ) -> Self {
        let source = BucketSource(cluster);
        let table = LimitTable {
            tokens: Tokens::new(config, None, source.clone()),
            addresses: AddressBuckets::new(config.rates.anonymous, source.clone()),
            trusted_source: config.trusted_source(config.client_address),
        };
        Self { table: ArcSwap::from_pointee(table), source, clock }
    }

    /// Replaces rates, tokens and trusted proxies. Buckets are kept, except those of a class whose rate changed.
    pub(crate) fn reload(&self, config: &LimitSettings) {
        self.table.rcu(|now| LimitTable {
            tokens: Tokens::new(config, Some(&now.tokens), self.source.clone()),
            addresses: now.addresses.at_rate(config.rates.anonymous),
            // Another source of the address changes how connections are read, which needs a restart.
            trusted_source: config.trusted_source(now.trusted_source.source),
        });
        self.issuers().wanted.notify_one();
    }

    /// Whether `address` is a trusted proxy, which carries many clients.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.table.load().trusted_source.trusts(address)
    }

    /// Counts a request against its client's rate. `peer` is the other end of the connection.
    pub(crate) fn admit(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> RateDecision {
        let (at, table) = (self.clock.monotonic(), self.table.load());
        let tls = table.trusted_source.tls(peer, headers);
        let from = || table.trusted_source.client(peer, headers).address();
        if let Some(CountedHolder { class, client, verdict }) =
            table.tokens.take(headers, from, &*self.clock, at)
        {
            return RateDecision { at, class, client, tls, verdict };
        }
        let client = table.trusted_source.client(peer, headers);
        let verdict = table.addresses.take(client.address(), at);
        RateDecision { at, class: RateClass::Anonymous, client, tls, verdict }
    }

    /// Counts a request that was refused only because the other proxies did not say yet what its client has left.
    pub(crate) async fn admit_settled(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> RateDecision {
        let since = self.clock.monotonic();
        loop {
            if let BucketSource(Some(node)) = &self.source {
                node.debts_settled().await;
            }
            let decision = self.admit(peer, headers);
            if !decision.is_unsettled() || self.clock.monotonic().saturating_sub(since) > PATIENCE {
                return decision;
            }
        }
    }

    /// The issuers in force.
    pub(crate) fn issuers(&self) -> Arc<IssuerTable> {
        Arc::clone(&self.table.load().tokens.issuers)
    }

    /// The address that a request came from, as far as trusted proxies say it.
    pub(crate) fn origin(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        Some(self.table.load().trusted_source.address(peer?, headers))
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
