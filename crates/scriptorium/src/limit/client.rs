//! Who sends a request: its client's address, and whether the client's own connection was encrypted, as trusted
//! proxies say.
//!
//! Only the configured header is trusted: a proxy that writes one header passes on what clients put into the other.
//! Headers are read from the right, where trusted proxies append; what a client wrote stands to the left and cannot
//! change how the rest is read. Owns that choice, and the grammar of `Forwarded` (RFC 7239), `X-Forwarded-For` and
//! `X-Forwarded-Proto`. Must not know rates.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use crate::access::TokenHolder;
use crate::config::ClientAddress;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The longest chain of proxies that is read.
const MOST_HOPS: usize = 32;
/// The most elements of a header that are read, including empty ones.
const MOST_ELEMENTS: usize = 64;

/// The holder of a rate and of shares: requests of one client are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// An IPv4 address, or the /64 of an IPv6 address.
    Address(IpAddr),
    /// The holder of a token.
    Token(TokenHolder),
    /// The connection has no peer address.
    Unknown,
}

impl Client {
    /// The holder of a token that holds.
    pub(crate) fn holder(&self) -> Option<&TokenHolder> {
        match self {
            Self::Token(holder) => Some(holder),
            Self::Address(_) | Self::Unknown => None,
        }
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Token(_) | Self::Unknown => None,
        }
    }
}

/// Which proxies are trusted, and which of their headers.
#[derive(Debug, Clone)]
pub(super) struct TrustedSource {
    pub(super) source: ClientAddress,
    pub(super) trusted: Vec<IpNet>,
}

/// What one proxy says about the hop before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    address: IpAddr,
    /// Whether its connection was encrypted, if that is said.
    tls: Option<bool>,
}

impl TrustedSource {
    /// The client at the other end of a connection, or behind the trusted proxies there.
    pub(super) fn client(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Client {
        peer.map_or(Client::Unknown, |peer| Client::Address(subnet(self.origin(peer.ip(), headers).address)))
    }

    /// The client's own address.
    pub(super) fn address(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        self.origin(peer.ip(), headers).address
    }

    /// Whether the client's connection to the outermost trusted proxy was encrypted, if that is said.
    pub(super) fn tls(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<bool> {
        let peer = peer?.ip();
        match self.source {
            ClientAddress::XForwardedFor if self.trusts(peer.to_canonical()) => {
                let mut said = from_the_right(headers, X_FORWARDED_PROTO);
                said.next().flatten().and_then(is_encrypted)
            }
            ClientAddress::Forwarded => self.origin(peer, headers).tls,
            ClientAddress::XForwardedFor | ClientAddress::ProxyProtocol | ClientAddress::Peer => None,
        }
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The right-most hop that is not a trusted proxy, or else the left-most hop. An unreadable element ends the
    /// chain.
    fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> Hop {
        let mut origin = Hop { address: peer.to_canonical(), tls: None };
        let (name, read): (_, fn(&str) -> Option<Hop>) = match self.source {
            ClientAddress::XForwardedFor => (X_FORWARDED_FOR, plain),
            ClientAddress::Forwarded => (FORWARDED, forwarded),
            ClientAddress::ProxyProtocol | ClientAddress::Peer => return origin,
        };
        if !self.trusts(origin.address) {
            return origin;
        }
        for hop in from_the_right(headers, name).take(MOST_HOPS) {
            match hop.and_then(read) {
                Some(hop) => origin = hop,
                None => break,
            }
            if !self.trusts(origin.address) {
                break;
            }
        }
        origin
    }
}

/// An IPv6 client has at least a /64, so its /64 is counted.
fn subnet(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// The elements of a list header, last one first. `None` stands for an unreadable element, and ends its line. Empty
/// elements mean nothing (RFC 9110, section 5.6.1.2), but count as read.
fn from_the_right(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Option<&str>> {
    let lines = headers.get_all(name);
    let elements = lines.into_iter().rev().flat_map(|line| ElementsFromRight::of(line.as_bytes(), b','));
    elements.take(MOST_ELEMENTS).filter(|element| *element != Some(""))
}

/// Whether a scheme is https; `None` where it is neither http nor https.
fn is_encrypted(scheme: &str) -> Option<bool> {
    let is = |known: &str| scheme.eq_ignore_ascii_case(known);
    if is("https") { Some(true) } else { is("http").then_some(false) }
}

/// An element of `X-Forwarded-For`.
fn plain(element: &str) -> Option<Hop> {
    Some(Hop { address: node(element)?, tls: None })
}

/// An element of `Forwarded`. It must have one `for=`, and no parameter twice.
fn forwarded(element: &str) -> Option<Hop> {
    let (mut address, mut scheme) = (None, None);
    for pair in ElementsFromRight::of(element.as_bytes(), b';') {
        let pair = pair?;
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        let slot = if name.eq_ignore_ascii_case("for") {
            &mut address
        } else if name.eq_ignore_ascii_case("proto") {
            &mut scheme
        } else {
            continue;
        };
        if slot.replace(unquoted(value)?).is_some() {
            return None;
        }
    }
    Some(Hop { address: node(address?)?, tls: scheme.and_then(is_encrypted) })
}

/// The text of a value that may be quoted. None of the values needs escapes.
fn unquoted(value: &str) -> Option<&str> {
    value.strip_prefix('"').map_or(Some(value), |value| value.strip_suffix('"'))
}

/// An address, with or without brackets and port. `unknown` and `_hidden` are not addresses.
fn node(text: &str) -> Option<IpAddr> {
    let (address, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (address, port) = text.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok()?.into(), port)
        }
        None => match text.parse::<IpAddr>() {
            Ok(address) => (address, ""),
            Err(_) => {
                let (address, port) = text.split_at(text.find(':')?);
                (IpAddr::V4(address.parse().ok()?), port)
            }
        },
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then(|| address.to_canonical())
}

fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty() && hidden.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }
        None => text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

/// The parts of a header or of an element, last one first, split outside of quoted strings. `None` stands for a part
/// that cannot be read, and ends the iteration. A part is read without looking to its left.
struct ElementsFromRight<'a> {
    rest: Option<&'a [u8]>,
    between: u8,
}

impl<'a> ElementsFromRight<'a> {
    fn of(text: &'a [u8], between: u8) -> Self {
        Self { rest: Some(text), between }
    }
}

impl<'a> Iterator for ElementsFromRight<'a> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        let mut quoted = false;
        for (at, byte) in text.iter().enumerate().rev() {
            if *byte == b'"' {
                quoted = !quoted || is_escaped(text, at);
            } else if *byte == self.between && !quoted {
                self.rest = Some(&text[..at]);
                return Some(readable(&text[at + 1..]));
            }
        }
        Some(readable(text).filter(|_| !quoted))
    }
}

fn readable(text: &[u8]) -> Option<&str> {
    str::from_utf8(text).ok().map(str::trim_ascii)
}

fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests;
