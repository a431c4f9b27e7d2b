//! An entry of `no_proxy`: hosts to which connections do not use the proxy.
//!
//! It is understood as by curl: a name stands for itself and all names below it, with or without a dot before
//! it. Owns this meaning. Must not know where the list came from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use url::Host;

use super::InvalidValue;
use crate::config::address::unbracketed;

/// One entry of `no_proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoProxyEntry {
    /// `*`
    Everybody,
    /// Every URL with an address in this network.
    Network(IpNet),
    /// This name and all names below it; lowercase, without dots at its ends.
    Name(String),
}

impl NoProxyEntry {
    /// Whether connections to `host` do not use the proxy.
    #[must_use]
    pub(crate) fn covers(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::Everybody, _) => true,
            (Self::Network(network), Host::Ipv4(ip)) => network.contains(&IpAddr::from(*ip)),
            (Self::Network(network), Host::Ipv6(ip)) => network.contains(&IpAddr::from(*ip)),
            (Self::Name(name), Host::Domain(host)) => {
                let host = host.strip_suffix('.').unwrap_or(host);
                let above = host.strip_suffix(name.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            (Self::Network(_), Host::Domain(_)) | (Self::Name(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

impl FromStr for NoProxyEntry {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == "*" {
            return Ok(Self::Everybody);
        }
        let bare = unbracketed(text);
        let network = bare.parse().ok().or_else(|| bare.parse::<IpAddr>().ok().map(IpNet::from));
        if let Some(network) = network {
            return Ok(Self::Network(network));
        }
        let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
        let name = name.strip_suffix('.').unwrap_or(name);
        match Host::parse(name).map_err(|_| InvalidValue)? {
            Host::Domain(name) if !name.contains('*') => Ok(Self::Name(name)),
            Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => Err(InvalidValue),
        }
    }
}

impl fmt::Display for NoProxyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("*"),
            Self::Network(network) => network.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(entry: &str, host: &str) -> bool {
        entry.parse::<NoProxyEntry>().unwrap().covers(&Host::parse(host).unwrap())
    }

    #[test]
    fn covered_hosts() {
        for (entry, host) in [
            ("*", "a.example"),
            ("*", "[::1]"),
            ("corp.example", "corp.example"),
            ("corp.example", "Volumes.Corp.Example."),
            (".corp.example", "a.corp.example"),
            (".corp.example", "corp.example"),
            ("*.corp.example", "a.b.corp.example"),
            ("localhost", "localhost"),
            ("10.0.0.0/8", "10.1.2.3"),
            ("10.1.2.3", "10.1.2.3"),
            ("[::1]", "[::1]"),
            ("fd00::/8", "[fd00::1]"),
        ] {
            assert!(covers(entry, host), "{entry} {host}");
        }
        for (entry, host) in [
            ("corp.example", "notcorp.example"),
            ("corp.example", "corp.example.evil"),
            ("10.0.0.0/8", "11.1.2.3"),
            ("10.0.0.0/8", "a.example"),
            ("a.example", "10.0.0.1"),
        ] {
            assert!(!covers(entry, host), "{entry} {host}");
        }
    }

    #[test]
    fn invalid_entries() {
        for text in ["", ".", "a b", "http://a", "a:80", "a*.example", "10.0.0.0/33", "[a]"] {
            assert!(text.parse::<NoProxyEntry>().is_err(), "{text}");
        }
        for text in ["*", "10.0.0.0/8", "corp.example"] {
            assert_eq!(text.parse::<NoProxyEntry>().unwrap().to_string(), text);
        }
    }
}
