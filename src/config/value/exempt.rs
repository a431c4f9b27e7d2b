//! Who is reached without the proxy: an entry of `no_proxy`.
//!
//! Read as curl reads them: a name stands for itself and all names below it, with or without a dot before it. Owns that
//! reading. Must not know where the list came from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use url::Host;

use super::InvalidValue;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exempt {
    /// `*`
    Everybody,
    /// Every address of it that a URL names.
    Network(IpNet),
    /// This name and all below it, in lowercase, without dots at its ends.
    Name(String),
}

impl Exempt {
    /// Whether `host` is reached without the proxy.
    #[must_use]
    pub fn covers(&self, host: &Host<String>) -> bool {
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

impl FromStr for Exempt {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == "*" {
            return Ok(Self::Everybody);
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
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

impl fmt::Display for Exempt {
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
        entry.parse::<Exempt>().unwrap().covers(&Host::parse(host).unwrap())
    }

    #[test]
    fn who_is_covered() {
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
    fn what_is_no_entry() {
        for text in ["", ".", "a b", "http://a", "a:80", "a*.example", "10.0.0.0/33", "[a]"] {
            assert!(text.parse::<Exempt>().is_err(), "{text}");
        }
        for text in ["*", "10.0.0.0/8", "corp.example"] {
            assert_eq!(text.parse::<Exempt>().unwrap().to_string(), text);
        }
    }
}
