//! Who asks: the address a request came from, through the proxies that are trusted and no others.
//!
//! Owns the grammar of `Forwarded` (RFC 7239) and `X-Forwarded-For`, both read from the right, where trusted hands
//! wrote: whatever a client wrote stands left of that and cannot change how it is read. Must not know rates.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// No honest chain of proxies is longer.
const MOST_HOPS: usize = 32;

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
    /// The client at the other end of a connection, or behind the trusted proxies there.
    pub(super) fn at(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        peer.map_or(Self::Unknown, |peer| Self::Address(subnet(origin(peer.ip(), headers, trusted))))
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Token(_) | Self::Unknown => None,
        }
    }
}

/// An IPv6 client owns a /64 at least, so that is what is counted.
fn subnet(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// The right-most address that is not trusted, else the left-most; nothing left of what cannot be read counts.
fn origin(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut origin = peer.to_canonical();
    if !is_trusted(origin) {
        return origin;
    }
    let (name, read): (_, fn(&str) -> Option<IpAddr>) =
        if headers.contains_key(FORWARDED) { (FORWARDED, forwarded_for) } else { (X_FORWARDED_FOR, node) };
    let lines = headers.get_all(name);
    let hops = lines.iter().rev().flat_map(|line| Parts::of(line.to_str().ok(), b','));
    for hop in hops.take(MOST_HOPS) {
        match hop.map(str::trim_ascii) {
            // An empty element of a list means nothing (RFC 9110, section 5.6.1.2).
            Some("") => {}
            Some(hop) => match read(hop) {
                Some(address) => origin = address,
                None => break,
            },
            None => break,
        }
        if !is_trusted(origin) {
            break;
        }
    }
    origin
}

/// The address in the one `for=` of a `Forwarded` element.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in Parts::of(Some(element), b';') {
        let pair = pair?.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
    }
    let value = found?;
    node(value.strip_prefix('"').map_or(Some(value), |value| value.strip_suffix('"'))?)
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

/// A header's parts, the last one first, cut outside of quoted strings; `None`, and the end, where that fails.
struct Parts<'a> {
    rest: Option<&'a str>,
    unreadable: bool,
    between: u8,
}

impl<'a> Parts<'a> {
    fn of(text: Option<&'a str>, between: u8) -> Self {
        Self { rest: text, unreadable: text.is_none(), between }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.unreadable) {
            return Some(None);
        }
        let text = self.rest.take()?;
        let mut quoted = false;
        for (at, byte) in text.bytes().enumerate().rev() {
            if byte == b'"' {
                quoted = !quoted || is_escaped(text, at);
            } else if byte == self.between && !quoted {
                self.rest = Some(&text[..at]);
                return Some(Some(&text[at + 1..]));
            }
        }
        Some((!quoted).then_some(text))
    }
}

fn is_escaped(text: &str, at: usize) -> bool {
    text.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests;
