//! The guard against request forgery: where this proxy goes when a registry tells it to.
//!
//! Owns the rules, as pure functions: first line, which URLs are asked at all, hop by hop; second line, which
//! addresses are dialled. Must not know DNS or HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use super::CouldNotAsk;
use crate::config;
use crate::config::HostPattern;

/// What one registry may point to.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    home: Url,
    hosts: Vec<HostPattern>,
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
    #[error("expected a redirect from https to stay there")]
    Downgrade,
    /// A name that leads into a private network.
    #[error("expected a public address")]
    Address,
}

impl Guard {
    pub(super) fn new(config: &config::Upstream) -> Self {
        let hosts = config.archive_hosts.iter();
        let hosts =
            hosts.map(|named| HostPattern { host: canonical(&named.host), port: named.port }).collect();
        Self { home: config.url.clone(), hosts }
    }

    /// Whether `url` has the registry's own scheme, host and port.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.scheme() == self.home.scheme() && place(url) == place(&self.home)
    }

    /// The first line, before every hop; `from` is the hop before.
    pub(super) fn allow(&self, url: &Url, from: Option<&Url>) -> Result<(), CouldNotAsk> {
        let broken = if !matches!(url.scheme(), "http" | "https") {
            Rule::Scheme
        } else if !url.username().is_empty() || url.password().is_some() {
            Rule::UserInfo
        } else if !self.lists(url) {
            Rule::Host
        } else if url.scheme() == "http" && from.is_some_and(|from| from.scheme() == "https") {
            Rule::Downgrade
        } else {
            return Ok(());
        };
        Err(forbidden(url, broken))
    }

    /// The second line: whether the operator named this host, so that it may lead anywhere.
    pub(super) fn names(&self, host: &str) -> bool {
        let host = canonical(host);
        self.home.host_str().map(canonical).as_ref() == Some(&host)
            || self.hosts.iter().any(|named| named.host == host)
    }

    fn lists(&self, url: &Url) -> bool {
        let (host, port) = place(url);
        (host.as_ref(), port) == (place(&self.home).0.as_ref(), place(&self.home).1)
            || self.hosts.iter().any(|named| {
                Some(&named.host) == host.as_ref() && named.port.is_none_or(|only| Some(only) == port)
            })
    }
}

/// The refusal of `url`, naming no more of it than its host.
pub(super) fn forbidden(url: &Url, rule: Rule) -> CouldNotAsk {
    CouldNotAsk::Forbidden { host: url.host_str().unwrap_or("no host").to_owned(), rule }
}

/// The address in a URL that names none by name.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
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

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(a: u16, b: u16, prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix))
}

/// The special-purpose registries of IANA, and what clouds put outside them.
const NOT_PUBLIC: [IpNet; 20] = [
    v4(0, 0, 0, 0, 8),        // this host
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // carrier-grade NAT
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // Azure's metadata
    v4(169, 254, 0, 0, 16),   // link-local, metadata of most clouds
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments, Oracle's metadata
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 168, 0, 0, 16),   // private
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, broadcast
    v6(0x2001, 0, 23),        // protocol assignments, Teredo
    v6(0x2001, 0xdb8, 32),    // documentation
    v6(0x2620, 0x4f, 48),     // AS112
    v6(0x3fff, 0, 20),        // documentation
];

const GLOBAL_UNICAST: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Whether anyone on the internet could reach this address. One that wraps an IPv4 address is as public as that.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => !NOT_PUBLIC.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(v6) => match wrapped(v6) {
            Some(v4) => is_public(v4.into()),
            None => GLOBAL_UNICAST.contains(&v6) && !NOT_PUBLIC.iter().any(|net| net.contains(&ip)),
        },
    }
}

/// The IPv4 address inside an IPv4-mapped, NAT64 or 6to4 address.
fn wrapped(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
