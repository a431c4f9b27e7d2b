//! Search, advisories and capabilities: what a client may not read is left out, also of the numbers.

use serde_json::{Value, json};
use toml::toml;

use super::{Ground, OUTSIDER, READER, ask, get};
use crate::support::catalogue::capabilities;
use crate::support::{Answer, Proxy, Reply, Setup, Upstream};

const SEARCH: &str = "/api/v1/search";
const ADVISORIES: &str = "/api/v1/advisories";

/// Lets a registry find those of `names` that have the word, in pages.
fn find(upstream: &Upstream, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    upstream.compute("GET", SEARCH, move |seen| {
        let (_, query) = seen.target.split_once('?').unwrap();
        let get = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        let number = |name: &str| get(name).unwrap().parse::<usize>().unwrap();
        let word = get("q").unwrap_or_default();
        let found: Vec<Value> = names
            .iter()
            .filter(|name| name.contains(word))
            .map(|name| json!({"name": name, "latestVersion": "1.0.0"}))
            .collect();
        let items: Vec<&Value> = found.iter().skip(number("offset")).take(number("limit")).collect();
        Reply::json(&json!({"items": items, "total": found.len(), "limit": number("limit"), "offset": number("offset")}))
    });
}

fn found(answer: &Answer) -> (Vec<String>, u64) {
    let page = answer.json();
    let names =
        page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned());
    (names.collect(), page["total"].as_u64().unwrap())
}

