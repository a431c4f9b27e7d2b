//! The guard against request forgery: which addresses a registry may send this proxy to.
//!
//! ```text
//!  first line: may the URL be requested?    the registry's own host and port, or a listed host at the listed port or at the
//!                                           scheme's; never http after https. Archives and repositories have a list each
//!  second line: may the address be dialled? metadata services, this proxy's own addresses    never
//!                                           the registry's own host                          any address
//!                                           a listed host                                    public ones, `private_addresses`,
//!                                                                                            and the network of an address in
//!                                                                                            the registry's URL
//! ```
//! The operator chose the registry's own host. Of a listed host the operator chose only the name, and the owner of
//! that name chooses the addresses. Owns both lines, as pure functions. Must not know DNS or HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use url::{Host, Url};

use crate::config;
use crate::config::HostPattern;
use crate::config::address::{self, Listeners};

/// The hosts and addresses that one registry may point to.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    home: Url,
    hosts: Vec<HostPattern>,
    private: Vec<IpNet>,
    listeners: Listeners,
    /// The rule that a URL breaks whose host is not listed.
    unlisted: GuardRule,
}

/// The rule that a URL breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuardRule {
    /// Neither http nor https.
    #[error("expected http or https")]
    Scheme,
    /// A user name or password in the URL.
    #[error("expected no user name in the address")]
    UserInfo,
    /// Neither the registry's own host and port nor a configured one.
    #[error("expected the registry's own host or one that its operator lists in `archive_hosts`")]
    Host,
    /// The same of a repository.
    #[error("expected the registry's own host or one that its operator lists in `git_hosts`")]
    GitHost,
    /// From https down to http.
    #[error("expected no redirect from https to http")]
    Downgrade,
    /// A name or address that leads into a private network.
    #[error(
        "expected a public address, or one in a network that this proxy's operator lists in `private_addresses`"
    )]
    Address,
    /// The metadata service of a cloud, which hands out credentials.
    #[error("expected no address of a cloud's metadata service")]
    Metadata,
    /// An address that this proxy listens on.
    #[error("expected another address than this proxy's own")]
    Ourselves,
}

/// The host of `url`, with the port where one is given.
pub(super) fn host_and_port(url: &Url) -> &str {
    url.authority().rsplit('@').next().unwrap_or_default()
}

impl Guard {
    pub(super) fn new(config: &config::Upstream, listeners: Listeners) -> Self {
        Self::listing(&config.archive_hosts, GuardRule::Host, config, listeners)
    }

    /// The guard of repositories. It is asked for the first line only.
    pub(super) fn of_repositories(config: &config::Upstream) -> Self {
        Self::listing(&config.git_hosts, GuardRule::GitHost, config, Listeners::default())
    }

    fn listing(
        hosts: &[HostPattern],
        unlisted: GuardRule,
        config: &config::Upstream,
        listeners: Listeners,
    ) -> Self {
        let hosts = hosts.iter();
        let hosts =
            hosts.map(|named| HostPattern { host: canonical(&named.host), port: named.port }).collect();
        let (home, private) = (config.url.clone(), config.private_addresses.clone());
        Self { home, hosts, private, listeners, unlisted }
    }

    /// Whether `url` has the registry's own scheme, host and port.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.scheme() == self.home.scheme() && place(url) == place(&self.home)
    }

    /// The first line, before every hop. `from` is the previous hop, and the registry's own URL before the first.
    pub(super) fn allow(&self, url: &Url, from: Option<&Url>) -> Result<(), GuardRule> {
        let from = from.unwrap_or(&self.home);
        let broken = if !matches!(url.scheme(), "http" | "https") {
            GuardRule::Scheme
        } else if !url.username().is_empty() || url.password().is_some() {
            GuardRule::UserInfo
        } else if !self.lists(url) {
            self.unlisted
        } else if url.scheme() == "http" && from.scheme() == "https" {
            GuardRule::Downgrade
        } else {
            return Ok(());
        };
        Err(broken)
    }

    /// The second line, for each address that `host` resolves to. `is_ours` knows the addresses of this machine.
    pub(super) fn judge(
        &self,
        host: &str,
        address: SocketAddr,
        is_ours: impl Fn(IpAddr) -> bool,
    ) -> Result<(), GuardRule> {
        let ip = address.ip();
        if address::is_metadata(ip) {
            return Err(GuardRule::Metadata);
        }
        if self.listeners.answer(ip, address.port(), is_ours) {
            return Err(GuardRule::Ourselves);
        }
        let allowed = address::is_public(ip)
            || address::is_within(ip, &self.private)
            || self.is_own_host(host)
            || self
                .home
                .host()
                .and_then(|home| named(home.to_owned()))
                .is_some_and(|home| address::are_neighbours(home, ip));
        if allowed { Ok(()) } else { Err(GuardRule::Address) }
    }

    /// The second line where an HTTP proxy resolves `host` (in a URL's form) and dials.
    pub(super) fn judge_by_name(
        &self,
        host: &str,
        port: u16,
        is_ours: impl Fn(IpAddr) -> bool,
    ) -> Result<(), GuardRule> {
        if address::is_metadata_name(host) {
            return Err(GuardRule::Metadata);
        }
        match Host::parse(host).ok().and_then(named) {
            Some(ip) => self.judge(host, SocketAddr::new(ip, port), is_ours),
            None => Ok(()),
        }
    }

    fn is_own_host(&self, host: &str) -> bool {
        self.home.host_str().map(canonical) == Some(canonical(host))
    }

    /// Whether `url` is at the first listed host, or at the registry's own if none is listed.
    pub(super) fn is_first(&self, url: &Url) -> bool {
        self.hosts.first().map_or_else(|| self.is_home(url), |first| is_at(url, first))
    }

    fn lists(&self, url: &Url) -> bool {
        place(url) == place(&self.home) || self.hosts.iter().any(|named| is_at(url, named))
    }
}

fn is_at(url: &Url, named: &HostPattern) -> bool {
    // A URL omits the default port of its scheme.
    let at_port = named.port.map_or(url.port().is_none(), |only| url.port_or_known_default() == Some(only));
    at_port && url.host_str().map(canonical).as_ref() == Some(&named.host)
}

/// The address that a host names without a resolver.
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

/// Without the dot of the root. The `url` crate has already normalised the rest.
fn canonical(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
