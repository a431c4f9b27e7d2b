//! Definite answers: a registry that says no is believed, remembered for a while, and never
//! overridden by what was stored when it still said yes.

use crate::support::{Answer, Release, Reply, Setup, Upstream, each, eventually};

/// Each refusal, and the state that an index shows of what is refused so.
const WITHHELD: [&str; 4] = ["tombstoned", "blocked", "unavailable", "tombstoned"];

fn refusals() -> [(u16, &'static str); 4] {
    [
        (404, "not-found"),
        (403, "authorization-failed"),
        (409, "inconsistent-registry-state"),
        (410, "not-found"),
    ]
}

/// What a gateway, an edge or a firewall says in place of the registry, with any status.
fn pages(status: u16) -> [Reply; 4] {
    let odd = format!(r#"{{"status":{status},"error":"Forbidden"}}"#);
    let other = r#"{"type":"https://agentvolumes.org/problems/rate-limited","title":"x","status":429}"#;
    [
        Reply::failure(status),
        Reply::new(status, "text/plain", "no such page"),
        Reply::new(status, "application/json", odd),
        Reply::new(status, "application/problem+json", other),
    ]
}

fn is_stale(answer: &Answer) -> bool {
    answer.status == 200 && answer.cache().contains("detail=\"stale-if-error\"")
}

#[test]
fn a_refusal_is_passed_on_in_the_registrys_own_words() {
    for (status, slug) in refusals() {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.otherwise(Reply::problem(status, slug, "A title of its own", "A detail of its own"));
        let proxy = Setup::before(&upstream).start();
        for target in [release.index(), release.exact(), release.download()] {
            let problem = proxy.client().get(&target).problem(status, slug);
            assert_eq!(problem["title"], "A title of its own", "{target}");
            assert_eq!(problem["detail"], "A detail of its own", "{target}");
        }
    }
}

#[test]
fn a_refusal_is_remembered() {
    for (status, slug) in refusals() {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.otherwise(Reply::problem(status, slug, "No", "No."));
        let proxy = Setup::before(&upstream).start();
        proxy.client().get(&release.exact()).problem(status, slug);
        let again = proxy.client().get(&release.exact());
        again.problem(status, slug);
        assert!(again.is_hit() && again.cache().contains("detail=\"negative\""), "{}", again.cache());
        assert_eq!(upstream.requests(&release.exact()), 1);
    }
}

#[test]
fn a_refusal_is_forgotten_after_its_ttl() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&release.exact()).problem(404, "not-found");
    upstream.publish(&release);
    eventually("the release published meanwhile", || {
        (proxy.client().get(&release.exact()).status == 200).then_some(())
    });
}

#[test]
fn a_refusal_beats_what_was_stored() {
    for ((status, slug), state) in refusals().into_iter().zip(WITHHELD) {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.publish(&release);
        let proxy = Setup::before(&upstream).short_lived().start();
        proxy.client().get(&release.exact()).ok();
        upstream.reply(&release.exact(), Reply::problem(status, slug, "No more", "It was withdrawn."));
        upstream.list(&release.name, release.clone().state(state, "withdrawn").row(&upstream.url()));
        let refused = eventually("the refusal", || {
            Some(proxy.client().get(&release.exact())).filter(|answer| answer.status != 200)
        });
        refused.problem(status, slug);

        upstream.reply(&release.exact(), Reply::failure(500));
        for _ in 0..10 {
            let answer = proxy.client().get(&release.exact());
            assert_ne!(answer.status, 200, "what was refused came back: {}", answer.cache());
        }
    }
}

#[test]
fn a_404_without_a_problem_document_becomes_one() {
    let upstream = Upstream::start();
    upstream.otherwise(Reply::failure(404));
    let proxy = Setup::before(&upstream).start();
    let answer = proxy.client().get("/api/v1/index/volumes/lamp");
    answer.problem(404, "not-found");
    assert!(!answer.text().contains("<html>"));
}

#[test]
fn a_gateways_page_is_no_answer_where_something_is_held() {
    each([400, 401, 402, 403, 404, 405, 409, 410, 412, 422, 431, 451], |status| {
        for page in pages(status) {
            let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
            upstream.publish(&release);
            let mut proxy = Setup::before(&upstream).short_lived().start();
            proxy.client().get(&release.download()).ok();
            upstream.handle(move |_| Some(page.clone()));
            for target in [release.index(), release.exact(), release.download()] {
                eventually("what is held, marked", || {
                    let answer = proxy.client().get(&target);
                    assert_eq!(answer.status, 200, "{status} {target}: {}", answer.text());
                    is_stale(&answer).then_some(())
                });
            }
            proxy.restart();
            assert!(is_stale(&proxy.client().get(&release.exact())), "{status}: nothing of it was kept");
        }
    });
}

