//! `Cache-Control` of registries: what may not be kept is not kept, what is kept is believed for no longer than they
//! say, and whatever they say, no answer is given that was not held against the others.

use crate::support::{Answer, Conversation, Lie, Release, Reply, Setup, Upstream, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn published(spoil: Option<fn(Reply) -> Reply>) -> Upstream {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    upstream.spoil(spoil);
    upstream
}

fn withheld(reply: Reply) -> Reply {
    reply.with("cache-control", "no-store")
}

fn targets() -> [String; 2] {
    [lamp().index(), lamp().exact()]
}

fn max_age(answer: &Answer) -> Option<u64> {
    answer.header("cache-control")?.strip_prefix("public, max-age=")?.parse().ok()
}

#[test]
fn what_may_not_be_kept_goes_to_who_asked_and_nowhere_else() {
    for spoil in [withheld, |reply: Reply| reply.with("cache-control", "max-age=60, private")] {
        let upstream = published(Some(spoil));
        let mut proxy = Setup::before(&upstream).start();
        for target in targets() {
            for _ in 0..3 {
                let before = upstream.requests(&target);
                let answer = proxy.client().get(&target).ok();
                assert!(
                    answer.cache().starts_with("scriptorium; fwd=uri-miss; fwd-status=200"),
                    "{}",
                    answer.cache()
                );
                assert!(!answer.cache().contains("stored"), "{}", answer.cache());
                assert_eq!(answer.header("cache-control"), Some("no-store"));
                let asked = upstream.requests(&target) - before;
                assert!((1..=2).contains(&asked), "{target}: {asked} requests for one answer");
            }
        }
        assert_eq!(proxy.files("documents").len(), 0);
        upstream.down();
        for target in targets() {
            proxy.client().get(&target).could_not_ask();
        }
        proxy.restart();
        proxy.client().get(&lamp().exact()).could_not_ask();
    }
}

#[test]
fn all_who_wait_share_one_question() {
    let upstream = published(Some(withheld));
    let proxy = Setup::before(&upstream).start();
    let hold = upstream.hold(&lamp().index());
    let mut clients: Vec<_> = (0..20).map(|_| Conversation::open(proxy.client().0).unwrap()).collect();
    for client in &mut clients {
        client.ask("GET", &lamp().index(), &[]).unwrap();
    }
    eventually("the question", || (upstream.requests(&lamp().index()) > 0).then_some(()));
    hold.release();
    let answers: Vec<_> = clients.iter_mut().map(|client| client.answer().unwrap().ok()).collect();
    let joined = answers.iter().filter(|answer| answer.cache().contains("collapsed")).count();
    assert!(joined > 0, "nobody waited");
    assert_eq!(upstream.requests(&lamp().index()) + joined, answers.len());
    assert!(answers.iter().all(|answer| answer.header("cache-control") == Some("no-store")));
}

#[test]
fn an_archive_is_kept_whatever_is_said_of_documents() {
    let upstream = published(Some(withheld));
    let proxy = Setup::before(&upstream).start();
    for _ in 0..3 {
        assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
    }
    assert_eq!(upstream.requests(&lamp().source()), 1, "files are not concerned");
    assert!(upstream.requests(&lamp().exact()) >= 3, "what permits them is asked for each time");
    upstream.down();
    proxy.client().get(&lamp().download()).could_not_ask();
}

#[test]
fn what_is_not_kept_is_still_held_against_what_else_is_said() {
    for lie in [Lie::RowIntegrity, Lie::RowState("yanked")] {
        let upstream = published(Some(withheld));
        let proxy = Setup::before(&upstream).start();
        proxy.client().get(&lamp().exact()).ok();
        lie.tell(&upstream, &lamp());
        let before = upstream.seen().len();
        proxy.client().get(&lamp().exact()).problem(409, "inconsistent-registry-state");
        let asked = upstream.seen().len() - before;
        assert!(asked <= 6, "{asked} requests for one answer");
        let index = proxy.client().get(&lamp().index()).ok();
        assert!(index.text().contains("inconsistent-registry-state:"), "{}", index.text());
    }
}

#[test]
fn a_kept_release_beside_an_index_that_is_not_costs_no_question_a_hit() {
    let upstream = published(None);
    let rows = serde_json::json!({ "items": [lamp().row(&upstream.url())] });
    upstream.reply(&lamp().index(), Reply::json(&rows).with("cache-control", "no-store"));
    let proxy = Setup::before(&upstream).set("cache.index_ttl", "2s").set("cache.release_ttl", "1h").start();
    proxy.client().get(&lamp().exact()).ok();
    let before = upstream.requests(&lamp().index());
    eventually("a look at the index", || {
        assert!(proxy.client().get(&lamp().exact()).ok().is_hit());
        (upstream.requests(&lamp().index()) > before).then_some(())
    });
    let after = upstream.requests(&lamp().index());
    for _ in 0..50 {
        assert!(proxy.client().get(&lamp().exact()).ok().is_hit());
    }
    assert!(upstream.requests(&lamp().index()) <= after + 1, "one look an index_ttl");
    let blocked = lamp().state("blocked", "malware");
    let rows = serde_json::json!({ "items": [blocked.row(&upstream.url())] });
    upstream.reply(&lamp().index(), Reply::json(&rows).with("cache-control", "no-store"));
    upstream.reply(&lamp().exact(), Reply::problem(403, "authorization-failed", "Blocked", "Malware."));
    eventually("the block", || (proxy.client().get(&lamp().exact()).status == 403).then_some(()));
}

#[test]
fn what_may_no_longer_be_kept_does_not_come_back() {
    let upstream = published(None);
    let mut proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&lamp().index()).ok();
    assert_eq!(proxy.files("documents").len(), 1);
    // A 304 that does not say it anew leaves what was said.
    upstream.publish(&Release::new("@acme/lamp", "1.1.0"));
    upstream.spoil(Some(withheld));
    eventually("no-store", || {
        let answer = proxy.client().get(&lamp().index()).ok();
        (answer.header("cache-control") == Some("no-store")).then_some(())
    });
    assert_eq!(proxy.files("documents").len(), 0);
    upstream.down();
    proxy.client().get(&lamp().index()).could_not_ask();
    proxy.restart();
    proxy.client().get(&lamp().index()).could_not_ask();
}

