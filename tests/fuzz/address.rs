//! Any header that says where a request came from: it cannot change what a trusted proxy wrote behind it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use scriptorium::clock::SystemClock;
use scriptorium::config::{ClientAddress, Config};
use scriptorium::limit::{Client, Limiter};

pub(crate) const WORDS: &[&[u8]] = &[
    b"for=",
    b"by=",
    b"proto=https",
    b";",
    b",",
    b"\"",
    b"\\\"",
    b"[2001:db8::1]",
    b"192.0.2.1",
    b":80",
    b"_hidden",
    b"unknown",
    b"\t",
    b"=",
    b"For",
    b"10.0.0.1",
];

/// Who stands behind the trusted proxy.
const BEHIND: &str = "198.51.100.7";

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "192.0.2.1",
        "for=192.0.2.1;proto=http;by=203.0.113.43",
        "for=\"[2001:db8::1]:4711\", for=_x",
        "10.0.0.1, unknown",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

pub(crate) fn fuzz(data: &[u8]) -> bool {
    let Ok(invented) = HeaderValue::from_bytes(data) else { return false };
    let sources = [
        (ClientAddress::XForwardedFor, "x-forwarded-for", BEHIND.to_owned()),
        (ClientAddress::Forwarded, "forwarded", format!("for={BEHIND}")),
    ];
    for (source, name, appended) in sources {
        let mut config = Config::default();
        config.server.client_address = source;
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        let limiter = Limiter::new(&(&config).into(), Arc::new(SystemClock::default()));
        let peer: SocketAddr = ([127, 0, 0, 1], 4711).into();
        let mut headers = HeaderMap::new();
        // What another source says counts for nothing, whatever it is.
        for other in ["x-forwarded-for", "forwarded"] {
            headers.insert(HeaderName::from_static(other), invented.clone());
        }
        headers.append(HeaderName::from_static(name), appended.parse().unwrap());
        let client = limiter.admit(Some(peer), &headers).client;
        assert_eq!(client, Client::Address(BEHIND.parse::<IpAddr>().unwrap()), "{name}");
        // In one line with it, as most proxies write it.
        let joined = [data, b", ", appended.as_bytes()].concat();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(&joined).unwrap());
        let client = limiter.admit(Some(peer), &headers).client;
        assert_eq!(client, Client::Address(BEHIND.parse::<IpAddr>().unwrap()), "{name}");
    }
    true
}
