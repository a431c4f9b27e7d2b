//! `Cache-Control: only-if-cached` of a client: what is held or 504, and nobody is asked, also not behind the answer.
//! What else clients say of caching changes nothing.

use crate::support::{Answer, Proxy, Release, Setup, Upstream, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn published() -> Upstream {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    upstream
}

fn targets() -> [String; 3] {
    [lamp().index(), lamp().exact(), lamp().download()]
}

fn held(proxy: &Proxy, target: &str) -> Answer {
    proxy.client().get_with(target, "cache-control", "max-age=9, only-if-cached")
}

#[test]
fn nobody_is_asked_for_what_is_not_held() {
    let upstream = published();
    let proxy = Setup::before(&upstream).start();
    for target in targets() {
        let answer = held(&proxy, &target);
        assert_eq!(answer.status, 504);
        answer.could_not_ask();
        assert_eq!(answer.cache(), "scriptorium; detail=\"not-asked\"");
    }
    assert_eq!(upstream.connections(), 0);
    for target in targets() {
        proxy.client().get(&target).ok();
    }
    let asked = upstream.seen().len();
    for target in targets() {
        assert!(held(&proxy, &target).ok().is_hit(), "{target}");
    }
    assert_eq!(upstream.seen().len(), asked);
}

#[test]
fn an_archive_that_is_not_here_is_not_fetched_though_its_release_is_held() {
    let upstream = published();
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&lamp().exact()).ok();
    let asked = upstream.seen().len();
    assert_eq!(held(&proxy, &lamp().download()).status, 504);
    assert_eq!(upstream.seen().len(), asked);
}

#[test]
fn what_was_stored_is_given_after_a_restart() {
    let upstream = published();
    let mut proxy = Setup::before(&upstream).start();
    for target in targets() {
        proxy.client().get(&target).ok();
    }
    proxy.restart();
    let asked = upstream.seen().len();
    for target in targets() {
        held(&proxy, &target).ok();
    }
    assert_eq!(upstream.seen().len(), asked);
}

#[test]
fn nothing_is_refreshed_behind_it_and_what_must_be_asked_for_is_not_held() {
    let upstream = published();
    let proxy = Setup::before(&upstream)
        .short_lived()
        .set("cache.stale_while_revalidate", "3s")
        .set("cache.release_ttl", "1h")
        .start();
    for target in targets() {
        proxy.client().get(&target).ok();
    }
    let asked = upstream.seen().len();
    eventually("a stale index", || {
        let answer = held(&proxy, &lamp().index()).ok();
        answer.cache().contains("stale-while-revalidate").then_some(())
    });
    eventually("an index too old", || (held(&proxy, &lamp().index()).status == 504).then_some(()));
    held(&proxy, &lamp().exact()).ok();
    held(&proxy, &lamp().download()).ok();
    assert_eq!(upstream.seen().len(), asked, "a request went upstream");
    proxy.client().get(&lamp().index()).ok();
    assert!(upstream.seen().len() > asked);
}

#[test]
fn other_directives_of_clients_change_nothing() {
    let upstream = published();
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&lamp().index()).ok();
    for said in ["no-cache", "max-age=0", "no-store", "no-cache, no-store, must-revalidate", "min-fresh=9999"]
    {
        let answer = proxy.client().get_with(&lamp().index(), "cache-control", said).ok();
        assert!(answer.is_hit(), "{said}: {}", answer.cache());
    }
    assert!(proxy.client().get_with(&lamp().index(), "pragma", "no-cache").ok().is_hit());
    assert_eq!(upstream.requests(&lamp().index()), 1);
}
