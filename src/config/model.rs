//! The validated configuration: one struct a section, one field a key, and every default.
//!
//! Owns what the rest of the program may rely on. Must not know where a value came from, nor how it is written.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::address::Listeners;
use super::value::{HostPattern, Location, Rate};
use crate::domain::Sha256;

mod egress;
mod limits;
mod upstream;

pub use egress::Egress;
pub use limits::Limits;
pub use upstream::{CacheControl, Upstream, WritesCheck};

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

const fn days(days: u64) -> Duration {
    minutes(days * 24 * 60)
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Everything the configuration says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Sockets, threads and shutdown.
    pub server: Server,
    /// The registries, in routing order; never empty once loaded.
    pub upstreams: Vec<Upstream>,
    /// How long documents live.
    pub cache: Cache,
    /// Where things are kept.
    pub storage: Storage,
    /// What is too much.
    pub limits: Limits,
    /// How often a client may ask.
    pub rate_limits: RateLimits,
    /// Clients known by their token.
    pub tokens: Vec<Token>,
    /// What a disagreement inside an upstream leads to.
    pub consistency: Consistency,
    /// Second APIs behind this proxy.
    pub relays: Vec<Relay>,
    /// What is written to standard error.
    pub log: Log,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The public port.
    pub listen: SocketAddr,
    /// Health, metrics, dashboard and admin API.
    pub admin_listen: SocketAddr,
    /// Base of rewritten links; no trailing slash but the root's. Unset: scheme and Host of the request.
    pub public_url: Option<Url>,
    /// Hosts that requests may name; none is any.
    pub hosts: Vec<HostPattern>,
    /// Names of the admin port besides loopback's and its own address.
    pub admin_hosts: Vec<HostPattern>,
    /// Peers whose word on where a request came from is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What of theirs is believed; nothing else is looked at.
    pub client_address: ClientAddress,
    /// How long requests in flight may take once asked to stop.
    pub shutdown_grace: Duration,
    /// Worker threads; 0 is one per core.
    pub threads: usize,
    /// Certificate of the public port.
    pub tls: Option<Tls>,
    /// Who may use the admin port; set wherever that port is not loopback.
    pub admin_token_sha256: Option<Sha256>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            admin_listen: (Ipv4Addr::LOCALHOST, 9090).into(),
            public_url: None,
            hosts: Vec::new(),
            admin_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            client_address: ClientAddress::XForwardedFor,
            shutdown_grace: Duration::from_secs(30),
            threads: 0,
            tls: None,
            admin_token_sha256: None,
        }
    }
}

impl Server {
    /// Where this proxy is reached, which no registry may make it dial.
    #[must_use]
    pub fn listeners(&self) -> Listeners {
        Listeners::new([self.listen, self.admin_listen])
    }
}

/// `server.client_address`: the one source that says where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// The header of the PROXY protocol before the first request of a connection.
    ProxyProtocol,
    /// The connection itself.
    Peer,
}

/// `server.tls`: both files were read once and belong together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// `[cache]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Freshness of a version index.
    pub index_ttl: Duration,
    /// Freshness of exact release metadata.
    pub release_ttl: Duration,
    /// Freshness of trust views.
    pub trust_ttl: Duration,
    /// Freshness of advisories.
    pub advisories_ttl: Duration,
    /// Freshness of a search.
    pub search_ttl: Duration,
    /// Freshness of the capability document.
    pub capabilities_ttl: Duration,
    /// Freshness of not-found and refusals.
    pub negative_ttl: Duration,
    /// Past its TTL by no more than this: answered at once, refreshed behind.
    pub stale_while_revalidate: Duration,
    /// Past its TTL by no more than this: answered while the upstream cannot.
    pub stale_if_error: Duration,
    /// Bytes of documents kept in memory.
    pub memory: u64,
    /// Never contact an upstream.
    pub offline: bool,
    /// What an index shows meanwhile of releases that are not held.
    pub offline_rows: OfflineRows,
}

/// `cache.offline_rows`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfflineRows {
    /// Only what is held is offered.
    Held,
    /// All of it, as the registry last said.
    All,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            index_ttl: minutes(1),
            release_ttl: minutes(5),
            trust_ttl: minutes(5),
            advisories_ttl: minutes(5),
            search_ttl: minutes(1),
            capabilities_ttl: minutes(5),
            negative_ttl: Duration::from_secs(30),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: days(7),
            memory: 256 * MIB,
            offline: false,
            offline_rows: OfflineRows::Held,
        }
    }
}

/// `[storage]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Where documents and archives are kept.
    pub url: Location,
    /// Hard ceiling in bytes, staged data included; of the tier, where `url` is a bucket.
    pub max_size: u64,
    /// When a commit reaches the disk.
    pub durability: Durability,
    /// Most bytes of damaged values that are kept to be looked at.
    pub max_quarantine: u64,
    /// Where what finds no room in the storage is verified and sent from; unset, below the storage, else elsewhere.
    pub scratch: Option<PathBuf>,
    /// Most bytes that may lie there.
    pub max_scratch: u64,
    /// Where files of a bucket are kept near.
    pub tier: PathBuf,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            url: Location::File(PathBuf::from("/var/lib/scriptorium")),
            max_size: 50 * GIB,
            durability: Durability::Commit,
            max_quarantine: GIB,
            scratch: None,
            max_scratch: 2 * GIB,
            // Not below /tmp, where others may write and which is often memory.
            tier: PathBuf::from("/var/cache/scriptorium"),
        }
    }
}

/// `storage.durability`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Flushed before it counts as stored.
    Commit,
    /// Left to the operating system.
    Relaxed,
}

/// `[rate_limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits {
    /// Per client address (IPv6: per /64).
    pub anonymous: Rate,
    /// Per token of that class.
    pub authenticated: Rate,
    /// Per token of that class.
    pub ci: Rate,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            anonymous: Rate::per_minute(60),
            authenticated: Rate::per_minute(300),
            ci: Rate::per_minute(1000),
        }
    }
}

/// `[[tokens]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// How logs call it; unique.
    pub name: String,
    /// Its rate class.
    pub class: TokenClass,
    /// SHA-256 of the token; unique.
    pub sha256: Sha256,
}

/// `tokens.class`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenClass {
    /// A person's token.
    Authenticated,
    /// A build machine's token.
    Ci,
}

/// `[consistency]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consistency {
    /// What an index shows where a row and its release disagree.
    pub on_divergence: OnDivergence,
    /// Bytes a second that the audit behind the proxy reads of the store; 0 is no audit.
    pub audit_rate: u64,
}

/// `consistency.on_divergence`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDivergence {
    /// That row as unavailable, the others as they are.
    #[default]
    Quarantine,
    /// Nothing: the index answers 409.
    Fail,
}

/// `[[relays]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Relay {
    /// Which API it is.
    pub kind: RelayKind,
    /// Where it is mounted on the public port: `/` and one segment or more.
    pub path: String,
    /// Where it lives; no trailing slash but the root's.
    pub url: Url,
    /// How connections to it are made.
    pub egress: Egress,
}

/// `relays.kind`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayKind {
    /// Nullspace uploads.
    Nullspace,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// How a record is written.
    pub format: LogFormat,
    /// The least important record that is written.
    pub level: LogLevel,
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What an operator should look at.
    Warn,
    /// What happened: one record a request.
    #[default]
    Info,
    /// How it happened.
    Debug,
    /// Everything.
    Trace,
}
