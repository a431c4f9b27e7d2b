//! A reload, by signal or on the admin port: all of a good configuration that can change does, nothing of a bad one,
//! and nobody who is connected notices.

use std::thread;

use serde_json::json;

use crate::support::tarball::Entry;
use crate::support::{Conversation, Proxy, Release, Reply, Setup, Upstream, eventually, noise};

const ROUTE: &str = "/admin/v1/reload";

/// SHA-256 of "first" and of "second", as `token hash` prints them.
const FIRST: &str = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
const SECOND: &str = "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4";

fn published(names: &[&str]) -> (Upstream, Vec<Release>) {
    let upstream = Upstream::start();
    let releases: Vec<_> = names.iter().map(|name| Release::new(name, "1.0.0")).collect();
    releases.iter().for_each(|release| upstream.publish(release));
    (upstream, releases)
}

/// Waits for the record of a reload that the log holds `times` times.
fn reloads(proxy: &Proxy, record: &str, times: usize) {
    eventually(record, || (proxy.log().matches(record).count() >= times).then_some(()));
}

#[test]
fn a_hangup_puts_windows_routing_and_bounds_in_force() {
    let (here, held) = published(&["lamp"]);
    let (there, moved) = published(&["@acme/saw", "@acme/drill"]);
    let proxy = Setup::before(&here).start();
    proxy.client().get(&held[0].index()).ok();
    proxy.client().get(&moved[0].index()).problem(404, "not-found");

    proxy.reconfigure(|setup| {
        setup
            .set("cache.index_ttl", "1s")
            .set("cache.stale_while_revalidate", "0s")
            .set("limits.max_entries", 2)
            .set("upstream.volumes", vec!["lamp"])
            .upstream("acme", &there.url())
    });
    proxy.signal("HUP");
    reloads(&proxy, "configuration reloaded", 1);
    assert!(
        proxy.log().contains("cache.index_ttl, cache.stale_while_revalidate, limits.max_entries, upstreams"),
        "{}",
        proxy.log()
    );
    eventually("an index that is asked for again", || {
        proxy.client().get(&held[0].index()).ok();
        (here.requests(&held[0].index()) > 1).then_some(())
    });
    proxy.client().get(&moved[1].index()).ok();
    assert_eq!(here.requests(&moved[1].index()), 0);
    let refused = proxy.client().get(&held[0].download()).problem(409, "inconsistent-registry-state");
    assert!(refused["detail"].as_str().unwrap().contains("entries"), "{refused}");

    proxy.reconfigure(|setup| setup);
    proxy.signal("HUP");
    reloads(&proxy, "configuration reloaded", 2);
    assert_eq!(proxy.client().get(&held[0].download()).ok().body, held[0].archive());
}

#[test]
fn the_admin_port_reloads_and_tells_what_waits_for_a_restart() {
    let (upstream, _) = published(&[]);
    let proxy = Setup::before(&upstream).start();
    let nothing = proxy.reload().ok();
    assert_eq!(nothing.header("content-type"), Some("application/json"));
    assert_eq!(nothing.header("cache-control"), Some("no-store"));
    assert_eq!(nothing.json(), json!({"applied": [], "restart": []}));
    reloads(&proxy, "configuration reloaded: nothing changed", 1);

    proxy.reconfigure(|setup| {
        setup
            .set("server.listen", "127.0.0.1:1")
            .set("cache.memory", "1MiB")
            .set("log.level", "debug")
            .set("cache.index_ttl", "7s")
            .set("limits.max_archive", "1MiB")
    });
    let waiting = json!(["cache.memory", "log.level", "server.listen"]);
    let applied = json!(["cache.index_ttl", "limits.max_archive"]);
    assert_eq!(proxy.reload().ok().json(), json!({"applied": applied, "restart": waiting}));
    reloads(&proxy, "cache.memory, log.level, server.listen", 1);
    assert_eq!(proxy.reload().ok().json(), json!({"applied": [], "restart": waiting}));
    proxy.reconfigure(|setup| setup);
    assert_eq!(proxy.reload().ok().json(), json!({"applied": applied, "restart": []}));
}