#[test]
fn a_problem_of_another_status_is_no_answer_where_something_is_held() {
    each([(400, "validation-failed"), (401, "authentication-required")], |(status, slug)| {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.publish(&release);
        let proxy = Setup::before(&upstream).short_lived().start();
        proxy.client().get(&release.exact()).ok();
        upstream.reply(&release.exact(), Reply::problem(status, slug, "No", "No."));
        eventually("what is held, marked", || {
            let answer = proxy.client().get(&release.exact());
            assert_eq!(answer.status, 200, "{status}: {}", answer.text());
            is_stale(&answer).then_some(())
        });
    });
}

#[test]
fn a_gateways_page_is_passed_on_where_nothing_is_held_and_forgotten_soon() {
    each(refusals(), |(status, _)| {
        for page in pages(status) {
            let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
            upstream.publish(&release);
            upstream.reply(&release.exact(), page);
            let mut proxy = Setup::before(&upstream).set("cache.negative_ttl", "1h").start();
            proxy.client().get(&release.index()).ok();
            let answer = proxy.client().get(&release.exact());
            assert_eq!(answer.status, status, "{}", answer.text());
            assert!(!answer.text().contains("<html>") && !answer.text().contains("divergence"));
            let again = proxy.client().get(&release.exact());
            assert!(again.cache().contains("negative"), "{}", again.cache());
            assert_eq!(upstream.requests(&release.exact()), 1, "{status}");
            assert!(proxy.divergences().is_empty(), "a page is held against nothing");
            let row = &proxy.client().get(&release.index()).ok().json()["items"][0];
            assert_eq!(row["status"]["state"], "available", "{status}");
            upstream.publish(&release);
            proxy.restart();
            proxy.client().get(&release.exact()).ok();
        }
    });
}

#[test]
fn a_gateways_page_is_never_repeated_when_it_is_old() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.reply(&release.exact(), Reply::failure(403));
    let proxy = Setup::before(&upstream).short_lived().start();
    assert_eq!(proxy.client().get(&release.exact()).status, 403);
    upstream.down();
    eventually("that nobody can be asked", || {
        let answer = proxy.client().get(&release.exact());
        (answer.status != 403).then(|| answer.could_not_ask())
    });
}

#[test]
fn a_block_outlives_a_gateways_page() {
    each([403, 404, 409, 410, 422], |status| {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream
            .reply(&release.exact(), Reply::problem(403, "authorization-failed", "Blocked", "Malicious."));
        let mut proxy = Setup::before(&upstream).short_lived().start();
        proxy.client().get(&release.exact()).problem(403, "authorization-failed");
        upstream.reply(&release.exact(), Reply::failure(status));
        for restarted in [false, true] {
            if restarted {
                proxy.restart();
            }
            let marked = eventually("the block, marked", || {
                let answer = proxy.client().get(&release.exact());
                assert_eq!(answer.problem(403, "authorization-failed")["title"], "Blocked", "{status}");
                answer.cache().contains("stale-if-error").then_some(answer)
            });
            assert!(marked.is_hit(), "{}", marked.cache());
        }
    });
}

#[test]
fn a_problem_of_no_type_of_its_own_is_the_registrys_word() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&release.exact()).ok();
    let body = r#"{"type":"about:blank","title":"Gone","status":410,"detail":"Words of its own."}"#;
    upstream.reply(&release.exact(), Reply::new(410, "application/problem+json", body));
    upstream.list(&release.name, release.clone().state("tombstoned", "withdrawn").row(&upstream.url()));
    let gone = eventually("the refusal", || {
        Some(proxy.client().get(&release.exact())).filter(|answer| answer.status != 200)
    });
    assert_eq!(gone.problem(410, "about:blank")["detail"], "Words of its own.");
    upstream.down();
    for _ in 0..5 {
        let answer = proxy.client().get(&release.exact());
        assert_ne!(answer.status, 200, "an outage brought it back: {}", answer.cache());
    }
}

#[test]
fn what_is_labelled_as_a_problem_is_the_registrys_word_whatever_its_type() {
    for (kind, shown) in [
        ("", "about:blank"),
        (r#""type":"https://agentvolumes.org/problems/blocked","#, "about:blank"),
        (
            r#""type":"https://registry.example/problems/malware","#,
            "https://registry.example/problems/malware",
        ),
    ] {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.publish(&release);
        let proxy = Setup::before(&upstream).short_lived().start();
        proxy.client().get(&release.download()).ok();
        let body = format!(r#"{{{kind}"title":"Forbidden","status":403,"detail":"malware"}}"#);
        upstream.reply(&release.exact(), Reply::new(403, "application/problem+json", body));
        let refused = eventually("the block", || {
            Some(proxy.client().get(&release.exact())).filter(|answer| answer.status != 200)
        });
        let problem = refused.json();
        let said = ["type", "title", "detail"].map(|member| problem[member].as_str().unwrap());
        assert_eq!((refused.status, said), (403, [shown, "Forbidden", "malware"]));
        upstream.down();
        assert_eq!(proxy.client().get(&release.download()).status, 403, "an outage ends no block");
    }
}