fn search(proxy: &Proxy, query: &str, token: Option<&str>) -> (Vec<String>, u64) {
    found(&ask(proxy, "GET", &format!("{SEARCH}?{query}"), token, &[]).ok())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn search_finds_nothing_of_a_registry_that_the_client_may_not_read() {
    let ground = Ground::start();
    find(&ground.corp, &["@corp/secret", "@corp/other"]);
    find(&ground.public, &["lamp"]);
    let proxy = ground.setup().start();
    for token in [None, Some(OUTSIDER), Some("invented")] {
        assert_eq!(search(&proxy, "", token), (names(&["lamp"]), 1), "{token:?}");
        assert_eq!(search(&proxy, "q=secret", token), (names(&[]), 0), "{token:?}");
    }
    assert_eq!(ground.corp.connections(), 0, "it was asked for somebody who may not read it");
    let all = names(&["@corp/secret", "lamp", "@corp/other"]);
    assert_eq!(search(&proxy, "", Some(READER)), (all.clone(), 3));
    // Neither answer is another client's.
    assert_eq!(search(&proxy, "", None), (names(&["lamp"]), 1));
    assert_eq!(search(&proxy, "", Some(READER)), (all, 3));
    for token in [None, Some(READER)] {
        let answer = ask(&proxy, "GET", SEARCH, token, &[]).ok();
        assert!(answer.header("cache-control").unwrap().starts_with("private"), "{token:?}");
    }
    let [anonymous, reader] = [None, Some(READER)].map(|token| ask(&proxy, "GET", SEARCH, token, &[]).ok());
    let etag = reader.header("etag").unwrap();
    assert_ne!(anonymous.header("etag").unwrap(), etag);
    let stolen = ask(&proxy, "GET", SEARCH, None, &[("if-none-match", etag)]);
    assert_eq!(found(&stolen.ok()), (names(&["lamp"]), 1));
}

#[test]
fn a_registry_alone_that_may_not_be_read_finds_nothing() {
    let upstream = Upstream::start();
    find(&upstream, &["secret"]);
    let setup = Setup::before(&upstream).set("upstream.readers", "tokens");
    let proxy = setup.token("reader", READER, toml::Table::new()).start();
    let tell = |query: &str| {
        let answer = proxy.client().get(&format!("{SEARCH}?{query}")).ok();
        (answer.text(), answer.cache().to_owned(), answer.header("etag").map(str::to_owned))
    };
    assert_eq!(tell("q=secret"), tell("q=s3cret"));
    assert_eq!(search(&proxy, "q=secret", None), (names(&[]), 0));
    for target in [ADVISORIES, "/api/v1/advisories/A-1", "/api/v1/capabilities"] {
        proxy.client().get(target).problem(401, "authentication-required");
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(search(&proxy, "q=secret", Some(READER)), (names(&["secret"]), 1));
    assert_eq!(search(&proxy, "q=secret", None), (names(&[]), 0), "what is cached is no way around");
}

#[test]
fn pages_and_totals_of_a_narrowed_token_have_no_gaps() {
    let hidden: Vec<String> = (0..150).map(|number| format!("@corp/hidden-{number}")).collect();
    let mut all: Vec<&str> = hidden.iter().map(String::as_str).collect();
    all.splice(70..70, ["@corp/tools-a"]);
    all.splice(120..120, ["@corp/tools-b"]);
    for is_alone in [true, false] {
        let ground = Ground::start();
        find(&ground.corp, &all);
        find(&ground.public, &["lamp"]);
        let mut setup = ground.setup().set_readers("tokens");
        if is_alone {
            setup.table["upstreams"].as_array_mut().unwrap().truncate(1);
        }
        let narrow = toml! { volumes = ["@corp/tools-*"] };
        let proxy = setup.token("narrow", "narrow-secret", narrow).start();
        let mine = if is_alone {
            names(&["@corp/tools-a", "@corp/tools-b"])
        } else {
            names(&["@corp/tools-a", "lamp", "@corp/tools-b"])
        };
        let total = mine.len() as u64;
        assert_eq!(search(&proxy, "", Some("narrow-secret")), (mine.clone(), total));
        for (at, name) in mine.iter().enumerate() {
            let page = search(&proxy, &format!("limit=1&offset={at}"), Some("narrow-secret"));
            assert_eq!(page, (vec![name.clone()], total));
        }
        assert_eq!(
            search(&proxy, &format!("limit=1&offset={total}"), Some("narrow-secret")),
            (names(&[]), total)
        );
        assert_eq!(search(&proxy, "q=hidden", Some("narrow-secret")), (names(&[]), 0));
        assert_eq!(search(&proxy, "q=hidden", Some(READER)).1, 150);
    }
}

fn advisory(id: &str, volume: &str) -> Value {
    json!({
        "id": {"local": id}, "source": {"ecosystem": "bibliotheca"}, "severity": "high",
        "published": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        "affected": {"volume": volume, "ranges": [{"type": "semver", "events": [{"introduced": "0"}]}]},
    })
}

fn advise(upstream: &Upstream, all: &[(&str, &str)]) {
    let items: Vec<Value> = all.iter().map(|(id, volume)| advisory(id, volume)).collect();
    upstream.reply(ADVISORIES, Reply::json(&json!({ "items": items })));
    for (id, volume) in all {
        upstream.reply(&format!("{ADVISORIES}/{id}"), Reply::json(&advisory(id, volume)));
    }
}

fn ids(answer: &Answer) -> Vec<String> {
    let list = answer.json();
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["id"]["local"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn advisories_are_those_about_what_the_client_may_read() {
    let ground = Ground::start();
    advise(&ground.corp, &[("C-1", "@corp/secret"), ("C-2", "@corp/tools-a")]);
    advise(&ground.public, &[("P-1", "lamp")]);
    let setup = ground.setup().set_readers(vec!["reader", "narrow"]);
    let proxy = setup.token("narrow", "narrow-secret", toml! { volumes = ["@corp/tools-*"] }).start();
    for (token, shown) in [
        (None, &["P-1"][..]),
        (Some(OUTSIDER), &["P-1"]),
        (Some("narrow-secret"), &["C-2", "P-1"]),
        (Some(READER), &["C-1", "C-2", "P-1"]),
        (None, &["P-1"]),
    ] {
        let answer = ask(&proxy, "GET", ADVISORIES, token, &[]).ok();
        assert_eq!(ids(&answer), names(shown), "{token:?}");
        assert!(answer.header("cache-control").unwrap().starts_with("private"));
        for id in ["C-1", "C-2", "P-1", "C-9"] {
            let one = ask(&proxy, "GET", &format!("{ADVISORIES}/{id}"), token, &[]);
            assert_eq!(one.status == 200, shown.contains(&id), "{token:?} {id}");
        }
    }
    let tell = |id: &str, token: Option<&str>| {
        let answer = ask(&proxy, "GET", &format!("{ADVISORIES}/{id}"), token, &[]);
        let header = |name: &str| answer.header(name).map(str::to_owned);
        let headers = ["cache-control", "cache-status", "vary", "content-type"].map(header);
        (answer.status, answer.text().replace(id, "ID"), headers)
    };
    // Not asked for before, asked for, and asked for by who may read it.
    for token in [None, Some(OUTSIDER), Some("narrow-secret")] {
        for _ in 0..2 {
            let [hidden, absent] = ["C-1", "C-9"].map(|id| tell(id, token));
            assert_eq!(
                (hidden.0, &hidden),
                (404, &absent),
                "{token:?}: one that is hidden is one that is not there"
            );
        }
    }
}

#[test]
fn capabilities_are_those_of_registries_that_may_be_read() {
    let ground = Ground::start();
    let proxy = ground.setup().start();
    let document = capabilities(false);
    ground.corp.reply("/api/v1/capabilities", Reply::json(&document));
    ground.public.reply("/api/v1/capabilities", Reply::json(&document));
    proxy.client().get("/api/v1/capabilities").ok();
    assert_eq!(ground.corp.connections(), 0);
    get(&proxy, "/api/v1/capabilities", READER).ok();
    assert!(ground.corp.requests("/api/v1/capabilities") > 0);
}