#[test]
fn a_bad_configuration_is_refused_whole_with_every_error() {
    let (upstream, releases) = published(&["lamp"]);
    let proxy = Setup::before(&upstream).start();
    proxy.reconfigure(|setup| {
        setup
            .set("cache.offline", true)
            .set("cache.index_ttl", "soon")
            .set("limits.max_archives", "1MiB")
            .set("upstream.url", "https://user:hunter2@registry.example.com")
    });
    let refused = proxy.reload();
    let problem = refused.problem(400, "validation-failed");
    let errors = problem["errors"].as_array().unwrap();
    let mut keys: Vec<_> = errors.iter().map(|error| error["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["cache.index_ttl", "limits.max_archives", "upstreams[0].url"]);
    let file = proxy.config().display().to_string();
    for error in errors {
        assert!(error["place"].as_str().unwrap().starts_with(&format!("{file}:")), "{error}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{error}");
    }
    proxy.signal("HUP");
    reloads(&proxy, "reload refused; the running configuration stays", 2);
    for key in keys {
        assert!(proxy.log().contains(key), "no {key} in {}", proxy.log());
    }
    assert!(!(refused.text() + &proxy.log()).contains("hunter2"), "a value was echoed");
    proxy.client().get(&releases[0].index()).ok();

    proxy.reconfigure(|setup| setup.set("cache.offline", true));
    assert_eq!(proxy.reload().ok().json()["applied"], json!(["cache.offline"]));
    proxy.client().get("/api/v1/index/volumes/never-asked-for").problem(504, "about:blank");
}

#[test]
fn a_file_that_is_gone_or_no_toml_is_refused_too() {
    let (upstream, releases) = published(&["lamp"]);
    let proxy = Setup::before(&upstream).start();
    std::fs::write(proxy.config(), "[server\n").unwrap();
    assert_eq!(proxy.reload().problem(400, "validation-failed")["errors"].as_array().unwrap().len(), 1);
    std::fs::remove_file(proxy.config()).unwrap();
    assert_eq!(proxy.reload().problem(400, "validation-failed")["errors"].as_array().unwrap().len(), 1);
    proxy.client().get(&releases[0].index()).ok();
}

#[test]
fn the_route_takes_post_and_a_bounded_body() {
    let (upstream, _) = published(&[]);
    let proxy = Setup::before(&upstream).start();
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let answer = proxy.admin().send(method, ROUTE, &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
    proxy.admin().post(ROUTE, "{\"anything\": 1}").ok();
    proxy.admin().post(ROUTE, &" ".repeat(20_000)).problem(413, "payload-too-large");
    proxy.client().send("POST", ROUTE, &[]).problem(404, "not-found");
}

#[test]
fn the_admin_token_is_needed_and_can_be_replaced() {
    let (upstream, _) = published(&[]);
    let mut proxy = Setup::before(&upstream).set("server.admin_token_sha256", FIRST).start();
    let reload = |token: &str| {
        let bearer = format!("Bearer {token}");
        proxy.admin().send("POST", ROUTE, &[("authorization", &bearer)])
    };
    proxy.reload().problem(401, "authentication-required");
    reload("second").problem(401, "authentication-required");
    proxy.reconfigure(|setup| setup.set("server.admin_token_sha256", SECOND));
    assert_eq!(reload("first").ok().json()["applied"], json!(["server.admin_token_sha256"]));
    reload("first").problem(401, "authentication-required");
    reload("second").ok();
    let log = proxy.whole_log();
    for secret in [FIRST, SECOND] {
        assert!(!log.contains(secret), "a digest was logged");
    }
}

#[test]
fn connections_and_downloads_go_on() {
    let upstream = Upstream::start();
    let (large, slow) = (Release::new("lamp", "1.0.0"), Release::new("saw", "1.0.0"));
    let large = large.adding(Entry::file("data.bin", noise(5, 32 << 20)));
    upstream.publish(&large);
    upstream.publish(&slow);
    let archive = slow.archive();
    let (reply, hold) = Reply::archive(archive.clone()).pausing_after(archive.len() / 2);
    upstream.reply(&slow.source(), reply);
    let proxy = Setup::before(&upstream).start();

    let mut kept_alive = Conversation::open(proxy.client().0).unwrap();
    let mut sending = Conversation::open(proxy.client().0).unwrap();
    let mut fetching = Conversation::open(proxy.client().0).unwrap();
    let index = format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", large.index());
    kept_alive.write(index.as_bytes()).unwrap();
    kept_alive.answer().unwrap().ok();
    sending.ask("GET", &large.download(), &[]).unwrap();
    let mut sent = sending.begin().unwrap();
    let before = upstream.sent();
    fetching.ask("GET", &slow.download(), &[]).unwrap();
    eventually("half an archive", || {
        (upstream.sent() >= before + archive.len() as u64 / 2 && upstream.requests(&slow.source()) == 1)
            .then_some(())
    });

    // Another registry in the place of the one that is being asked.
    proxy.reconfigure(|setup| setup.set("upstream.read_timeout", "29s").set("cache.index_ttl", "10m"));
    assert_eq!(proxy.reload().ok().json()["applied"], json!(["cache.index_ttl", "upstreams"]));
    proxy.signal("HUP");
    reloads(&proxy, "configuration reloaded", 2);

    kept_alive.write(index.as_bytes()).unwrap();
    assert!(kept_alive.answer().unwrap().ok().is_hit(), "what was cached is gone");
    assert_eq!(upstream.requests(&large.index()), 1);
    hold.release();
    assert_eq!(fetching.answer().unwrap().ok().body, archive);
    sending.finish(&mut sent).unwrap();
    assert!(sent.whole && sent.body == large.archive());
}

#[test]
fn an_unchanged_registry_keeps_its_connections() {
    let (upstream, releases) = published(&["lamp", "saw"]);
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&releases[0].index()).ok();
    let connections = upstream.connections();
    proxy.reconfigure(|setup| setup.set("cache.index_ttl", "10m"));
    proxy.reload().ok();
    proxy.client().get(&releases[1].index()).ok();
    assert_eq!(upstream.connections(), connections);
}

#[test]
fn reloads_at_once_are_taken_one_after_another() {
    let (upstream, releases) = published(&["lamp"]);
    let proxy = Setup::before(&upstream).start();
    let windows = |seconds: usize| format!("{}s", 100 + seconds);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| drop(proxy.reload().ok())));
        }
        scope.spawn(|| (0..20).for_each(|_| drop(proxy.client().get(&releases[0].index()).ok())));
        for round in 0..10 {
            proxy.reconfigure(|setup| setup.set("cache.index_ttl", windows(round)));
            proxy.signal("HUP");
        }
    });
    proxy.reload().ok();
    assert_eq!(proxy.reload().ok().json(), json!({"applied": [], "restart": []}));
    let age = proxy.client().get(&releases[0].index()).ok();
    let left: u64 = age.cache().split("ttl=").nth(1).unwrap().parse().unwrap();
    assert!((90..=109).contains(&left), "the last configuration is not in force: {}", age.cache());
}