fn say_row(upstream: &Upstream, release: &Release, field: &str) {
    let rows = serde_json::json!({ "items": [release.row(&upstream.url())] });
    upstream.reply(&lamp().index(), Reply::json(&rows).with("cache-control", field));
}

#[test]
fn what_an_index_that_is_not_kept_withdraws_does_not_come_back() {
    for (field, state) in [
        ("no-store", "blocked"),
        ("private", "blocked"),
        ("no-store", "tombstoned"),
        ("no-store", "unavailable"),
    ] {
        let upstream = published(None);
        say_row(&upstream, &lamp(), field);
        let mut proxy = Setup::before(&upstream).short_lived().start();
        let both = [lamp().exact(), lamp().download()];
        for target in &both {
            proxy.client().get(target).ok();
        }
        say_row(&upstream, &lamp().state(state, "why"), field);
        upstream.reply(&lamp().exact(), Reply::failure(500));
        let index = proxy.client().get(&lamp().index()).ok();
        assert!(index.text().contains(state), "{}", index.text());
        let refused = both.each_ref().map(|target| proxy.client().get(target).status);
        assert!(refused.iter().all(|status| (400..500).contains(status)), "{field}, {state}: {refused:?}");
        upstream.down();
        assert_eq!(
            both.each_ref().map(|target| proxy.client().get(target).status),
            refused,
            "{field}, {state}"
        );
        proxy.restart();
        for target in &both {
            proxy.client().get(target).could_not_ask();
        }
        proxy.restart_as(|setup| setup.set("cache.offline", true));
        for target in &both {
            proxy.client().get(target).could_not_ask();
        }
        proxy.restart_as(|setup| setup.set("cache.offline", false));
        upstream.up();
        upstream.publish(&lamp());
        for target in &both {
            proxy.client().get(target).ok();
        }
        assert_eq!(upstream.requests(&lamp().source()), 1, "its archive was never gone");
    }
}

#[test]
fn a_yank_in_an_index_that_is_not_kept_takes_nothing_away() {
    let upstream = published(None);
    say_row(&upstream, &lamp(), "no-store");
    let mut proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&lamp().download()).ok();
    say_row(&upstream, &lamp().state("yanked", "why"), "no-store");
    upstream.reply(&lamp().exact(), Reply::failure(500));
    proxy.client().get(&lamp().index()).ok();
    upstream.down();
    proxy.client().get(&lamp().download()).ok();
    proxy.restart_as(|setup| setup.set("cache.offline", true));
    proxy.client().get(&lamp().download()).ok();
}

