//! Who asks: the address a request came from, and whether its client's own connection was encrypted, through the
//! proxies that are trusted and no others.
//!
//! One source is believed, the configured one: a proxy that writes one header hands on what clients put into the
//! other. Owns that choice, and the grammar of `Forwarded` (RFC 7239), `X-Forwarded-For` and `X-Forwarded-Proto`, all
//! read from the right, where trusted hands wrote: whatever a client wrote stands left of that and cannot change how it
//! is read. Must not know rates.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use crate::config::ClientAddress;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// No honest chain of proxies is longer.
const MOST_HOPS: usize = 32;
/// Nor is more of a header looked at, empty elements included.
const MOST_ELEMENTS: usize = 64;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Client {
    /// An IPv4 address, or the /64 of an IPv6 address.
    Address(IpAddr),
    /// A configured token, by its name.
    Token(Arc<str>),
    /// The connection has no peer address.
    Unknown,
}

impl Client {
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Token(_) | Self::Unknown => None,
        }
    }
}

/// Whose word on where a request came from is believed, and what of it.
#[derive(Debug, Clone)]
pub(super) struct Believed {
    pub(super) source: ClientAddress,
    pub(super) trusted: Vec<IpNet>,
}

/// What one hop says of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    address: IpAddr,
    /// Whether it came encrypted, where that is said.
    tls: Option<bool>,
}

impl Believed {
    /// The client at the other end of a connection, or behind the trusted proxies there.
    pub(super) fn client(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Client {
        peer.map_or(Client::Unknown, |peer| Client::Address(subnet(self.origin(peer.ip(), headers).address)))
    }

    /// Whether the client's connection to the outermost trusted proxy was encrypted, where that is said.
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

    /// The right-most hop that is not trusted, else the left-most; nothing left of what cannot be read counts.
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

/// An IPv6 client owns a /64 at least, so that is what is counted.
fn subnet(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// The elements of a header that is a list, the last one first; `None`, and no more of that line, where one cannot be
/// read. An empty element of a list means nothing (RFC 9110, section 5.6.1.2), but is looked at.
fn from_the_right(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Option<&str>> {
    let lines = headers.get_all(name);
    let elements = lines.into_iter().rev().flat_map(|line| Parts::of(line.as_bytes(), b','));
    elements.take(MOST_ELEMENTS).filter(|element| *element != Some(""))
}

/// Whether a scheme is the encrypted one of the two there are.
fn is_encrypted(scheme: &str) -> Option<bool> {
    let is = |known: &str| scheme.eq_ignore_ascii_case(known);
    if is("https") { Some(true) } else { is("http").then_some(false) }
}

/// An element of `X-Forwarded-For`.
fn plain(element: &str) -> Option<Hop> {
    Some(Hop { address: node(element)?, tls: None })
}

/// An element of `Forwarded`, in which no parameter stands twice and one is `for=`.
fn forwarded(element: &str) -> Option<Hop> {
    let (mut address, mut scheme) = (None, None);
    for pair in Parts::of(element.as_bytes(), b';') {
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

/// The text of a value that may be quoted; of these none holds what would have to be escaped.
fn unquoted(value: &str) -> Option<&str> {
    value.strip_prefix('"').map_or(Some(value), |value| value.strip_suffix('"'))
}

/// An address, in brackets or not, with a port or without; `unknown` and `_hidden` are none.
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

/// The parts of a header or of an element, the last one first, cut outside of quoted strings; `None`, and the end, where
/// that fails or one is no text. What stands left of a part does not matter to it.
struct Parts<'a> {
    rest: Option<&'a [u8]>,
    between: u8,
}

impl<'a> Parts<'a> {
    fn of(text: &'a [u8], between: u8) -> Self {
        Self { rest: Some(text), between }
    }
}

impl<'a> Iterator for Parts<'a> {
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
