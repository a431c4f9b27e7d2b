//! Lifecycle states: the release record decides whether an archive may leave, however warm the cache.

use crate::support::{Release, Reply, Setup, Upstream, eventually};

#[test]
fn a_block_upstream_reaches_an_archive_that_is_already_here() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&release.download()).ok();
    upstream.reply(
        &release.exact(),
        Reply::problem(403, "authorization-failed", "Blocked", "Found to be malicious."),
    );
    upstream.list(&release.name, release.clone().state("blocked", "malicious").row(&upstream.url()));
    let refused = eventually("the block to arrive", || {
        Some(proxy.client().get(&release.download())).filter(|answer| answer.status != 200)
    });
    refused.problem(403, "authorization-failed");
}

#[test]
fn a_yank_upstream_reaches_the_index_and_spares_the_archive() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&release.download()).ok();
    upstream.publish(&release.clone().state("yanked", "superseded"));
    for (target, status) in [(release.index(), "/items/0/status"), (release.exact(), "/status")] {
        eventually("the yank to arrive", || {
            let document = proxy.client().get(&target).ok().json();
            (*document.pointer(status)? == serde_json::json!({ "state": "yanked", "reason": "superseded" }))
                .then_some(())
        });
    }
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    assert_eq!(upstream.requests(&release.source()), 1, "a yank is no reason to fetch an archive again");
}

#[test]
fn a_release_that_fails_exact_fetches_has_no_archive() {
    for state in ["blocked", "tombstoned", "unavailable"] {
        let upstream = Upstream::start();
        let release = Release::new("lamp", "1.0.0").state(state, "for a reason");
        upstream.publish(&release);
        let proxy = Setup::before(&upstream).start();
        let answer = proxy.client().get(&release.download());
        assert!([403, 404, 409].contains(&answer.status), "{state}: {}", answer.status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(upstream.requests(&release.source()), 0, "the archive of a {state} release was fetched");
    }
}