#[test]
fn no_cache_is_kept_and_asked_for_each_time() {
    let upstream = published(Some(|reply| reply.with("cache-control", "no-cache")));
    let mut proxy = Setup::before(&upstream).start();
    for target in targets() {
        proxy.client().get(&target).ok();
        for _ in 0..3 {
            let before = upstream.requests(&target);
            let answer = proxy.client().get(&target).ok();
            assert!(
                answer.cache().starts_with("scriptorium; fwd=stale; fwd-status=304"),
                "{}",
                answer.cache()
            );
            assert_eq!(max_age(&answer), Some(0));
            assert_eq!(upstream.requests(&target) - before, 1, "{target}");
        }
    }
    upstream.down();
    for _ in 0..2 {
        for target in targets() {
            let answer = proxy.client().get(&target).ok();
            assert!(answer.cache().contains("stale-if-error"), "{}", answer.cache());
        }
        proxy.restart();
    }
}

#[test]
fn a_cap_counts_where_it_is_the_smaller_one() {
    for (said, index_ttl, left) in [
        ("max-age=50", "100s", 48..=50),
        ("max-age=500", "100s", 98..=100),
        ("max-age=500, s-maxage=50", "100s", 48..=50),
        ("max-age=5, s-maxage=50", "100s", 48..=50),
        ("max-age=\"50\", max-age=60", "100s", 48..=50),
        ("max-age=soon", "100s", 0..=0),
    ] {
        let upstream = published(None);
        let rows = serde_json::json!({ "items": [lamp().row(&upstream.url())] });
        upstream.reply(&lamp().index(), Reply::json(&rows).with("cache-control", said));
        let proxy = Setup::before(&upstream).set("cache.index_ttl", index_ttl).start();
        let answer = proxy.client().get(&lamp().index()).ok();
        assert!(left.contains(&max_age(&answer).unwrap()), "{said}: {:?}", answer.header("cache-control"));
    }
}

#[test]
fn age_counts_against_a_cap_and_never_wraps() {
    for (age, says) in [
        ("30", "30"),
        ("18446744073709551615", "2147483648"),
        ("99999999999999999999999", "2147483648"),
        ("not a number", "0"),
    ] {
        let upstream = published(None);
        let rows = serde_json::json!({ "items": [lamp().row(&upstream.url())] });
        let reply = Reply::json(&rows).with("cache-control", "max-age=50").with("age", age);
        upstream.reply(&lamp().index(), reply);
        let mut proxy = Setup::before(&upstream).set("cache.stale_while_revalidate", "1h").start();
        let first = proxy.client().get(&lamp().index()).ok();
        assert_eq!(first.header("age"), Some(says), "{age}");
        let left = 50_u64.saturating_sub(says.parse().unwrap());
        assert!(max_age(&first).unwrap().abs_diff(left) <= 2, "{age}: {:?}", first.header("cache-control"));
        proxy.restart();
        let again = proxy.client().get(&lamp().index()).ok();
        assert!(again.header("age").unwrap().parse::<u64>().unwrap() >= says.parse().unwrap(), "{age}");
    }
}

#[test]
fn a_capability_document_says_how_long_it_lasts() {
    let upstream = Upstream::start();
    let document = serde_json::json!({
        "schemaVersion": "1", "specVersion": "1", "apiVersion": "v1", "scopePolicy": {}, "deliveryModes": [],
        "apis": {}, "extensions": {}, "cache": { "maxAgeSeconds": 40, "revalidate": true },
    });
    upstream.reply("/api/v1/capabilities", Reply::json(&document));
    let proxy = Setup::before(&upstream).start();
    let answer = proxy.client().get("/api/v1/capabilities").ok();
    assert!((38..=40).contains(&max_age(&answer).unwrap()), "{:?}", answer.header("cache-control"));
}

#[test]
fn an_operator_may_turn_it_off() {
    let upstream = published(Some(withheld));
    let proxy = Setup::before(&upstream).set("upstream.cache_control", "ignore").start();
    for target in targets() {
        assert!(proxy.client().get(&target).ok().header("cache-control") != Some("no-store"));
        assert!(proxy.client().get(&target).ok().is_hit());
    }
}

#[test]
fn refusals_keep_their_own_ttl() {
    let upstream = Upstream::start();
    upstream.otherwise(Reply::not_found().with("cache-control", "no-store"));
    let proxy = Setup::before(&upstream).start();
    assert_eq!(proxy.client().get(&lamp().index()).status, 404);
    assert!(proxy.client().get(&lamp().index()).is_hit());
    assert_eq!(upstream.requests(&lamp().index()), 1);
}

#[test]
fn explain_names_the_cap() {
    let upstream = published(Some(|reply| reply.with("cache-control", "s-maxage=55")));
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&lamp().exact()).ok();
    let explained = proxy.explain("@acme/lamp", "1.0.0");
    assert_eq!(explained["exact"]["keeping"]["cap"], serde_json::json!({ "seconds": 55, "by": "s-maxage" }));
    assert!(explained["verdict"]["exact"]["why"].as_str().unwrap().contains("s-maxage=55"));
}
