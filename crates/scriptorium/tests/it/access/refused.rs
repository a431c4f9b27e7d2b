//! What is refused is refused alike, whether it exists or not, is cached or not, and however it is asked for.

use toml::toml;

use super::{Ground, OUTSIDER, READER, ask, get, lamp, secret};
use crate::support::catalogue::attachment;
use crate::support::{Answer, Proxy, Reply, eventually};

/// Every read that names a volume of the company's registry, of a release that exists and of one that does not.
fn targets() -> Vec<(String, String)> {
    let of = |name: &str| {
        [
            format!("/api/v1/index/volumes/{name}"),
            format!("/api/v1/volumes/{name}/1.0.0"),
            format!("/api/v1/volumes/{name}/1.0.0/trust/summary"),
            format!("/api/v1/volumes/{name}/1.0.0/trust/detail"),
            format!("/api/v1/advisories?volume={}", name.replace('@', "%40").replace('/', "%2F")),
            format!("/archives/{name}/1.0.0.tar.gz"),
            format!("/trust-artifacts/{name}/1.0.0/{}", "0".repeat(64)),
        ]
    };
    of("@corp/secret").into_iter().zip(of("@corp/s3cret")).collect()
}

/// Everything of an answer that may tell something, without what differs from request to request.
fn told(answer: &Answer, name: &str) -> String {
    let told = |name: &str| !matches!(name, "x-request-id" | "ratelimit" | "date");
    let fields: Vec<_> = answer.fields.iter().filter(|(name, _)| told(name)).collect();
    format!("{} {fields:?} {}", answer.status, answer.text().replace(name, "NAME"))
}

fn assert_alike(proxy: &Proxy, token: Option<&str>, status: u16, slug: &str) {
    for method in ["GET", "HEAD"] {
        for (there, missing) in targets() {
            for more in [
                &[][..],
                &[("if-none-match", "*")],
                &[("range", "bytes=0-0")],
                &[("cache-control", "only-if-cached")],
                &[("accept-encoding", "gzip")],
            ] {
                let [one, other] = [&there, &missing].map(|target| ask(proxy, method, target, token, more));
                assert_eq!(told(&one, "secret"), told(&other, "s3cret"), "{method} {there} {more:?}");
                assert_eq!(one.status, status, "{method} {there} {more:?}");
                assert_eq!(one.header("cache-control"), Some("no-store"));
                assert_eq!(one.header("www-authenticate"), (status == 401).then_some("Bearer"));
                assert_eq!(one.header("etag"), None);
                if method == "GET" {
                    one.problem(status, slug);
                }
            }
        }
    }
}

#[test]
fn strangers_and_outsiders_learn_nothing_cold_or_warm() {
    let ground = Ground::start();
    ground.corp.reply(&secret().trust("summary"), Reply::json(&secret().trust_summary()));
    let detail = secret().attested(&[attachment("a-1", "signed", "active")]);
    ground.corp.reply(&secret().trust("detail"), Reply::json(&detail));
    let mut proxy = ground.setup().start();
    let refuse_both = |proxy: &Proxy| {
        assert_alike(proxy, None, 401, "authentication-required");
        assert_alike(proxy, Some("invented"), 401, "authentication-required");
        assert_alike(proxy, Some(OUTSIDER), 403, "authorization-failed");
    };
    refuse_both(&proxy);
    assert_eq!(ground.corp.connections(), 0, "the registry was asked for somebody who may not read it");
    for (there, missing) in targets() {
        get(&proxy, &there, READER);
        get(&proxy, &missing, READER);
    }
    let asked = ground.corp.seen().len();
    refuse_both(&proxy);
    let etag = get(&proxy, &secret().index(), READER).ok().header("etag").unwrap().to_owned();
    let again = ask(&proxy, "GET", &secret().index(), None, &[("if-none-match", &etag)]);
    again.problem(401, "authentication-required");
    assert_eq!(ground.corp.seen().len(), asked);
    let metrics = proxy.admin().get("/metrics").text();
    for reason in ["no-token", "unknown-token", "not-allowed"] {
        let counted = format!("scriptorium_access_refused_total{{reason=\"{reason}\"}}");
        assert!(metrics.contains(&counted), "{metrics}");
    }
    proxy.restart();
    refuse_both(&proxy);
    let log = proxy.whole_log();
    for token in [READER, OUTSIDER, "invented"] {
        assert!(!log.contains(token), "a token stands in the log");
    }
}

