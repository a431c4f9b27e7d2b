//! What the configuration says of a registry.
//!
//! Owns that table and its defaults. Must not know how it is written.

use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::super::value::{Credential, HostPattern};
use super::Egress;
use crate::domain::pattern::VolumePattern;

/// `[[upstreams]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// How logs and metrics call it; unique.
    pub name: String,
    /// Where its API starts; no trailing slash but the root's.
    pub url: Url,
    /// The proxy's own read credential.
    pub token_env: Option<Credential>,
    /// What it is asked for; empty is everything.
    pub volumes: Vec<VolumePattern>,
    /// Hosts that `dist.url` and its redirects may name besides the upstream's own.
    pub archive_hosts: Vec<HostPattern>,
    /// Networks that are not the internet, in which listed hosts may be.
    pub private_addresses: Vec<IpNet>,
    /// How connections to it are made, and to the hosts it points to.
    pub egress: Egress,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait between bytes.
    pub read_timeout: Duration,
    /// Further tries of a failed read.
    pub retries: u32,
    /// Requests in flight at once.
    pub max_concurrent: usize,
    /// Outbound budget; 0 is none.
    pub requests_per_minute: u32,
    /// Whether writes are relayed.
    pub writes: bool,
    /// How closely a relayed write is looked at.
    pub writes_check: WritesCheck,
    /// What its `Cache-Control` counts for.
    pub cache_control: CacheControl,
}

impl Upstream {
    /// An upstream for everything, all else at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, url: Url) -> Self {
        Self {
            name: name.into(),
            url,
            token_env: None,
            volumes: Vec::new(),
            archive_hosts: Vec::new(),
            private_addresses: Vec::new(),
            egress: Egress::default(),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            retries: 2,
            max_concurrent: 64,
            requests_per_minute: 0,
            writes: false,
            writes_check: WritesCheck::Strict,
            cache_control: CacheControl::Obey,
        }
    }
}

/// `upstreams.writes_check`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritesCheck {
    /// Everything a read would verify.
    Strict,
    /// Size and idempotency only.
    Relay,
}

/// `upstreams.cache_control`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheControl {
    /// It may forbid that a document is kept, and shorten its TTL.
    Obey,
    /// Nothing.
    Ignore,
}
