//! Who a request comes from: the other end of the connection, or whoever a trusted proxy says is behind it.
//!
//! Owns the reading of `Forwarded` (RFC 7239) and `X-Forwarded-For`. Both are read from the right, as far as the
//! proxies that added to them are trusted; anything malformed ends that, at the last address that was good. Must
//! not know what is counted.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Hops that are looked at; no honest request passed more.
const HOPS: usize = 32;

/// Whose bucket a request is counted in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Client {
    /// An IPv4 address, or the /64 of an IPv6 address.
    Address(IpAddr),
    /// A token, by its name in the configuration.
    Token(Arc<str>),
    /// A connection without an address.
    Unknown,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Token(name) => f.write_str(name),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Client {
    /// The client behind `peer`, which is believed about others where it is one of the `trusted`.
    pub(super) fn behind(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let Some(peer) = peer else { return Self::Unknown };
        let trusts = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
        let mut at = peer.ip().to_canonical();
        if trusts(&at) {
            for hop in hops(headers).into_iter().take(HOPS) {
                let Some(hop) = hop else { break };
                at = hop;
                if !trusts(&at) {
                    break;
                }
            }
        }
        Self::Address(network(at))
    }
}

/// A client's network: an IPv6 user has a whole /64 to choose addresses from.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// The hops that a request says it passed, the nearest first; `None` for one that is no address.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lines = |name| headers.get_all(name).iter().rev();
    if headers.contains_key(FORWARDED) {
        let elements = lines(FORWARDED).flat_map(|line| {
            let elements = line.to_str().map_or(vec![""], |line| split(line, b','));
            elements.into_iter().rev()
        });
        return elements.take(HOPS).map(forwarded_for).collect();
    }
    let items = lines(X_FORWARDED_FOR).flat_map(|line| line.to_str().unwrap_or("").rsplit(','));
    items.take(HOPS).map(|item| node(item.trim())).collect()
}

/// The address that one element of `Forwarded` is for.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pair = |pair: &str| {
        pair.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
    };
    let mut pairs = split(element, b';').into_iter().filter_map(pair);
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    node(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(&value))
}

/// `address`, `address:port`, `[address]` or `[address]:port`; obfuscated and unknown nodes are no address.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse().ok().map(|socket: SocketAddr| socket.ip());
    let address = text.parse().ok().or_else(with_port).or_else(bracketed);
    address.map(|address: IpAddr| address.to_canonical())
}

/// Splits at `separator` outside quoted strings.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn behind(peer: &str, fields: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let peer = peer.parse::<IpAddr>().unwrap();
        Client::behind(Some(SocketAddr::new(peer, 1)), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_peers_are_believed() {
        for (peer, fields, expected) in [
            ("192.0.2.1", &[("x-forwarded-for", "198.51.100.7")][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "192.0.2.9, 198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "192.0.2.9,198.51.100.7 , 10.0.0.2")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "10.0.0.9, 10.0.0.2")], "10.0.0.9"),
            ("10.0.0.1", &[("x-forwarded-for", "192.0.2.9"), ("x-forwarded-for", "10.0.0.2")], "192.0.2.9"),
            ("::ffff:10.0.0.1", &[("x-forwarded-for", "::ffff:198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "2a00:1:2:3:4:5:6:7")], "2a00:1:2:3::"),
            ("2a00:1:2:3:4:5:6:7", &[], "2a00:1:2:3::"),
            ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7:4711")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "[2a00:1:2:3::9]:80")], "2a00:1:2:3::"),
        ] {
            assert_eq!(behind(peer, fields), expected, "{peer} {fields:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_it_is_written() {
        for (value, expected) in [
            ("for=198.51.100.7", "198.51.100.7"),
            ("For=\"198.51.100.7:80\";proto=https;by=10.0.0.1", "198.51.100.7"),
            ("for=192.0.2.9, proto=http;for=\"[2a00:1:2:3::9]:80\"", "2a00:1:2:3::"),
            ("for=192.0.2.9, for=10.1.1.1", "192.0.2.9"),
            ("for=\"192.0.2.9, for=192.0.2.8\", for=198.51.100.7", "198.51.100.7"),
        ] {
            let both = [("forwarded", value), ("x-forwarded-for", "192.0.2.200")];
            assert_eq!(behind("10.0.0.1", &both), expected, "{value}");
        }
    }

    #[test]
    fn what_is_malformed_ends_the_walk_where_it_was() {
        for value in
            ["", "unknown", "for=unknown", "for=_hidden", "for=", "for", "for=999.1.1.1", "for=\"[::1\""]
        {
            assert_eq!(behind("10.0.0.1", &[("forwarded", value)]), "10.0.0.1", "{value}");
            let after = format!("{value}, for=10.0.0.2");
            assert_eq!(behind("10.0.0.1", &[("forwarded", &after)]), "10.0.0.2", "{after}");
        }
        for value in ["", "x", "198.51.100", "198.51.100.7 198.51.100.8", "::1::", "1.2.3.4:99999"] {
            assert_eq!(behind("10.0.0.1", &[("x-forwarded-for", value)]), "10.0.0.1", "{value}");
        }
        let long = vec!["10.0.0.3"; 5_000].join(",");
        assert_eq!(behind("10.0.0.1", &[("x-forwarded-for", &long)]), "10.0.0.3");
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,80}") {
            let _ = (behind("10.0.0.1", &[("forwarded", &value)]), behind("10.0.0.1", &[("x-forwarded-for", &value)]));
        }
    }
}
