//! The cost of one decision of the rate limits, compared with one look-up in the cache of addresses. Medians of 41
//! rounds of 20,000 requests each, in one thread.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use scriptorium::facade::LoadedConfig;
use sha2::{Digest, Sha256};

const ROUNDS: usize = 41;
const REQUESTS: u32 = 20_000;

fn token(number: u32) -> String {
    format!("token-of-forty-characters-or-so-{number:08}")
}

fn median<T>(mut work: impl FnMut() -> T) -> Duration {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            (0..REQUESTS).for_each(|_| drop(black_box(work())));
            started.elapsed() / REQUESTS
        })
        .collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}

/// Limits with 1,000 tokens, and this rate of addresses.
fn limiter(anonymous: &str) -> impl Fn(Option<SocketAddr>, &HeaderMap) -> Option<IpAddr> {
    let mut config = format!(
        "upstreams = [{{ name = \"public\", url = \"https://registry.example\" }}]\n\
         server.trusted_proxies = [\"10.0.0.0/8\"]\n\
         rate_limits = {{ anonymous = \"{anonymous}\", ci = \"4294967295/min\" }}\n"
    );
    for number in 0..1000 {
        let sha256 = HEXLOWER.encode(&Sha256::digest(token(number)));
        let _ = write!(config, "[[tokens]]\nname = \"ci-{number}\"\nclass = \"ci\"\nsha256 = \"{sha256}\"\n");
    }
    LoadedConfig::parse(config.as_bytes()).unwrap().limiter()
}

fn main() {
    let (limiter, strict) = (limiter("4294967295/min"), limiter("1/h"));
    let one =
        |name: HeaderName, value: &str| HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
    let direct: Option<SocketAddr> = Some(([192, 0, 2, 1], 9).into());
    let proxy: Option<SocketAddr> = Some(([10, 0, 0, 1], 9).into());
    let none = HeaderMap::new();
    let bearer = one(AUTHORIZATION, &format!("Bearer {}", token(500)));
    let unknown = one(AUTHORIZATION, &format!("Bearer {}", token(5000)));
    let chain = one(HeaderName::from_static("x-forwarded-for"), "203.0.113.7, 192.0.2.1, 10.0.0.2");

    let cache = moka::sync::Cache::new(100_000);
    let address: Option<IpAddr> = Some(Ipv4Addr::new(192, 0, 2, 1).into());
    cache.insert(address, Arc::new(1));
    let yardstick = median(|| cache.get(&address));
    println!("one moka get                    {yardstick:>10.2?}");
    for (what, limiter, peer, headers) in [
        ("an address within its rate", &limiter, direct, &none),
        ("an address beyond its rate", &strict, direct, &none),
        ("a token among 1,000", &limiter, direct, &bearer),
        ("an unknown token", &limiter, direct, &unknown),
        ("behind a trusted proxy", &limiter, proxy, &chain),
    ] {
        let cost = median(|| limiter(peer, headers));
        let gets = cost.as_secs_f64() / yardstick.as_secs_f64();
        println!("{what:<32}{cost:>10.2?}  {gets:.2} of it");
    }
}
