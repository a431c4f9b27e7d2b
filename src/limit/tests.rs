//! Honest numbers at every boundary, and nothing gained by inventing anything, under a clock turned by hand.

use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::config::{Rate, RateLimits, Token, TokenClass};
use crate::domain::Sha256;

struct Desk {
    clock: Arc<ManualClock>,
    limiter: Limiter,
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn settings(anonymous: &str) -> Settings {
    let token =
        |name: &str, class| Token { name: name.to_owned(), class, sha256: Sha256::of(name.as_bytes()) };
    Settings {
        rates: RateLimits { anonymous: rate(anonymous), ..RateLimits::default() },
        tokens: vec![token("person", TokenClass::Authenticated), token("builder", TokenClass::Ci)],
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
    }
}

impl Desk {
    fn new(anonymous: &str) -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        Self { limiter: Limiter::new(&settings(anonymous), clock.clone()), clock }
    }

    fn wait(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    fn ask_with(&self, address: [u8; 4], authorization: &[&str]) -> Admission {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append("authorization", value.parse().unwrap());
        }
        self.limiter.admit(Some((address, 4711).into()), &headers)
    }

    fn ask(&self) -> Result<Quota, Refused> {
        self.ask_with([192, 0, 2, 1], &[]).verdict
    }
}

#[test]
fn a_burst_of_the_quota_then_one_each_share_of_the_window() {
    let desk = Desk::new("60/min");
    for left in (0..60).rev() {
        let quota = desk.ask().unwrap();
        assert_eq!(quota, Quota { limit: 60, window: 60, remaining: left, reset: u64::from(60 - left) });
    }
    let refused = desk.ask().unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(1));
    assert_eq!(refused.quota, Quota { limit: 60, window: 60, remaining: 0, reset: 1 });
    desk.wait(999);
    assert!(desk.ask().is_err(), "a millisecond early");
    desk.wait(1);
    assert!(desk.ask().is_ok(), "a client that waits as told is let in");
    assert!(desk.ask().is_err(), "and one only");
    desk.wait(60_000);
    assert_eq!(desk.ask().unwrap().remaining, 59, "full again after a window");
}

#[test]
fn other_windows_keep_their_word() {
    for (text, window) in [("7/s", 1), ("1/h", 3600), ("1000/min", 60)] {
        let desk = Desk::new(text);
        let most = rate(text).requests().get();
        for _ in 0..most {
            assert_eq!(desk.ask().unwrap().window, window);
        }
        let refused = desk.ask().unwrap_err();
        assert!(refused.quota.reset >= 1, "{text}");
        desk.wait(u64::try_from(refused.retry_after.as_nanos().div_ceil(1_000_000)).unwrap());
        assert!(desk.ask().is_ok(), "{text}");
    }
}

#[test]
fn a_known_token_has_its_class_and_bucket_and_nothing_else_has() {
    let desk = Desk::new("5/min");
    for (authorization, class, client) in [
        (&["Bearer person"][..], Class::Authenticated, "person"),
        (&["bearer builder"], Class::Ci, "builder"),
        (&[], Class::Anonymous, "192.0.2.1"),
        (&["Bearer unknown"], Class::Anonymous, "192.0.2.1"),
        (&["Bearer person", "Bearer person"], Class::Anonymous, "192.0.2.1"),
        (&["Basic person"], Class::Anonymous, "192.0.2.1"),
        (&["Bearer "], Class::Anonymous, "192.0.2.1"),
        (&["Bearer"], Class::Anonymous, "192.0.2.1"),
        (&[&format!("Bearer {}", "x".repeat(513))], Class::Anonymous, "192.0.2.1"),
    ] {
        let admission = desk.ask_with([192, 0, 2, 1], authorization);
        assert_eq!(
            (admission.class, admission.client.to_string().as_str()),
            (class, client),
            "{authorization:?}"
        );
    }
    let spent = |address| desk.ask_with(address, &["Bearer person"]).verdict.unwrap().remaining;
    assert_eq!(
        (spent([192, 0, 2, 1]), spent([192, 0, 2, 2])),
        (298, 297),
        "one bucket wherever it comes from"
    );
    assert!(!format!("{:?}", desk.limiter).contains("Bearer"));
}

#[test]
fn a_hundred_thousand_invented_tokens_gain_nothing() {
    let desk = Desk::new("5/min");
    let admitted = (0..100_000)
        .filter(|number| {
            desk.ask_with([192, 0, 2, 1], &[&format!("Bearer invented-{number}")]).verdict.is_ok()
        })
        .count();
    assert_eq!(admitted, 5);
    assert_eq!(desk.limiter.rules.load().tiers[0].held(), 1, "one address, one bucket");
}

#[test]
fn the_number_of_addresses_does_not_grow_memory_without_bound() {
    let desk = Desk::new("5/min");
    for number in 0..300_000_u32 {
        let [a, b, c, d] = number.to_be_bytes();
        let _ = desk.ask_with([a | 16, b, c, d], &[]);
    }
    assert!(desk.limiter.rules.load().tiers[0].held() <= buckets::MOST);
}

#[test]
fn a_reload_keeps_what_was_spent_unless_the_rate_changed() {
    let desk = Desk::new("5/min");
    assert!((0..5).all(|_| desk.ask().is_ok()));
    let mut changed = settings("5/min");
    changed.tokens.clear();
    desk.limiter.reload(&changed);
    assert!(desk.ask().is_err(), "the bucket is the same");
    assert_eq!(desk.ask_with([192, 0, 2, 2], &["Bearer person"]).class, Class::Anonymous);
    desk.limiter.reload(&settings("6/min"));
    assert_eq!(desk.ask().unwrap().limit, 6);
}

#[test]
fn a_connection_without_an_address_has_a_bucket_too() {
    let desk = Desk::new("1/min");
    let ask = || desk.limiter.admit(None, &HeaderMap::new());
    assert_eq!(ask().client, Client::Unknown);
    assert!(ask().verdict.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_window_admits_more_than_burst_and_refill(
        quota in 1_u64..40,
        pauses in prop::collection::vec(0_u64..5_000, 1..300),
        window in 1_u64..120_000,
    ) {
        let desk = Desk::new(&format!("{quota}/min"));
        let (mut now, mut admitted) = (0_u64, Vec::new());
        for pause in pauses {
            desk.wait(pause);
            now += pause;
            if desk.ask().is_ok() {
                admitted.push(now);
            }
        }
        for (at, start) in admitted.iter().enumerate() {
            let within = admitted[at..].iter().take_while(|time| **time < start + window).count() as u64;
            prop_assert!(within <= quota + window * quota / 60_000 + 1, "{within} in {window} ms of {quota}/min");
        }
    }
}
