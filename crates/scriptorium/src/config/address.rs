//! Kinds of addresses: public, private, of a cloud's metadata service, of this proxy.
//!
//! An IPv6 address may contain an IPv4 address, and then leads to the same host. Owns the tables of networks,
//! from the special-purpose registries of IANA and the documentation of clouds. Must not know which registry
//! is asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(a: u16, b: u16, c: u16, last: u16, prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, last), prefix))
}

/// Networks that are not public.
const NOT_PUBLIC: [IpNet; 23] = [
    v4(0, 0, 0, 0, 8),               // this host
    v4(10, 0, 0, 0, 8),              // private
    v4(100, 64, 0, 0, 10),           // carrier-grade NAT
    v4(127, 0, 0, 0, 8),             // loopback
    v4(168, 63, 129, 16, 32),        // Azure's own
    v4(169, 254, 0, 0, 16),          // link-local
    v4(172, 16, 0, 0, 12),           // private
    v4(192, 0, 0, 0, 24),            // protocol assignments
    v4(192, 0, 2, 0, 24),            // documentation
    v4(192, 88, 99, 0, 24),          // 6to4 relays
    v4(192, 168, 0, 0, 16),          // private
    v4(198, 18, 0, 0, 15),           // benchmarks
    v4(198, 51, 100, 0, 24),         // documentation
    v4(203, 0, 113, 0, 24),          // documentation
    v4(224, 0, 0, 0, 4),             // multicast
    v4(240, 0, 0, 0, 4),             // reserved, broadcast
    v6(0x2001, 0, 0, 0, 23),         // protocol assignments, Teredo
    v6(0x2001, 0xdb8, 0, 0, 32),     // documentation
    v6(0x2620, 0x4f, 0x8000, 0, 48), // AS112
    v6(0x3fff, 0, 0, 0, 20),         // documentation
    // Not in the range of public addresses; listed so that `are_neighbours` knows these networks.
    v6(0, 0, 0, 1, 128),     // loopback
    v6(0xfc00, 0, 0, 0, 7),  // private
    v6(0xfe80, 0, 0, 0, 10), // link-local
];

/// The metadata services of clouds, which give a machine information about itself, credentials included.
const METADATA: [IpNet; 11] = [
    v4(100, 100, 100, 200, 32),             // Alibaba
    v4(168, 63, 129, 16, 32),               // Azure's agent
    v4(169, 254, 0, 23, 32),                // Tencent
    v4(169, 254, 42, 42, 32),               // Scaleway
    v4(169, 254, 169, 0, 24),               // AWS, Azure, DigitalOcean, Google, Hetzner, OpenStack, Oracle
    v4(169, 254, 170, 0, 24),               // credentials of AWS's containers
    v4(192, 0, 0, 192, 32),                 // Oracle
    v6(0xfd00, 0xec2, 0, 0x254, 128),       // AWS
    v6(0xfd00, 0xec2, 0, 0x23, 128),        // credentials of AWS's containers
    v6(0xfd20, 0xce, 0, 0x254, 128),        // Google
    v6(0xfd00, 0xa9fe, 0xa9fe, 0x254, 128), // Oracle, OpenStack by its own choice
];

/// The names of metadata services.
const METADATA_NAMES: [&str; 4] =
    ["metadata", "metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"];

const GLOBAL_UNICAST: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Whether the address is reached over the internet. One that contains an IPv4 address is as public as that
/// one.
#[must_use]
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => network(ip).is_none(),
        IpAddr::V6(v6) => match translated(v6) {
            Some(v4) => is_public(v4.into()),
            None => GLOBAL_UNICAST.contains(&v6) && network(ip).is_none(),
        },
    }
}

/// Whether both are in one private network. Loopback is one network, IPv4 and IPv6 together.
#[must_use]
pub(crate) fn are_neighbours(one: IpAddr, other: IpAddr) -> bool {
    let (one, other) = (plain(one), plain(other));
    (one.is_loopback() && other.is_loopback()) || network(one).is_some_and(|net| net.contains(&other))
}

/// Whether the address, in any form, is in one of `networks`.
#[must_use]
pub(crate) fn is_within(ip: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|net| net.contains(&ip) || net.contains(&plain(ip)))
}

/// Whether the address, in any form, may be that of a metadata service.
#[must_use]
pub(crate) fn is_metadata(ip: IpAddr) -> bool {
    forms(ip).any(|ip| METADATA.iter().any(|net| net.contains(&ip)))
}

/// Whether `host` is the name of a metadata service.
#[must_use]
pub(crate) fn is_metadata_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    METADATA_NAMES.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Whether `host` is a name of this machine, whatever DNS says (RFC 6761, section 6.3).
#[must_use]
pub(crate) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

/// A host without the brackets that a URL puts around an IPv6 address.
#[must_use]
pub(crate) fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The addresses at which this proxy listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listeners(Vec<SocketAddr>);

impl Listeners {
    /// The addresses in `sockets`. Port 0 is a port that is not known yet, so such an address is left out.
    #[must_use]
    pub(crate) fn new(sockets: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(sockets.into_iter().filter(|socket| socket.port() != 0).collect())
    }

    /// Whether a connection to `ip` and `port` would reach this proxy. `is_ours` tells the addresses of this
    /// machine.
    pub(crate) fn answer(&self, ip: IpAddr, port: u16, is_ours: impl Fn(IpAddr) -> bool) -> bool {
        self.0.iter().filter(|listener| listener.port() == port).any(|listener| {
            forms(ip).any(|ip| {
                let listens = plain(listener.ip());
                let here = ip.is_unspecified() || ip.is_loopback();
                ip == listens
                    || (listens.is_unspecified() && (here || is_ours(ip)))
                    || (ip.is_unspecified() && listens.is_loopback())
            })
        })
    }
}

/// The network in the table that contains `ip`.
fn network(ip: IpAddr) -> Option<&'static IpNet> {
    NOT_PUBLIC.iter().find(|net| net.contains(&ip))
}

/// The address itself, and every IPv4 address that it may contain.
fn forms(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let wrapped = match ip {
        IpAddr::V4(_) => [None; 2],
        IpAddr::V6(v6) => [translated(v6), local_translation(v6)],
    };
    [ip].into_iter().chain(wrapped.into_iter().flatten().map(IpAddr::V4))
}

/// The IPv4 address that an IPv6 address contains, else the address itself.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => translated(v6).map_or(ip, IpAddr::V4),
    }
}

/// The IPv4 address inside an IPv4-mapped, IPv4-compatible, NAT64 or 6to4 address.
fn translated(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        // The unspecified address and loopback contain no IPv4 address.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(joined(high, low))
        }
        [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

/// The IPv4 address at the end of an address for local translation (RFC 8215).
fn local_translation(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 1, .., high, low] => Some(joined(high, low)),
        _ => None,
    }
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests;
