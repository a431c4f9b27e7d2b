//! Fresh, stale, renewed: what a stored document does as it ages while the upstream is well.

use std::time::{Duration, Instant};

use crate::support::{Answer, Proxy, Release, Reply, Setup, Upstream, eventually};

/// Asks until the cache says it did something of this kind.
fn until(proxy: &Proxy, target: &str, cache: &str) -> Answer {
    eventually(cache, || Some(proxy.client().get(target)).filter(|answer| answer.cache().contains(cache)))
}

#[test]
fn a_first_request_is_a_miss_that_is_stored() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    for target in [release.index(), release.exact(), release.download()] {
        let answer = proxy.client().get(&target).ok();
        assert!(answer.cache().starts_with("scriptorium; fwd=uri-miss"), "{target}: {}", answer.cache());
        assert!(answer.cache().contains("; stored"), "{target}: {}", answer.cache());
    }
}

#[test]
fn a_fresh_answer_asks_nobody() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    let targets = [release.index(), release.exact(), release.download()];
    let first = targets.each_ref().map(|target| proxy.client().get(target).ok());
    let asked = upstream.seen().len();
    for (target, first) in targets.iter().zip(&first) {
        let again = proxy.client().get(target).ok();
        assert!(again.cache().starts_with("scriptorium; hit; ttl="), "{target}: {}", again.cache());
        assert_eq!(again.body, first.body);
    }
    assert_eq!(upstream.seen().len(), asked, "a hit went upstream");
}

#[test]
fn every_kind_of_document_is_cached() {
    let upstream = Upstream::start();
    let document = serde_json::json!({ "items": [], "total": 0, "limit": 20, "offset": 0 });
    let proxy = Setup::before(&upstream).start();
    for target in ["/api/v1/search?q=lamp", "/api/v1/advisories", "/api/v1/advisories?volume=lamp"] {
        upstream.reply(target.split('?').next().unwrap(), Reply::json(&document));
        proxy.client().get(target).ok();
        let asked = upstream.seen().len();
        assert!(proxy.client().get(target).ok().is_hit(), "{target}");
        assert_eq!(upstream.seen().len(), asked, "{target}");
    }
}

#[test]
fn a_slightly_stale_answer_comes_at_once_and_is_refreshed_behind() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).short_lived().set("cache.stale_while_revalidate", "1h").start();
    proxy.client().get(&release.index()).ok();
    let hold = upstream.hold(&release.index());
    upstream.publish(&Release::new("lamp", "2.0.0"));

    let stale = until(&proxy, &release.index(), "stale-while-revalidate").ok();
    assert!(stale.is_hit() && !stale.text().contains("2.0.0"), "{}", stale.cache());
    eventually("a refresh behind", || (upstream.requests(&release.index()) == 2).then_some(()));
    for _ in 0..10 {
        assert!(proxy.client().get(&release.index()).ok().cache().contains("stale-while-revalidate"));
    }
    assert_eq!(upstream.requests(&release.index()), 2, "one refresh is enough for everybody");
    hold.release();
    eventually("the refreshed row", || {
        proxy.client().get(&release.index()).text().contains("2.0.0").then_some(())
    });
}

#[test]
fn an_older_answer_is_renewed_by_one_conditional_request() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).short_lived().start();
    let first = proxy.client().get(&release.index()).ok();
    let renewed = until(&proxy, &release.index(), "fwd=stale").ok();
    assert!(renewed.cache().contains("fwd-status=304"), "{}", renewed.cache());
    assert_eq!(renewed.body, first.body);
    let seen = upstream.seen();
    let requests: Vec<_> = seen.iter().filter(|seen| seen.target == release.index()).collect();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].fields.get("if-none-match"), None);
    assert!(requests[1].fields.get("if-none-match").is_some());
    assert!(proxy.client().get(&release.index()).ok().is_hit(), "a 304 renews what is stored");
}

#[test]
fn an_older_answer_that_changed_is_replaced() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).short_lived().start();
    let first = proxy.client().get(&release.index()).ok();
    upstream.publish(&Release::new("lamp", "1.1.0"));
    let changed = until(&proxy, &release.index(), "fwd=stale").ok();
    assert!(changed.cache().contains("fwd-status=200"), "{}", changed.cache());
    assert!(changed.text().contains("1.1.0"));
    assert_ne!(changed.header("etag"), first.header("etag"));
}

#[test]
fn an_offline_proxy_answers_from_its_store_alone() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&release.index()).ok();
    proxy.client().get(&release.download()).ok();
    let asked = upstream.connections();
    proxy.restart_as(|setup| setup.set("cache.offline", true));

    let stale = until(&proxy, &release.index(), "ttl=-").ok();
    assert!(stale.is_hit() && stale.cache().contains("detail=\"offline\""), "{}", stale.cache());
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    let started = Instant::now();
    proxy.client().get("/api/v1/index/volumes/unheard-of").could_not_ask();
    assert!(started.elapsed() < Duration::from_secs(1), "offline is known at once");
    assert_eq!(upstream.connections(), asked, "offline means offline");
}
