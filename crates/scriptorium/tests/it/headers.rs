//! The headers of contract section 4: validators, ages, request ids, and HEAD as GET's shadow.

use sha2::{Digest, Sha256};

use crate::support::{Answer, Client, Conversation, Release, Setup, Upstream, eventually};

/// Headers that differ between any two answers.
const VOLATILE: [&str; 6] = ["date", "age", "x-request-id", "cache-status", "ratelimit", "cache-control"];

fn steady(answer: &Answer) -> Vec<(&str, &str)> {
    let mut fields: Vec<_> = answer.fields.iter().filter(|(name, _)| !VOLATILE.contains(name)).collect();
    fields.sort_unstable();
    fields
}

fn max_age(answer: &Answer) -> u64 {
    let value = answer.header("cache-control").unwrap();
    let (scope, age) = value.split_once(", max-age=").unwrap_or_else(|| panic!("{value}"));
    assert_eq!(scope, "public");
    age.parse().unwrap()
}

fn published() -> (Upstream, Release) {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    (upstream, release)
}

#[test]
fn documents_say_what_they_are_and_how_long_they_last() {
    let (upstream, release) = published();
    let proxy = Setup::before(&upstream).set("cache.index_ttl", "100s").start();
    let answer = proxy.client().get(&release.index()).ok();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert!((98..=100).contains(&max_age(&answer)));
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is not strong");
}

#[test]
fn an_answer_grows_old() {
    let (upstream, release) = published();
    let proxy = Setup::before(&upstream).set("cache.index_ttl", "100s").start();
    proxy.client().get(&release.index()).ok();
    let aged = eventually("an age", || {
        let answer = proxy.client().get(&release.index()).ok();
        let age: u64 = answer.header("age").unwrap().parse().unwrap();
        (age >= 1).then_some((age, max_age(&answer), answer.cache().to_owned()))
    });
    assert!((99..=101).contains(&(aged.0 + aged.1)), "age and max-age make the ttl: {aged:?}");
    assert!(aged.2.contains(&format!("ttl={}", aged.1)), "{aged:?}");
}

#[test]
fn a_matching_etag_is_answered_with_304() {
    let (upstream, release) = published();
    let proxy = Setup::before(&upstream).start();
    for target in [release.index(), release.exact(), release.download()] {
        let tag = proxy.client().get(&target).ok().header("etag").unwrap().to_owned();
        for condition in [tag.clone(), format!("\"other\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
            let answer = proxy.client().get_with(&target, "if-none-match", &condition);
            assert_eq!(answer.status, 304, "{target} with {condition}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert!(answer.header("cache-control").is_some() && answer.is_hit());
        }
        assert_eq!(
            proxy.client().get_with(&target, "if-none-match", "\"other\"").ok().header("etag"),
            Some(&*tag)
        );
    }
}

#[test]
fn equal_bodies_have_equal_etags_across_restarts() {
    let (upstream, release) = published();
    let mut proxy = Setup::before(&upstream).start();
    let tags = |client: Client| {
        [release.index(), release.exact(), release.download()]
            .map(|target| client.get(&target).ok().header("etag").map(str::to_owned))
    };
    let before = tags(proxy.client());
    proxy.restart_as(|setup| setup.set("server.public_url", "http://127.0.0.1:1"));
    let after = tags(proxy.client());
    assert_eq!(before[2], after[2], "an archive's tag depends on its bytes alone");
    assert_ne!(before[0], after[0], "other links, another body, another tag");
}

#[test]
fn head_is_get_without_the_body() {
    let (upstream, release) = published();
    let proxy = Setup::before(&upstream).start();
    let refused = "/api/v1/index/volumes/unheard-of".to_owned();
    for target in
        [release.index(), release.exact(), release.download(), "/api/v1/search?limit=0".to_owned(), refused]
    {
        let cold = proxy.client().head(&target);
        let get = proxy.client().get(&target);
        let warm = proxy.client().head(&target);
        for head in [cold, warm] {
            assert_eq!(head.status, get.status, "{target}");
            assert_eq!(steady(&head), steady(&get), "{target}");
        }
    }
}

#[test]
fn head_is_not_followed_by_a_body() {
    let (upstream, release) = published();
    let proxy = Setup::before(&upstream).start();
    for target in [release.index(), release.download(), "/nowhere".to_owned()] {
        let mut conversation = Conversation::open(proxy.client().0).unwrap();
        conversation.ask("HEAD", &target, &[]).unwrap();
        conversation.begin().unwrap();
        assert!(conversation.is_over(), "{target}: bytes after a HEAD's answer");
    }
}

#[test]
fn archives_carry_their_digest() {
    let (upstream, release) = published();
    let proxy = Setup::before(&upstream).start();
    for _ in ["cold", "warm"] {
        let answer = proxy.client().get(&release.download()).ok();
        assert_eq!(answer.header("content-type"), Some("application/gzip"));
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        let digest = data_encoding::BASE64.encode(&Sha256::digest(&answer.body));
        assert_eq!(answer.header("repr-digest"), Some(format!("sha-256=:{digest}:").as_str()));
    }
}

#[test]
fn errors_made_here_are_not_to_be_stored() {
    let (upstream, _) = published();
    let proxy = Setup::before(&upstream).start();
    for target in ["/nowhere", "/api/v1/index/volumes/UPPER", "/api/v1/search?limit=0"] {
        assert_eq!(proxy.client().get(target).header("cache-control"), Some("no-store"), "{target}");
    }
}

#[test]
fn a_request_id_goes_all_the_way() {
    let (upstream, release) = published();
    let proxy = Setup::before(&upstream).start();
    let answer = proxy.client().get_with(&release.index(), "x-request-id", "trace-me-42");
    assert_eq!(answer.header("x-request-id"), Some("trace-me-42"));
    assert_eq!(upstream.seen()[0].fields.get("x-request-id"), Some("trace-me-42"));
    let problem = proxy.client().get_with("/nowhere", "x-request-id", "trace-me-43");
    assert_eq!(problem.header("x-request-id"), Some("trace-me-43"));
}

#[test]
fn a_request_id_that_is_missing_or_unfit_is_made() {
    let (upstream, release) = published();
    let proxy = Setup::before(&upstream).start();
    let long = "x".repeat(129);
    let mut made = Vec::new();
    for unfit in [None, Some(""), Some("two words"), Some("caf\u{e9}"), Some(long.as_str())] {
        let fields: Vec<_> = unfit.map(|id| ("x-request-id", id)).into_iter().collect();
        let answer = proxy.client().send("GET", &release.index(), &fields).ok();
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert!((1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id:?}");
        assert_ne!(Some(id.as_str()), unfit);
        made.push(id);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 5, "every request has an id of its own");
    let longest = "x".repeat(128);
    let kept = proxy.client().get_with(&release.index(), "x-request-id", &longest);
    assert_eq!(kept.header("x-request-id"), Some(longest.as_str()));
}
