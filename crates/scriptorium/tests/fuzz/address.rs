//! Any header about the origin of a request: it cannot change the address that a trusted proxy appends.

use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use scriptorium::facade::LoadedConfig;

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

/// The client of the trusted proxy.
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

/// The address that a request from a peer with these headers counts for.
type CountedAddress = Box<dyn Fn(Option<SocketAddr>, &HeaderMap) -> Option<IpAddr>>;

thread_local! {
    /// Each source of the address: its header, the value that the trusted proxy appends, and the limits that believe it.
    static SOURCES: [(&'static str, String, CountedAddress); 2] = [
        ("x-forwarded-for", BEHIND.to_owned(), limiter("x-forwarded-for")),
        ("forwarded", format!("for={BEHIND}"), limiter("forwarded")),
    ];
}

/// Limits that believe `source` of the proxies on this machine.
fn limiter(source: &str) -> CountedAddress {
    let config = format!(
        "upstreams = [{{ name = \"public\", url = \"https://registry.example\" }}]\n\
         server = {{ client_address = \"{source}\", trusted_proxies = [\"127.0.0.0/8\"] }}\n"
    );
    Box::new(LoadedConfig::parse(config.as_bytes()).unwrap().limiter())
}

pub(crate) fn fuzz(data: &[u8]) -> bool {
    let Ok(invented) = HeaderValue::from_bytes(data) else { return false };
    let (peer, address): (SocketAddr, Option<IpAddr>) = (([127, 0, 0, 1], 4711).into(), BEHIND.parse().ok());
    SOURCES.with(|sources| {
        for (name, appended, limiter) in sources {
            let mut headers = HeaderMap::new();
            // Every other source is ignored.
            for other in ["x-forwarded-for", "forwarded"] {
                headers.insert(HeaderName::from_static(other), invented.clone());
            }
            headers.append(HeaderName::from_static(name), appended.parse().unwrap());
            assert_eq!(limiter(Some(peer), &headers), address, "{name}");
            // In one line with it, as most proxies write it.
            let joined = [data, b", ", appended.as_bytes()].concat();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(&joined).unwrap());
            assert_eq!(limiter(Some(peer), &headers), address, "{name}");
        }
    });
    true
}
