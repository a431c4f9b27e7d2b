//! Signed tokens of issuers: which hold, for whom they count, and what becomes of all others.

use std::fs;

use serde_json::{Value, json};
use toml::toml;

use super::{Ground, ask, get, lamp, secret};
use crate::support::tokens::{IssuerKey, confused, now, rsa, unsigned};
use crate::support::{Proxy, Reply, Setup, Upstream, eventually};

const ISSUER: &str = "https://issuer.example";

pub(super) fn claims(subject: &str) -> Value {
    json!({
        "iss": ISSUER, "aud": "scriptorium", "sub": subject, "exp": now() + 600, "nbf": now() - 5,
        "repository": "acme/tools",
    })
}

/// An issuer for the company's registry, whose keys are at `source`.
fn with_issuer(setup: Setup, source: (&str, &str)) -> Setup {
    let mut issuer = toml! {
        name = "actions"
        issuer = "https://issuer.example"
        audience = "scriptorium"
        class = "ci"
        groups = ["builds"]
        claims = { repository = "acme/*" }
    };
    issuer.insert(source.0.to_owned(), source.1.into());
    setup.set_readers(vec!["group:builds"]).table_in("issuers", issuer)
}

pub(super) fn with_keys(ground: &Ground, keys: &Value) -> (tempfile::TempDir, Setup) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    fs::write(&file, keys.to_string()).unwrap();
    let setup = with_issuer(ground.setup(), ("jwks_file", &file.display().to_string()));
    (folder, setup)
}

fn class(proxy: &Proxy, token: &str) -> String {
    let answer = get(proxy, &lamp().index(), token).ok();
    answer.header("ratelimit-policy").unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn a_token_that_holds_reads_and_has_a_rate_for_each_subject() {
    let ground = Ground::start();
    let key = IssuerKey::new("one");
    let (_folder, setup) = with_keys(&ground, &key.jwks());
    let mut proxy = setup.set("rate_limits.ci", "3/h").start();
    let [first, second] = ["repo:acme/tools", "repo:acme/more"].map(|subject| key.sign(&claims(subject)));
    let answer = get(&proxy, &secret().index(), &first).ok();
    assert!(answer.header("cache-control").unwrap().starts_with("private"));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"ci\";q=3;w=3600"));
    // Another token of the same subject has the same bucket.
    let again = key.sign(
        &json!({"iss": ISSUER, "aud": ["x", "scriptorium"], "sub": "repo:acme/tools", "exp": now() + 60,
        "repository": "acme/tools"}),
    );
    get(&proxy, &secret().index(), &again).ok();
    get(&proxy, &secret().index(), &first).ok();
    get(&proxy, &secret().index(), &again).problem(429, "rate-limited");
    get(&proxy, &secret().index(), &second).ok();
    let log = proxy.whole_log();
    assert!(log.contains("actions:repo:acme/tools"), "the subject is who asked");
    for token in [&first, &second, &again] {
        assert!(token.split('.').all(|part| !log.contains(part)), "a part of a token stands in the log");
    }
}

#[test]
fn rs256_holds_too() {
    let ground = Ground::start();
    let (keys, token) = rsa(&claims("repo:acme/tools"));
    let (_folder, setup) = with_keys(&ground, &keys);
    let proxy = setup.start();
    get(&proxy, &secret().index(), &token).ok();
    get(&proxy, &secret().index(), &format!("{}A", &token[..token.len() - 2]))
        .problem(401, "authentication-required");
}

