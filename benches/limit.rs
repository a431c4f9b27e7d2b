//! What admitting a request costs, beside one look-up in the cache that holds the addresses. Medians of 41 rounds
//! of 20,000 requests each, in one thread.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use scriptorium::clock::SystemClock;
use scriptorium::config::{ClientAddress, Rate, RateLimits, Token, TokenClass};
use scriptorium::domain::Sha256;
use scriptorium::limit::{Limiter, Settings};

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

fn main() {
    let rate: Rate = "4294967295/min".parse().unwrap();
    let known = |number| Token {
        name: format!("ci-{number}"),
        class: TokenClass::Ci,
        sha256: Sha256::of(token(number).as_bytes()),
    };
    let mut settings = Settings {
        rates: RateLimits { anonymous: rate, authenticated: rate, ci: rate },
        tokens: (0..1000).map(known).collect(),
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        client_address: ClientAddress::XForwardedFor,
    };
    let limiter = Limiter::new(&settings, Arc::new(SystemClock::default()));
    settings.rates.anonymous = "1/h".parse().unwrap();
    let strict = Limiter::new(&settings, Arc::new(SystemClock::default()));
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
        ("an address, let in", &limiter, direct, &none),
        ("an address, refused", &strict, direct, &none),
        ("a token among 1,000", &limiter, direct, &bearer),
        ("an unknown token", &limiter, direct, &unknown),
        ("behind a trusted proxy", &limiter, proxy, &chain),
    ] {
        let cost = median(|| limiter.admit(peer, headers));
        let gets = cost.as_secs_f64() / yardstick.as_secs_f64();
        println!("{what:<32}{cost:>10.2?}  {gets:.2} of it");
    }
}
