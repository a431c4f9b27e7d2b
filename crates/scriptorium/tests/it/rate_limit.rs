//! Rates inward: whose bucket a request is counted in, what is said of it, and what a full house answers.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::support::tarball::Entry;
use crate::support::{Answer, Conversation, Proxy, Release, Reply, Setup, Upstream, eventually, noise};

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

/// A registry with one release, and a proxy before it that lets an address ask five times in an hour.
fn strict(change: impl FnOnce(Setup) -> Setup) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let setup = Setup::before(&upstream).set("rate_limits.anonymous", "5/h");
    (upstream, change(setup).start())
}

fn token(setup: Setup, name: &str, class: &str, token: &str) -> Setup {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(token));
    let entry = [("name", name), ("class", class), ("sha256", &digest)]
        .map(|(key, value)| (key.to_owned(), Value::from(value)));
    let mut setup = setup;
    let tokens = setup.table.entry("tokens").or_insert_with(|| Value::Array(Vec::new()));
    tokens.as_array_mut().unwrap().push(Table::from_iter(entry).into());
    setup
}

fn from(address: &str, proxy: &Proxy, fields: &[(&str, &str)]) -> Answer {
    let address: IpAddr = address.parse().unwrap();
    let mut conversation = Conversation::open_from(address, proxy.client().0).unwrap();
    conversation.ask("GET", &lamp().index(), fields).unwrap();
    conversation.answer().unwrap()
}

/// How many requests are let in before the first refusal, at most `most`.
fn let_in(most: usize, ask: impl Fn() -> Answer) -> usize {
    (0..most).take_while(|_| ask().status != 429).count()
}

/// What `RateLimit` says is left and in how many seconds.
fn left(answer: &Answer, class: &str) -> (u64, u64) {
    let field = answer.header("ratelimit").unwrap_or_else(|| panic!("no RateLimit on {answer:?}"));
    let rest = field.strip_prefix(&format!("\"{class}\";r=")).unwrap_or_else(|| panic!("{field}"));
    let (remaining, reset) = rest.split_once(";t=").unwrap();
    (remaining.parse().unwrap(), reset.parse().unwrap())
}

#[test]
fn every_answer_tells_the_quota_and_what_is_left() {
    let (_upstream, proxy) = strict(|setup| setup);
    let client = proxy.client();
    let answers = [
        client.get(&lamp().index()),
        client.head(&lamp().download()),
        client.get("/nowhere"),
        client.send("POST", &lamp().index(), &[("content-length", "0")]),
        client.get("/api/v1/index/volumes/unheard-of"),
    ];
    for (answer, expected) in answers.iter().zip((0..5).rev()) {
        assert_eq!(answer.header("ratelimit-policy"), Some("\"anonymous\";q=5;w=3600"));
        let (remaining, reset) = left(answer, "anonymous");
        assert_eq!(remaining, expected);
        assert!((1..=3600).contains(&reset), "{reset}");
    }
    assert!(proxy.admin().get("/livez").header("ratelimit").is_none(), "admin routes do not count");
}

