//! Definite answers: a registry that says no is believed, remembered for a while, and never
//! overridden by what was stored when it still said yes.

use crate::support::{Release, Reply, Setup, Upstream, eventually};

/// Each refusal, and the state that an index shows of what is refused so.
const WITHHELD: [&str; 3] = ["tombstoned", "blocked", "unavailable"];

fn refusals() -> [(u16, &'static str); 3] {
    [(404, "not-found"), (403, "authorization-failed"), (409, "inconsistent-registry-state")]
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
