//! The outward budget: a registry is never asked more often than its operator allows, hits cost nothing, and
//! what is held outlives a budget that is spent.

use std::thread;

use crate::support::{Proxy, Release, Setup, Upstream, eventually};

const BUDGET: usize = 5;

fn before(upstream: &Upstream) -> Setup {
    Setup::before(upstream).set("upstream.requests_per_minute", BUDGET as i64)
}

fn cold(number: usize) -> String {
    format!("/api/v1/index/volumes/cold-{number}")
}

/// Spends whatever is left.
fn exhaust(proxy: &Proxy) {
    let mut number = 0;
    eventually("a budget that is spent", || {
        number += 1;
        (proxy.client().get(&cold(number)).status == 503).then_some(())
    });
}

fn has_metric(proxy: &Proxy, line: &str) -> bool {
    proxy.admin().get("/metrics").text().lines().any(|held| held == line)
}

#[test]
fn hits_spend_nothing() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = before(&upstream).start();
    let targets = [release.index(), release.exact(), release.download()];
    for _ in 0..50 {
        for target in &targets {
            proxy.client().get(target).ok();
        }
    }
    for target in [release.index(), release.exact(), release.source()] {
        assert_eq!(upstream.requests(&target), 1, "{target}");
    }
    assert!(has_metric(&proxy, "scriptorium_upstream_budget_left{upstream=\"public\"} 2"));
    assert!(has_metric(&proxy, "scriptorium_upstream_state{state=\"closed\",upstream=\"public\"} 1"));
    assert!(has_metric(&proxy, "scriptorium_upstream_state{state=\"held\",upstream=\"public\"} 0"));
}

#[test]
fn what_is_held_is_served_while_the_budget_is_spent_and_the_rest_waits() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = before(&upstream).short_lived().start();
    proxy.client().get(&release.index()).ok();
    exhaust(&proxy);
    let stale = eventually("an answer marked stale-if-error", || {
        let answer = proxy.client().get(&release.index()).ok();
        answer.cache().contains("detail=\"stale-if-error\"").then_some(answer)
    });
    assert!(stale.text().contains("\"1.0.0\""), "{}", stale.text());
    let refused = proxy.client().get(&cold(0));
    assert_eq!(refused.status, 503, "{}", refused.text());
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(refused.text().contains("requests_per_minute"), "{}", refused.text());
    assert!(has_metric(&proxy, "scriptorium_upstream_up{upstream=\"public\"} 1"));
    assert!(upstream.seen().len() <= BUDGET);
}

#[test]
fn hammering_cold_names_never_sends_more_than_the_budget() {
    let upstream = Upstream::start();
    let proxy = before(&upstream).set("upstream.retries", 2).start();
    let proxy = &proxy;
    let answered: usize = thread::scope(|scope| {
        let client = |client: usize| {
            let statuses = (0..40).map(move |number| proxy.client().get(&cold(100 * client + number)).status);
            statuses.filter(|status| *status == 404).count()
        };
        let clients: Vec<_> = (0..8).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!((answered, upstream.seen().len()), (BUDGET, BUDGET));
}