#[test]
fn over_the_rate_is_a_problem_that_says_how_long_to_wait_and_costs_nothing() {
    let (upstream, proxy) = strict(|setup| setup);
    for _ in 0..5 {
        proxy.client().get(&lamp().index()).ok();
    }
    let asked = upstream.seen().len();
    let refused = proxy.client().get("/api/v1/index/volumes/never-asked-for");
    refused.problem(429, "rate-limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=720).contains(&wait), "one of five in an hour comes back in 720 s, not {wait}");
    assert_eq!(left(&refused, "anonymous"), (0, wait));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert_eq!(upstream.seen().len(), asked, "a refused request reached the registry");
    let metrics = proxy.admin().get("/metrics").text();
    assert!(metrics.contains("scriptorium_rate_limited_total{class=\"anonymous\"} 1"), "{metrics}");
}

#[test]
fn each_address_has_a_bucket_of_its_own() {
    let (_upstream, proxy) = strict(|setup| setup);
    assert_eq!(let_in(9, || from("127.0.0.1", &proxy, &[])), 5);
    assert_eq!(let_in(9, || from("127.0.0.2", &proxy, &[])), 5);
    assert_eq!(from("127.0.0.1", &proxy, &[]).status, 429);
}

#[test]
fn a_known_token_has_its_class_and_its_own_bucket_wherever_it_comes_from() {
    let (_upstream, mut proxy) = strict(|setup| {
        let setup = setup.set("rate_limits.authenticated", "7/h").set("rate_limits.ci", "9/h");
        let setup = token(setup, "person", "authenticated", "persons-secret");
        token(setup, "builder", "ci", "builders-secret")
    });
    let person = [("authorization", "Bearer persons-secret")];
    let first = from("127.0.0.1", &proxy, &person);
    assert_eq!(left(&first, "authenticated").0, 6);
    assert_eq!(first.header("ratelimit-policy"), Some("\"authenticated\";q=7;w=3600"));
    assert_eq!(let_in(20, || from("127.0.0.2", &proxy, &person)), 6, "one bucket, two addresses");
    let builder = [("authorization", "bearer builders-secret")];
    assert_eq!(let_in(20, || from("127.0.0.1", &proxy, &builder)), 9);
    assert_eq!(let_in(20, || from("127.0.0.1", &proxy, &[])), 5, "the address has its own bucket still");
    let metrics = proxy.admin().get("/metrics").text();
    assert!(metrics.contains("class=\"ci\",route=\"index\",status=\"200\"} 9"), "{metrics}");
    let log = proxy.whole_log();
    for secret in ["persons-secret", "builders-secret"] {
        assert!(!log.contains(secret), "a token stands in the log");
    }
}

#[test]
fn inventing_tokens_gains_nothing() {
    let (_upstream, proxy) = strict(|setup| token(setup, "person", "authenticated", "persons-secret"));
    let invented = std::cell::Cell::new(0);
    let ask = || {
        invented.set(invented.get() + 1);
        from("127.0.0.1", &proxy, &[("authorization", &format!("Bearer invented-{}", invented.get()))])
    };
    assert_eq!(let_in(20, ask), 5);
}

#[test]
fn who_a_trusted_proxy_names_is_counted_and_nobody_else_may_name_one() {
    let (_upstream, proxy) = strict(|setup| setup.set("server.trusted_proxies", vec!["127.0.0.1/32"]));
    let through = [("x-forwarded-for", "203.0.113.9, 198.51.100.7")];
    assert_eq!(let_in(20, || from("127.0.0.1", &proxy, &through)), 5);
    let also = [("x-forwarded-for", "192.0.2.1, 198.51.100.7")];
    assert_eq!(from("127.0.0.1", &proxy, &also).status, 429, "only the right-most untrusted one counts");
    let stranger = std::cell::Cell::new(0);
    let ask = || {
        stranger.set(stranger.get() + 1);
        from("127.0.0.2", &proxy, &[("x-forwarded-for", &format!("198.51.100.{}", stranger.get()))])
    };
    assert_eq!(let_in(20, ask), 5, "a stranger's word was believed");
}

/// What reaches the proxy when `value` is what a client sends as `header` to an nginx that appends to X-Forwarded-For.
fn through_nginx(proxy: &Proxy, header: &str, value: &str) -> Answer {
    match header {
        "x-forwarded-for" => from("127.0.0.1", proxy, &[(header, &format!("{value}, 198.51.100.7"))]),
        passed_on => from("127.0.0.1", proxy, &[(passed_on, value), ("x-forwarded-for", "198.51.100.7")]),
    }
}

#[test]
fn a_client_behind_a_proxy_has_one_bucket_whatever_headers_it_invents() {
    for header in ["forwarded", "x-forwarded-for", "x-real-ip", "true-client-ip"] {
        let (_upstream, proxy) = strict(|setup| setup.set("server.trusted_proxies", vec!["127.0.0.1/32"]));
        let invented = std::cell::Cell::new(0);
        let ask = || {
            invented.set(invented.get() + 1);
            let address = format!("203.0.113.{}", invented.get());
            let value = if header == "forwarded" { format!("for={address}") } else { address };
            through_nginx(&proxy, header, &value)
        };
        assert_eq!(let_in(20, ask), 5, "{header} gave a client a bucket for each address it invents");
    }
}

#[test]
fn the_source_of_addresses_is_the_one_that_is_configured() {
    for (source, header, value) in [
        ("forwarded", "forwarded", "for=203.0.113.9, for=198.51.100.7"),
        ("x-forwarded-for", "x-forwarded-for", "203.0.113.9, 198.51.100.7"),
    ] {
        let (_upstream, proxy) = strict(|setup| {
            setup.set("server.trusted_proxies", vec!["127.0.0.0/8"]).set("server.client_address", source)
        });
        assert_eq!(let_in(20, || from("127.0.0.1", &proxy, &[(header, value)])), 5, "{source}");
        assert_eq!(from("127.0.0.2", &proxy, &[(header, value)]).status, 429, "{source}: one client");
        assert_eq!(from("127.0.0.2", &proxy, &[]).status, 200, "{source}");
    }
    let (_upstream, proxy) = strict(|setup| {
        setup.set("server.trusted_proxies", vec!["127.0.0.0/8"]).set("server.client_address", "peer")
    });
    let invented = std::cell::Cell::new(0);
    let ask = || {
        invented.set(invented.get() + 1);
        let address = format!("203.0.113.{}", invented.get());
        let forwarded = format!("for={address}");
        from("127.0.0.1", &proxy, &[("x-forwarded-for", &address), ("forwarded", &forwarded)])
    };
    assert_eq!(let_in(20, ask), 5, "a header was looked at");
}

#[test]
fn a_full_house_sheds_instead_of_queueing() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).set("limits.max_requests", 2).start();
    let targets = [lamp().index(), lamp().exact()];
    let holds = targets.each_ref().map(|target| upstream.hold(target));
    let waiting = targets.each_ref().map(|target| {
        let mut conversation = Conversation::open(proxy.client().0).unwrap();
        conversation.ask("GET", target, &[]).unwrap();
        eventually("a place to be taken", || (upstream.requests(target) == 1).then_some(()));
        conversation
    });
    let shed = proxy.client().get("/api/v1/capabilities");
    shed.problem(503, "about:blank");
    assert_eq!(shed.header("retry-after"), Some("1"));
    drop(holds);
    for mut conversation in waiting {
        conversation.answer().unwrap().ok();
    }
    assert_eq!(proxy.client().get(&lamp().index()).status, 200, "places were not given back");
}

