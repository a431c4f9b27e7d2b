//! The limiter as its callers see it, with a clock turned by hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use proptest::prelude::*;

use super::buckets::MOST_ADDRESSES;
use super::*;
use crate::clock::ManualClock;
use crate::config::{Rate, RateLimits, Token, TokenClass};
use crate::domain::Sha256;

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn settings(anonymous: &str) -> LimitSettings {
    let token = |name: &str, class| Token::with(name.into(), class, Sha256::of(name.as_bytes()));
    LimitSettings {
        rates: RateLimits { anonymous: rate(anonymous), authenticated: rate("2/min"), ci: rate("3/min") },
        issuers: Vec::new(),
        tokens: vec![token("person", TokenClass::Authenticated), token("machine", TokenClass::Ci)],
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        client_address: config::ClientAddress::XForwardedFor,
    }
}

fn limiter(settings: &LimitSettings) -> (Limiter, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(0));
    (Limiter::new(settings, Arc::clone(&clock) as Arc<dyn Clock>, None), clock)
}

fn from(address: impl Into<IpAddr>) -> Option<SocketAddr> {
    Some((address.into(), 1).into())
}

fn bearing(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

const ALICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BOB: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn ask(limiter: &Limiter) -> Result<RateQuota, RateExceeded> {
    limiter.admit(from(ALICE), &HeaderMap::new()).verdict
}

fn admitted(limiter: &Limiter, peer: Option<SocketAddr>, headers: &HeaderMap) -> usize {
    (0..).take_while(|_| limiter.admit(peer, headers).verdict.is_ok()).count()
}

#[test]
fn a_burst_is_the_quota_and_then_one_comes_back_at_a_time() {
    for (text, each) in [
        ("60/min", 1000),
        ("7/min", 8572),
        ("1000/min", 60),
        ("1/s", 1000),
        ("3/s", 334),
        ("1000/s", 1),
        ("1/h", 3_600_000),
        ("5/h", 720_000),
    ] {
        let (limiter, clock) = limiter(&settings(text));
        let quota = rate(text).requests().get() as usize;
        assert_eq!(admitted(&limiter, from(ALICE), &HeaderMap::new()), quota, "{text}");
        // Where a share of the window is no whole number of milliseconds, only the first wait is that long.
        let rounds = if rate(text).per().as_millis() == u128::from(each) * quota as u128 { 3 } else { 1 };
        for _ in 0..rounds {
            clock.advance(Duration::from_millis(each - 1));
            assert!(ask(&limiter).is_err(), "{text}");
            clock.advance(Duration::from_millis(1));
            assert!(ask(&limiter).is_ok(), "{text}");
            assert!(ask(&limiter).is_err(), "{text}");
        }
        clock.advance(rate(text).per() + Duration::from_millis(1));
        assert_eq!(admitted(&limiter, from(ALICE), &HeaderMap::new()), quota, "{text}");
    }
}

#[test]
fn rates_at_the_ends_of_what_can_be_configured() {
    for text in ["4294967295/s", "4294967295/h", "4294967295/min", "3000000000/s"] {
        let (limiter, _) = limiter(&settings(text));
        let quota = ask(&limiter).unwrap();
        assert_eq!(quota.limit, rate(text).requests().get());
        assert_eq!((quota.remaining, quota.reset), (quota.limit - 1, 1), "{text}");
    }
}

#[test]
fn the_numbers_are_those_of_the_bucket() {
    let (limiter, clock) = limiter(&settings("10/min"));
    let quota = |remaining, reset| RateQuota { limit: 10, window: 60, remaining, reset };
    assert_eq!(ask(&limiter), Ok(quota(9, 6)));
    clock.advance(Duration::from_millis(5900));
    assert_eq!(ask(&limiter), Ok(quota(8, 7)));
    clock.advance(Duration::from_millis(100));
    assert_eq!(ask(&limiter), Ok(quota(8, 12)));
    for remaining in (0..8).rev() {
        assert_eq!(ask(&limiter), Ok(quota(remaining, 60 - 6 * u64::from(remaining))));
    }
    let refused = ask(&limiter).unwrap_err();
    assert_eq!(
        refused,
        RateExceeded { quota: quota(0, 6), retry_after: Duration::from_secs(6), is_unsettled: false }
    );
    clock.advance(Duration::from_millis(5999));
    let refused = ask(&limiter).unwrap_err();
    assert_eq!(
        refused,
        RateExceeded { quota: quota(0, 1), retry_after: Duration::from_millis(1), is_unsettled: false }
    );
}

#[test]
fn who_waits_as_told_is_let_in_and_who_waits_less_is_not() {
    for text in ["60/min", "7/min", "300/min", "3/s", "11/h"] {
        let (limiter, clock) = limiter(&settings(text));
        while ask(&limiter).is_ok() {}
        clock.advance(Duration::from_millis(123));
        while ask(&limiter).is_ok() {}
        let refused = ask(&limiter).unwrap_err();
        let millis = refused.retry_after.as_nanos().div_ceil(1_000_000) as u64;
        clock.advance(Duration::from_millis(millis - 1));
        let again = ask(&limiter).unwrap_err();
        assert!(again.retry_after <= Duration::from_millis(1), "{text}");
        assert!((1..=refused.quota.reset).contains(&millis.div_ceil(1000)), "{text}");
        clock.advance(Duration::from_millis(1));
        assert!(ask(&limiter).is_ok(), "{text}");
    }
}

#[test]
fn each_client_has_a_bucket_and_tokens_that_nobody_issued_have_none() {
    let (limiter, _) = limiter(&settings("1/h"));
    let none = HeaderMap::new();
    let of = |peer, headers: &HeaderMap| {
        let admission = limiter.admit(peer, headers);
        (admission.class.as_str(), admission.client, admission.verdict.is_ok())
    };
    assert_eq!(of(from(ALICE), &none), ("anonymous", Client::Address(ALICE.into()), true));
    assert_eq!(of(from(ALICE), &bearing("other")), ("anonymous", Client::Address(ALICE.into()), false));
    assert_eq!(of(from(BOB), &bearing("other")), ("anonymous", Client::Address(BOB.into()), true));
    assert_eq!(of(None, &none), ("anonymous", Client::Unknown, true));
    assert_eq!(of(None, &none), ("anonymous", Client::Unknown, false));
    let person = Client::Token("person".into());
    assert_eq!(of(from(ALICE), &bearing("person")), ("authenticated", person.clone(), true));
    assert_eq!(of(None, &bearing("person")), ("authenticated", person.clone(), true));
    assert_eq!(of(from(BOB), &bearing("person")), ("authenticated", person, false));
    assert_eq!(of(from(BOB), &bearing("machine")), ("ci", Client::Token("machine".into()), true));
    let one: Ipv6Addr = "2001:db8:1:2::1".parse().unwrap();
    let other: Ipv6Addr = "2001:db8:1:2:ffff::".parse().unwrap();
    let both = Client::Address("2001:db8:1:2::".parse().unwrap());
    assert_eq!(of(from(one), &none), ("anonymous", both.clone(), true));
    assert_eq!(of(from(other), &none), ("anonymous", both, false));
    assert!(!of(from(ALICE.to_ipv6_mapped()), &none).2);
}

#[test]
fn inventing_tokens_gains_nothing() {
    let (limiter, _) = limiter(&settings("60/min"));
    let tokens = (0..100_000).map(|number| bearing(&format!("invented-{number}")));
    let let_in = tokens.filter(|token| limiter.admit(from(ALICE), token).verdict.is_ok()).count();
    assert_eq!(let_in, 60);
    assert_eq!(limiter.table.load().addresses.count(), 1);
}

#[test]
fn a_flood_of_addresses_stays_within_the_bound_and_newcomers_are_still_counted() {
    let (limiter, _) = limiter(&settings("2/h"));
    let none = HeaderMap::new();
    for number in 0..300_000 {
        for _ in 0..1 + number % 3 {
            let _ = limiter.admit(from(Ipv4Addr::from_bits(0x0B00_0000 + number)), &none);
        }
    }
    assert!(limiter.table.load().addresses.count() as u64 <= MOST_ADDRESSES);
    assert_eq!((0..100).filter(|_| limiter.admit(from(ALICE), &none).verdict.is_ok()).count(), 2);
}

#[test]
fn one_bucket_is_for_all_threads_and_one_that_is_forgotten_is_for_none() {
    let (limiter, _) = limiter(&settings("100/h"));
    let none = HeaderMap::new();
    for _ in 0..2 {
        let let_in = std::thread::scope(|scope| {
            let asks = || (0..100).filter(|_| limiter.admit(from(ALICE), &none).verdict.is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(asks)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(let_in, 100);
        assert!(ask(&limiter).is_err());
        limiter.table.load().addresses.forget();
        assert_eq!(ask(&limiter).map(|quota| quota.remaining), Ok(99), "no thread uses the forgotten one");
        limiter.table.load().addresses.forget();
    }
}

#[test]
fn a_reload_keeps_what_stays() {
    let (limiter, _) = limiter(&settings("1/h"));
    let none = HeaderMap::new();
    let left = || {
        let all = [&none, &bearing("person"), &bearing("machine")];
        all.map(|headers| admitted(&limiter, from(ALICE), headers))
    };
    assert_eq!(left(), [1, 2, 3]);
    let mut next = settings("1/h");
    next.tokens[0].sha256 = Sha256::of(b"rotated");
    limiter.reload(&next);
    assert_eq!(limiter.admit(None, &bearing("rotated")).client, Client::Token("person".into()));
    assert_eq!(admitted(&limiter, None, &bearing("rotated")), 0);
    next = settings("1/h");
    next.rates.ci = rate("5/min");
    limiter.reload(&next);
    assert_eq!(left(), [0, 0, 5]);
    next.rates.anonymous = rate("4/h");
    next.tokens[0].class = TokenClass::Ci;
    limiter.reload(&next);
    assert_eq!(left(), [4, 5, 0]);
    next.tokens.clear();
    next.trusted_proxies = vec!["192.0.2.1/32".parse().unwrap()];
    limiter.reload(&next);
    assert_eq!(left(), [0, 0, 0]);
    let behind = HeaderMap::from_iter([(
        http::HeaderName::from_static("x-forwarded-for"),
        HeaderValue::from_static("192.0.2.9"),
    )]);
    assert_eq!(limiter.admit(from(ALICE), &behind).client, Client::Address([192, 0, 2, 9].into()));
}

#[test]
fn nothing_secret_is_printed() {
    let (limiter, _) = limiter(&settings("1/h"));
    let admission = limiter.admit(from(ALICE), &bearing("invented"));
    assert!(!format!("{limiter:?} {admission:?}").contains("invented"));
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&limiter);
}

proptest! {
    #[test]
    fn no_stretch_of_time_sees_more_than_its_share(
        requests in 1u32..40,
        period in prop::sample::select(vec!["s", "min", "h"]),
        waits in prop::collection::vec(prop_oneof![Just(0u64), 1..50u64, 50..5_000u64, 5_000..2_000_000u64], 1..300),
    ) {
        let rate = rate(&format!("{requests}/{period}"));
        let (limiter, clock) = limiter(&settings(&rate.to_string()));
        let (mut now, mut let_in) = (0, Vec::new());
        for wait in waits {
            clock.advance(Duration::from_millis(wait));
            now += wait;
            if ask(&limiter).is_ok() {
                let_in.push(now);
            }
        }
        let (q, w) = (u64::from(requests), rate.per().as_millis() as u64);
        for (first, from) in let_in.iter().enumerate() {
            for (last, until) in let_in.iter().enumerate().skip(first) {
                let admitted = (last - first + 1) as u64;
                prop_assert!(admitted <= q + (until - from) * q / w, "{admitted} in {} ms", until - from);
            }
        }
    }

    #[test]
    fn no_header_is_too_strange(
        lines in prop::collection::vec((any::<bool>(), prop_oneof![
            "[ -~\t]{0,60}",
            r#"([, ;="\\\[\]:_.]|for=|10\.0\.0\.1|192\.0\.2\.9|::1|unknown){0,20}"#,
        ]), 0..5),
        token in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (limiter, _) = limiter(&settings("1/h"));
        let mut headers = HeaderMap::new();
        for (standard, line) in lines {
            let name = if standard { "forwarded" } else { "x-forwarded-for" };
            headers.append(name, HeaderValue::try_from(line).unwrap());
        }
        if let Ok(token) = HeaderValue::from_bytes(&token) {
            headers.append(AUTHORIZATION, token);
        }
        let of = |peer: [u8; 4]| limiter.admit(from(peer), &headers).client;
        prop_assert!(matches!(of([10, 0, 0, 1]), Client::Address(_)));
        prop_assert_eq!(of([192, 0, 2, 1]), Client::Address(ALICE.into()), "nobody vouches for that peer");
    }
}