#[test]
fn hostile_tokens_are_401_where_one_is_needed_and_anonymous_elsewhere() {
    let (key, other) = (IssuerKey::new("one"), IssuerKey::new("one"));
    let with = |name: &str, value: Value| {
        let mut claims = claims("repo:acme/tools");
        claims[name] = value;
        key.sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = claims("repo:acme/tools");
        claims.as_object_mut().unwrap().remove(name);
        key.sign(&claims)
    };
    let good = claims("repo:acme/tools");
    let header = json!({"alg": "ES256", "kid": "one"}).to_string();
    // A member that stands there twice, first or last with the value that would hold.
    let twice = |name: &str, bad: &Value, is_last: bool| {
        let good = good.to_string();
        let other = format!("\"{name}\":{bad}");
        let text = match is_last {
            true => format!("{},{other}}}", good.strip_suffix('}').unwrap()),
            false => format!("{{{other},{}", good.strip_prefix('{').unwrap()),
        };
        key.sign_text(&header, &text)
    };
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(2000), "]".repeat(2000));
    let huge = with("padding", json!("x".repeat(9000)));
    let hostile = [
        ("none", format!("{}.", unsigned(&json!({"alg": "none"}), &good))),
        ("HS256", key.sign_with(&json!({"alg": "HS256", "kid": "one"}), &good)),
        ("RS256 over an EC key", key.sign_with(&json!({"alg": "RS256", "kid": "one"}), &good)),
        ("another kid", key.sign_with(&json!({"alg": "ES256", "kid": "two"}), &good)),
        ("another key", other.sign(&good)),
        ("expired", with("exp", json!(now() - 120))),
        ("without an end", without("exp")),
        ("an end that is text", with("exp", json!("9999999999"))),
        ("not yet", with("nbf", json!(now() + 600))),
        ("another audience", with("aud", json!("other"))),
        ("no audience", without("aud")),
        ("another issuer", with("iss", json!("https://issuer.example.evil"))),
        ("another repository", with("repository", json!("evil/acme/tools"))),
        ("no repository", without("repository")),
        ("no subject", without("sub")),
        ("a subject over lines", with("sub", json!("a\r\nb"))),
        ("critical", key.sign_with(&json!({"alg": "ES256", "kid": "one", "crit": ["x"], "x": 1}), &good)),
        ("huge", huge),
        ("HS256 with the public key", confused(&key.public(), &good)),
        ("HS256 with the set of keys", confused(key.jwks().to_string().as_bytes(), &good)),
        ("HS256 with nothing", confused(b"", &good)),
        ("an end in 1970", with("exp", json!(1))),
        ("an end before time", with("exp", json!(-1))),
        ("an end that is a list", with("exp", json!([now() + 60]))),
        ("a start that is text", with("nbf", json!("0"))),
        ("two audiences", twice("aud", &json!("other"), false)),
        ("two audiences, the wrong one last", twice("aud", &json!("other"), true)),
        ("two issuers", twice("iss", &json!("https://other"), false)),
        ("two issuers, the wrong one last", twice("iss", &json!("https://other"), true)),
        ("two ends", twice("exp", &json!(1), false)),
        ("two ends, the wrong one last", twice("exp", &json!(1), true)),
        ("two repositories", twice("repository", &json!("evil/x"), false)),
        ("two repositories, the wrong one last", twice("repository", &json!("evil/x"), true)),
        ("two algorithms", key.sign_text(r#"{"alg":"none","alg":"ES256","kid":"one"}"#, &good.to_string())),
        ("deep claims", key.sign_text(&header, &deep)),
        ("no JSON", key.sign_text(&header, "exp=9999999999")),
    ];
    // Few enough for one proxy not to ignore the address of the test.
    for hostile in hostile.chunks(10) {
        let ground = Ground::start();
        let (_folder, setup) = with_keys(&ground, &key.jwks());
        let proxy = setup.start();
        for (what, token) in hostile {
            let refused = get(&proxy, &secret().index(), token);
            assert_eq!(refused.status, 401, "{what}: {}", refused.text());
            assert_eq!(class(&proxy, token), "\"anonymous\"", "{what}");
        }
        assert_eq!(ground.corp.connections(), 0);
        get(&proxy, &secret().index(), &key.sign(&good)).ok();
    }
}

#[test]
fn a_reload_reads_the_file_of_keys_again() {
    let ground = Ground::start();
    let (old, new) = (IssuerKey::new("old"), IssuerKey::new("new"));
    let (folder, setup) = with_keys(&ground, &old.jwks());
    let proxy = setup.start();
    let token = old.sign(&claims("a"));
    get(&proxy, &secret().index(), &token).ok();
    fs::write(folder.path().join("jwks.json"), new.jwks().to_string()).unwrap();
    get(&proxy, &secret().index(), &token).ok();
    assert_eq!(proxy.reload().ok().json()["applied"], json!(["issuers"]));
    get(&proxy, &secret().index(), &token).problem(401, "authentication-required");
    get(&proxy, &secret().index(), &new.sign(&claims("a"))).ok();
    fs::write(folder.path().join("jwks.json"), "{}").unwrap();
    let refused = proxy.reload().problem(400, "validation-failed");
    assert_eq!(refused["errors"][0]["key"], "issuers[0].jwks_file");
    get(&proxy, &secret().index(), &new.sign(&claims("a"))).ok();
}

#[test]
fn published_keys_are_fetched_and_outlive_the_issuer() {
    let ground = Ground::start();
    let (key, publisher) = (IssuerKey::new("one"), Upstream::start());
    publisher.reply("/keys", Reply::json(&key.jwks()));
    let url = format!("{}/keys", publisher.url());
    let proxy = with_issuer(ground.setup(), ("jwks_url", &url)).start();
    let token = |subject: &str| key.sign(&claims(subject));
    eventually("keys", || {
        (ask(&proxy, "GET", &secret().index(), Some(&token("a")), &[]).status == 200).then_some(())
    });
    assert_eq!(publisher.requests("/keys"), 1);
    assert!(publisher.seen()[0].header("authorization").is_none());
    assert!(proxy.admin().get("/metrics").text().contains("scriptorium_issuer_keys{issuer=\"actions\"} 1"));
    publisher.reply("/keys", Reply::failure(500));
    // A reload keeps what was fetched.
    proxy.reconfigure(|setup| setup.set("cache.index_ttl", "7s"));
    proxy.reload().ok();
    get(&proxy, &secret().index(), &token("b")).ok();
}

#[test]
fn a_place_of_keys_that_redirects_floods_or_sends_noise_gives_none() {
    let ground = Ground::start();
    let key = IssuerKey::new("one");
    let elsewhere = Upstream::start();
    elsewhere.reply("/keys", Reply::json(&key.jwks()));
    for (what, reply) in [
        ("redirect", Reply::redirect(&format!("{}/keys", elsewhere.url()))),
        ("noise", Reply::document("<html>")),
        ("shared secrets", Reply::json(&json!({"keys": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0"}]}))),
        ("flood", Reply::document(vec![b' '; 3 << 20])),
    ] {
        let publisher = Upstream::start();
        publisher.reply("/keys", reply);
        let url = format!("{}/keys", publisher.url());
        let proxy = with_issuer(ground.setup(), ("jwks_url", &url)).start();
        eventually("a question", || (publisher.requests("/keys") > 0).then_some(()));
        eventually("a warning", || proxy.log().contains("the issuer's keys cannot be had").then_some(()));
        let refused = get(&proxy, &secret().index(), &key.sign(&claims("a")));
        assert_eq!(refused.status, 401, "{what}");
        get(&proxy, &lamp().index(), &key.sign(&claims("a"))).ok();
    }
    assert_eq!(elsewhere.connections(), 0);
}