#[test]
fn one_client_cannot_take_every_place() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).set("limits.max_requests_per_client", 1).start();
    let hold = upstream.hold("/api/v1/capabilities");
    let mut waiting = Conversation::open(proxy.client().0).unwrap();
    waiting.ask("GET", "/api/v1/capabilities", &[]).unwrap();
    eventually("the client's one place to be taken", || {
        (upstream.requests("/api/v1/capabilities") == 1).then_some(())
    });
    let refused = from("127.0.0.1", &proxy, &[]);
    refused.problem(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    from("127.0.0.2", &proxy, &[]).ok();
    hold.release();
    waiting.answer().unwrap();
    eventually("the place to be free again", || (from("127.0.0.1", &proxy, &[]).status == 200).then_some(()));
}

#[test]
fn downloads_have_places_of_their_own_until_the_last_byte() {
    let upstream = Upstream::start();
    let big = lamp().adding(Entry::file("data.bin", noise(7, 32 << 20)));
    upstream.publish(&big);
    upstream.reply("/api/v1/capabilities", Reply::failure(404));
    let proxy = Setup::before(&upstream).set("limits.max_downloads", 1).start();
    let mut download = Conversation::open(proxy.client().0).unwrap();
    download.ask("GET", &big.download(), &[]).unwrap();
    let mut answer = download.begin().unwrap();
    assert_eq!(answer.status, 200);
    let shed = proxy.client().get(&big.download());
    shed.problem(503, "about:blank");
    assert!(shed.header("retry-after").is_some());
    proxy.client().get(&big.index()).ok();
    download.finish(&mut answer).unwrap();
    assert!(answer.whole);
    eventually("the place of the download", || {
        (proxy.client().head(&big.download()).status == 200).then_some(())
    });
}

#[test]
fn a_reload_puts_tokens_and_tiers_in_force_and_gives_nothing_back() {
    let (_upstream, proxy) = strict(|setup| setup);
    assert_eq!(let_in(9, || from("127.0.0.1", &proxy, &[])), 5);
    let builder = [("authorization", "Bearer builders-secret")];
    assert_eq!(from("127.0.0.1", &proxy, &builder).status, 429, "not known yet");
    proxy.reconfigure(|setup| token(setup.set("rate_limits.ci", "9/h"), "builder", "ci", "builders-secret"));
    let report = proxy.reload().ok().json();
    assert_eq!(report["restart"], serde_json::json!([]), "{report}");
    assert_eq!(from("127.0.0.1", &proxy, &[]).status, 429, "a reload filled the bucket");
    assert_eq!(let_in(20, || from("127.0.0.1", &proxy, &builder)), 9);
    proxy.reconfigure(|setup| setup.set("rate_limits.anonymous", "6/h"));
    proxy.reload().ok();
    assert_eq!(let_in(20, || from("127.0.0.1", &proxy, &[])), 6, "another rate begins anew");
}
