//! An upstream that fails: stored answers live on, marked; without one the truth is told, and it is
//! never "not found".

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Answer, Proxy, Release, Reply, Setup, Upstream, eventually, within};

/// Every way in which an upstream can be asked in vain, by name.
fn failures() -> Vec<(&'static str, Reply)> {
    vec![
        ("500", Reply::failure(500)),
        ("503", Reply::failure(503).with("retry-after", "2")),
        ("429", Reply::problem(429, "rate-limited", "Rate limited", "Slow down.").with("retry-after", "2")),
        ("cut JSON", Reply::document("{ \"items\": [")),
        ("not JSON", Reply::new(200, "text/html", "<html>maintenance</html>")),
        ("JSON of another shape", Reply::json(&json!({ "rows": 1 }))),
        ("a body cut off", Reply::json(&json!({ "items": [] })).cut_after(3)),
        ("bytes that are not HTTP", Reply::raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
        ("a hang-up", Reply::raw(b"")),
    ]
}

/// Runs a check for every failure, side by side.
fn each_failure(check: impl Fn(&str, Reply) + Sync) {
    let check = &check;
    thread::scope(|scope| {
        for (name, reply) in failures() {
            scope.spawn(move || check(name, reply));
        }
    });
}

fn until_stale_if_error(proxy: &Proxy, target: &str) -> Answer {
    eventually("an answer marked stale-if-error", || {
        let answer = proxy.client().get(target);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.cache().contains("detail=\"stale-if-error\"").then_some(answer)
    })
}

#[test]
fn a_stored_answer_outlives_every_kind_of_failure() {
    each_failure(|name, reply| {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.publish(&release);
        let proxy = Setup::before(&upstream).short_lived().start();
        proxy.client().get(&release.index()).ok();
        upstream.reply(&release.index(), reply);
        let answer = until_stale_if_error(&proxy, &release.index());
        let overdue = answer.cache().contains("ttl=-") || answer.cache().contains("ttl=0;");
        assert!(answer.is_hit() && overdue, "{name}: {}", answer.cache());
        assert!(answer.text().contains("\"1.0.0\""), "{name}: {}", answer.text());
        assert!(upstream.requests(&release.index()) >= 2, "{name}: the upstream was not asked");
    });
}

#[test]
fn a_stored_answer_outlives_an_upstream_that_is_gone() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&release.index()).ok();
    proxy.client().get(&release.download()).ok();
    upstream.down();
    until_stale_if_error(&proxy, &release.index());
    until_stale_if_error(&proxy, &release.exact());
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    upstream.up();
    within(Duration::from_secs(60), "the upstream to be asked again", || {
        let answer = proxy.client().get(&release.index()).ok();
        (!answer.cache().contains("stale-if-error")).then_some(())
    });
}

#[test]
fn with_nothing_stored_a_failure_is_told_as_such() {
    each_failure(|name, reply| {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        let proxy = Setup::before(&upstream).start();
        upstream.otherwise(reply);
        let answer = proxy.client().get(&release.index());
        let problem = answer.could_not_ask();
        assert!(!problem.to_string().contains("<html>"), "{name}: the upstream's page was passed on");
        if name == "429" || name == "503" {
            assert_eq!(answer.header("retry-after"), Some("2"), "{name}");
        }
        upstream.publish(&release);
        eventually("success, since a failure is not cached as an answer", || {
            (proxy.client().get(&release.index()).status == 200).then_some(())
        });
    });
}

#[test]
fn an_upstream_that_is_gone_is_not_a_404() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    upstream.down();
    let release = Release::new("lamp", "1.0.0");
    for target in [release.index(), release.exact(), release.download(), "/api/v1/search?q=x".to_owned()] {
        proxy.client().get(&target).could_not_ask();
    }
}

#[test]
fn an_upstream_that_never_answers_is_given_up_on() {
    let upstream = Upstream::start();
    upstream.otherwise(Reply::silence());
    let proxy = Setup::before(&upstream).set("upstream.read_timeout", "1s").start();
    let started = Instant::now();
    proxy.client().get("/api/v1/index/volumes/lamp").problem(504, "about:blank");
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
}

#[test]
fn staleness_has_an_end() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).short_lived().set("cache.stale_if_error", "1s").start();
    proxy.client().get(&release.index()).ok();
    upstream.down();
    let late = eventually("the end of stale-if-error", || {
        Some(proxy.client().get(&release.index())).filter(|answer| answer.status != 200)
    });
    late.could_not_ask();
}

#[test]
fn a_failure_that_may_pass_is_tried_again_as_often_as_configured() {
    let cut = Reply::json(&json!({ "items": [] })).cut_after(3);
    for passing in [Reply::failure(502), Reply::failure(503), Reply::failure(504), Reply::raw(b""), cut] {
        let upstream = Upstream::start();
        upstream.otherwise(passing);
        let proxy = Setup::before(&upstream).set("upstream.retries", 2).start();
        proxy.client().get("/api/v1/index/volumes/lamp").could_not_ask();
        assert_eq!(upstream.requests("/api/v1/index/volumes/lamp"), 3);
    }
}

#[test]
fn a_breaker_opens_on_repeated_failure_and_closes_again() {
    let upstream = Upstream::start();
    upstream.otherwise(Reply::failure(500));
    let proxy = Setup::before(&upstream).start();
    let mut volume = 0;
    let mut reaches_upstream = || {
        volume += 1;
        let before = upstream.seen().len();
        proxy.client().get(&format!("/api/v1/index/volumes/lamp-{volume}")).could_not_ask();
        upstream.seen().len() > before
    };
    assert!(reaches_upstream(), "one failure does not open the breaker");
    eventually("an open breaker", || (0..5).all(|_| !reaches_upstream()).then_some(()));

    upstream.otherwise(Reply::json(&json!({ "items": [] })));
    within(Duration::from_secs(60), "a closed breaker", || {
        volume += 1;
        let answer = proxy.client().get(&format!("/api/v1/index/volumes/lamp-{volume}"));
        (answer.status == 200).then_some(())
    });
}
