//! The guard against request forgery: where this proxy goes when a registry tells it to.
//!
//! ```text
//!  first line: is the URL asked at all?     its own place, or a listed host at the listed port, else the scheme's; never down
//!                                           from https
//!  second line: is the address dialled?     metadata, and where this proxy listens    never
//!                                           the registry's own host                    wherever it leads
//!                                           a listed host                              the internet, `private_addresses`, and
//!                                                                                     the network that the registry's URL names
//! ```
//! The operator chose the registry's own host; who lists a host chose a name, and whoever holds that name chooses addresses.
//! Owns both lines, as pure functions. Must not know DNS or HTTP.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use url::{Host, Url};

use super::CouldNotAsk;
use crate::config;
use crate::config::HostPattern;
use crate::config::address::{self, Listeners};

/// What one registry may point to.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    home: Url,
    hosts: Vec<HostPattern>,
    private: Vec<IpNet>,
    listeners: Listeners,
}

/// The rule that a URL breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Neither http nor https.
    #[error("expected http or https")]
    Scheme,
    /// A user name or password in the URL.
    #[error("expected no user name in the address")]
    UserInfo,
    /// Neither the registry's own host and port nor a configured one.
    #[error("expected the registry's own host or one that its operator lists in `archive_hosts`")]
    Host,
    /// From https down to http.
    #[error("expected what begins with https to stay there")]
    Downgrade,
    /// A name or address that leads into a private network.
    #[error(
        "expected a public address, or one in a network that this proxy's operator lists in `private_addresses`"
    )]
    Address,
    /// Where a cloud tells a machine its credentials.
    #[error("expected no address of a cloud's metadata service")]
    Metadata,
    /// Where this proxy listens.
    #[error("expected another address than this proxy's own")]
    Ourselves,
}

impl Guard {
    pub(super) fn new(config: &config::Upstream, listeners: Listeners) -> Self {
        let hosts = config.archive_hosts.iter();
        let hosts =
            hosts.map(|named| HostPattern { host: canonical(&named.host), port: named.port }).collect();
        Self { home: config.url.clone(), hosts, private: config.private_addresses.clone(), listeners }
    }

    /// Whether `url` has the registry's own scheme, host and port.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.scheme() == self.home.scheme() && place(url) == place(&self.home)
    }

    /// The first line, before every hop; `from` is the hop before, and the registry's own URL before the first.
    pub(super) fn allow(&self, url: &Url, from: Option<&Url>) -> Result<(), CouldNotAsk> {
        let from = from.unwrap_or(&self.home);
        let broken = if !matches!(url.scheme(), "http" | "https") {
            Rule::Scheme
        } else if !url.username().is_empty() || url.password().is_some() {
            Rule::UserInfo
        } else if !self.lists(url) {
            Rule::Host
        } else if url.scheme() == "http" && from.scheme() == "https" {
            Rule::Downgrade
        } else {
            return Ok(());
        };
        Err(forbidden(url, broken))
    }

    /// The second line, for each address that `host` leads to. What addresses this machine has, says `is_ours`.
    pub(super) fn judge(
        &self,
        host: &str,
        (ip, port): (IpAddr, u16),
        is_ours: impl Fn(IpAddr) -> bool,
    ) -> Result<(), Rule> {
        if address::is_metadata(ip) {
            return Err(Rule::Metadata);
        }
        if self.listeners.answer(ip, port, is_ours) {
            return Err(Rule::Ourselves);
        }
        let allowed = address::is_public(ip)
            || address::is_within(ip, &self.private)
            || self.is_own_host(host)
            || self
                .home
                .host()
                .and_then(|home| named(home.to_owned()))
                .is_some_and(|home| address::are_neighbours(home, ip));
        if allowed { Ok(()) } else { Err(Rule::Address) }
    }

    /// The second line where another resolves `host`, as a URL writes it, and dials.
    pub(super) fn judge_by_name(
        &self,
        host: &str,
        port: u16,
        is_ours: impl Fn(IpAddr) -> bool,
    ) -> Result<(), Rule> {
        if address::is_metadata_name(host) {
            return Err(Rule::Metadata);
        }
        match Host::parse(host).ok().and_then(named) {
            Some(ip) => self.judge(host, (ip, port), is_ours),
            None => Ok(()),
        }
    }

    fn is_own_host(&self, host: &str) -> bool {
        self.home.host_str().map(canonical) == Some(canonical(host))
    }

    fn lists(&self, url: &Url) -> bool {
        place(url) == place(&self.home)
            || self.hosts.iter().any(|named| {
                // A URL says no port that is its scheme's own.
                let at_port =
                    named.port.map_or(url.port().is_none(), |only| url.port_or_known_default() == Some(only));
                at_port && url.host_str().map(canonical).as_ref() == Some(&named.host)
            })
    }
}

/// The refusal of `url`, naming no more of it than its host.
pub(super) fn forbidden(url: &Url, rule: Rule) -> CouldNotAsk {
    CouldNotAsk::Forbidden { host: url.host_str().unwrap_or("no host").to_owned(), rule }
}

/// The address that a host names, whatever a resolver says.
fn named(host: Host<String>) -> Option<IpAddr> {
    match host {
        Host::Domain(name) => address::is_localhost(&name).then_some(Ipv4Addr::LOCALHOST.into()),
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
    }
}

fn place(url: &Url) -> (Option<String>, Option<u16>) {
    (url.host_str().map(canonical), url.port_or_known_default())
}

/// `url` has put a host into lowercase and an address into its usual form; the root's dot is left.
fn canonical(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
