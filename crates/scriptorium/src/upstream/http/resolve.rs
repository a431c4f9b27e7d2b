//! Resolves a name to the addresses that are dialled.
//!
//! The addresses that the guard judged are the ones that are dialled: the name is not resolved a second time. Owns
//! the look-up. Must not know which addresses are allowed.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::config::address;

/// Every address of `host`. Names below localhost are this machine's own, whatever DNS says.
pub(super) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = address::unbracketed(host).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if address::is_localhost(host) && !host.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// Whether this machine has the address. Only then can a socket be bound to it.
pub(super) fn is_ours(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// A resolver that answers with known addresses.
#[derive(Debug, Clone)]
pub(super) struct KnownAddresses(pub(super) Vec<SocketAddr>);

impl Service<Name> for KnownAddresses {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ips(host: &str) -> Vec<String> {
        look_up(host, 80).await.unwrap().iter().map(|address| address.ip().to_string()).collect()
    }

    #[tokio::test]
    async fn what_needs_no_resolver() {
        assert_eq!(ips("10.1.2.3").await, ["10.1.2.3"]);
        assert_eq!(ips("[fd00::1]").await, ["fd00::1"]);
        for name in ["a.localhost", "A.B.LOCALHOST."] {
            assert_eq!(ips(name).await, ["127.0.0.1", "::1"], "{name}");
        }
        assert!(look_up("no-such-name.invalid", 80).await.is_err());
    }

    #[test]
    fn which_addresses_this_machine_has() {
        assert!(is_ours(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_ours(Ipv4Addr::new(203, 0, 113, 7).into()));
    }
}