#[test]
fn readers_get_all_of_it_and_no_shared_cache_keeps_it() {
    let ground = Ground::start();
    let proxy = ground.setup().start();
    let targets = [secret().index(), secret().exact(), secret().download()];
    for target in &targets {
        let answer = get(&proxy, target, READER).ok();
        let said = answer.header("cache-control").unwrap();
        assert!(said.starts_with("private, max-age="), "{target}: {said}");
        let etag = answer.header("etag").unwrap();
        let current = ask(&proxy, "GET", target, Some(READER), &[("if-none-match", etag)]);
        assert_eq!(current.status, 304);
        assert!(current.header("cache-control").unwrap().starts_with("private"), "{target}");
        assert!(
            ask(&proxy, "HEAD", target, Some(READER), &[])
                .header("cache-control")
                .unwrap()
                .starts_with("private")
        );
    }
    assert_eq!(get(&proxy, &secret().download(), READER).body, secret().archive());
    let part = ask(&proxy, "GET", &secret().download(), Some(READER), &[("range", "bytes=0-3")]);
    assert_eq!((part.status, part.body.len()), (206, 4));
    assert!(part.header("cache-control").unwrap().starts_with("private"));
    let missing = get(&proxy, "/api/v1/index/volumes/@corp/unheard-of", READER);
    missing.problem(404, "not-found");
    assert!(!missing.header("cache-control").unwrap_or_default().contains("public"));
    // The public registry is as ever.
    for token in [None, Some("invented"), Some(OUTSIDER), Some(READER)] {
        let answer = ask(&proxy, "GET", &lamp().index(), token, &[]).ok();
        assert!(answer.header("cache-control").unwrap().starts_with("public"), "{token:?}");
    }
}

#[test]
fn tokens_and_groups_may_read() {
    let ground = Ground::start();
    let mut proxy = ground.setup().set_readers("tokens").start();
    get(&proxy, &secret().index(), OUTSIDER).ok();
    get(&proxy, &secret().index(), "invented").problem(401, "authentication-required");
    proxy.restart_as(|setup| setup.set_readers(vec!["group:release"]));
    get(&proxy, &secret().index(), OUTSIDER).ok();
    get(&proxy, &secret().index(), READER).problem(403, "authorization-failed");
    proxy.restart_as(|setup| setup.set_readers("anyone"));
    let open = proxy.client().get(&secret().index()).ok();
    assert!(open.header("cache-control").unwrap().starts_with("public"));
}

#[test]
fn a_token_past_its_last_day_is_no_token() {
    let ground = Ground::start();
    let setup = ground.setup().set_readers(vec!["reader", "old", "new"]);
    let setup = setup.token("old", "old-secret", toml! { expires = "2020-02-29" });
    let proxy = setup.token("new", "new-secret", toml! { expires = "2999-12-31" }).start();
    get(&proxy, &secret().index(), "new-secret").ok();
    get(&proxy, &secret().index(), "old-secret").problem(401, "authentication-required");
    let elsewhere = get(&proxy, &lamp().index(), "old-secret").ok();
    assert!(elsewhere.header("ratelimit-policy").unwrap().starts_with("\"anonymous\""));
    let note = "tokens[2] (old) counts as no token: its last day was 2020-02-29";
    eventually(note, || proxy.log().contains(note).then_some(()));
}

#[test]
fn the_volumes_of_a_token_narrow_restricted_registries_only() {
    let ground = Ground::start();
    let setup = ground.setup().set_readers("tokens");
    let narrow = toml! { volumes = ["@corp/tools-*"] };
    let proxy = setup.token("narrow", "narrow-secret", narrow).start();
    for name in ["@corp/secret", "@corp/s3cret"] {
        for target in [format!("/api/v1/index/volumes/{name}"), format!("/archives/{name}/1.0.0.tar.gz")] {
            get(&proxy, &target, "narrow-secret").problem(403, "authorization-failed");
        }
    }
    get(&proxy, "/api/v1/index/volumes/@corp/tools-x", "narrow-secret").problem(404, "not-found");
    get(&proxy, &lamp().index(), "narrow-secret").ok();
}

#[test]
fn access_is_that_of_the_registry_a_name_is_routed_to() {
    let ground = Ground::start();
    // The public registry has a volume of this name too, and nobody is sent there for it.
    ground.public.publish(&secret());
    let proxy = ground.setup().start();
    proxy.client().get(&secret().index()).problem(401, "authentication-required");
    assert_eq!(ground.public.connections(), 0);
}

#[test]
fn a_release_with_the_integrity_of_a_hidden_one_does_not_tell_its_name() {
    let ground = Ground::start();
    let (base, mut proxy) = (ground.public.url(), ground.setup().start());
    get(&proxy, &secret().download(), READER).ok();
    let [mut row, mut exact] = [lamp().row(&base), lamp().metadata(&base)];
    for document in [&mut row, &mut exact] {
        document["integrity"] = secret().integrity().into();
    }
    ground.public.say(&lamp(), [row], Reply::json(&exact));
    let answer = ask(&proxy, "GET", &lamp().download(), None, &[]);
    let problem = answer.problem(409, "inconsistent-registry-state");
    assert!(problem["detail"].as_str().unwrap().contains("another release's"), "{problem}");
    assert!(!format!("{:?} {}", answer.fields, answer.text()).contains("secret"), "{problem}");
    assert!(proxy.whole_log().contains(&secret().purl()), "the operator is not told which release it is");
}
